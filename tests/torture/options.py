"""What the command is told."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tests.torture.perils import BREAKABLE

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ("LOSSES", "Options", "parsed")

FAULTS: Final = {
    "kill": "kill -9 of a worker at any time",
    "kill-steps": "kill -9 at each step of a COMMIT",
    "connections": "connections ended by the database and the cache server",
    "stop": "SIGSTOP and SIGCONT of the cache server",
    "clock": "a worker whose wall clock is hours wrong",
    "flush": "FLUSHALL",
    "restart": "restart of the cache server, which keeps nothing",
    "evict": "eviction by maxmemory",
}
LOSSES: Final = frozenset({"flush", "restart", "evict"})
"""Faults that lose write intents; not among ``all``."""
_OF_A_SERVER: Final = frozenset({"stop", "clock"}) | LOSSES


@dataclass(frozen=True)
class Options:
    """A run."""

    minutes: float
    db: str
    store: str
    isolation: str | None
    faults: frozenset[str]
    intent_loss_guard: bool
    seed: int
    processes: int
    rows: int
    keep_logs: Path | None
    broken: str

    @property
    def repeatable(self) -> bool:
        """Whether the workers' transactions are REPEATABLE READ unless they say otherwise."""
        return self.isolation == "REPEATABLE READ" or (self.isolation is None and self.db == "mariadb")

    @property
    def losses(self) -> bool:
        """Whether the cache may lose intents."""
        return bool(self.faults & LOSSES)


def parsed(arguments: Sequence[str] | None) -> Options:
    """Return the options, or end the process with what is wrong with them."""
    parser = _parser()
    found = parser.parse_args(arguments)
    isolation = None if found.isolation == "default" else found.isolation
    if isolation is not None and found.db == "sqlite":
        parser.error("--isolation: SQLite has its own rule; leave it at the default")
    if found.store == "memory" and found.processes not in {None, 1}:
        parser.error("--processes: the memory store is one process's own; leave it at 1")
    if found.minutes <= 0 or found.rows < 8 or (found.processes is not None and found.processes < 1):
        parser.error("--minutes must be above 0, --rows at least 8, --processes at least 1")
    try:
        faults = _faults(found.faults, found.db, found.store)
    except ValueError as error:
        parser.error(f"--faults: {error}")
    processes = found.processes or (1 if found.store == "memory" else 3)
    return Options(
        found.minutes,
        found.db,
        found.store,
        isolation,
        faults,
        found.intent_loss_guard,
        found.seed,
        processes,
        found.rows,
        found.keep_logs,
        found.broken or "",
    )


def _parser() -> argparse.ArgumentParser:
    kinds = "; ".join(f"{name}: {what}" for name, what in FAULTS.items())
    rules = "; ".join(f"{name}: {what}" for name, what in BREAKABLE.items())
    parser = argparse.ArgumentParser(prog="torture", description="Readers and writers under faults; a checker judges every read.")
    parser.add_argument("--minutes", type=float, default=1.0, metavar="N", help="default: %(default)s")
    parser.add_argument("--db", choices=("sqlite", "postgresql", "mariadb"), default="postgresql", help="default: %(default)s")
    parser.add_argument("--store", choices=("memory", "redis"), default="redis", help="default: %(default)s")
    levels = ("default", "READ COMMITTED", "REPEATABLE READ")
    parser.add_argument("--isolation", choices=levels, default="default", help="of all engines; default: the database's")
    parser.add_argument("--faults", default="all", metavar="A,B", help=f"none; all (of the first five what makes sense); or of {kinds}")
    parser.add_argument("--intent-loss-guard", action="store_true", help="with it, no loss of intents excuses a stale read")
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="of what is read, written and broken; default: %(default)s")
    parser.add_argument("--processes", type=int, metavar="N", help="workers; default: 3, and 1 with the memory store")
    parser.add_argument("--rows", type=int, default=400, metavar="N", help="that are written all the time; default: %(default)s")
    parser.add_argument("--keep-logs", type=Path, metavar="DIR", help="keep what the workers wrote down")
    parser.add_argument("--break", dest="broken", choices=BREAKABLE, help=f"switch off a rule: the run must fail. {rules}")
    return parser


def _faults(named: str, db: str, store: str) -> frozenset[str]:
    """Return the kinds of faults.

    Raises:
        ValueError: One of those named is unknown, or makes no sense here.
    """
    found: set[str] = set()
    for name in filter(None, (part.strip() for part in named.split(","))):
        if name == "all":
            found.update(fault for fault in FAULTS if fault not in LOSSES and not _senseless(fault, db, store))
        elif name == "none":
            continue
        elif name not in FAULTS:
            raise ValueError(f"{name!r} is unknown; known: none, all, {', '.join(FAULTS)}")
        elif reason := _senseless(name, db, store):
            raise ValueError(f"{name!r} makes no sense here: {reason}")
        else:
            found.add(name)
    return frozenset(found)


def _senseless(fault: str, db: str, store: str) -> str:
    if store == "memory" and fault in _OF_A_SERVER:
        return "the memory store has no server, and its clock is the worker's own"
    if fault == "connections" and db == "sqlite" and store == "memory":
        return "there is no connection that could be ended"
    return ""
