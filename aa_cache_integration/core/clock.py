"""What this process knows of the store's clock, without asking for it (DESIGN 5.5)."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ("StoreClock",)

_DRIFT: Final = 0.001
"""By how much two clocks may run apart: a thousandth, twice what clocks that are being set right are let run off by."""
_ROUNDED: Final = 2
"""Microseconds that are lost in counting whole ones."""
_FRESH: Final = 60_000_000
"""Microseconds for which a reading is good enough to date a snapshot."""


@dataclass(frozen=True, slots=True)
class _Reading:
    """The store's clock was ahead of the monotonic one by ``low`` to ``high`` µs at some moment from ``sent`` to ``received``."""

    low: int
    high: int
    sent: int
    received: int


class StoreClock:
    """An estimate of the store's time, from its answers that told it and the monotonic clock since.

    An answer was written after the step was sent and before it arrived, so each reading bounds the difference of the clocks from both
    sides (as NTP does it). Two readings that can't both be true mean that the store's clock was set, or that another server answers now;
    snapshots that are older than that can't be dated any more.
    """

    __slots__ = ("_jumped", "_monotonic_ns", "_reading", "_skew", "_wall")

    def __init__(self, skew: float = 0.0, monotonic_ns: Callable[[], int] = time.monotonic_ns) -> None:
        """Begin with this machine's own wall clock, which nothing is dated by.

        Args:
            skew: Seconds by which the clocks may drift apart between two readings.
            monotonic_ns: A monotonic clock in nanoseconds.
        """
        self._monotonic_ns = monotonic_ns
        self._skew = round(skew * 1_000_000)
        self._wall = time.time_ns() // 1000 - monotonic_ns() // 1000
        self._reading: _Reading | None = None
        self._jumped = 0

    def sent(self) -> int:
        """Return the monotonic time (ns), to be given to `learn` with the answer to the step that is sent now."""
        return self._monotonic_ns()

    def learn(self, store_now: int, sent: int) -> None:
        """Take a reading of the store's clock.

        Args:
            store_now: Microseconds since the epoch, as the answer told it.
            sent: What `sent` returned before the step was sent.
        """
        began, received = sent // 1000, self._monotonic_ns() // 1000
        low, high = store_now - received, store_now - began
        known = self._reading
        if known is not None:
            slack = round((received - known.sent) * _DRIFT) + _ROUNDED
            if low > known.high + slack + self._skew or high < known.low - slack - self._skew:
                self._jumped = self._monotonic_ns()
                if began < known.received:  # which of the two is the older one, nobody knows
                    self._reading = None
                    return
            else:
                low = min(max(low, known.low - slack), high)
                high = max(min(high, known.high + slack), low)
        self._reading = _Reading(low, high, began, received)

    def now(self) -> int:
        """Return the estimated time of the store, in microseconds since the epoch: not later than it is."""
        known = self._reading
        return self._monotonic_ns() // 1000 + (self._wall if known is None else known.low)

    @property
    def fresh(self) -> bool:
        """Whether there is a reading that is good enough to date a snapshot."""
        known = self._reading
        return known is not None and self._monotonic_ns() // 1000 - known.sent < _FRESH

    def bound(self, since: int) -> int | None:
        """Return a lower bound of the store's time at a monotonic time.

        Args:
            since: Nanoseconds of the monotonic clock.

        Returns:
            Microseconds since the epoch; ``None``: it can't be told, for there is no fresh reading, or the store's clock jumped since.
        """
        known = self._reading
        if known is None or not self.fresh or since <= self._jumped:
            return None
        moment = since // 1000
        drifted = round(max(abs(moment - known.sent), abs(moment - known.received)) * _DRIFT)
        return moment + known.low - drifted - self._skew
