"""What test servers ask of the operating system: programs, accounts to run as, folders, ports, children, and a watchdog."""

from __future__ import annotations

import os
import pwd
import random
import shutil
import signal
import socket
import stat
import subprocess
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ("OURSELVES", "Account", "account", "children", "folder", "free_port", "kill", "program", "send", "watchdog")

_PS: Final = "/bin/ps"
_PORTS: Final = range(20_000, 32_000)
"""Below the ports that systems give to outgoing connections, so that a server finds its port free again after a restart."""

_WATCHDOG: Final = """
read -r word && exit
kill -STOP "$1"
kill -KILL "$1" $("$3" -A -o pid=,ppid= | while read -r pid parent; do [ "$parent" = "$1" ] && echo "$pid"; done)
rm -rf "$2" || { sleep 1; rm -rf "$2"; }
"""


@dataclass(frozen=True)
class Account:
    """Whom a program runs as, by their numbers; None for ourselves."""

    user: int | None = None
    group: int | None = None

    @property
    def arguments(self) -> dict[str, Any]:
        """The arguments of ``Popen``; the program is in none of our groups."""
        return {} if self.user is None else {"user": self.user, "group": self.group, "extra_groups": []}


OURSELVES: Final = Account()


def account(names: Iterable[str]) -> Account:
    """Return the first account that exists where we are root, and ourselves where there is none or we aren't."""
    if os.geteuid() == 0:
        known = {entry.pw_name: entry for entry in pwd.getpwall()}
        for name in names:
            if name in known:
                return Account(known[name].pw_uid, known[name].pw_gid)
    return OURSELVES


def program(name: str, folders: Sequence[str] = ()) -> str | None:
    """Return the path of a program in one of these folders, on PATH, or where systems keep what only services use."""
    return shutil.which(name, path=os.pathsep.join((*folders, os.environ.get("PATH", os.defpath), "/usr/sbin", "/usr/local/sbin")))


def folder(owner: Account, prefix: str) -> Path:
    """Make a temporary folder of the account's, where it can reach it."""
    parent = Path(tempfile.gettempdir())
    if owner.user is None:
        return Path(tempfile.mkdtemp(prefix=prefix, dir=parent))
    parents = (parent, Path("/tmp"), Path("/var/tmp"))  # noqa: S108 - mkdtemp's folder in it is private
    made = Path(tempfile.mkdtemp(prefix=prefix, dir=next((each for each in parents if _open_to_all(each)), parent)))
    os.chown(made, owner.user, -1 if owner.group is None else owner.group)
    return made


def _open_to_all(path: Path) -> bool:
    path = path.resolve()
    return all(each.is_dir() and each.stat().st_mode & stat.S_IXOTH for each in (path, *path.parents))


def free_port(host: str) -> int | None:
    """Return a port on which nobody listens; None where none is found."""
    for port in random.SystemRandom().sample(_PORTS, 100):
        with socket.socket() as probe:
            try:
                probe.bind((host, port))
            except OSError:
                continue
            return port
    return None


def children(pid: int) -> list[int]:
    """Return the ids of a process's children that have not ended."""
    listing = subprocess.run([_PS, "-A", "-o", "pid=,ppid=,stat="], capture_output=True, text=True, check=True)  # noqa: S603
    rows = (line.split() for line in listing.stdout.splitlines())
    return [int(child) for child, parent, state, *_ in rows if int(parent) == pid and not state.startswith("Z")]


def send(pid: int, how: signal.Signals) -> None:
    """Send a signal to a process and then to its children, which may be in sessions of their own."""
    os.kill(pid, how)
    for child in children(pid):
        with suppress(ProcessLookupError):
            os.kill(child, how)


def kill(process: subprocess.Popen[bytes]) -> None:
    """End a process at once, and its children before it, so that none of them goes on alone."""
    process.send_signal(signal.SIGSTOP)  # so that it starts no others meanwhile
    while left := children(process.pid):
        for child in left:
            with suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
        time.sleep(0.01)
    process.kill()
    process.wait()


def watchdog(pid: int, directory: Path) -> subprocess.Popen[bytes]:
    """Start a shell that ends the process and its children, and removes the folder, when its pipe closes without a word."""
    return subprocess.Popen(  # noqa: S603 - our own command line
        ["/bin/sh", "-c", _WATCHDOG, "watchdog", str(pid), str(directory), _PS],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
