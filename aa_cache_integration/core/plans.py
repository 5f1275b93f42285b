"""The protocol's words as types: what a reader asks for, what it is answered, what it may fill."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from aa_cache_integration.core import envelope

if TYPE_CHECKING:
    from collections.abc import Callable

    from aa_cache_integration.core.envelope import Value

__all__ = ("Bypass", "Filling", "Grant", "Hit", "Miss", "Plan", "Request", "Snapshot")


@dataclass(frozen=True, slots=True)
class Plan:
    """One cell and the records that its value may depend on (DESIGN 5.2)."""

    cell: str
    records: tuple[str, ...]
    """The namespaces first; then those that any value depends on; last those that a negative answer depends on too."""
    required: int
    """The first so many records: what a value depends on."""
    model: str | None = None
    """The table, for events."""
    bind_group: str | None = None


@dataclass(frozen=True, slots=True)
class Request:
    """A plan, and how the reader takes what it finds."""

    plan: Plan
    kinds: bytes
    """The kinds of value (`envelope`) that this reader can use."""
    decode: Callable[[Value], Any]
    """Turns the value into what the caller gets; raises `SerializationError` for a payload that isn't usable."""
    max_age: float | None = None
    """Seconds; an older value counts as expired. ``None``: its own time to live decides."""

    def another(self, hit: Hit) -> Any:
        """Return a hit's value once more, as an instance of its own for another who asked for the same."""
        parsed = envelope.parse_value(hit.raw)
        return None if parsed is None else self.decode(parsed[0])


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The snapshot of a transaction above READ COMMITTED, to which its reads must keep (DESIGN 5.5)."""

    since: int | None
    """A monotonic time (ns) before which it wasn't taken: that of the transaction's first statement. ``None``: it isn't taken yet."""
    certain: bool = True
    """Whether it has surely been taken since: some databases wait for the first statement that reads a table."""


@dataclass(frozen=True, slots=True)
class Grant:
    """A lease that this reader holds, and the records as they were when it was granted."""

    plan: Plan
    lease: str
    tokens: tuple[str, ...]
    free: bool
    """Whether no record at all was under write intent, so that a negative answer may be filled."""
    since: int = 0
    """The monotonic time (ns) since which what is read may be filled under it: the lease's, or that of the snapshot it was asked for."""
    before: int = 0
    """The store's time (µs) before which all records had last changed; ``0``: nobody asked."""


@dataclass(frozen=True, slots=True)
class Hit:
    """The cache's answer."""

    value: Any
    raw: bytes
    """The cell as it was, to see whether it has changed since."""


@dataclass(frozen=True, slots=True)
class Miss:
    """The database must be asked; what it answers may be filled under the grant."""

    grant: Grant


@dataclass(frozen=True, slots=True)
class Bypass:
    """The database must be asked, and nothing be filled."""

    reason: str
    given_up: Grant | None = None
    """A lease that there was, to be given back."""


@dataclass(frozen=True, slots=True)
class Filling:
    """What a reader puts in a cell: under its grant, or, with a plan alone, explicitly."""

    under: Grant | Plan
    kind: bytes
    payload: bytes
    ttl: float
    """Seconds; ``0``: not kept, ``-1``: for ever."""

    @property
    def plan(self) -> Plan:
        """The plan, whichever way it is put."""
        return self.under.plan if isinstance(self.under, Grant) else self.under
