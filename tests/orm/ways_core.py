"""Ways of writing by Core statements, through a session or a connection."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import bindparam, column, delete, exists, func, insert, literal, literal_column, or_, select, table, tuple_, update
from sqlalchemy.dialects import mysql, postgresql, sqlite

from tests.orm.ways import MARIADB, POSTGRESQL, SQLITE, Way, ways_of
from tests.orm.ways_rows import UUIDS
from tests.orm.write_models import Archive, Book, BookGenre, Copy, Film, Medium, Parcel, Remark, Stub, Word

if TYPE_CHECKING:
    from tests.orm.ways import Write

__all__ = ("CORE_WAYS",)

books: Any = Book.__table__
copies: Any = Copy.__table__
parcels: Any = Parcel.__table__
words: Any = Word.__table__
archives: Any = Archive.__table__
media: Any = Medium.__table__
remarks: Any = Remark.__table__

NEW = [{"id": number, "title": "new", "stock": 0} for number in (4, 5)]
LITE = (SQLITE, POSTGRESQL)
"""Databases with UPDATE … RETURNING, UPDATE … FROM and ON CONFLICT."""


def run(statement: Any, *parameters: Any) -> Write:
    """Execute a statement."""
    return lambda target: target.execute(statement, *parameters)


def rows_of(statement: Any, *parameters: Any) -> Write:
    """Execute a statement and read its rows."""
    return lambda target: target.execute(statement, *parameters).all()


few = select(books.c.id).where(books.c.stock < 3).cte("few")


def title(*criteria: Any) -> Any:
    return update(books).where(*criteria).values(title="new")


ROWS: Final = (
    *ways_of(
        {
            "Core insert": run(insert(books).values(NEW[0])),
            "Core insert of many": run(insert(books), NEW),
            "Core insert of several VALUES": run(insert(books).values(NEW)),
            "Core insert with RETURNING": rows_of(insert(books).returning(books.c.id), NEW),
            "Core update by key": run(title(books.c.id == 1)),
            "Core update by key and more": run(title(books.c.id == 1, books.c.stock > 0)),
            "Core update by a list of keys": run(title(books.c.id.in_([1, 2]))),
            "Core update of a key": run(update(books).where(books.c.id == 3).values(id=6)),
            "Core update of many by key": run(
                update(books).where(books.c.id == bindparam("it")).values(title=bindparam("to")),
                [{"it": number, "to": "new"} for number in (1, 2)],
            ),
        },
        reach="row",
        core=True,
    ),
    *ways_of(
        {
            "Core delete by key": run(delete(books).where(books.c.id == 1)),
            "Core delete by a list of keys": run(delete(books).where(books.c.id.in_([2, 3]))),
            "Core delete of many by key": run(delete(books).where(books.c.id == bindparam("it")), [{"it": 2}, {"it": 3}]),
        },
        reach="row",
        core=True,
        models=(Book, BookGenre),
    ),
    *ways_of(
        {
            "Core update by composite key": run(update(copies).where(copies.c.book == 1, copies.c.number == 2).values(place="new")),
            "Core delete by composite key": run(delete(copies).where(copies.c.book == 1, copies.c.number == 2)),
            "Core update by a list of composite keys": run(
                update(copies).where(tuple_(copies.c.book, copies.c.number).in_([(1, 1), (2, 2)])).values(place="new")
            ),
            "Core update of a part of the key": run(update(copies).where(copies.c.book == 1, copies.c.number == 2).values(number=3)),
        },
        reach="row",
        core=True,
        models=(Copy,),
    ),
    *ways_of(
        {
            "Core update by UUID": run(update(parcels).where(parcels.c.id == UUIDS[0]).values(place="new")),
            "Core delete by a list of UUIDs": run(delete(parcels).where(parcels.c.id.in_(UUIDS[:2]))),
            "Core insert by UUID": run(insert(parcels).values(id=UUIDS[3], place="new")),
        },
        reach="row",
        core=True,
        models=(Parcel,),
    ),
    Way(
        "Core insert of many keys made by the database",
        rows_of(insert(Stub.__table__).returning(Stub.__table__.c.id), [{"text": "new"} for _ in range(3)]),
        "row",
        (Stub,),
        core=True,
    ),
    Way(
        "Core update of the base of a joined row",
        run(update(media).where(media.c.id == 2).values(name="new")),
        "row",
        (Medium, Film),
        core=True,
    ),
)

TABLES: Final = (
    *ways_of(
        {
            "Core update by text key": run(update(words).where(words.c.word == "one").values(meaning="new")),
            "Core delete by a list of text keys": run(delete(words).where(words.c.word.in_(["one", "two"]))),
            "Core update of a text key": run(update(words).where(words.c.word == "one").values(word="four")),
        },
        models=(Word,),
        core=True,
    ),
    *ways_of(
        {
            "Core update by another column": run(title(books.c.stock < 3)),
            "Core update of all": run(update(books).values(title="new")),
            "Core update by key, turned round": run(title(literal(1) == books.c.id)),
            "Core update by a range of keys": run(title(books.c.id > 1)),
            "Core update by one key or another": run(title(or_(books.c.id == 1, books.c.id == 2))),
            "Core update by any key but one": run(title(~(books.c.id == 1))),
            "Core update by a key that isn't in a list": run(title(books.c.id.not_in([1]))),
            "Core update by a key between others": run(title(books.c.id.between(1, 2))),
            "Core update by the key of a subquery": run(title(books.c.id == select(copies.c.book).limit(1).scalar_subquery())),
            "Core update by a key written into the statement": run(title(books.c.id == literal_column("1"))),
            "Core update by a computed key": run(title(books.c.id == literal(1) + 1)),
            "Core update where others exist": run(title(exists().where(copies.c.book == books.c.id))),
            "Core update to a subquery": run(update(books).values(title=select(func.max(remarks.c.text)).scalar_subquery())),
            "Core update of many by another column": run(
                update(books).where(books.c.stock == bindparam("it")).values(title="new"), [{"it": 1}, {"it": 2}]
            ),
        },
        core=True,
    ),
    *ways_of(
        {
            "Core delete by another column": run(delete(books).where(books.c.stock > 1)),
            "Core delete of all": run(delete(books)),
        },
        models=(Book, BookGenre),
        core=True,
    ),
    Way(
        "Core insert from a SELECT",
        run(insert(archives).from_select(["id", "title"], select(books.c.id, books.c.title))),
        "table",
        (Archive,),
        core=True,
    ),
    Way("Core delete with RETURNING", rows_of(delete(books).returning(books.c.id)), "table", (Book, BookGenre), core=True),
    *ways_of(
        {
            "Core update with RETURNING": rows_of(update(books).values(title="new").returning(books.c.id)),
            "UPDATE … FROM": run(title(books.c.id == copies.c.book)),
        },
        core=True,
        on=LITE,
    ),
    Way("DELETE … USING", run(delete(copies).where(copies.c.book == books.c.id)), "table", (Copy,), (POSTGRESQL, MARIADB), core=True),
    Way(
        "Core update with a CTE that reads",
        run(title(books.c.id.in_(select(few.c.id))).add_cte(few)),
        on=LITE,  # MariaDB knows WITH before a SELECT only
        core=True,
        commits_alone=(SQLITE,),  # the driver begins no transaction for it
    ),
    Way(
        "a lightweight table",
        run(update(table("books", column("title"))).values(title="new")),
        core=True,
    ),
)


def on_conflict(name: str, dialect: Any) -> list[Way]:
    """Return the ways to insert with a conflict clause, which changes rows that are there."""
    rows = [{"id": 1, "title": "x", "stock": 0}, *NEW]
    one, many = dialect.insert(books).values(rows), dialect.insert(books)
    writes = {
        "ON CONFLICT DO UPDATE": run(one.on_conflict_do_update(index_elements=["id"], set_={"title": "new"})),
        "ON CONFLICT DO NOTHING": run(one.on_conflict_do_nothing()),
        "ON CONFLICT DO UPDATE of many": run(
            many.on_conflict_do_update(index_elements=["id"], set_={"title": many.excluded.title + "!"}), rows
        ),
    }
    return ways_of({f"{key} ({name})": write for key, write in writes.items()}, core=True, on=(name,))


UPSERTS: Final = (
    *on_conflict(SQLITE, sqlite),
    *on_conflict(POSTGRESQL, postgresql),
    Way(
        "ON DUPLICATE KEY UPDATE",
        run(mysql.insert(books).values([{"id": 1, "title": "x", "stock": 0}, *NEW]).on_duplicate_key_update(title="new")),
        on=(MARIADB,),
        core=True,
    ),
    Way("INSERT IGNORE", run(insert(books).prefix_with("IGNORE").values([{"id": 1, "title": "x"}, *NEW])), on=(MARIADB,), core=True),
    Way(
        "INSERT OR REPLACE",
        run(insert(books).prefix_with("OR REPLACE").values(id=3, title="new", stock=0)),
        "table",
        (Book, BookGenre),
        (SQLITE,),
        core=True,
    ),
    Way(
        "UPDATE OR REPLACE",
        run(update(copies).prefix_with("OR REPLACE").where(copies.c.book == 1, copies.c.number == 1).values(number=2)),
        "table",
        (Copy,),
        (SQLITE,),
        core=True,
    ),
)

gone = delete(copies).where(copies.c.book == 1).returning(copies.c.number).cte("gone")
renamed = update(books).where(books.c.id == 1).values(title="new").returning(books.c.id).cte("renamed")

SEVERAL: Final = (
    Way("SELECT from a DELETE", rows_of(select(gone.c.number)), "table", (Copy,), (POSTGRESQL,), core=True),
    Way(
        "INSERT from a DELETE",
        run(insert(archives).from_select(["id", "title"], select(gone.c.number, literal("new")))),
        "table",
        (Archive, Copy),
        (POSTGRESQL,),
        core=True,
    ),
    Way(
        "UPDATE beside an UPDATE",
        run(update(copies).values(place="new").where(copies.c.book.in_(select(renamed.c.id)))),
        "table",
        (Copy, Book),
        (POSTGRESQL,),
        core=True,
    ),
    Way(
        "SELECT beside an INSERT",
        rows_of(select(literal(1)).add_cte(insert(books).values(NEW[0]).cte("made"))),
        "table",
        (Book,),
        (POSTGRESQL,),
        core=True,
    ),
    Way(
        "UPDATE of two tables (MySQL)",
        run(update(books).where(books.c.id == copies.c.book).values({books.c.title: "new", copies.c.place: "new"})),
        "table",
        (Book, Copy),
        (MARIADB,),
        core=True,
    ),
    Way(
        "UPDATE of the second table alone (MySQL)",
        run(update(books).where(books.c.id == copies.c.book, books.c.id == 1).values({copies.c.place: "new"})),
        "table",
        (Copy, Book),
        (MARIADB,),
        core=True,
    ),
    Way(
        "UPDATE … LIMIT (MySQL)",
        run(update(books).values(title="new").with_dialect_options(mysql_limit=1, mariadb_limit=1)),
        on=(MARIADB,),
        core=True,
    ),
)

CORE_WAYS: Final = (*ROWS, *TABLES, *UPSERTS, *SEVERAL)
