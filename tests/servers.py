"""Real servers for tests: private ones, on a free loopback port, stopped by their own pid.

A server outlives neither its test nor a test process that is killed: beside each server waits a *watchdog*, a shell that reads from a pipe
whose other end is in the test process. When the pipe closes without a word, the test process is gone, and the watchdog ends the server.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Final

import pytest

if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Self

__all__ = ("RedisServer", "Server", "heal_servers")

HOST: Final = "127.0.0.1"
PORTS: Final = range(20_000, 32_000)
"""Below the ports that systems give to outgoing connections, so that a server finds its port free again after a restart."""

_ENDED: Final = 0.01
"""Seconds between two looks at a server that is starting; how long ``wait`` lets it end meanwhile."""

_WATCHDOG: Final = 'read -r word || { kill -KILL "$1"; rm -rf "$2"; }'

_started: Final[list[Server]] = []


class ServerFailedError(Exception):
    """A server didn't come up; the message has what it wrote."""


class Server:
    """A server of a test's own: started at its first use, ended by :meth:`stop`.

    A kind of server says how it is started and how one sees that it answers; the rest is the same for all.
    """

    binary: ClassVar[str]
    """The program that is started."""
    package: ClassVar[str]
    """The Debian package that has it."""
    scheme: ClassVar[str]
    """The URL's."""
    start_timeout: ClassVar[float] = 20.0
    """Seconds that it may take to answer."""

    def __init__(self) -> None:
        """Choose nothing yet; :meth:`start` does."""
        self.host = HOST
        self.port = 0
        self.directory = Path()
        self._process: subprocess.Popen[bytes] | None = None
        self._watchdog: subprocess.Popen[bytes] | None = None
        self._paused = False

    # What a kind of server fills in.

    def prepare(self) -> None:
        """Make what the server needs in its directory before its first start (``initdb`` and the like)."""

    def command(self) -> list[str]:
        """Return the command line that runs the server in the foreground."""
        raise NotImplementedError

    def answers(self) -> bool:
        """Whether *this* server answers; False too where another one has taken the port."""
        raise NotImplementedError

    # The same for all.

    @classmethod
    def require(cls) -> str:
        """Return the path of the binary; without one skip the test, or fail it where ``CI=true``."""
        if path := shutil.which(cls.binary, path=os.pathsep.join((os.environ.get("PATH", os.defpath), "/usr/sbin", "/usr/local/sbin"))):
            return path
        reason = f"{cls.binary} isn't installed; get it with: apt-get install {cls.package}"
        if os.environ.get("CI", "").lower() == "true":
            pytest.fail(reason, pytrace=False)
        pytest.skip(reason)

    @property
    def url(self) -> str:
        """The URL to connect to."""
        return f"{self.scheme}://{self.host}:{self.port}"

    @property
    def pid(self) -> int:
        """The server's process id."""
        if self._process is None:
            raise RuntimeError(f"{self.binary} isn't started")
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether the process lives, paused or not."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> Self:
        """Start the server on a free port and wait until it answers."""
        self.require()
        self.directory = Path(tempfile.mkdtemp(prefix=f"{self.binary}-"))
        _started.append(self)
        try:
            self.prepare()
            self._launch_on_a_free_port()
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """End the server, whatever its state, and remove its directory."""
        self._end(signal.SIGTERM)
        if self in _started:
            _started.remove(self)
            shutil.rmtree(self.directory, ignore_errors=True)

    def pause(self) -> None:
        """Let it hang: connections stay open and nothing is answered."""
        os.kill(self.pid, signal.SIGSTOP)
        self._paused = True

    def resume(self) -> None:
        """Let a paused server go on."""
        os.kill(self.pid, signal.SIGCONT)
        self._paused = False

    def kill(self) -> None:
        """End it at once, as a crash would."""
        self._end(signal.SIGKILL)

    def restart(self) -> None:
        """Start it again on its port, after :meth:`kill` or from running; what it held in memory is lost."""
        self._end(signal.SIGTERM)
        self._launch()

    def heal(self) -> None:
        """Make good what a test did to it: resume it, start it again."""
        if not self.running:
            self.restart()
        elif self._paused:
            self.resume()

    def __enter__(self) -> Self:
        """Start it."""
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        """Stop it."""
        self.stop()

    def _launch_on_a_free_port(self) -> None:
        for attempts_left in (4, 3, 2, 1, 0):
            self.port = _free_port()
            try:
                self._launch()
            except ServerFailedError:  # a port that was free a moment ago may be another's now
                if not attempts_left:
                    raise
            else:
                return

    def _launch(self) -> None:
        log = self.directory / "server.log"
        with log.open("ab") as output:
            self._process = subprocess.Popen(  # noqa: S603 - our own command line
                self.command(), cwd=self.directory, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
            )
        self._paused = False
        self._watchdog = subprocess.Popen(  # noqa: S603 - our own command line
            ["/bin/sh", "-c", _WATCHDOG, "watchdog", str(self.pid), str(self.directory)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        deadline = time.monotonic() + self.start_timeout
        while not self.answers():
            try:
                status = self._process.wait(_ENDED)
            except subprocess.TimeoutExpired:
                if time.monotonic() < deadline:
                    continue
                status = None
            self._end(signal.SIGKILL)
            what = f"doesn't answer after {self.start_timeout} s" if status is None else f"ended with status {status}"
            raise ServerFailedError(f"{self.binary} {what}; it wrote:\n{log.read_text(errors='replace')[-2000:]}")

    def _end(self, how: signal.Signals) -> None:
        process, watchdog = self._process, self._watchdog
        if process is not None and process.poll() is None:
            process.send_signal(how)
            if self._paused and how != signal.SIGKILL:
                process.send_signal(signal.SIGCONT)
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        if watchdog is not None:
            watchdog.communicate(b"stopped\n")
            self._watchdog = None
        self._paused = False


class RedisServer(Server):
    """A redis-server that keeps everything in memory."""

    binary = "redis-server"
    package = "redis-server"
    scheme = "redis"

    @property
    def url(self) -> str:
        """The URL of its database 0."""
        return f"{super().url}/0"

    def command(self) -> list[str]:
        """Return the command line; no file is read or written but the log."""
        arguments = {
            "bind": self.host,
            "port": str(self.port),
            "dir": str(self.directory),
            "save": "",
            "appendonly": "no",
            "daemonize": "no",
        }
        return [self.require(), *(part for name, value in arguments.items() for part in (f"--{name}", value))]

    def answers(self) -> bool:
        """Whether PING is answered, and by this process."""
        reply = self.ask(b"PING\r\nINFO server\r\nQUIT\r\n")
        return reply.startswith(b"+PONG") and b"\r\nprocess_id:%d\r\n" % self.pid in reply

    def ask(self, commands: bytes) -> bytes:
        """Send inline commands that end with QUIT and return all that is answered; nothing where nobody listens."""
        try:
            with socket.create_connection((self.host, self.port), timeout=5) as connection:
                connection.sendall(commands)
                return b"".join(iter(lambda: connection.recv(65536), b""))
        except OSError:
            return b""


def heal_servers() -> None:
    """Make good what a test did to the servers that other tests share."""
    for server in _started:
        server.heal()


def _free_port() -> int:
    for port in random.SystemRandom().sample(PORTS, 100):
        with socket.socket() as probe:
            try:
                probe.bind((HOST, port))
            except OSError:
                continue
            return port
    raise ServerFailedError("100 ports tried, none is free")
