"""The atomic steps, over anything that holds bytes under a lock: what `redis_lua` does inside Redis, in Python."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from aa_cache_integration.core import envelope
from aa_cache_integration.core.envelope import Intent, Record
from aa_cache_integration.stores.base import LeaseAnswer

if TYPE_CHECKING:
    from collections.abc import Iterable

    from aa_cache_integration.stores.base import Announcement, Fill, Lease, Making

__all__ = ("Slots", "announce", "fill", "lease", "record", "release", "settle")


class Slots(Protocol):
    """Bytes by key, each with a time to live. The caller holds the lock."""

    def get(self, key: str) -> bytes | None:
        """Return what stands under the key and hasn't expired."""
        ...

    def put(self, key: str, raw: bytes, ttl: int) -> None:
        """Put bytes that live for ``ttl`` milliseconds."""
        ...

    def raise_ttl(self, key: str, raw: bytes, ttl: int) -> None:
        """Put bytes that live for ``ttl`` milliseconds or as long as what they replace, whichever is longer."""
        ...

    def drop(self, key: str) -> None:
        """Empty the key."""
        ...


def _standing(intents: Iterable[Intent], now: int, without: str = "") -> tuple[Intent, ...]:
    return tuple(intent for intent in intents if intent.deadline > now and intent.writer != without)


def record(slots: Slots, key: str, now: int, making: Making) -> Record:
    """Return a record: made where it is missing, settled where all its intents have passed (DESIGN 5.2, 5.4)."""
    found = envelope.parse_record(slots.get(key))
    if found is None:
        born = (Intent("~", now + making.quarantine * 1000),) if making.quarantine else ()
        found = Record(envelope.stamped(making.token, now), now, making.rules, born)
    elif found.intents and not _standing(found.intents, now):
        found = Record(envelope.stamped(making.token, now), max(now, found.changed), found.rules)
    else:
        return found
    slots.raise_ttl(key, envelope.record_bytes(found), making.record_ttl)
    return found


def lease(slots: Slots, request: Lease, now: int, making: Making) -> LeaseAnswer:
    """Put a reader's lease (DESIGN 5.3.2)."""
    mine = envelope.lease_cell(request.lease)
    there = slots.get(request.cell)
    if there is not None and there != mine:
        if envelope.is_lease(there):
            return LeaseAnswer(granted=False, reason="lease held")
        if _standing(envelope.cell_intents(there), now):
            return LeaseAnswer(granted=False, reason="write intent")
        if envelope.is_value(there) and there != request.seen:
            return LeaseAnswer(granted=False, reason="changed")
    records = [record(slots, key, now, making) for key in request.records]
    if any(found.intents for found in records[: request.required]):
        return LeaseAnswer(granted=False, reason="write intent")
    if request.before and any(found.changed >= request.before for found in records):
        return LeaseAnswer(granted=False, reason="later than the snapshot")
    for key, found in zip(request.records, records, strict=True):
        slots.raise_ttl(key, envelope.record_bytes(found), making.record_ttl)
    slots.put(request.cell, mine, request.ttl)
    return LeaseAnswer(granted=True, reason="", records=tuple(envelope.record_bytes(found) for found in records))


def fill(slots: Slots, value: Fill, now: int, making: Making) -> bool:
    """Put a value if its lease still stands, or, for an explicit put, unless a write intent does (DESIGN 5.3.4)."""
    there = slots.get(value.cell)
    tokens = value.tokens
    if value.lease:
        if there != envelope.lease_cell(value.lease):
            return False
    else:
        if _standing(envelope.cell_intents(there), now):
            return False
        if value.records:
            records = [record(slots, key, now, making) for key in value.records]
            if any(found.intents for found in records):
                return False
            tokens = tuple(found.token for found in records)
    slots.put(value.cell, envelope.value_bytes(now, tokens, value.tail), value.ttl)
    return True


def release(slots: Slots, cell: str, lease_id: str) -> None:
    """Empty a cell in which this lease still stands."""
    if slots.get(cell) == envelope.lease_cell(lease_id):
        slots.drop(cell)


def announce(slots: Slots, announcement: Announcement, now: int, timeout: int, making: Making) -> None:
    """Put write intents in cells and records (DESIGN 5.4.1)."""
    mine = Intent(announcement.writer, now + timeout * 1000)
    for cell in announcement.cells:
        others = _standing(envelope.cell_intents(slots.get(cell)), now, without=mine.writer)
        slots.raise_ttl(cell, envelope.intents_cell((*others, mine)), timeout)
    for key in announcement.records:
        found = record(slots, key, now, making)
        others = _standing(found.intents, now, without=mine.writer)
        raised = Record(found.token, found.changed, found.rules, (*others, mine))
        slots.raise_ttl(key, envelope.record_bytes(raised), max(making.record_ttl, timeout))


def settle(slots: Slots, announcement: Announcement, now: int, making: Making) -> None:
    """Remove the writer's intents, empty the cells left without any, renew the records (DESIGN 5.4.3)."""
    for cell in announcement.cells:
        there = slots.get(cell)
        others = _standing(envelope.cell_intents(there), now, without=announcement.writer)
        if others:
            slots.raise_ttl(cell, envelope.intents_cell(others), 0)
        elif there is not None:
            slots.drop(cell)
    for key in announcement.records:
        found = record(slots, key, now, making)
        others = _standing(found.intents, now, without=announcement.writer)
        renewed = Record(envelope.stamped(making.token, now), max(now, found.changed), making.rules, others)
        slots.raise_ttl(key, envelope.record_bytes(renewed), making.record_ttl)
