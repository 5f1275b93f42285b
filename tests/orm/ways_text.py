"""Ways of writing by text: what it writes is read off it, told by the application, or taken for everything."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import Integer, column, func, select, text

from tests.orm.ways import MARIADB, POSTGRESQL, SQLITE, Way, connection_of, driver_sql, ways_of
from tests.orm.write_models import Archive, Book, BookGenre, Copy

if TYPE_CHECKING:
    from tests.orm.ways import Write

__all__ = ("TEXT_WAYS",)

LITE = (SQLITE, POSTGRESQL)
SERVERS = (POSTGRESQL, MARIADB)


def said(statement: str, **options: Any) -> Write:
    """Execute a text."""
    return lambda target: target.execute(text(statement), execution_options=options)


def rows_of(statement: str) -> Write:
    """Execute a text and read its rows."""
    return lambda target: target.execute(text(statement).columns(column("id", Integer))).all()


def load_file(target: Any) -> None:
    """Load the file that lies beside the database's folder."""
    connection = connection_of(target)
    connection.exec_driver_sql(f"LOAD DATA INFILE '../{connection.engine.url.database}.txt' INTO TABLE books (id, title, stock)")


UPDATE = "UPDATE books SET title = 'new' WHERE id = 1"
INSERT = "INSERT INTO books (id, title, stock) VALUES (4, 'new', 1), (5, 'new', 2)"
DELETE = "DELETE FROM books WHERE id > 1"
_HIDES: dict[str, Any] = {"core": True, "engine": "own connections", "commits_alone": SERVERS}
"""Of text in which anything may hide: it may commit, and the connection that runs it is believed no more, so it isn't used again."""
DO = "DO $$ BEGIN UPDATE books SET title = 'new'; END $$"
WITH_UPDATE = "WITH few AS (SELECT 1 AS id) UPDATE books SET title = 'new' WHERE id IN (SELECT id FROM few)"
REPLACE = "REPLACE INTO books (id, title, stock) VALUES (3, 'new', 1)"
UPSERT = "INSERT INTO books (id, title, stock) VALUES (1, 'x', 1), (4, 'x', 1)"
TWO = "UPDATE books, copies SET books.title = 'new', copies.place = 'new' WHERE books.id = copies.book"

KNOWN: Final = (
    *ways_of(
        {
            "text: UPDATE": said(UPDATE),
            "text: UPDATE with parameters": lambda target: target.execute(
                text("UPDATE books SET title = :title WHERE stock < :stock"), {"title": "new", "stock": 3}
            ),
            "text: INSERT of several rows": said(INSERT),
            "text: INSERT of many": lambda target: target.execute(
                text("INSERT INTO books (id, title, stock) VALUES (:id, 'new', 1)"), [{"id": 4}, {"id": 5}]
            ),
            "text: INSERT from a SELECT": said("INSERT INTO books (id, title, stock) SELECT id + 3, title, stock FROM books WHERE id < 3"),
            "text: after comments, in another case": said("-- SELECT\n/* nothing */  update books SET title = 'new';"),
            "exec_driver_sql: UPDATE": driver_sql(UPDATE),
            "exec_driver_sql: INSERT of several rows": driver_sql(INSERT),
        },
        core=True,
    ),
    *ways_of({"text: DELETE": said(DELETE), "exec_driver_sql: DELETE": driver_sql(DELETE)}, core=True, models=(Book, BookGenre)),
    *ways_of(
        {
            "text: WITH … UPDATE": said(WITH_UPDATE),
            "exec_driver_sql: WITH … UPDATE": driver_sql(WITH_UPDATE),
        },
        core=True,
        on=LITE,  # MariaDB knows WITH before a SELECT only
        commits_alone=(SQLITE,),
    ),
    *ways_of(
        {
            "text: UPDATE with RETURNING": rows_of("UPDATE books SET title = 'new' WHERE id = 1 RETURNING id"),
            "text: UPDATE … FROM": said("UPDATE books SET title = copies.place FROM copies WHERE copies.book = books.id AND books.id = 1"),
            "text: INSERT … ON CONFLICT": said(f"{UPSERT} ON CONFLICT (id) DO UPDATE SET title = 'new'"),
            "text: quoted names": said('UPDATE "books" SET "title" = \'new\''),
        },
        core=True,
        on=LITE,
    ),
    *ways_of(
        {
            "text: WITH DELETE … SELECT": rows_of(
                "WITH gone AS (DELETE FROM copies WHERE book = 1 RETURNING number AS id) SELECT id FROM gone"
            ),
            "text: WITH … DELETE": said("WITH few AS (SELECT 1 AS id) DELETE FROM copies WHERE book IN (SELECT id FROM few)"),
        },
        core=True,
        on=(POSTGRESQL,),
        models=(Copy,),
    ),
    *ways_of(
        {
            "text: with the schema's name": said("UPDATE public.books SET title = 'new'"),
            "text: MERGE": said(
                "MERGE INTO books USING copies ON books.id = copies.book AND copies.number = 1 WHEN MATCHED THEN UPDATE SET title = 'new'"
            ),
        },
        core=True,
        on=(POSTGRESQL,),
    ),
    Way(
        "text: several statements",
        said("SELECT 1; UPDATE books SET title = 'new' WHERE id = 1; INSERT INTO archives VALUES (1, 'new')"),
        "table",
        (Book, Archive),
        (POSTGRESQL,),
        ("sync",),  # asyncpg prepares, and so takes one
        core=True,
    ),
    Way("text: REPLACE", said(REPLACE), "table", (Book, BookGenre), (SQLITE, MARIADB), core=True),
    Way("text: with the schema's name (SQLite)", said("UPDATE main.books SET title = 'new'"), on=(SQLITE,), core=True),
    *ways_of(
        {
            "text: ON DUPLICATE KEY UPDATE": said(f"{UPSERT} ON DUPLICATE KEY UPDATE title = 'new'"),
            "text: names in backquotes": said("UPDATE `books` SET `title` = 'new'"),
            "text: UPDATE … ORDER BY … LIMIT": said("UPDATE books SET title = 'new' ORDER BY id LIMIT 1"),
        },
        core=True,
        on=(MARIADB,),
    ),
    *ways_of(
        {
            "text: UPDATE of two tables": said(TWO),
            "exec_driver_sql: UPDATE of two tables": driver_sql(TWO),
            "text: DELETE from two tables": said(
                "DELETE books, copies FROM books JOIN copies ON copies.book = books.id WHERE books.id = 2"
            ),
        },
        core=True,
        on=(MARIADB,),
        models=(Book, Copy, BookGenre),
    ),
)

TOLD: Final = (
    *ways_of(
        {
            f"text, its tables told by {kind}": said(UPDATE, aa_cache_tables=tables)
            for kind, tables in (("name", ["books"]), ("table", [Book.__table__]), ("class", (Book,)))
        },
        core=True,
    ),
    *ways_of(
        {
            "CALL, its tables told": said("CALL rename_book()", aa_cache_tables=[Book]),
            "a function that writes, its tables told": lambda target: target.execute(
                select(func.renamed_book()), execution_options={"aa_cache_tables": [Book]}
            ).all(),
            "text: a function that writes, its tables told": said("SELECT renamed_book()", aa_cache_tables=[Book]),
        },
        core=True,
        on=(POSTGRESQL,),
    ),
    Way("DO, its tables told", said(DO, aa_cache_tables=["books"]), on=(POSTGRESQL,), **_HIDES),
    Way("text, its tables told: DELETE that cascades", said(DELETE, aa_cache_tables=["books"]), "table", (Book, BookGenre), core=True),
)

UNKNOWN: Final = (
    *ways_of(
        {
            "CALL": said("CALL rename_book()"),
            "EXPLAIN ANALYZE": said(f"EXPLAIN ANALYZE {UPDATE}"),
            "COPY from a program": driver_sql("COPY books (id, title, stock) FROM PROGRAM 'echo 4,copied,1' (FORMAT csv)"),
        },
        reach="all",
        core=True,
        on=(POSTGRESQL,),
    ),
    *ways_of(
        {
            "a function that writes": lambda target: target.execute(select(func.renamed_book())).all(),
            "a function that writes, by itself": lambda target: target.scalar(func.renamed_book()),
            "a function that writes, among others": lambda target: target.execute(
                select(func.now(), func.coalesce(func.renamed_book(), 1))
            ).all(),
            "text: a function that writes": lambda target: target.execute(text("SELECT renamed_book()")).all(),
        },
        reach="all",
        core=True,
        on=SERVERS,
        commits_alone=(MARIADB,),  # a table there has no transactions, and who knows what the function writes
    ),
    Way(
        "a function that writes, in place of a table",
        lambda target: target.execute(select(func.renamed_book().column_valued("found"))).all(),
        "all",
        core=True,
        on=(POSTGRESQL,),
    ),
    *ways_of(
        {
            "CALL (MariaDB)": said("CALL rename_book()"),
            "ANALYZE": said(f"ANALYZE {UPDATE}"),
            "LOAD DATA": load_file,
        },
        reach="all",
        core=True,
        on=(MARIADB,),
        commits_alone=(MARIADB,),  # it can't be known that none of them commits
    ),
    Way("DO", said(DO), "all", on=(POSTGRESQL,), **_HIDES),
    *ways_of(
        {
            "a comment that is executed": said(f"/*!40000 {UPDATE} */"),
            "EXECUTE IMMEDIATE": said("EXECUTE IMMEDIATE \"UPDATE books SET title = 'new'\""),
        },
        reach="all",
        on=(MARIADB,),
        **_HIDES,
    ),
    Way(
        "text: UPDATE of a view that nobody declared",
        said("UPDATE shelf SET title = 'new' WHERE id = 1"),
        "all",
        (Book,),
        SERVERS,
        core=True,
        commits_alone=(MARIADB,),  # a table there has no transactions, and who knows what the view is of
    ),
)

TEXT_WAYS: Final = (*KNOWN, *TOLD, *UNKNOWN)
