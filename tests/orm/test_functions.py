"""Which SELECTs are calls of a function that may write (DESIGN 6)."""

from __future__ import annotations

import datetime as dt

import pytest
from sqlalchemy import Column, Integer, MetaData, Table, exists, extract, func, literal, select
from sqlalchemy.dialects import mysql, postgresql, sqlite

from aa_cache_integration.orm.effects import NOTHING, UNKNOWN
from aa_cache_integration.orm.functions import calls_unknown, is_call
from aa_cache_integration.orm.named import written_by_any_text
from aa_cache_integration.orm.text import written_by_text

numbers = Table("numbers", MetaData(), Column("id", Integer, primary_key=True))


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT do_it()",
        "select now(), app.do_it (1)",
        "SELECT app.now()",
        'SELECT "do it"()',
        'SELECT app."do it"(1)',
        "SELECT coalesce(do_it(%(one)s), 'from numbers')",
        "SELECT * FROM do_it(1)",
        "SELECT * FROM app.do_it(1) AS x",
        "SELECT * FROM now(), LATERAL do_it(1)",
        "SELECT x FROM (SELECT do_it() AS x) AS y",
        "SELECT extract(year FROM do_it())",
        "SELECT do_it('C:\\x')",
        "VALUES (do_it())",
        "(SELECT do_it())",
        "SELECT do_it() -- FROM numbers",
        "SELECT do_it(extract(year from current_date))",
        "SELECT do_it() IS DISTINCT FROM 1",
        "SELECT do_it(substring('x' from 1))",
        "SELECT do_it(trim(leading 'x' from 'xy'))",
        "SELECT * FROM ROWS FROM (do_it(1))",
        "SELECT * FROM Lateral do_it(1)",
        "SELECT do_it() FROM dual",
        "SELECT do_it() AS join",
        "SELECT do_it() AS from_",
        "WITH x AS (SELECT do_it() AS y) SELECT x.y FROM x",
        "WITH x (y) AS MATERIALIZED (SELECT do_it()), z AS (VALUES (1)) SELECT y FROM x JOIN z ON true",
        "SELECT do_it('C:\\new from here')",
        "SELECT do_it('100%s from x')",
        "SELECT do_it('" + "from numbers " * 2_000 + "')",
        "SELECT do_it('it''s from \\'numbers\\'')",
        "SELECT split(1, 2)",
        "SELECT * FROM search(1, 2)",
        "SELECT transform(1)",
        "SELECT chat.join(7)",
        "SELECT app.filter(1)",
        "SELECT filter(7)",
        "SELECT join(7, filter(1))",
        "SELECT pg_catalog.do_it()",
        "SELECT 2fa_reset()",
        "SELECT DISTINCT ON (1) do_it()",
        "SELECT '\"', do_it(1), '\"\\'",
        "SELECT do_it/**/(1), '\\'",
        "SELECT do_it -- lower\n(1), '\\'",
        "SELECT by(7)",
        "SELECT set(7)",
        'SELECT "LOWER"(1)',
        "SELECT 🎉()",
        "SELECT lower\xa0(1)",
        "SELECT (ARRAY[1, 2])[1:do_it(1)]",
    ],
)
@pytest.mark.parametrize("dialect", ["postgresql", "mariadb"])
def test_what_calls_a_function_and_reads_no_table_may_write_anything(statement: str, dialect: str) -> None:
    if dialect == "mariadb":
        statement = statement.replace('"', "`")
    assert is_call(statement, dialect)
    assert written_by_any_text(statement, dialect) == UNKNOWN


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT 1",
        "SELECT 'do_it()'",
        "SELECT now(), CAST(%(a)s AS VARCHAR(10))",
        "SELECT count(*) FROM numbers",
        "SELECT do_it(id) FROM numbers",
        'SELECT do_it(id) FROM app."numbers" WHERE id IN (1, 2)',
        "SELECT EXISTS (SELECT * FROM numbers WHERE numbers.id = 1) AS anon_1",
        "SELECT pg_catalog.version()",
        "SELECT * FROM generate_series(1, 3)",
        "SELECT pg_advisory_xact_lock(1)",
        "SELECT pg_try_advisory_lock_shared(1)",
        "SELECT nextval('numbers_id_seq')",
        "SELECT substring('x', 1), trim('x'), current_schema()",
        "SELECT x FROM (VALUES (1), (2)) AS v (x)",
        "SELECT sum(v.x) OVER (PARTITION BY (v.y)) FROM (SELECT 1 AS x, 2 AS y) AS v",
        "SELECT pg_advisory_xact_lock(hashtext('job'))",
        "SELECT setval(pg_get_serial_sequence('a', 'id'), 1)",
        "SELECT to_regclass('x'), pg_typeof(1), has_table_privilege('x', 'select')",
        "SELECT pg_database_size('x'), pg_is_in_recovery(), pg_current_wal_lsn()",
        "SELECT txid_current_if_assigned(), json_build_array(1), ST_AsGeoJSON('x'), uuid_generate_v4(), uuidv7()",
        "SELECT 1 WHERE 1 IN (1, 2) AND 2 = ANY (ARRAY[1]) AND NOT (1 = 2) AND 'a' LIKE ('b')",
        "SELECT CAST(1 AS numeric(10, 2)), CAST('x' AS timestamp(3) with time zone), CAST('x' AS character varying(10))",
        "SELECT count(*) FILTER (WHERE true), percentile_cont(0.5) WITHIN GROUP (ORDER BY (1)), array_agg(1 ORDER BY (2))",
        "SELECT n FROM generate_series(1, 3) AS g (n) GROUP BY ROLLUP (n)",
        "SELECT n FROM unnest(ARRAY[1]) g (n)",
        "SELECT do_it(id) FROM ONLY numbers",
        "SELECT encode(digest('x', 'sha256'), 'hex'), starts_with('a', 'b')",
        "SELECT '[1,2,3]'::vector(3), 'x'::varchar(3)",
        "SELECT lower('C:\\'), count(*) FROM numbers GROUP BY (id) ORDER BY (id)",
        "WITH x AS (SELECT 1 AS id) SELECT do_it(x.id) FROM x JOIN numbers ON numbers.id = x.id",
        "SELECT do_it('it''s') FROM numbers WHERE n = 'C:\\'",
    ],
)
def test_what_only_computes_or_reads_a_table_writes_nothing(statement: str) -> None:
    assert written_by_any_text(statement, "postgresql") == NOTHING


@pytest.mark.parametrize(
    ("statement", "dialect"),
    [
        ("SELECT release_lock('x')", "postgresql"),
        ("SELECT getdate()", "postgresql"),
        ("SELECT changes()", "postgresql"),
        ("SELECT query_to_xml('delete from numbers')", "postgresql"),
        ("SELECT mod_(1)", "postgresql"),
        ("SELECT index(1)", "postgresql"),
        ("SELECT age(1)", "mariadb"),
        ("SELECT rollup(1)", "mariadb"),
        ("UPDATE numbers SET id = split(1, 2)", "postgresql"),
        ("UPDATE numbers SET id = split(1, 2)", "mariadb"),
        ("UPDATE numbers SET id = app.now()", "mariadb"),
        ("INSERT INTO numbers (id) SELECT split(1, 2)", "postgresql"),
        ("INSERT INTO numbers (id) VALUES (age(1))", "mariadb"),
        ("DELETE FROM numbers WHERE id IN (SELECT do_it(id) FROM numbers)", "postgresql"),
    ],
)
def test_what_one_database_has_may_be_the_applications_own_in_another(statement: str, dialect: str) -> None:
    assert written_by_any_text(statement, dialect) == UNKNOWN


@pytest.mark.parametrize(
    ("statement", "dialect"),
    [
        ("INSERT INTO numbers (id) VALUES (1) ON CONFLICT (id) DO UPDATE SET (id) = (SELECT 2)", "postgresql"),
        ("INSERT INTO public.numbers AS n (id) VALUES (lower('1'))", "postgresql"),
        ("WITH x (id) AS (SELECT 1) DELETE FROM numbers USING x WHERE numbers.id = (x.id)", "postgresql"),
        ("MERGE INTO numbers USING (VALUES (1)) AS v (id) ON numbers.id = v.id WHEN NOT MATCHED THEN INSERT (id) VALUES (1)", "postgresql"),
        ("INSERT IGNORE INTO numbers (id) VALUES (now())", "mariadb"),
        ("INSERT INTO numbers(id) VALUES (inet6_aton('a')) ON DUPLICATE KEY UPDATE id = VALUES(id) + uuid_short()", "mariadb"),
        ("REPLACE numbers (id) VALUES (1)", "mariadb"),
        ("UPDATE numbers SET at = now() AT TIME ZONE 'utc' WHERE at < now() AT TIME ZONE %(zone)s", "postgresql"),
        ("UPDATE numbers SET (id) = (SELECT 1)", "postgresql"),
        ("DELETE FROM numbers WHERE id BETWEEN (1) AND (2) OR id IN (1)", "mariadb"),
    ],
)
def test_columns_types_and_words_are_no_functions(statement: str, dialect: str) -> None:
    assert not written_by_any_text(statement, dialect).unknown


def test_what_calls_something_is_found_whatever_is_read() -> None:
    assert calls_unknown("SHOW TABLES WHERE do_it()", "mariadb")
    assert calls_unknown("SET @x = (SELECT do_it() FROM numbers)", "mariadb")
    assert not calls_unknown("SHOW TABLES WHERE lower('x')", "mariadb")
    assert not calls_unknown("PRAGMA do_it(1)", "sqlite")


@pytest.mark.parametrize("dialect", ["sqlite", "mssql", "oracle"])
def test_where_functions_cannot_write_none_does(dialect: str) -> None:
    assert written_by_text("SELECT do_it()", dialect) == NOTHING


@pytest.mark.parametrize("dialect", [postgresql.dialect(), mysql.dialect()])
def test_compiled_statements_are_told_by_their_text(dialect: postgresql.dialect) -> None:
    calls = [
        select(func.do_it(literal("from numbers"))),
        func.app.do_it(1).select(),
        select(func.do_it(1).table_valued("a")),
        select(select(func.do_it().label("x")).cte().c.x),
        select(func.do_it(extract("year", literal(dt.date(2026, 1, 1))))),
    ]
    reads = [select(numbers), select(func.do_it(numbers.c.id)), select(exists().where(numbers.c.id == 1)), select(func.count(literal(1)))]
    assert [is_call(str(one.compile(dialect=dialect)), dialect.name) for one in [*calls, *reads]] == [True] * 5 + [False] * 4
    assert not is_call(str(calls[0].compile(dialect=sqlite.dialect())), "sqlite")
