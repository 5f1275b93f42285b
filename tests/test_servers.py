from __future__ import annotations

import asyncio
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests import servers
from tests.conftest import missing_servers_skip
from tests.servers import RedisServer

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parents[1]


def ping(server: RedisServer) -> bytes:
    return server.ask(b"PING\r\nQUIT\r\n")


def gone(pid: int) -> bool:
    """Whether the process has ended; one that waits to be reaped has."""
    listing = subprocess.run(["/bin/ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False)  # noqa: S603
    state = listing.stdout.strip()
    return not state or state.startswith("Z")


def wait_until(true: Callable[[], bool]) -> None:
    """Look again and again, for at most ten seconds; each look starts a process, so this doesn't spin."""
    deadline = time.monotonic() + 10
    while not true():
        assert time.monotonic() < deadline


def test_the_server_answers_on_loopback_as_soon_as_the_fixture_has_it(redis_server: RedisServer) -> None:
    assert redis_server.host == "127.0.0.1"
    assert redis_server.url == f"redis://127.0.0.1:{redis_server.port}/0"
    assert ping(redis_server).startswith(b"+PONG")


def test_two_servers_have_ports_pids_and_data_of_their_own(redis_server: RedisServer) -> None:
    with RedisServer() as other:
        assert (other.port, other.pid) != (redis_server.port, redis_server.pid)
        other.ask(b"SET only-here 1\r\nQUIT\r\n")
        assert redis_server.ask(b"EXISTS only-here\r\nQUIT\r\n").startswith(b":0")


def test_stopping_ends_that_process_and_leaves_no_files() -> None:
    with RedisServer() as server:
        pid, directory = server.pid, server.directory
        assert directory.is_dir()
    assert gone(pid)
    assert not directory.exists()
    assert not server.running


def test_nothing_is_written_to_disk_but_the_log() -> None:
    with RedisServer() as server:
        server.ask(b"SET a 1\r\nQUIT\r\n")
        server.restart()
        assert [path.name for path in server.directory.iterdir()] == ["server.log"]
        assert server.ask(b"EXISTS a\r\nQUIT\r\n").startswith(b":0")


def test_a_server_takes_options_of_the_test() -> None:
    with RedisServer(maxmemory="2mb", maxmemory_policy="allkeys-lru") as server:
        memory = server.ask(b"INFO memory\r\nQUIT\r\n")
    assert b"\r\nmaxmemory:2097152\r\n" in memory
    assert b"\r\nmaxmemory_policy:allkeys-lru\r\n" in memory


def test_a_killed_server_comes_back_on_its_port_with_another_pid() -> None:
    with RedisServer() as server:
        port, pid = server.port, server.pid
        server.kill()
        assert gone(pid)
        assert ping(server) == b""
        server.restart()
        assert server.port == port
        assert server.pid != pid
        assert ping(server).startswith(b"+PONG")


def test_a_paused_server_hangs_until_it_is_resumed() -> None:
    with RedisServer() as server, socket.create_connection((server.host, server.port), timeout=0.05) as connection:
        server.pause()
        connection.sendall(b"PING\r\n")
        with pytest.raises(TimeoutError):
            connection.recv(100)
        server.resume()
        connection.settimeout(5)
        assert connection.recv(100).startswith(b"+PONG")


def test_a_paused_server_can_be_stopped() -> None:
    server = RedisServer().start()
    process = server._process
    server.pause()
    server.stop()
    assert process is not None
    assert process.returncode == 0, "it ended by itself when it was asked to"


@pytest.mark.parametrize("harm", [RedisServer.kill, RedisServer.pause])
def test_the_next_test_finds_the_server_well_whatever_this_one_did(harm: Callable[[RedisServer], None]) -> None:
    with RedisServer() as server:
        harm(server)
        servers.heal_servers()
        assert ping(server).startswith(b"+PONG")


def test_a_port_that_another_takes_first_is_tried_again(redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch) -> None:
    ports = iter([redis_server.port, servers._free_port()])
    monkeypatch.setattr(servers, "_free_port", lambda: next(ports))
    with RedisServer() as server:
        assert server.port != redis_server.port
        assert ping(server).startswith(b"+PONG")


def test_the_server_ends_when_the_test_process_is_killed() -> None:
    code = "from tests.servers import RedisServer; s = RedisServer().start(); print(s.pid, s.directory, flush=True); input()"
    with subprocess.Popen(  # noqa: S603 - the code above
        [sys.executable, "-c", code], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        pid, directory = process.stdout.readline().split()
        assert not gone(int(pid))
        process.send_signal(signal.SIGKILL)
        process.stdout.read()
    wait_until(lambda: gone(int(pid)) and not Path(directory).exists())


class AbsentServer(RedisServer):
    binary = "no-such-server"
    package = "no-such-package"


def test_a_missing_binary_is_an_error_with_the_way_to_get_it() -> None:
    with pytest.raises(servers.ServerMissingError, match="no-such-server isn't installed; get it with: apt-get install no-such-package"):
        AbsentServer().start()


def test_a_missing_binary_skips_the_test(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match="apt-get install no-such-package"), missing_servers_skip():
        AbsentServer().start()


def test_a_missing_binary_fails_the_test_where_ci_is_true(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "true")
    with (
        pytest.raises((pytest.fail.Exception, pytest.skip.Exception), match="apt-get install no-such-package") as raised,
        missing_servers_skip(),
    ):
        AbsentServer().start()
    assert raised.type is pytest.fail.Exception


class BrokenServer(RedisServer):
    def command(self) -> list[str]:
        return [self.require(), "--no-such-option", "1"]


def test_a_server_that_does_not_come_up_says_what_it_wrote() -> None:
    server = BrokenServer()
    with pytest.raises(servers.ServerFailedError, match=r"(?s)ended with status 1.*no-such-option"):
        server.start()
    assert not server.directory.exists()


async def test_a_coroutine_function_is_run_as_a_test(aa_cache_namespace: str) -> None:
    assert asyncio.get_running_loop().is_running()
    assert aa_cache_namespace.startswith("t:")
