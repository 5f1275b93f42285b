from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import Engine, create_engine, exc, inspect, text

from tests.databases import DatabaseServer, MariaDBServer, PostgreSQLServer
from tests.processes import children

if TYPE_CHECKING:
    from collections.abc import Iterator

KINDS = {"postgresql": PostgreSQLServer, "mariadb": MariaDBServer}


@pytest.fixture(params=KINDS)
def server(request: pytest.FixtureRequest) -> DatabaseServer:
    """The server of the worker."""
    found: DatabaseServer = request.getfixturevalue(f"{request.param}_server")
    return found


@pytest.fixture
def engine(server: DatabaseServer) -> Iterator[Engine]:
    """An engine on a fresh database that has a table ``t``."""
    with server.fresh_database() as url:
        engine = create_engine(url, pool_pre_ping=True)
        change(engine, "CREATE TABLE t (id INTEGER)")
        yield engine
        engine.dispose()


def change(engine: Engine, statement: str) -> None:
    with engine.begin() as connection:
        connection.execute(text(statement))


def scalar(engine: Engine, query: str) -> Any:
    with engine.connect() as connection:
        return connection.execute(text(query)).scalar()


def owner(pid: int) -> str:
    return subprocess.run(["/bin/ps", "-o", "user=", "-p", str(pid)], capture_output=True, text=True, check=False).stdout.strip()  # noqa: S603


def test_the_server_answers_on_loopback_as_soon_as_the_fixture_has_it(server: DatabaseServer) -> None:
    engine = create_engine(server.url)
    assert engine.url.render_as_string() == f"{server.scheme}://test@127.0.0.1:{server.port}/test"
    assert scalar(engine, "SELECT 1") == 1
    engine.dispose()


def test_a_database_has_a_url_for_each_driver(server: DatabaseServer) -> None:
    assert server.engine_url("mysql+aiomysql", "other") == f"mysql+aiomysql://test@127.0.0.1:{server.port}/other"


def test_a_database_server_does_not_run_as_root(server: DatabaseServer) -> None:
    assert owner(server.pid) not in {"", "root"}


def test_fresh_databases_keep_apart(server: DatabaseServer, engine: Engine) -> None:
    with server.fresh_database() as url:
        other = create_engine(url)
        assert not inspect(other).get_table_names()
        change(other, "CREATE TABLE other (id INTEGER)")
        assert inspect(engine).get_table_names() == ["t"]
        other.dispose()
    with pytest.raises(exc.OperationalError):
        other.connect()
    other.dispose()


def test_a_fresh_database_goes_with_what_is_open_in_it(server: DatabaseServer, engine: Engine) -> None:
    with server.fresh_database() as url:
        other = create_engine(url)
        change(other, "CREATE TABLE t (id INTEGER)")
        connection = other.connect()
        connection.execute(text("INSERT INTO t VALUES (1)"))
    connection.invalidate()
    connection.close()
    other.dispose()


def test_a_fresh_database_goes_with_what_is_prepared_in_it(server: DatabaseServer) -> None:
    with server.fresh_database() as url:
        engine = create_engine(url)
        change(engine, "CREATE TABLE t (id INTEGER)")
        connection = engine.connect()
        transaction = connection.begin_twophase()
        connection.execute(text("INSERT INTO t VALUES (1)"))
        transaction.prepare()
    connection.invalidate()
    connection.close()
    engine.dispose()


def test_what_is_committed_outlives_a_restart(server: DatabaseServer, engine: Engine) -> None:
    change(engine, "INSERT INTO t VALUES (1)")
    pid = server.pid
    server.restart()
    assert server.pid != pid
    assert scalar(engine, "SELECT count(*) FROM t") == 1


def test_a_paused_server_hangs_until_it_is_resumed(server: DatabaseServer, engine: Engine) -> None:
    connection = engine.connect()
    server.pause()
    states = subprocess.run(  # noqa: S603
        ["/bin/ps", "-o", "stat=", "-p", ",".join(map(str, [server.pid, *children(server.pid)]))],
        capture_output=True,
        text=True,
        check=True,
    )
    assert {state[0] for state in states.stdout.split()} == {"T"}
    server.resume()
    assert connection.execute(text("SELECT 1")).scalar() == 1
    connection.close()


def test_a_fresh_database_goes_from_a_server_that_was_killed(server: DatabaseServer) -> None:
    with server.fresh_database() as url:
        server.kill()
    engine = create_engine(url)
    with pytest.raises(exc.OperationalError):
        engine.connect()
    engine.dispose()
    assert server.execute("SELECT 1") == [(1,)]


@pytest.mark.parametrize(
    ("kind", "options", "query"),
    [
        (PostgreSQLServer, {"synchronous_commit": "on"}, "SHOW synchronous_commit"),
        (MariaDBServer, {"innodb_flush_log_at_trx_commit": "2"}, "SELECT @@innodb_flush_log_at_trx_commit"),
    ],
)
def test_a_server_of_a_tests_own_takes_options_survives_a_crash_and_leaves_nothing(
    kind: type[DatabaseServer], options: dict[str, str], query: str, request: pytest.FixtureRequest
) -> None:
    shared = request.getfixturevalue("postgresql_server" if kind is PostgreSQLServer else "mariadb_server")
    with kind(**options) as server:
        assert (server.port, server.data) != (shared.port, shared.data)
        assert str(server.execute(query)[0][0]) == next(iter(options.values()))
        server.execute("CREATE TABLE only_here (id INTEGER)")
        server.execute("INSERT INTO only_here VALUES (1)")
        assert not shared.execute("SELECT table_name FROM information_schema.tables WHERE table_name = 'only_here'")
        server.kill()
        server.restart()
        assert server.execute("SELECT id FROM only_here") == [(1,)]
        pids, directory = [server.pid, *children(server.pid)], server.directory
    assert [owner(pid) for pid in pids] == [""] * len(pids)
    assert not directory.exists()
