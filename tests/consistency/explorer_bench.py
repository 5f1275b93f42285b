"""The real memory store as a function: from what stands in it and an operation to the answer and what stands in it then."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Any, NamedTuple

from aa_cache_integration.core import envelope
from aa_cache_integration.core.drive import drive
from aa_cache_integration.core.envelope import Intent, Record
from aa_cache_integration.stores.locked import LockedStore
from aa_cache_integration.stores.memory import MemorySlots

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from tests.consistency.explorer_faces import Operation

__all__ = ("BEGAN", "Bench", "Entries", "Event", "now_after")

BEGAN = 1_000_000_000
"""The store's time (µs) at the beginning."""
_FAR = 1 << 60
_PASSED = 1

Entries = tuple[bytes | None, ...]
"""What stands in the store, in the order of the world's keys."""


def now_after(snapshots: int) -> int:
    """Return the store's time once so many snapshots were dated.

    Nothing but the dates of snapshots is ever compared with the store's times (nothing expires by itself here), so the clock goes on only
    when one is dated: by two, and the date lies between.
    """
    return BEGAN + 2 * snapshots


class Event(NamedTuple):
    """What nature may do to what stands in the store."""

    label: str
    entries: Entries
    writers: frozenset[str] = frozenset()
    """Only when these are gone: a COMMIT is shorter than its intents' deadline."""
    evicts: bool = False


class Bench:
    """One memory store, put into any state before each operation."""

    def __init__(self, keys: Sequence[str], wrap: Callable[[LockedStore, MemorySlots], Any]) -> None:
        """Lay out the keys.

        Args:
            keys: Everything that may ever stand in the store.
            wrap: Puts a mutation around the store.
        """
        self._keys = tuple(keys)
        self._now = BEGAN
        self._slots = MemorySlots(None, 60_000, lambda: self._now)
        self._store = wrap(LockedStore(self._slots, lambda _: None), self._slots)

    def perform(self, entries: Entries, now: int, operation: Operation) -> tuple[Any, Entries]:
        """Perform an operation of the store at the store's time ``now``."""
        slots, self._now = self._slots, now
        slots._latest = slots._writes = 0
        slots._entries = OrderedDict((key, (raw, _FAR)) for key, raw in zip(self._keys, entries, strict=True) if raw is not None)
        answer = drive(getattr(self._store, operation.name)(*operation.arguments))
        assert set(slots._entries) <= set(self._keys)
        return _frozen(answer), tuple(slots.get(key) for key in self._keys)

    def filled(self, cells: Sequence[str], full: Sequence[str]) -> Entries:
        """Return a store in which all records are, and nothing has been written since.

        Args:
            cells: The keys that aren't records.
            full: Those that hold version 0 of an entity, which depends on one record.
        """
        record = Record("T9-0-0", BEGAN, "rules")
        value = envelope.value_bytes(BEGAN, [record.token], envelope.tail(envelope.ENTITY, b"0"))
        return tuple((value if key in full else None) if key in cells else envelope.record_bytes(record) for key in self._keys)

    def nature(self, entries: Entries) -> Iterator[Event]:
        """Yield what may expire, pass or be evicted."""
        for index, (key, raw) in enumerate(zip(self._keys, entries, strict=True)):
            if raw is None:
                continue
            record = envelope.parse_record(raw)
            intents = record.intents if record else envelope.cell_intents(raw)
            standing = [intent.writer for intent in intents if intent.deadline != _PASSED]
            for writer in standing:
                left = tuple(Intent(i.writer, _PASSED if i.writer == writer else i.deadline) for i in intents)
                passed = _with(record, left, alone=len(standing) == 1)
                yield Event(f"the intent of {writer} on {key} passes", _put(entries, index, passed), frozenset({writer}))
            if not standing and record is None:
                yield Event(f"{key} expires", _put(entries, index, None))
            elif not standing:
                yield Event(f"{key} is evicted", _put(entries, index, None), evicts=True)


def _with(record: Record | None, intents: tuple[Intent, ...], *, alone: bool) -> bytes | None:
    if record is None:
        return None if alone else envelope.intents_cell(intents)  # a cell lives as long as its last intent
    return envelope.record_bytes(Record(record.token, record.changed, record.rules, intents))


def _put(entries: Entries, index: int, raw: bytes | None) -> Entries:
    return (*entries[:index], raw, *entries[index + 1 :])


def _frozen(answer: Any) -> Any:
    return tuple(map(_frozen, answer)) if isinstance(answer, list | tuple) else answer
