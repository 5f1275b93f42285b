"""Invalidations that the store doesn't know of yet (DESIGN 5.8)."""

from __future__ import annotations

import itertools
import math
import threading
import time
from typing import TYPE_CHECKING

from aa_cache_integration.stores.base import Announcement

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ("Debts",)

_MOST = 100
"""Debts owed one by one. Above, everything is: an outage may be long, what it costs afterwards must be bounded."""


class Debts:
    """What couldn't be announced or settled; while anything is owed, this process trusts no cached value."""

    __slots__ = ("_clock", "_everything", "_lock", "_numbers", "_owed")

    def __init__(self, everything: tuple[str, ...], clock: Callable[[], float] = time.monotonic) -> None:
        """Owe nothing.

        Args:
            everything: The records that are owed in place of too many debts: the namespace that all depend on.
            clock: A monotonic clock in seconds.
        """
        self._everything = everything
        self._clock = clock
        self.renew_lock()
        self._numbers = itertools.count()
        self._owed: dict[Announcement, float] = {}

    def renew_lock(self) -> None:
        """Begin unlocked: at first, and in a child process, where the thread that held the lock isn't."""
        self._lock = threading.RLock()  # the garbage collector may come in between, and owe

    def __bool__(self) -> bool:
        """Whether anything is owed."""
        return bool(self._owed)

    def owe(self, announcement: Announcement, payable_in: float = 0.0) -> None:
        """Owe an invalidation.

        Args:
            announcement: What must be settled.
            payable_in: Seconds until it may be: infinity while its COMMIT is still to come.
        """
        with self._lock:
            self._owed[announcement] = self._clock() + payable_in if payable_in < math.inf else math.inf
            payable = self.payable() if len(self._owed) > _MOST else []
            if len(payable) > _MOST // 2:
                for owed in payable:
                    del self._owed[owed]
                # A name of its own each time: who has just paid the last one must not forgive this one.
                self._owed[Announcement(f"debts-{next(self._numbers)}", (), self._everything)] = self._clock()

    def pending(self, announcement: Announcement) -> bool:
        """Whether this one is owed."""
        return announcement in self._owed

    def forgive(self, announcement: Announcement) -> None:
        """Owe this one no more: its writer has settled it, or nothing was committed."""
        with self._lock:
            self._owed.pop(announcement, None)

    def payable(self) -> list[Announcement]:
        """Return what may be settled now."""
        now = self._clock()
        return [announcement for announcement, since in list(self._owed.items()) if since <= now]
