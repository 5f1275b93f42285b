"""What the processes of a run write down: one record a line, in one file for each process that nothing but the disk can lose.

All times are nanoseconds of ``time.monotonic_ns``, which is one clock for all processes of a machine.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Final

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ("Announced", "Begun", "Died", "Ended", "Failed", "Fault", "Log", "Own", "Read", "Record", "Settled", "now", "records_of")

now: Final = time.monotonic_ns


class Read(msgspec.Struct, frozen=True, array_like=True, tag="read"):
    """One answer, of the cache or of the database."""

    kind: str
    """``fetch``, ``plain``, ``list``; ``direct`` and ``locked`` are the database's own."""
    began: int
    ended: int
    rows: list[tuple[int, str | None]]
    """Primary key and token of each row, ``None`` for one that doesn't exist."""
    transaction: str
    snapshot: tuple[int, int] | None = None
    """Between which times the transaction's snapshot was taken; ``None``: what is committed is what must be shown."""
    asked: int = 0
    """Cells that were looked up."""
    hits: int = 0
    """Those of them that the cache answered."""


class Own(msgspec.Struct, frozen=True, array_like=True, tag="own"):
    """What a transaction was shown of rows that it had itself written."""

    began: int
    ended: int
    rows: list[tuple[int, str | None]]
    expected: list[tuple[int, str | None]]
    transaction: str


class Begun(msgspec.Struct, frozen=True, array_like=True, tag="begun"):
    """A COMMIT that is about to begin."""

    at: int
    transaction: str
    writes: list[tuple[int, int, str]]
    """Unit, version and token."""


class Ended(msgspec.Struct, frozen=True, array_like=True, tag="ended"):
    """A writing transaction that is over: ``committed``, ``rolled back``, ``refused`` (by the cache) or ``unknown``."""

    at: int
    transaction: str
    outcome: str
    why: str = ""


class Announced(msgspec.Struct, frozen=True, array_like=True, tag="announced"):
    """A transaction's write intents are about to be put."""

    at: int
    transaction: str
    writer: str


class Settled(msgspec.Struct, frozen=True, array_like=True, tag="settled"):
    """A writer's intents have been settled."""

    at: int
    writer: str


class Died(msgspec.Struct, frozen=True, array_like=True, tag="died"):
    """The process kills itself at a chosen step."""

    at: int
    step: str


class Failed(msgspec.Struct, frozen=True, array_like=True, tag="failed"):
    """A transaction that an error has ended before its COMMIT."""

    at: int
    what: str
    error: str
    expected: bool
    """Whether it is one that a fault explains, and no bug."""


class Fault(msgspec.Struct, frozen=True, array_like=True, tag="fault"):
    """What the supervisor did."""

    kind: str
    began: int
    ended: int
    detail: str = ""


Record = Read | Own | Begun | Ended | Announced | Settled | Died | Failed | Fault

_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Record)


class Log:
    """A file that records are appended to, each with one system call: what was written stays when the process is killed."""

    def __init__(self, path: Path) -> None:
        """Open it."""
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)

    def write(self, record: Record) -> None:
        """Append a record; from any thread."""
        os.write(self._file, _encoder.encode(record) + b"\n")

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)


def records_of(path: Path) -> Iterator[Record]:
    """Yield what a file holds; a last line that wasn't finished is no record."""
    with path.open("rb") as file:
        for line in file:
            if line.endswith(b"\n"):
                yield _decoder.decode(line)
