"""The worlds: who acts on what, how often."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from aa_cache_integration.core import envelope
from aa_cache_integration.core.plans import Plan
from aa_cache_integration.stores.base import Announcement
from tests.consistency.explorer_actors import Reader, Writer

__all__ = ("BULK_RECORDED", "ROW_RECORDED", "SIZES", "TORN", "World", "worlds")

_ENTITY = Plan("E", ("bulk", "rows"), 1)
_OTHER = Plan("F", _ENTITY.records, 1)
_RESULT = Plan("R", ("rows",), 1)
_NAMED = Plan("E", ("namespace", "bulk", "rows"), 2)


@dataclass(frozen=True)
class World:
    """Some actors on one table."""

    name: str
    actors: tuple[Reader | Writer, ...]
    filled: tuple[str, ...] | None = None
    """The cells that hold version 0 at the beginning, and all records are there; ``None``: nothing is there."""
    still: bool = False
    """Whether nothing expires, is evicted or killed."""

    @property
    def cells(self) -> tuple[str, ...]:
        """The cells that are read or written."""
        return tuple(dict.fromkeys(key for actor in self.actors for key in actor.cells))

    @property
    def keys(self) -> tuple[str, ...]:
        """The cells, and the records that are needed for them."""
        return (*self.cells, *dict.fromkeys(key for actor in self.actors for key in actor.records))


def _writer(number: int, cells: tuple[str, ...], records: tuple[str, ...], kind: str, **options: Any) -> Writer:
    name = f"{kind}{number or ''}"
    return Writer(name, Announcement(name, cells, records), **options)


def _row(number: int = 0, cells: tuple[str, ...] = ("E",), needs: int = 0) -> Writer:
    return _writer(number, cells, ("rows",), "row-writer", needs=needs)


def _insert() -> Writer:
    return _writer(0, (), ("rows",), "insert")


def _bulk() -> Writer:
    return _writer(0, (), ("bulk", "rows"), "bulk-writer")


def _foreign() -> Writer:
    return _writer(0, (), ("namespace",), "foreign-writer", announces=False)


def _entity(reads: int = 1, plan: Plan = _ENTITY, **options: Any) -> Reader:
    return Reader("entity-reader", (plan,), reads, **options)


def _result(reads: int = 1, **options: Any) -> Reader:
    return Reader("result-reader", (_RESULT,), reads, envelope.LIST, **options)


def _both(reads: int = 1, **options: Any) -> Reader:
    return Reader("two-entity-reader", (_ENTITY, _OTHER), reads, **options)


SIZES: Final = {"small": (1, 1), "usual": (2, 1), "deep": (3, 2)}
"""How often the first reader of a world reads, and how often the second one."""


TORN: Final = World(
    "writer of two rows, reader of both, reader of the second",
    (_row(0, ("E", "F")), _both(), Reader("second-entity-reader", (_OTHER,))),
    filled=("E", "F"),
    still=True,
)
ROW_RECORDED: Final = World(
    "row writer, snapshot and entity reader, records made", (_row(), _entity(level="snapshot"), _entity()), filled=()
)
BULK_RECORDED: Final = World("bulk writer, two entity readers, records made", (_bulk(), _entity(), _entity()), filled=())
"""Worlds that begin in the middle, for key by key they are too large otherwise."""


def worlds(size: str = "usual") -> dict[str, World]:
    """Return the worlds by name.

    Args:
        size: One of `SIZES`.
    """
    once, again = SIZES[size]
    snapshot, late = {"level": "snapshot"}, {"level": "late snapshot"}
    found: dict[str, tuple[Reader | Writer, ...]] = {
        # The worlds of the model (DESIGN 5.6).
        "row writer, two entity readers": (_row(), _entity(once), _entity(again)),
        "two row writers, entity reader": (_row(1), _row(2), _entity(once)),
        "bulk writer, two entity readers": (_bulk(), _entity(once), _entity(again)),
        "row and bulk writer, entity reader": (_row(), _bulk(), _entity(once)),
        "row writer, two result readers": (_row(), _result(once), _result(again)),
        "row and bulk writer, result reader": (_row(), _bulk(), _result(once)),
        "row writer, entity and result reader": (_row(), _entity(again), _result(again)),
        "row writer, snapshot and entity reader": (_row(), _entity(once, **snapshot), _entity(once)),
        "row writer, late snapshot, entity reader": (_row(), _entity(once, **late), _entity(again)),
        "bulk writer, snapshot and entity reader": (_bulk(), _entity(once, **snapshot), _entity(again)),
        "row writer, snapshot and result reader": (_row(), _result(once, **snapshot), _result(again)),
        "two row writers, snapshot reader": (_row(1), _row(2), _entity(once, **snapshot)),
        # Beyond them.
        "row writer, snapshot dated early, entity reader": (_row(), _entity(again, **snapshot, dated_before=True), _entity(again)),
        "insert, two readers of what isn't there": (_insert(), _entity(once, absent=True), _entity(again, absent=True)),
        "insert and update, reader of what isn't there": (_insert(), _row(needs=1), _entity(once, absent=True)),
        "invalidate_all, two entity readers": (_foreign(), _entity(once, _NAMED), _entity(again, _NAMED)),
        "writer of two rows, reader of both": (_row(0, ("E", "F")), _both(once)),
        "writer of two rows, reader of both, reader of one": (_row(0, ("E", "F")), _both(again), _entity(again)),
        "bulk writer, reader of two rows, reader of one": (_bulk(), _both(again), _entity(again)),
    }
    return {name: World(name, actors) for name, actors in found.items()}
