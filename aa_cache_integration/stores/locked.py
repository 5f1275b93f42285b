"""The store of everything that has a lock: memory, and any region of dogpile's under a mutex of this process."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from aa_cache_integration.core import envelope
from aa_cache_integration.stores import steps

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextlib import AbstractContextManager

    from aa_cache_integration.stores.base import Announcement, Fill, Lease, LeaseAnswer, Making

__all__ = ("LockedSlots", "LockedStore")


class LockedSlots(steps.Slots, Protocol):
    """Slots with the lock that makes a step atomic, and the clock that its times come from."""

    @property
    def lock(self) -> AbstractContextManager[Any]:
        """What makes a step atomic."""
        ...

    def now(self) -> int:
        """Return the store's time in microseconds since the epoch; it never goes back."""
        ...


class LockedStore:
    """A store whose steps never wait, so it is a blocking and an asynchronous face alike, but for how it sleeps."""

    atomic_lookup = True

    def __init__(self, slots: LockedSlots, sleep: Callable[[float], Any]) -> None:
        """Serve these slots.

        Args:
            slots: Where everything stands.
            sleep: How time passes on this face: a function, or one that returns an awaitable.
        """
        self._slots = slots
        self._sleep = sleep

    async def lookup(self, keys: Sequence[str]) -> list[bytes | None]:
        """See `Store.lookup`."""
        with self._slots.lock:
            return [self._slots.get(key) for key in keys]

    async def lease(self, requests: Sequence[Lease], making: Making) -> tuple[int, list[LeaseAnswer]]:
        """See `Store.lease`."""
        with self._slots.lock:
            now = self._slots.now()
            return now, [steps.lease(self._slots, request, now, making) for request in requests]

    async def records(self, keys: Sequence[str], making: Making) -> tuple[int, list[bytes]]:
        """See `Store.records`."""
        with self._slots.lock:
            now = self._slots.now()
            return now, [envelope.record_bytes(steps.record(self._slots, key, now, making)) for key in keys]

    async def fill(self, fills: Sequence[Fill], making: Making, look: Sequence[str] = ()) -> tuple[int, list[bool], list[bytes | None]]:
        """See `Store.fill`."""
        with self._slots.lock:
            now = self._slots.now()
            put = [steps.fill(self._slots, value, now, making) for value in fills]
            return now, put, [self._slots.get(key) for key in look]

    async def release(self, leases: Sequence[tuple[str, str]]) -> None:
        """See `Store.release`."""
        with self._slots.lock:
            for cell, lease_id in leases:
                steps.release(self._slots, cell, lease_id)

    async def announce(self, announcement: Announcement, timeout: int, making: Making) -> int:
        """See `Store.announce`."""
        with self._slots.lock:
            now = self._slots.now()
            steps.announce(self._slots, announcement, now, timeout, making)
            return now

    async def settle(self, announcement: Announcement, making: Making) -> int:
        """See `Store.settle`."""
        with self._slots.lock:
            now = self._slots.now()
            steps.settle(self._slots, announcement, now, making)
            return now

    async def sleep(self, seconds: float) -> None:
        """See `Store.sleep`."""
        waiting = self._sleep(seconds)
        if waiting is not None:
            await waiting
