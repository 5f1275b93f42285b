"""Real servers for tests: private ones, on a free loopback port, stopped by their own pid.

A server outlives neither its test nor a test process that is killed: beside each server waits a *watchdog*, a shell that reads from a pipe
whose other end is in the test process. When the pipe closes without a word, the test process is gone, and the watchdog ends the server.

Nothing here needs pytest, so that a script may use servers too; ``tests/conftest.py`` says what a missing one means to a test.
The database servers are in ``tests/databases.py``.
"""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Final

from tests import processes

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType

    from typing_extensions import Self

__all__ = ("RedisServer", "Server", "ServerError", "ServerFailedError", "ServerMissingError", "heal_servers")

HOST: Final = "127.0.0.1"

_ENDED: Final = 0.01
"""Seconds between two looks at a server that is starting; how long ``wait`` lets it end meanwhile."""

_started: Final[list[Server]] = []


class ServerError(Exception):
    """What is wrong with a server."""


class ServerMissingError(ServerError):
    """A server's program isn't installed; the message says how to get it."""


class ServerFailedError(ServerError):
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
    stop_signal: ClassVar[signal.Signals] = signal.SIGTERM
    """What asks it to end soon, whoever is connected."""
    folders: ClassVar[Sequence[str]] = ()
    """Where its programs are looked for before PATH."""
    accounts: ClassVar[Sequence[str]] = ()
    """Whom it runs as where we are root: the first of these that exists."""

    def __init__(self, **options: str) -> None:
        """Choose nothing yet; :meth:`start` does.

        Args:
            options: The program's own options, before the ones that the kind of server chooses; an underscore stands for a hyphen too.
        """
        self.host = HOST
        self.port = 0
        self.directory = Path()
        self.account = processes.account(self.accounts)
        self._options = {name.replace("_", "-"): value for name, value in options.items()}
        self._process: subprocess.Popen[bytes] | None = None
        self._watchdog: subprocess.Popen[bytes] | None = None
        self._paused = False

    # What a kind of server fills in.

    def prepare(self) -> None:
        """Make what the server needs in its directory before its first start (``initdb`` and the like)."""

    def defaults(self) -> dict[str, str]:
        """Return the program's options, named with hyphens, that hold where the server was given no others."""
        return {}

    def command(self) -> list[str]:
        """Return the command line that runs the server in the foreground."""
        raise NotImplementedError

    def answers(self) -> bool:
        """Whether *this* server answers; False too where another one has taken the port."""
        raise NotImplementedError

    # The same for all.

    @classmethod
    def require(cls, name: str | None = None) -> str:
        """Return the path of its binary, or of another of its programs.

        Raises:
            ServerMissingError: It isn't installed.
        """
        name = name or cls.binary
        if path := processes.program(name, cls.folders):
            return path
        raise ServerMissingError(f"{name} isn't installed; get it with: apt-get install {cls.package}")

    @property
    def options(self) -> dict[str, str]:
        """The program's options, named with hyphens."""
        return self.defaults() | self._options

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
        self.directory = processes.folder(self.account, f"{self.binary}-")
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
        self._end(self.stop_signal)
        if self in _started:
            _started.remove(self)
            shutil.rmtree(self.directory, ignore_errors=True)

    def pause(self) -> None:
        """Let it hang: connections stay open and nothing is answered."""
        processes.send(self.pid, signal.SIGSTOP)
        self._paused = True

    def resume(self) -> None:
        """Let a paused server go on."""
        processes.send(self.pid, signal.SIGCONT)
        self._paused = False

    def kill(self) -> None:
        """End it at once, as a crash would."""
        self._end(signal.SIGKILL)

    def restart(self) -> None:
        """Start it again on its port, after :meth:`kill` or from running; what it held in memory is lost."""
        self._end(self.stop_signal)
        self._launch()

    def run(self, command: list[str], text: str = "") -> None:
        """Run one of its programs to its end, as the account that the server runs as, with the text as its input."""
        done = subprocess.run(  # noqa: S603 - our own command line
            command,
            cwd=self.directory,
            input=text.encode(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
            **self.account.arguments,
        )
        if done.returncode:
            raise ServerFailedError(f"{command[0]} ended with status {done.returncode}; it wrote:\n{done.stdout.decode()[-2000:]}")

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
                self.command(),
                cwd=self.directory,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                **self.account.arguments,
            )
        self._paused = False
        self._watchdog = processes.watchdog(self.pid, self.directory)
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
            if how == signal.SIGKILL:
                processes.kill(process)
            else:
                process.send_signal(how)
                if self._paused:
                    processes.send(process.pid, signal.SIGCONT)
                try:
                    process.wait(10)
                except subprocess.TimeoutExpired:
                    processes.kill(process)
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

    def defaults(self) -> dict[str, str]:
        """Write no file but the log, and read none."""
        return {"bind": self.host, "port": str(self.port), "dir": str(self.directory), "save": "", "appendonly": "no", "daemonize": "no"}

    def command(self) -> list[str]:
        """Return the command line."""
        return [self.require(), *(part for name, value in self.options.items() for part in (f"--{name}", value))]

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
    port = processes.free_port(HOST)
    if port is None:
        raise ServerFailedError("100 ports tried, none is free")
    return port
