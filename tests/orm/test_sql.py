"""What a statement of text writes is told exactly or not at all (DESIGN 6)."""

from __future__ import annotations

import logging
import sqlite3
import sys
from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aa_cache_integration.orm import sql
from aa_cache_integration.orm.sql import targets_of

pytest.importorskip("sqlglot", reason="needs sqlglot: pip install aa-cache-integration[sql]")

DIALECTS: Final = ("sqlite", "postgresql", "mysql", "mariadb", "oracle", "mssql")

TOLD: Final = {
    # What is told is written as "table verb column,column"; each statement is told so in every one of the dialects.
    ("sqlite", "postgresql", "mysql", "mariadb", "oracle", "mssql"): [
        ("INSERT INTO a VALUES (1)", "a insert"),
        ("insert into S.a (x, y) values (1, 'it''s')", "S.a insert"),
        ("INSERT INTO a (x) SELECT y FROM b UNION ALL SELECT z FROM c", "a insert"),
        ("UPDATE a SET x = 1, Y = y + 1 WHERE z IN (SELECT z FROM b)", "a update x,y"),
        ("UPDATE a SET x = '; DELETE FROM b'", "a update x"),
        ("UPDATE a SET x = 1 -- DELETE FROM b\n WHERE y = 2 /* ; DELETE FROM c */", "a update x"),
        ("DELETE FROM s.a WHERE x = 1;", "s.a delete"),
        ("  (SELECT 1)", ""),
        ("SELECT CASE WHEN x > 1 THEN 'a' ELSE 'b' END, count(*) OVER (PARTITION BY y) FROM a WHERE z <> -1.5e3", ""),
        ("WITH q AS (SELECT 1 AS x) SELECT * FROM q JOIN b ON q.x = b.x ORDER BY 1", ""),
        ("SELECT 1; SELECT 2", ""),
        ("INSERT INTO a VALUES (1); ; UPDATE b SET x = 1; DELETE FROM a", "a insert", "b update x", "a delete"),
        ("DELETE FROM a WHERE x = :x", "a delete"),
    ],
    ("sqlite", "postgresql"): [
        ("WITH q AS (SELECT 1) INSERT INTO a SELECT * FROM q", "a insert"),
        ("WITH RECURSIVE q (n) AS (SELECT 1 UNION SELECT n + 1 FROM q) UPDATE a SET x = 1 FROM q", "a update x"),
        ("WITH q AS (SELECT 1) DELETE FROM a WHERE x IN (SELECT * FROM q) RETURNING y", "a delete"),
        ("INSERT INTO a (x) VALUES (1) ON CONFLICT (x) DO UPDATE SET x = excluded.x RETURNING x", "a insert", "a update"),
        ("INSERT INTO a (x) VALUES (1) on conflict do nothing", "a insert"),
        ("INSERT INTO a DEFAULT VALUES", "a insert"),
        ("INSERT INTO a AS t (x) VALUES (1)", "a insert"),
        ("UPDATE a AS t SET x = 1 FROM b AS u WHERE t.y = u.y", "a update x"),
        ("UPDATE a SET (x, y) = (SELECT 1, 2), z = 3", "a update x,y,z"),
        ('DELETE FROM "S"."My Table" WHERE "update" = 1', "S.My Table delete"),
    ],
    ("postgresql",): [
        ("WITH x AS (DELETE FROM a RETURNING *) INSERT INTO b SELECT * FROM x", "b insert", "a delete"),
        ("WITH x AS (UPDATE a SET y = 1 RETURNING *), z AS (INSERT INTO c VALUES (1)) SELECT * FROM x", "a update y", "c insert"),
        (
            "MERGE INTO a t USING b ON t.x = b.x WHEN MATCHED THEN UPDATE SET y = 1 WHEN NOT MATCHED THEN INSERT (x) VALUES (1)",
            *("a update", "a insert"),
        ),
        ("MERGE INTO a USING b ON a.x = b.x WHEN MATCHED AND a.y > 1 THEN DELETE WHEN MATCHED THEN DO NOTHING", "a delete"),
        ("TRUNCATE a, s.b RESTART IDENTITY", "a delete", "s.b delete"),
        ("TRUNCATE TABLE a RESTRICT", "a delete"),
        ("UPDATE ONLY a SET x = 1", "a update x"),
        ("UPDATE a * SET x = 1", "a update x"),
        ("UPDATE a SET x[1] = 2", "a update"),
        ("UPDATE a SET x.y = 2", "a update"),
        ("DELETE FROM ONLY a USING b WHERE a.x = b.x", "a delete"),
        ("SELECT * FROM a FOR NO KEY UPDATE OF a SKIP LOCKED", ""),
        ("SELECT * FROM a FOR UPDATE", ""),
        ("UPDATE a SET x = %(x)s::int, y = y || %s::jsonb, z = %(z)s WHERE n %% 2 = 0 AND s LIKE 'a%%'", "a update x,y,z"),
        ("UPDATE a SET x = $1::varchar(10)[] WHERE y @> $2 AND z ? 'k' AND w ->> 'a' = ANY($3) AND v #>> '{a}' !~* 'b'", "a update x"),
        ("UPDATE a SET x = $$; DELETE FROM b$$, y = $q$it's $$ $q$, z = E'\\'; DELETE FROM c; --'", "a update x,y,z"),
        ("UPDATE a SET x = make_interval(days => 1), y = date '2020-01-01'", "a update x,y"),
        ("TABLE a", ""),
        ("VALUES (1), (2)", ""),
    ],
    ("mysql", "mariadb"): [
        ("INSERT INTO a (x) VALUES (%s) ON DUPLICATE KEY UPDATE x = VALUES(x)", "a insert", "a update"),
        ("INSERT IGNORE INTO a SET x = 1", "a insert"),
        ("INSERT LOW_PRIORITY INTO a VALUES (1)", "a insert"),
        ("REPLACE INTO a (x) VALUES (1)", "a insert", "a delete"),
        ("REPLACE DELAYED a SELECT * FROM b", "a insert", "a delete"),
        ("UPDATE LOW_PRIORITY IGNORE a SET x = REPLACE(y, 'a', 'b') ORDER BY z LIMIT 3", "a update x"),
        ("UPDATE a JOIN b ON a.x = b.x SET b.y = 1", "a update y", "b update y"),
        ("UPDATE a AS b, s.b AS c LEFT JOIN (SELECT * FROM d) AS e USING (x) SET b.y = 1", "a update y", "s.b update y"),
        ("DELETE a, b FROM a JOIN b ON a.x = b.x JOIN c", "a delete", "b delete"),
        ("DELETE t FROM a AS t JOIN t AS u", "a delete"),
        ("DELETE FROM t USING s.a AS t JOIN b", "s.a delete"),
        ("DELETE IGNORE FROM `s`.`a b` LIMIT 1 # DELETE FROM c", "s.a b delete"),
        ("WITH q AS (SELECT 1) UPDATE a SET x = 1", "a update x"),
        ("TRUNCATE TABLE a", "a delete"),
        ("UPDATE /*+ NO_MERGE(b) */ a SET x = @y, z = '\"' -- DELETE FROM b", "a update x,z"),
        ("SELECT * FROM a LOCK IN SHARE MODE", ""),
    ],
    ("sqlite",): [
        ("INSERT OR REPLACE INTO a VALUES (?, ?2, :x, @y, $z)", "a insert", "a delete"),
        ("INSERT OR IGNORE INTO a VALUES (1)", "a insert"),
        ("REPLACE INTO a VALUES (1)", "a insert", "a delete"),
        ("WITH q AS (SELECT 1) REPLACE INTO a SELECT * FROM q", "a insert", "a delete"),
        ("UPDATE OR REPLACE a SET x = 1", "a update x", "a delete"),
        ("UPDATE OR IGNORE [a b] INDEXED BY i SET 'x' = 'a\\'", "a b update"),
        ("DELETE FROM `main`.a NOT INDEXED WHERE x LIKE '%s' AND y % 2 == 1", "main.a delete"),
    ],
    ("oracle",): [
        ("DELETE a t WHERE x = :1", "a delete"),
        ("MERGE INTO a USING b ON (a.x = b.x) WHEN MATCHED THEN UPDATE SET y = 1", "a update"),
    ],
    ("mssql",): [
        ("UPDATE [s].[a b] SET x = @p1, y = ? WHERE z = %(z)s", "s.a b update x,y"),
        ("DELETE a WHERE x = 1", "a delete"),
        ("INSERT a OUTPUT inserted.x VALUES (1)", "a insert"),
    ],
}

UNTOLD: Final = {
    DIALECTS: [
        *("COMMIT", "BEGIN", "ROLLBACK", "SAVEPOINT x", "RELEASE x", "SET x = 1", "START TRANSACTION", "USE x", "PRAGMA x = 1", "x"),
        *("DELETE FROM a; COMMIT", "BEGIN; DELETE FROM a", "SAVEPOINT x; DELETE FROM a", "SET x = 1; SELECT 1", "CREATE TABLE a (x INT)"),
        *("CREATE TEMPORARY TABLE a AS SELECT 1", "ALTER TABLE a ADD x INT", "DROP TABLE a", "RENAME TABLE a TO b"),
        *("EXPLAIN DELETE FROM a", "COPY a FROM STDIN", "CALL f()", "EXEC f", "EXECUTE f", "DO 1", "LOCK TABLE a", "VACUUM", "MERGE"),
        *("LOAD DATA INFILE 'x' INTO TABLE a", "SELECT x INTO OUTFILE 'f' FROM a", "SELECT * INTO b FROM a", "SELECT 1 DELETE FROM a"),
        *("SELECT INTO b FROM a", "SELECT x INTO FROM a", "UPDATE a", "UPDATE a SET", "DELETE", "INSERT INTO", "DELETE FROM a b c", "("),
        *("'", "UPDATE (SELECT * FROM a) t SET x = 1", "DELETE FROM f(1)", "INSERT INTO f('x') VALUES (1)", "DELETE FROM x.y.z"),
        *("DELETE FROM 'a'", "WITH a AS (SELECT 1) DELETE FROM a", "WITH a AS (SELECT 1) UPDATE a SET x = 1", "UPDATE ? SET x = 1"),
        *("DELETE FROM :a", "DELETE FROM %s", "UPDATE a SET x = my_own()", "WITH q AS (SELECT my_own()) SELECT 1"),
        *("INSERT INTO a SELECT * FROM my_own()", "SELECT s.my_own(1)", "DELETE FROM a\x00", "DELETE FROM \u0430", "DELETE FROM a\xa0"),
        *("DELETE FROM a WHERE x = \u2018\u2019", "DELETE FROM a$b", "DELETE FROM 1a", "DELETE FROM a /*", "DELETE FROM a /* /* */"),
        *("DELETE FROM a -- x\rWHERE y", "DELETE FROM a WHERE x = 'y", 'DELETE FROM "a""b"', "UPDATE a, b SET x = 1 FROM c"),
        *("TRUNCATE a CASCADE", "DELETE FROM " + "(" * 99, "SELECT " + "f(" * 99, "SELECT 1" + " " * 20_000),
    ],
    ("postgresql",): [
        *("DELETE FROM a WHERE x = '\\'", 'DELETE FROM U&"\\0061"', "DELETE FROM U&'a'", "SELECT $1$a$", "SELECT $a$ $b$"),
        *("SELECT 'a' %s'b'", "UPDATE a SET x = '%s'", "UPDATE a SET x = 1 -- %(x)s", "SELECT %sINTO b FROM a"),
        *("SELECT x % salary FROM a", "TRUNCATE a; COMMIT", "DO $$ BEGIN DELETE FROM a; END $$", "INSERT INTO a SELECT dblink_exec('x')"),
        *("NOTIFY x", "DELETE FROM a /* /* x */ */", "PREPARE x AS SELECT 1", "UPDATE a JOIN b ON true SET x = 1"),
        *("DELETE a FROM a JOIN b ON true", "REPLACE INTO a VALUES (1)", 'DELETE FROM "a.b"', 'DELETE FROM "a "'),
    ],
    ("mysql", "mariadb"): [
        *('UPDATE a SET x = "y"', "UPDATE a SET x = 'y\\'", "UPDATE a SET x = 1 /*! , y = 2 */", "SELECT 1 /*M! INTO @x */"),
        *("SELECT '/*!'", "SELECT 1--1", "SELECT x INTO @y FROM a", "SELECT @x := 1", "DELETE QUICK FROM a", "DELETE a.* FROM a"),
        *("DELETE FROM a PARTITION (p)", "DELETE x FROM a JOIN b", "DELETE a FROM a AS t JOIN b"),
        *("UPDATE /*+ SET_VAR(sql_mode='') */ a SET x = 1", "UPDATE (a JOIN b) SET a.x = 1", "HANDLER a OPEN", "KILL 1"),
        *("INSERT INTO b VALUES (1); TRUNCATE a", "DELETE t FROM a t JOIN b T", "UPDATE a, f(1) SET x = 1"),
        *("WITH q AS (SELECT 1) UPDATE a, q SET a.x = 1", "SET STATEMENT max_statement_time=1 FOR DELETE FROM a", "DELETE HISTORY FROM a"),
        *("SELECT a.update FROM a",),
    ],
    ("sqlite",): [
        *("INSERT INTO a (a) VALUES ('delete-all')", "INSERT OR ROLLBACK INTO a VALUES (1)", "SELECT load_extension('x')"),
        *("SELECT $x(DELETE)", "ATTACH 'x' AS y", "REINDEX a", "ANALYZE", "EXPLAIN QUERY PLAN SELECT 1", "DELETE FROM a WHERE x = $y::z"),
    ],
    ("mssql",): [
        *("SELECT 1 EXEC f", "SELECT 1 SET IDENTITY_INSERT a ON", "SELECT * FROM a TRUNCATE TABLE b", "DELETE FROM #a"),
        *("SELECT * INTO #a FROM b", "UPDATE t SET x = 1 FROM a AS t", "DELETE TOP (1) FROM a", "DELETE FROM a OUTPUT deleted.x INTO b"),
        *("UPDATE a SET x = 1 OUTPUT inserted.x INTO b", 'DELETE FROM "a"', "DELETE FROM a..b", "INSERT INTO OPENROWSET('x') VALUES (1)"),
        *("IF 1 = 1 DELETE FROM a", "INSERT INTO a EXEC f"),
    ],
    ("oracle",): [
        *("SELECT q'[a'b]' FROM dual", "DELETE FROM a@link", "INSERT ALL INTO a VALUES (1) INTO b VALUES (2) SELECT 1 FROM dual"),
        *("BEGIN DELETE FROM a; END;", "INSERT INTO a VALUES (1) RETURNING x INTO :y", "DELETE FROM a; TRUNCATE TABLE b"),
    ],
}  # fmt: skip


def written(statement: str, dialect: str) -> list[str] | None:
    targets = targets_of(statement, dialect)
    if targets is None:
        return None
    named = [(f"{one.schema}.{one.name}" if one.schema else one.name, one.verb, ",".join(sorted(one.columns or ()))) for one in targets]
    return [" ".join(filter(None, parts)) for parts in named]


@pytest.mark.parametrize(
    ("dialect", "statement", "expected"),
    [
        (dialect, statement, list(filter(None, told)))
        for dialects, table in TOLD.items()
        for statement, *told in table
        for dialect in dialects
    ],
)
def test_what_is_certain_is_told(dialect: str, statement: str, expected: list[str]) -> None:
    assert written(statement, dialect) == expected


@pytest.mark.parametrize(
    ("dialect", "statement"),
    [(dialect, statement) for dialects, statements in UNTOLD.items() for statement in statements for dialect in dialects],
)
def test_what_is_not_certain_is_not_told(dialect: str, statement: str) -> None:
    assert targets_of(statement, dialect) is None


def test_of_an_unknown_database_nothing_is_told() -> None:
    assert targets_of("SELECT 1", "duckdb") is None


def test_without_sqlglot_nothing_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sqlglot", None)
    sql._targets_of.cache_clear()
    try:
        assert targets_of("DELETE FROM a", "sqlite") is None
    finally:
        sql._targets_of.cache_clear()


def test_only_what_we_parse_is_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    sqlglot = pytest.importorskip("sqlglot")
    sql._targets_of.cache_clear()
    with caplog.at_level(logging.DEBUG):
        assert targets_of("TRUNCATE a FOR EVER", "postgresql") is None
    assert not caplog.records
    sqlglot.parse("TRUNCATE a FOR EVER", read="postgres")
    assert [record.name for record in caplog.records] == ["sqlglot"], "sqlglot warns here, and the application hears it"


VALID: Final = [(statement, dialect) for dialects, table in TOLD.items() for statement, *_ in table for dialect in dialects]
PIECES: Final = (
    "DELETE FROM b", "UPDATE", "INSERT", "INTO", "SET", "x", "a", "b", ",", "(", ")", "'", '"', "`", "[", "]", ";", "--", "/*", "*/", "\n",
    "\r", "$$", "?", "%s", "%", ":x", "\\", "AS", "FROM", "WITH q AS (", "SELECT", "REPLACE", "OR", "=", "1", ".", "WHERE",
    "ON CONFLICT DO UPDATE SET y = 1",
    "RETURNING *", "''", "E'", "#", "@", "INDEXED BY i", "JOIN c", "UNION", "VALUES (1)", "DEFAULT VALUES", "NOT", "LIMIT 1", "q", "c",
)  # fmt: skip


@st.composite
def mutants(draw: st.DrawFn, dialects: tuple[str, ...] = DIALECTS) -> tuple[str, str]:
    """Valid statements of which parts have been cut out, swapped in, or said twice."""
    statement, dialect = draw(st.sampled_from([pair for pair in VALID if pair[1] in dialects]))
    words = statement.split(" ")
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(words)))
        piece = draw(st.sampled_from(PIECES))
        words[at : at + draw(st.integers(0, 2))] = draw(st.sampled_from([[piece], [], [piece, *words[at : at + 2]]]))
    return " ".join(words), dialect


@settings(max_examples=300, deadline=None)
@given(st.one_of(mutants(), st.tuples(st.text(), st.sampled_from(DIALECTS))))
def test_no_text_raises(pair: tuple[str, str]) -> None:
    targets_of(*pair)


ACTIONS: Final = {sqlite3.SQLITE_INSERT: "insert", sqlite3.SQLITE_UPDATE: "update", sqlite3.SQLITE_DELETE: "delete"}
SCHEMA: Final = "".join(
    f"CREATE TABLE {name} (x INTEGER PRIMARY KEY, y, z, n, s, w, k); CREATE INDEX i{at} ON {name} (y);"
    for at, name in enumerate(("a", "b", "c", "d", "t", "[a b]"))
)


def written_by_sqlite(statement: str) -> set[tuple[str, str, str | None]] | None:
    """Return table, verb and column of what SQLite writes; ``None`` if it doesn't take the statement."""
    recorded: set[tuple[str, str, str | None]] = set()

    def record(action: int, first: str | None, second: str | None, *_: str | None) -> int:
        if action in ACTIONS:
            recorded.add((str(first), ACTIONS[action], second))
        return sqlite3.SQLITE_OK

    connection = sqlite3.connect(":memory:")
    try:
        connection.executescript(SCHEMA)
        connection.set_authorizer(record)
        connection.execute(f"EXPLAIN {statement}", [None] * statement.count("?"))
    except (sqlite3.Error, sqlite3.Warning, ValueError, OverflowError):
        return None
    finally:
        connection.close()
    return recorded


def check_against_sqlite(statement: str) -> bool:
    """Assert that SQLite writes nothing that isn't told; return whether there was anything to compare."""
    targets, recorded = targets_of(statement, "sqlite"), written_by_sqlite(statement)
    if targets is None or recorded is None:
        return False
    for table, verb, column in recorded:
        told = [target for target in targets if target.name.lower() == table.lower() and target.verb == verb]
        assert told, f"{statement}: SQLite writes {table} ({verb}), told is {targets}"
        assert column is None or any(target.columns is None or column.lower() in target.columns for target in told)
    return True


SINGLE: Final = [statement for statement, dialect in VALID if dialect == "sqlite" and ";" not in statement.replace("';", "")]


def test_sqlite_writes_what_is_told() -> None:
    statements = [
        *(statement for statement in SINGLE if "S." not in statement and "s." not in statement),
        *("UPDATE a SET x = 1, y = (SELECT max(x) FROM b) WHERE x = 2", "WITH t AS (SELECT 1) INSERT INTO a (x) SELECT * FROM t"),
        *(
            "INSERT INTO c (x, y) SELECT x, y FROM a WHERE true ON CONFLICT (x) DO UPDATE SET y = 1, z = 2",
            "DELETE FROM 'b'",
            'DELETE FROM "c"',
        ),
        *(
            "WITH b AS (SELECT 1) DELETE FROM a WHERE x IN b",
            "INSERT INTO a (x) VALUES ('; DELETE FROM b')",
            "UPDATE main.b AS a SET x = 1",
        ),
        *(
            "SELECT replace(y, 'DELETE FROM b', '') FROM a",
            "UPDATE a SET x = 1 FROM b AS t, c WHERE a.x = t.x",
            "DELETE FROM a /* ' */ WHERE y = ' */'",
        ),
        *(
            'UPDATE a SET "y" = "DELETE"',
            "UPDATE a SET [z] = 1, `w` = 2",
            "REPLACE INTO b SELECT * FROM a",
            "UPDATE a SET (x, y) = (1, 2), z = x == y",
        ),
    ]
    compared = [check_against_sqlite(statement) for statement in statements]
    assert sum(compared) > 20, f"only {sum(compared)} of {len(compared)} statements were compared"


@settings(max_examples=500, deadline=None)
@given(mutants(("sqlite",)))
def test_sqlite_writes_what_is_told_of_any_statement_that_it_takes(pair: tuple[str, str]) -> None:
    check_against_sqlite(pair[0])
