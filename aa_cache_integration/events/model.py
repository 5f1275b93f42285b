"""The event: what a cache tells of itself, and the names it may use. No other file writes them."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Final, Protocol

__all__ = (
    "BYPASS",
    "DEGRADED",
    "FIELDS",
    "FILL",
    "HIT",
    "INVALIDATE",
    "LEVELS",
    "MISS",
    "RECOVERED",
    "REJECTED",
    "CacheEvent",
    "EventHook",
)

HIT: Final = "cache.hit"
MISS: Final = "cache.miss"
FILL: Final = "cache.fill"
BYPASS: Final = "cache.bypass"
INVALIDATE: Final = "cache.invalidate"
DEGRADED: Final = "cache.degraded"
RECOVERED: Final = "cache.recovered"
REJECTED: Final = "cache.rejected"

LEVELS: Final[dict[str, str]] = {
    HIT: "debug",
    MISS: "debug",
    FILL: "debug",
    BYPASS: "debug",
    INVALIDATE: "info",
    DEGRADED: "warning",
    RECOVERED: "info",
    REJECTED: "warning",
}
"""The level at which each event is logged."""


@dataclass(frozen=True, slots=True)
class CacheEvent:
    """One thing that happened to a cache. Never holds a cached value."""

    name: str
    """One of the names above."""
    cache: str
    """The alias, or ``"-"`` for a manager that the application built itself."""
    bind_group: str | None = None
    """The bind group, ``None`` for the default group."""
    model: str | None = None
    """The table, where there is one."""
    op: str | None = None
    """The operation: ``get``, ``get_entity``, ``fetch_entity``, ``commit``, …"""
    key: str | None = None
    """The key, where there is one; metric labels never carry it."""
    reason: str | None = None
    """Why, in a few fixed words: ``lease held``, ``own writes``, ``expired``, …"""
    count: int | None = None
    """How many keys the event stands for, where it is more than one."""
    took_ms: float | None = None
    """Milliseconds the operation took, where it was timed."""

    @property
    def level(self) -> str:
        """The level at which the event is logged."""
        return LEVELS[self.name]

    def fields(self) -> dict[str, str | int | float]:
        """Return what is known beside the name, in the order above; what is ``None`` is left out."""
        return {name: value for name in FIELDS if (value := getattr(self, name)) is not None}


FIELDS: Final = tuple(field.name for field in fields(CacheEvent) if field.name != "name")
"""The names of an event's fields, without the event's own name, in the order in which they are shown."""


class EventHook(Protocol):
    """Anything that wants events."""

    def wants(self, name: str) -> bool:
        """Whether an event of this name would be used; asked before one is built."""
        ...

    def __call__(self, event: CacheEvent) -> None:
        """Take the event. Must not raise and must not block."""
        ...
