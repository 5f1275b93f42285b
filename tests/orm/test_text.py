"""What a text statement does to transactions and sessions, whatever stands before or around its words (DESIGN 6)."""

from __future__ import annotations

import pytest

from aa_cache_integration.orm.blanks import leading_word
from aa_cache_integration.orm.changes import Write
from aa_cache_integration.orm.effects import NOTHING
from aa_cache_integration.orm.text import written_by_text

STATE = "connection"


def told(statement: str, dialect: str = "postgresql") -> tuple[bool, bool, str]:
    """Return whether it may write anything, whether it may control transactions, and what becomes of the session."""
    write = written_by_text(statement, dialect)
    return write.unknown, write.controls, write.session_state


@pytest.mark.parametrize(
    ("statement", "dialect", "word"),
    [
        ("  select 1", "sqlite", "select"),
        ("-- x\n/* y */ UPDATE p", "sqlite", "update"),
        ("((select 1))", "postgresql", "select"),
        ("# x\nuse other", "mysql", "use"),
        ("# x\nuse other", "postgresql", ""),
        ("", "sqlite", ""),
        (" ; ;commit", "postgresql", "commit"),
        ("\ufeffcommit", "sqlite", "commit"),
        (";# c\n;commit", "mysql", "commit"),
    ],
)
def test_the_first_word_is_found_behind_comments_and_brackets(statement: str, dialect: str, word: str) -> None:
    assert leading_word(statement, dialect) == word


@pytest.mark.parametrize(
    ("statement", "dialect"),
    [
        ("/* /* */ select 1 */ update p set n = 1", "postgresql"),
        ("/* /* */ rollback */ update p set n = 1", "postgresql"),
        ("/*! replace p */ select 1, 'x'", "mysql"),
        ("/*M! replace p */ select 1, 'x'", "mariadb"),
        ("/*! begin */", "mysql"),
        ("begin; update p set n = 1; commit", "postgresql"),
        ("update p set n = 1; commit", "postgresql"),
        ("begin; update p set n = 1", "postgresql"),
        ("savepoint a; update p set n = 1; savepoint a", "sqlite"),
        ("do $$ begin update p set n = 1; commit; end $$", "postgresql"),
        ("set statement max_statement_time = 60 for update p set n = 1", "mariadb"),
        ("set statement x = 1 for create table z (a int)", "mariadb"),
        ("create trigger t after insert on p begin update q set n = 1; end; commit", "sqlite"),
        ("set /*c*/ statement max_statement_time = 10 for update p set n = 1", "mariadb"),
        ("set # c\nstatement max_statement_time = 10 for update p set n = '\\\\'", "mariadb"),
        ("set /* ; */ statement max_statement_time = 10 for update p set n = '\\\\'", "mariadb"),
        ("execute immediate 'commit'", "mariadb"),
        ("execute immediate concat('com', 'mit')", "mariadb"),
        ("prepare s from %s", "mysql"),
        ("update p set n = 1; create table z (a int)", "mysql"),
        ("update p set n = 1; call q()", "mariadb"),
    ],
)
def test_what_may_be_anything_and_end_transactions_is_taken_for_that(statement: str, dialect: str) -> None:
    assert told(statement, dialect) == (True, True, STATE)


@pytest.mark.parametrize(
    "statement",
    [
        "create table p (id int, temp float, use_by date, parent int references p on delete set null)",
        "alter table p add column set_by int",
        "update p set n = 1",
        "insert into p select 1",
        "create function f() returns int language sql as $$ update p set n = 1; select 1; $$",
        "explain analyze update p set n = 1",
        "do $$ update p set n = 1 $$",
        "execute immediate 'update p set n = 1'",
        "truncate p",
        "call p(1)",
    ],
)
def test_ordinary_statements_leave_the_session_as_it_is(statement: str) -> None:
    assert told(statement) == (True, False, "")


@pytest.mark.parametrize("dialect", ["sqlite", "mysql"])
def test_a_trigger_is_one_statement_with_others_in_it(dialect: str) -> None:
    trigger = "create trigger t after insert on p begin update q set n = 1; update r set n = 2; end"
    for ends in ("", ";", " ; -- commit\n"):
        assert told(trigger + ends, dialect) == (True, False, "")
    for then in ("commit", "update q set n = 2; end", trigger):
        assert told(f"{trigger}; {then}", dialect) == (True, True, STATE)


FUNCTION = "create function f() returns void as $$ update p set n = 1; select 1; $$ language sql"


@pytest.mark.parametrize(
    ("statement", "controls", "state"),
    [
        ("F", False, ""),
        ("F; update p set n = 2; F", False, ""),
        ("F; update p set n = 2; commit; F", True, STATE),
        ("F; update p set n = 2; end", True, STATE),
        ("F; update p set n = 2; commit; -- the end", True, STATE),
        ("F; set search_path = tenant; F", False, STATE),
        ("select a$b$c; commit; select d$b$e", True, STATE),
        ('select 1 as "it\'s"; commit; select 2 as "x\'y"', True, STATE),
        ("update p set n = 1; /* /* */ select */ commit", True, STATE),
        ("update p set n = 1; --c\rcommit", True, STATE),
        ("create /* /* */ */ temp table p (id int)", True, STATE),
        ("update pg_settings set setting = 'x' where name = 'role'", False, STATE),
        ("select 1; do $$ begin commit; end $$", True, STATE),
    ],
)
def test_what_stands_beside_a_body_is_seen(statement: str, controls: bool, state: str) -> None:
    assert told(statement.replace("F", FUNCTION)) == (True, controls, state)


def test_a_minus_is_no_comment_in_mysql() -> None:
    assert told("select 1--1; commit", "mysql") == (True, True, STATE)


@pytest.mark.parametrize("statement", ["select concat(a, '; ')", "select 'a; commit'", "select 1 -- ; commit", "select '; set x' from p;"])
def test_what_is_in_a_string_or_a_comment_divides_nothing(statement: str) -> None:
    assert written_by_text(statement, "postgresql") is NOTHING


@pytest.mark.parametrize(
    ("statement", "dialect"),
    [
        ("lock tables p write", "mariadb"),
        ("analyze update p set n = 1", "mariadb"),
        ("analyze table p", "mysql"),
        ("explain (analyze) update p set n = 1", "postgresql"),
        ("explain analyse update p set n = 1", "postgresql"),
        ("vacuum p; update p set n = 1", "postgresql"),
        ('explain (u&"\\0061nalyze") update p set n = 1', "postgresql"),
        ("describe analyze update p set n = 1", "mysql"),
        ("vacuum", "sqlite"),
        ("deallocate prepare s", "mysql"),
        ("flush tables", "mariadb"),
        ("show tables where do_it()", "mariadb"),
        ("explain select * from (select do_it()) x", "mariadb"),
        ("desc select * from (select do_it()) x", "mariadb"),
        ("describe /*c*/ select * from (select do_it()) x", "mariadb"),
        ("do do_it()", "mariadb"),
        ("do sleep(do_it())", "mariadb"),
        ("select 1; select do_it()", "postgresql"),
        ("select '\\'; select 2", "postgresql"),
        ("select '\\', do_it() /* from p */", "postgresql"),
        ("declare c cursor for select do_it()", "postgresql"),
        ("copy p from stdin", "postgresql"),
        ("copy p to program 'cat > to stdout'", "postgresql"),
        ("copy (select 1) to program 'cat) to stdout'", "postgresql"),
        ("copy (select do_it()) to stdout", "postgresql"),
        ("copy (update p set n = 1 returning id) to stdout", "postgresql"),
    ],
)
def test_what_writes_or_commits_behind_such_a_word_may_write_anything(statement: str, dialect: str) -> None:
    assert written_by_text(statement, dialect).unknown


@pytest.mark.parametrize(
    "statement", ["select 1", "select 1;", " ; select 1 ", "values (1)", "show all", "rollback", "rollback to savepoint a"]
)
def test_what_reads_writes_nothing(statement: str) -> None:
    assert written_by_text(statement.strip(" ;"), "postgresql") is NOTHING


@pytest.mark.parametrize(
    ("statement", "dialect", "write"),
    [
        ("commit", "postgresql", Write(control="commit")),
        ("/*c*/ commit prepared 'x'", "postgresql", Write(control="commit prepared")),
        ("/*c*/ xa commit 'q'", "mariadb", Write(control="commit prepared")),
        ("commit /*c*/ prepared 'x'", "postgresql", Write(control="commit prepared")),
        ("xa # c\n commit 'q'", "mariadb", Write(control="commit prepared")),
        (";COMMIT", "postgresql", Write(control="commit")),
        (" ; ; commit ;", "sqlite", Write(control="commit")),
        ("\ufeffcommit", "sqlite", Write(control="commit")),
        (";begin", "postgresql", Write(begins=True, session_state="transaction")),
        ("set local lock_timeout = 1; set local role x; select 1", "postgresql", Write(session_state="transaction")),
        ("set search_path to ten; select 1", "postgresql", Write(session_state="connection")),
        ("set local lock_timeout = 1; update p set n = 1", "postgresql", Write(unknown=True)),
        ("# c\nbegin", "mysql", Write(begins=True, session_state="transaction")),
        ("begin", "sqlite", Write(begins=True)),
        ("commit and chain", "postgresql", Write(controls=True)),
        ("rollback and chain", "postgresql", Write(controls=True)),
        ("set completion_type = 'chain'", "mysql", Write(controls=True, session_state="connection")),
        ("set autocommit = 0", "mysql", Write(controls=True, session_state="connection")),
        ("set local search_path to ten", "postgresql", Write(session_state="transaction")),
        ("set search_path to ten", "postgresql", Write(session_state="connection")),
        ("set local transaction isolation level read uncommitted", "mysql", Write(session_state="connection")),
        ("set transaction isolation level read uncommitted", "mysql", Write(session_state="transaction")),
        ("# c\nuse other", "mysql", Write(session_state="connection")),
        ("savepoint a -- x", "sqlite", Write(control="savepoint")),
        ("release/*c*/a", "sqlite", Write(control="release")),
    ],
)
def test_what_controls_transactions_and_sessions_is_told_by_its_word(statement: str, dialect: str, write: Write) -> None:
    assert written_by_text(statement, dialect) == write
