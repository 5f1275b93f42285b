"""A process of a run; the supervisor starts it as ``python -m tests.torture.worker``, and tells it as JSON what it is to do."""

from __future__ import annotations

import sys
import time
from typing import Any, Final

import msgspec

__all__ = ("Assignment", "main")

_HOURS: Final = 3 * 3600
_TURN: Final = 5.0
"""Seconds after which a shifted clock is set to the other side."""


class Assignment(msgspec.Struct, frozen=True, kw_only=True):
    """What a process is to do."""

    name: str
    """Of the process; no two of a run have the same."""
    folder: str
    """Where its log goes."""
    url: str
    async_url: str
    isolation: str | None
    """The level of all its engines; ``None``: the database's default."""
    repeatable: bool
    """Whether that is REPEATABLE READ."""
    cache: dict[str, Any]
    """The arguments of its `CacheConfig`."""
    rows: int
    threads: int
    tasks: int
    seed: int
    ends: int
    """When, by ``time.monotonic_ns``."""
    shifted: bool = False
    """Whether its wall clock is hours wrong."""
    dies: float | None = None
    """After how many seconds it kills itself, at one of the steps of a COMMIT; ``None``: it doesn't."""
    losses: bool = False
    """Whether the cache may lose what it holds, so that announcements and settlements are written down."""
    writes: float = 0.1
    """The share of transactions that write."""
    robs: float = 0.0
    """The share of its COMMITs before which it empties the cache server."""
    broken: str = ""
    """The rule that it breaks."""


def main() -> None:
    """Do what the argument says."""
    assignment = msgspec.json.decode(sys.argv[1], type=Assignment)
    if assignment.shifted:
        _shift_the_clock()
    from tests.torture.labour import Labour  # not before the clock is shifted

    Labour(assignment).run()


def _shift_the_clock() -> None:
    """Let the wall clock be hours ahead and hours behind by turns."""
    seconds, nanoseconds = time.time, time.time_ns

    def shift() -> int:
        return _HOURS if int(time.monotonic() / _TURN) % 2 else -_HOURS

    time.time = lambda: seconds() + shift()
    time.time_ns = lambda: nanoseconds() + shift() * 1_000_000_000


if __name__ == "__main__":
    main()
