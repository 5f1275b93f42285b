"""Which SELECTs are calls of a function that may write (DESIGN 6)."""

from __future__ import annotations

import pytest
from sqlalchemy import Column, Integer, MetaData, Table, exists, func, literal, select
from sqlalchemy.dialects import mysql, postgresql, sqlite

from aa_cache_integration.orm.functions import is_call
from aa_cache_integration.orm.named import written_by_any_text
from aa_cache_integration.orm.text import NOTHING, UNKNOWN, written_by_text

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
    ],
)
def test_what_only_computes_or_reads_a_table_writes_nothing(statement: str) -> None:
    assert written_by_any_text(statement, "postgresql") == NOTHING


@pytest.mark.parametrize("dialect", ["sqlite", "mssql", "oracle"])
def test_where_functions_cannot_write_none_does(dialect: str) -> None:
    assert written_by_text("SELECT do_it()", dialect) == NOTHING


@pytest.mark.parametrize("dialect", [postgresql.dialect(), mysql.dialect()])
def test_compiled_statements_are_told_by_their_text(dialect: postgresql.dialect) -> None:
    calls = [select(func.do_it(literal("from numbers"))), func.app.do_it(1).select(), select(func.do_it(1).table_valued("a"))]
    reads = [select(numbers), select(func.do_it(numbers.c.id)), select(exists().where(numbers.c.id == 1)), select(func.count(literal(1)))]
    assert [is_call(str(one.compile(dialect=dialect)), dialect.name) for one in [*calls, *reads]] == [True] * 3 + [False] * 4
    assert not is_call(str(calls[0].compile(dialect=sqlite.dialect())), "sqlite")
