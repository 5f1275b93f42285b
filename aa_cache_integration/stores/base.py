"""What a store must do: a few atomic steps on cells and records. Every decision about them is the protocol's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ("Announcement", "Fill", "Guarantee", "Lease", "LeaseAnswer", "Making", "Store")

Guarantee = Literal["strict", "best effort"]


@dataclass(frozen=True, slots=True)
class Making:
    """How a record is made that isn't there (DESIGN 5.2), and how long records live."""

    token: str
    """A new random token; never a fixed one."""
    rules: str
    """Fingerprint of the settings that processes sharing a namespace must share."""
    record_ttl: int
    """Milliseconds that a record lives at least; never shorter than what depends on it."""
    quarantine: int = 0
    """Milliseconds of a write intent that a new record is born under (``intent_loss_guard``)."""


@dataclass(frozen=True, slots=True)
class Lease:
    """A reader asks for the right to fill one cell (DESIGN 5.3.2)."""

    cell: str
    lease: str
    seen: bytes | None
    """What the reader saw in the cell: the lease is refused when something else stands there now."""
    records: tuple[str, ...]
    required: int
    """The first so many records must be free of write intents."""
    ttl: int
    """Milliseconds."""
    before: int = 0
    """The store's time (µs) before which every record must have last changed (DESIGN 5.5); ``0``: whenever it was."""


@dataclass(frozen=True, slots=True)
class LeaseAnswer:
    """What became of a `Lease`."""

    granted: bool
    reason: str
    """Why not: ``"lease held"``, ``"write intent"``, ``"changed"``, ``"later than the snapshot"``; ``""`` when granted."""
    records: tuple[bytes, ...] = ()
    """The records as they were when the lease was granted."""


@dataclass(frozen=True, slots=True)
class Fill:
    """A value for a cell (DESIGN 5.3.4)."""

    cell: str
    lease: str
    """The lease under which it is put; ``""``: an explicit put, refused only by a write intent."""
    tokens: tuple[str, ...]
    """The tokens of the records that the value depends on."""
    records: tuple[str, ...]
    """In place of tokens, for an explicit put: the records as they are at this step, all free of write intents."""
    tail: bytes
    """What follows the tokens (`envelope.tail`)."""
    ttl: int
    """Milliseconds."""


@dataclass(frozen=True, slots=True)
class Announcement:
    """The cells and records that a writer is about to change, or has changed (DESIGN 5.4)."""

    writer: str
    cells: tuple[str, ...]
    records: tuple[str, ...]


class Store(Protocol):
    """One face of a store: blocking, its coroutines never suspend; or asynchronous, for one event loop.

    Every method raises `StoreUnavailableError` when the store can't be reached in time. ``now`` in an answer is the store's time
    in microseconds since the epoch.
    """

    atomic_lookup: bool
    """Whether a lookup of several keys is one step; else one cell may change after another was read (DESIGN 5.3.5)."""

    async def lookup(self, keys: Sequence[str]) -> list[bytes | None]:
        """Return what stands under the keys, read in one step where ``atomic_lookup`` says so; cells before their records elsewhere."""
        ...

    async def lease(self, requests: Sequence[Lease], making: Making) -> tuple[int, list[LeaseAnswer]]:
        """Put each lease whose cell is as seen, or empty, and whose required records are free; make missing records, heal passed intents.

        A lease that this reader already holds is granted again, so a step may be sent twice.
        """
        ...

    async def records(self, keys: Sequence[str], making: Making) -> tuple[int, list[bytes]]:
        """Return the records, made where they are missing and healed where their intents have passed."""
        ...

    async def fill(self, fills: Sequence[Fill], making: Making, look: Sequence[str] = ()) -> tuple[int, list[bool], list[bytes | None]]:
        """Put each value whose lease still stands; return which were put, and what stands under ``look`` in the same step."""
        ...

    async def release(self, leases: Sequence[tuple[str, str]]) -> None:
        """Empty the cells (first) in which these leases (second) still stand."""
        ...

    async def announce(self, announcement: Announcement, timeout: int, making: Making) -> int:
        """Put write intents, in place of values and leases, that count for ``timeout`` ms; return ``now``."""
        ...

    async def settle(self, announcement: Announcement, making: Making) -> int:
        """Remove the writer's intents, empty the cells left without any, renew the records; return ``now``."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Let time pass in the manner of this face."""
        ...
