"""Faces of a store that suspend: the explorer decides when each step is taken, and takes it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from aa_cache_integration.core import envelope
from aa_cache_integration.stores.base import Announcement, Fill, Lease, LeaseAnswer, Making

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Sequence

__all__ = ("Face", "Operation", "SplitFace", "Step", "WholeFace", "step")


@dataclass(frozen=True)
class Operation:
    """One atomic operation on the store or the database."""

    name: str
    arguments: tuple[Any, ...] = ()


@dataclass(frozen=True)
class Step:
    """Where an actor stands: before one of some operations, whichever the explorer takes."""

    options: tuple[Operation, ...]
    held: Any = None
    """What the actor will need of its past after this step, beyond what the operations say."""

    def __await__(self) -> Generator[Step, tuple[int, Any], tuple[int, Any]]:
        """Suspend; return the option that was taken, and its answer."""
        return (yield self)


async def step(name: str, *arguments: Any, held: Any = None) -> Any:
    """Take one operation; return its answer."""
    _, answer = await Step((Operation(name, arguments),), held)
    return answer


class WholeFace:
    """Every step is one operation, as a lock or a script makes it."""

    atomic_lookup = True

    async def lookup(self, keys: Sequence[str]) -> list[bytes | None]:
        """See `Store.lookup`."""
        return list(await step("lookup", tuple(keys)))

    async def lease(self, requests: Sequence[Lease], making: Making) -> tuple[int, list[LeaseAnswer]]:
        """See `Store.lease`."""
        now, answers = await step("lease", tuple(requests), making)
        return now, list(answers)

    async def records(self, keys: Sequence[str], making: Making) -> tuple[int, list[bytes]]:
        """See `Store.records`."""
        now, found = await step("records", tuple(keys), making)
        return now, list(found)

    async def fill(self, fills: Sequence[Fill], making: Making, look: Sequence[str] = ()) -> tuple[int, list[bool], list[bytes | None]]:
        """See `Store.fill`."""
        now, put, seen = await step("fill", tuple(fills), making, tuple(look))
        return now, list(put), list(seen)

    async def release(self, leases: Sequence[tuple[str, str]]) -> None:
        """See `Store.release`."""
        await step("release", tuple(leases))

    async def announce(self, announcement: Announcement, timeout: int, making: Making) -> int:
        """See `Store.announce`."""
        return int(await step("announce", announcement, timeout, making))

    async def settle(self, announcement: Announcement, making: Making) -> int:
        """See `Store.settle`."""
        return int(await step("settle", announcement, making))

    async def sleep(self, seconds: float) -> None:
        """Nobody waits here: the last look of a reader that waits is that of one that came later."""
        raise NotImplementedError


class SplitFace(WholeFace):
    """Every step is split into one operation for each key, in the order of the last lines of DESIGN 5.4."""

    atomic_lookup = False

    def __init__(self, is_cell: Callable[[str], bool], *, any_order: bool) -> None:
        """Read key by key.

        Args:
            is_cell: Tells cells from records.
            any_order: Read records in any order, not only in the plan's. Writers always take any order.
        """
        self._is_cell = is_cell
        self._any_order = any_order

    async def lookup(self, keys: Sequence[str]) -> list[bytes | None]:
        """Take the cells, then their records."""
        cells = [key for key in keys if self._is_cell(key)]
        found: dict[str, bytes | None] = {}
        for key in cells:
            found[key] = (await step("lookup", (key,), held=found.copy()))[0]
        records = [key for key in keys if key not in found]
        answers = await self._read_records(records, lambda key: Operation("lookup", ((key,),)), found)
        found.update((key, raw) for key, (raw,) in answers.items())
        return [found[key] for key in keys]

    async def lease(self, requests: Sequence[Lease], making: Making) -> tuple[int, list[LeaseAnswer]]:
        """Take the leases on the cells alone, then their records; give back those whose records forbid it."""
        now, answers = 0, []
        for request in requests:
            now, (answer,) = await step("lease", (replace(request, records=(), required=0, before=0),), making, held=request)
            answers.append(await self._with_records(request, making) if answer.granted else answer)
        return now, answers

    async def _with_records(self, request: Lease, making: Making) -> LeaseAnswer:
        answers = await self._read_records(request.records, lambda key: Operation("records", ((key,), making)), request)
        found = [answers[key][1][0] for key in request.records]
        records = [envelope.parse_record(raw) for raw in found]
        reason = ""
        if any(record is None or record.intents for record in records[: request.required]):
            reason = "write intent"
        elif request.before and any(record is None or record.changed >= request.before for record in records):
            reason = "later than the snapshot"
        if reason:
            await step("release", ((request.cell, request.lease),), held=reason)
            return LeaseAnswer(granted=False, reason=reason)
        return LeaseAnswer(granted=True, reason="", records=tuple(found))

    async def fill(self, fills: Sequence[Fill], making: Making, look: Sequence[str] = ()) -> tuple[int, list[bool], list[bytes | None]]:
        """Put the values one by one, then look as `lookup` does."""
        now, put = 0, []
        for value in fills:
            now, (done,), _ = await step("fill", (value,), making, (), held=(tuple(put), look))
            put.append(done)
        return now, put, await self.lookup(look)

    async def announce(self, announcement: Announcement, timeout: int, making: Making) -> int:
        """Announce each key, in any order; all before COMMIT."""
        return await self._each(announcement, lambda part: Operation("announce", (part, timeout, making)))

    async def settle(self, announcement: Announcement, making: Making) -> int:
        """Settle each key, in any order."""
        return await self._each(announcement, lambda part: Operation("settle", (part, making)))

    async def _each(self, announcement: Announcement, operation: Callable[[Announcement], Operation]) -> int:
        cells, records = announcement.cells, announcement.records
        parts = [replace(announcement, cells=(cell,), records=()) for cell in cells]
        parts += [replace(announcement, cells=(), records=(record,)) for record in records]
        now = 0
        while parts:
            index, now = await Step(tuple(map(operation, parts)))
            del parts[index]
        return now

    async def _read_records(self, keys: Iterable[str], operation: Callable[[str], Operation], held: Any) -> dict[str, Any]:
        """Return the answers for each key."""
        found: dict[str, Any] = {}
        remaining = list(keys)
        while remaining:
            options = tuple(map(operation, remaining if self._any_order else remaining[:1]))
            index, answer = await Step(options, (held, sorted(found.items())))
            found[remaining.pop(index)] = answer
        return found


Face = WholeFace | SplitFace
