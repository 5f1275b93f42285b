"""What is put between the cache and its store.

Steps that are slow, as on a network, so that others come between; death at a chosen step of a COMMIT; and rules that are broken, to see
whether it is noticed.
"""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from aa_cache_integration.core import envelope, protocol
from aa_cache_integration.orm import fetch
from aa_cache_integration.stores.base import Announcement
from tests.torture.records import Announced, Died, Fault, Settled, now
from tests.torture.tracking import current

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Sequence

    from aa_cache_integration import CacheManager
    from aa_cache_integration.stores.base import Fill, Making, Store
    from tests.torture.records import Log

__all__ = ("BREAKABLE", "STEPS", "Perils", "break_rule", "put_in_peril")

STEPS: Final = ("before the intents", "before COMMIT", "before settling", "in the middle of settling", "after settling")
BREAKABLE: Final = {
    "intents": "writers announce nothing before COMMIT",
    "leases": "readers fill without a lease",
    "tokens": "readers fill with the records as they are at the fill, not as they were at the lease",
    "own-writes": "a transaction's own writes don't keep it from the cache",
    "snapshots": "reads of a snapshot transaction are made outside of it",
    "snapshot-reads": "a snapshot transaction takes values of any age",
    "snapshot-fills": "a snapshot transaction fills what has changed since it began",
}
"""Rules of the protocol that ``--break`` switches off, and what happens then."""
_SLOW, _SLOWEST = 0.1, 0.15
"""The share of slow steps, and the seconds that they take at most; on average a quarter of that."""


@dataclass
class Perils:
    """What threatens one process."""

    log: Log
    chance: random.Random
    death: tuple[str, int] | None = None
    """At which step the process kills itself, and from when on (ns)."""
    broken: str = ""
    tells: bool = False
    """Whether announcements and settlements are written down."""
    flush: Callable[[], object] | None = None
    """Empties the cache server, now and then just before COMMIT, when the intents stand."""
    robs: float = 0.0
    """The share of COMMITs to which that happens; they are slow then."""

    def step(self, step: str) -> None:
        """Die, if it is time to."""
        if self.death is not None and self.death[0] == step and now() >= self.death[1]:
            self.log.write(Died(now(), step))
            os.kill(os.getpid(), signal.SIGKILL)

    def lose(self) -> bool:
        """Lose the intents, now and then; return whether it was done."""
        if self.flush is None or self.chance.random() >= self.robs:
            return False
        began = now()
        with suppress(Exception):  # another fault is under way
            self.flush()
        self.log.write(Fault("flush", began, now(), "before COMMIT"))
        return True


class PerilousStore:
    """A face of a store with perils."""

    def __init__(self, store: Store, perils: Perils) -> None:
        """Stand before a store."""
        self._store = store
        self._perils = perils

    def __getattr__(self, name: str) -> Any:
        """Give all other steps as they are."""
        return getattr(self._store, name)

    async def _be_slow(self, *, robbed: bool = False) -> None:
        if robbed:
            await self._store.sleep(self._perils.chance.uniform(_SLOWEST, 2 * _SLOWEST))
        elif self._perils.chance.random() < _SLOW:
            await self._store.sleep(_SLOWEST * self._perils.chance.random() ** 3)

    async def announce(self, announcement: Announcement, timeout: int, making: Making) -> int:
        """See `Store.announce`."""
        perils, transaction = self._perils, current.get()
        committing = transaction is not None and transaction.committing
        if committing:
            perils.step("before the intents")
        if perils.tells and transaction is not None:
            perils.log.write(Announced(now(), transaction.name, announcement.writer))
        if perils.broken == "intents":
            announcement = Announcement(announcement.writer, (), ())
        await self._be_slow()
        at = await self._store.announce(announcement, timeout, making)
        if committing and transaction is not None:
            if perils.lose():
                transaction.robbed = True
                await self._be_slow(robbed=True)
            perils.step("before COMMIT")
        return at

    async def settle(self, announcement: Announcement, making: Making) -> int:
        """See `Store.settle`."""
        perils, transaction = self._perils, current.get()
        committing = transaction is not None and transaction.committing
        if committing:
            perils.step("before settling")
            if perils.death is not None and perils.death[0] == "in the middle of settling" and now() >= perils.death[1]:
                half = Announcement(announcement.writer, announcement.cells[::2], announcement.records[::2])
                await self._store.settle(half, making)
                perils.step("in the middle of settling")
        await self._be_slow(robbed=transaction is not None and transaction.robbed)
        at = await self._store.settle(announcement, making)
        if perils.tells:
            perils.log.write(Settled(now(), announcement.writer))
        if committing:
            perils.step("after settling")
        return at

    async def fill(self, fills: Sequence[Fill], making: Making, look: Sequence[str] = ()) -> tuple[int, list[bool], list[bytes | None]]:
        """See `Store.fill`."""
        await self._be_slow()
        if self._perils.broken == "leases":
            fills = [await self._current(fill, making, lease="") for fill in fills]
            for fill in fills:
                await self._store.settle(Announcement("", (fill.cell,), ()), making)
        elif self._perils.broken == "tokens":
            fills = [await self._current(fill, making, lease=fill.lease) for fill in fills]
        return await self._store.fill(fills, making, look)

    async def _current(self, fill: Fill, making: Making, *, lease: str) -> Fill:
        """Return a fill that depends on the records as they are now."""
        keys = _records.get(fill.cell, ())[: len(fill.tokens)]
        if not keys:
            return replace(fill, lease=lease)
        _, raws = await self._store.records(list(keys), making)
        found = [envelope.parse_record(raw) for raw in raws]
        return replace(fill, lease=lease, tokens=tuple(record.token if record else "" for record in found))

    async def lease(self, requests: Sequence[Any], making: Making) -> Any:
        """See `Store.lease`."""
        if self._perils.broken in {"leases", "tokens"}:
            _records.update({request.cell: request.records for request in requests})
        return await self._store.lease(requests, making)


_records: dict[str, tuple[str, ...]] = {}
"""On which records the value of a cell depends; known where a rule about them is broken."""


def put_in_peril(manager: CacheManager, perils: Perils) -> None:
    """Put the perils before a manager's store."""
    built = manager._store()
    faces: dict[str, Any] = {
        "blocking": PerilousStore(built.blocking, perils),
        "asynchronous": lambda: PerilousStore(built.asynchronous(), perils),
    }
    manager._built = replace(built, **faces)


def break_rule(rule: str) -> None:
    """Switch off a rule that isn't the store's to keep."""
    if rule == "own-writes":
        fetch.sees_uncommitted = lambda *_: False  # type: ignore[assignment]
    elif rule in {"snapshot-reads", "snapshot-fills"}:
        limits, dropped = protocol.limits, {"readable": None} if rule == "snapshot-reads" else {"fillable": 0}

        def broken(*arguments: Any) -> Any:
            allowed = limits(*arguments)
            return None if allowed is None else replace(allowed, **dropped)

        protocol.limits = broken
