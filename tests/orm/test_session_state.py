"""What a text statement does to what its connection sees: settings, variables, temporary tables (DESIGN 6)."""

from __future__ import annotations

from typing import Final

import pytest

from aa_cache_integration.orm.changes import Write
from aa_cache_integration.orm.effects import NOTHING
from aa_cache_integration.orm.text import written_by_text

STATE: Final = "connection"


@pytest.mark.parametrize(
    ("statement", "dialect"),
    [
        ("set search_path to ten; update p set n = 1", "postgresql"),
        ("/*c*/ create temp table p (id int)", "postgresql"),
        ("create /*c*/ temporary table p (id int)", "mysql"),
        ("create or replace local temp view p as select 1", "postgresql"),
        ("select * into temp p from q", "postgresql"),
        ("select * into local temp p from q", "postgresql"),
        ("select * into local temporary p from q", "postgresql"),
        ("select * into global temp p from q", "postgresql"),
        ("create # c\ntemporary table p (id int)", "mariadb"),
        ("create # c\ntemporary table p (t text default '\\\\')", "mariadb"),
        ("create\ufefftemp table p (id int)", "sqlite"),
        ("create table temp/**/.p as select 1", "sqlite"),
        ("update p set n = 1 where set_limit(0.5) > 0", "postgresql"),
        ("select set_limit(0.5)", "postgresql"),
        ("select 2 into @tenant", "mariadb"),
        ("update p set n = 'x' where (@tenant := 2) = 2", "mysql"),
        ("update p set n = 'x' where (@`te nant` /*c*/ := 2) = 2", "mysql"),
        ("insert into p values (@'tenant':=2)", "mysql"),
        ("execute immediate 'select 2 into @tenant'", "mariadb"),
        ("execute s using @tenant", "mysql"),
        ("call p(@tenant)", "mysql"),
        ("call /*c*/ p(1, @tenant)", "mariadb"),
        ("get diagnostics @tenant = row_count", "mysql"),
        ("load data infile 'x' into table p (id, @tenant)", "mysql"),
        ("create table pg_temp.p as select 1", "postgresql"),
        ("create table temp.p as select 1", "sqlite"),
        ('create view "temp".p as select 1', "sqlite"),
        ("do $$ begin perform 1; set search_path = x; end $$; ", "postgresql"),
        ("do $$ begin execute 'select set_' || 'config(''search' || '_path'', ''ten'', false)'; end $$", "postgresql"),
        ("execute immediate 'create temporary table p (id int)'", "mariadb"),
        ("update p set n = set_config('role', 'x', false)", "postgresql"),
    ],
)
def test_what_may_change_what_the_connection_sees_is_noticed(statement: str, dialect: str) -> None:
    write = written_by_text(statement, dialect)
    assert (write.unknown, write.session_state) == (True, STATE)


@pytest.mark.parametrize(
    ("statement", "dialect"),
    [
        ("set statement_timeout = '5s'", "postgresql"),
        ("SET SESSION lock_timeout TO 1000;", "postgresql"),
        ("set local application_name = %(name)s", "postgresql"),
        ("set enable_seqscan to off", "postgresql"),
        ("set session max_statement_time = 60", "mariadb"),
        ("set @@session.wait_timeout=600", "mysql"),
        ("PRAGMA busy_timeout = 5000", "sqlite"),
        ("pragma foreign_keys=ON", "sqlite"),
        ("listen news", "postgresql"),
        ("notify news, 'update p'", "postgresql"),
        ("lock table p in share mode", "postgresql"),
        ("vacuum p", "postgresql"),
        ("explain update p set n = 1", "postgresql"),
        ("explain delete from p", "mariadb"),
        ("explain select count(*) from p where id in (1, 2)", "mariadb"),
        ("show tables like 'p%'", "mariadb"),
        ("set statement_timeout = 5.5", "postgresql"),
        ("set application_name = 'nightly (no. 3), #1'", "postgresql"),
        ("set statement_timeout = 5 -- seconds", "postgresql"),
        ("reset statement_timeout", "postgresql"),
        ("set local lock_timeout = '2s'; set local statement_timeout = '3s'", "postgresql"),
        ("select 1; values (2); listen news", "postgresql"),
        ("pragma busy_timeout(5000)", "sqlite"),
        ("pragma main.journal_mode = wal", "sqlite"),
        ("pragma main.journal_mode(wal)", "sqlite"),
        ("pragma cache_size = -2000", "sqlite"),
        ("pragma user_version = 7", "sqlite"),
        ("pragma defer_foreign_keys = on", "sqlite"),
        ("pragma table_info(p)", "sqlite"),
        ("pragma main.index_list('p')", "sqlite"),
        ("pragma wal_checkpoint(truncate)", "sqlite"),
        ("pragma optimize(0x10002)", "sqlite"),
        ("pragma case_sensitive_like", "sqlite"),
        ("analyze", "sqlite"),
        ("reindex p", "sqlite"),
        ("do sleep(1)", "mariadb"),
        ("do release_lock('x')", "mysql"),
        ("declare c cursor for select * from p where id in (1, 2)", "postgresql"),
        ("fetch 10 from c", "postgresql"),
        ("move c", "postgresql"),
        ("close c", "postgresql"),
        ("deallocate all", "postgresql"),
        ("copy p to stdout", "postgresql"),
        ('copy public.p (id, "name") to stdout with (format csv)', "postgresql"),
        ("copy (select id from p where n in (1, 2)) to stdout with (format csv)", "postgresql"),
    ],
)
def test_what_only_waits_or_measures_leaves_all_as_it_is(statement: str, dialect: str) -> None:
    assert written_by_text(statement.rstrip(";"), dialect) == written_by_text(statement, dialect) == NOTHING


@pytest.mark.parametrize(
    ("statement", "dialect"),
    [
        ("set statement_timeout = 1, search_path = x", "postgresql"),
        ("set wait_timeout = 1, sql_mode = ansi", "mysql"),
        ("set statement_timeout = 1; set search_path = x", "postgresql"),
        ("set time zone 'utc'", "postgresql"),
        ("set role nobody", "postgresql"),
        ("set names latin1", "mysql"),
        ("pragma read_uncommitted = 1", "sqlite"),
        ("pragma case_sensitive_like = 1", "sqlite"),
        ("pragma query_only = 1", "sqlite"),
        ("pragma case_sensitive_like(1)", "sqlite"),
        ("pragma /*c*/ main . case_sensitive_like /*c*/ (1)", "sqlite"),
        ('pragma "case_sensitive_like"(1)', "sqlite"),
        ("pragma recursive_triggers(1)", "sqlite"),
        ("reset all", "postgresql"),
        ("reset search_path", "postgresql"),
        ("set local lock_timeout = '2s'; set search_path = x", "postgresql"),
        ("set session wait_timeout = @x", "mysql"),
        ("select @tenant := 2", "mysql"),
        ("select @'tenant' := 2", "mysql"),
        ("values (2) into @tenant", "mariadb"),
        ("do @tenant := 2", "mysql"),
        ("show tables where (@tenant := 2) = 2", "mysql"),
        ("declare c cursor for select set_config('role', 'x', false)", "postgresql"),
    ],
)
def test_any_other_setting_takes_the_connection_from_the_cache(statement: str, dialect: str) -> None:
    assert written_by_text(statement, dialect).session_state == STATE


@pytest.mark.parametrize(
    "statement",
    [
        "set @x = do_it()",
        "set @a = 1, @b = do_it()",
        "set session wait_timeout = do_it()",
        "set @x = (select do_it() from dual)",
        "set @x = `do_it`(1)",
    ],
)
@pytest.mark.parametrize("dialect", ["mysql", "mariadb"])
def test_set_may_write_what_a_function_in_it_writes(statement: str, dialect: str) -> None:
    assert written_by_text(statement, dialect) == Write(unknown=True, session_state=STATE)


def test_an_argument_that_is_named_is_no_variable() -> None:
    assert written_by_text("select make_interval(days := 1) from p where q @> '{1}' and mail = 'a@b.org'", "postgresql") is NOTHING
