"""The protocol with one rule off, at its seams: around the store, around an actor's face of it, or one function in another's place."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from aa_cache_integration.core import envelope
from aa_cache_integration.core.snapshots import limits
from aa_cache_integration.stores.base import LeaseAnswer

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from aa_cache_integration.core.plans import Snapshot
    from aa_cache_integration.core.snapshots import Limits
    from aa_cache_integration.core.state import SharedState
    from aa_cache_integration.stores.base import Announcement, Fill, Lease, Making
    from aa_cache_integration.stores.locked import LockedStore
    from aa_cache_integration.stores.memory import MemorySlots

__all__ = ("MUTANTS", "NO_MUTANT", "Mutant")


@dataclass(frozen=True)
class Mutant:
    """A rule that is off."""

    name: str
    store: Callable[[LockedStore, MemorySlots], Any] = lambda store, _: store
    face: Callable[[Any], Any] = lambda face: face
    patches: Mapping[str, Any] = field(default_factory=dict)
    """Names of `core.protocol` and what they are to be."""
    remembers: bool = False
    """Whether its face keeps something from step to step."""


class _Around:
    """All that the wrapped one does, but for what a subclass does otherwise."""

    def __init__(self, inner: Any, slots: Any = None) -> None:
        self.inner, self.slots = inner, slots

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)


class _NoLeases(_Around):
    """Leases are granted and not put; a fill is put whatever stands there."""

    async def lease(self, requests: Sequence[Lease], making: Making) -> tuple[int, list[LeaseAnswer]]:
        answers = []
        for request in requests:
            _, records = await self.inner.records(request.records, making)
            answers.append(LeaseAnswer(granted=True, reason="", records=tuple(records)))
        return self.slots.now(), answers

    async def fill(self, fills: Sequence[Fill], making: Making, look: Sequence[str] = ()) -> tuple[int, list[bool], list[bytes | None]]:
        now = self.slots.now()
        for value in fills:
            self.slots.put(value.cell, envelope.value_bytes(now, value.tokens, value.tail), value.ttl)
        return now, [True] * len(fills), await self.inner.lookup(look)


class _NoIntents(_Around):
    """An announcement puts nothing."""

    async def announce(self, announcement: Announcement, timeout: int, making: Making) -> int:
        return self.slots.now()


class _OthersIntents(_Around):
    """A writer that settles a cell takes the intents of all others away too."""

    async def settle(self, announcement: Announcement, making: Making) -> int:
        now = await self.inner.settle(announcement, making)
        for cell in announcement.cells:
            self.slots.drop(cell)
        return now


class _AnyFill(_Around):
    """A snapshot's leases are granted as those of others."""

    async def lease(self, requests: Sequence[Lease], making: Making) -> Any:
        return await self.inner.lease(
            [replace(request, before=0, required=1) if request.before else request for request in requests], making
        )


class _TokensOfLookup(_Around):
    """The lease comes without records: those seen at lookup are gone by."""

    def __init__(self, inner: Any) -> None:
        super().__init__(inner)
        self.seen: dict[str, bytes | None] = {}

    async def lookup(self, keys: Sequence[str]) -> list[bytes | None]:
        found = await self.inner.lookup(keys)
        self.seen = dict(zip(keys, found, strict=True))
        return found

    async def lease(self, requests: Sequence[Lease], making: Making) -> tuple[int, list[LeaseAnswer]]:
        lost = [key for key, raw in self.seen.items() if raw is None and key in requests[0].records]
        if lost:
            self.seen.update(zip(lost, (await self.inner.records(lost, making))[1], strict=True))
        now, answers = await self.inner.lease([replace(request, records=(), required=0, before=0) for request in requests], making)
        return now, [self._judged(request, answer) for request, answer in zip(requests, answers, strict=True)]

    def _judged(self, request: Lease, answer: LeaseAnswer) -> LeaseAnswer:
        raws = tuple(self.seen[key] or b"" for key in request.records)
        records = [envelope.parse_record(raw) for raw in raws]
        if any(record is None or record.intents for record in records[: request.required]):
            return LeaseAnswer(granted=False, reason="write intent")
        if request.before and any(record is None or record.changed >= request.before for record in records):
            return LeaseAnswer(granted=False, reason="later than the snapshot")
        return replace(answer, records=raws) if answer.granted else answer


class _TokensOfFill(_Around):
    """A value bears the tokens that its records have when it is put."""

    def __init__(self, inner: Any) -> None:
        super().__init__(inner)
        self.records_of: dict[str, tuple[str, ...]] = {}

    async def lease(self, requests: Sequence[Lease], making: Making) -> Any:
        self.records_of.update((request.cell, request.records) for request in requests)
        return await self.inner.lease(requests, making)

    async def fill(self, fills: Sequence[Fill], making: Making, look: Sequence[str] = ()) -> Any:
        return await self.inner.fill([await self._renewed(value, making) for value in fills], making, look)

    async def _renewed(self, value: Fill, making: Making) -> Fill:
        _, raws = await self.inner.records(self.records_of[value.cell][: len(value.tokens)], making)
        return replace(value, tokens=tuple(record.token for raw in raws if (record := envelope.parse_record(raw))))


def _read_anything(snapshot: Snapshot | None, state: SharedState, _started: int | None = None) -> Limits | None:
    """Let a reader have values whenever they were filled."""
    allowed = limits(snapshot, state)
    return allowed and replace(allowed, readable=None)


NO_MUTANT = Mutant("the protocol")
MUTANTS = (
    Mutant("no leases", store=_NoLeases),
    Mutant("no intents", store=_NoIntents),
    Mutant("settling takes others' intents", store=_OthersIntents),
    Mutant("snapshots read any value", patches={"limits": _read_anything}),
    Mutant("snapshots fill anything", face=_AnyFill),
    Mutant("tokens of the fill", face=_TokensOfFill, remembers=True),
    Mutant("records before the lease", face=_TokensOfLookup, remembers=True),
)
