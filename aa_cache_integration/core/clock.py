"""What this process knows of the store's clock, without asking for it."""

from __future__ import annotations

import time

__all__ = ("StoreClock",)


class StoreClock:
    """An estimate of the store's time, from its last answer that told it and the monotonic clock since."""

    __slots__ = ("_offset",)

    def __init__(self) -> None:
        """Begin with this machine's own wall clock."""
        self._offset = time.time_ns() // 1000 - time.monotonic_ns() // 1000

    def learn(self, store_now: int) -> None:
        """Take a reading of the store's clock, in microseconds since the epoch."""
        self._offset = store_now - time.monotonic_ns() // 1000

    def now(self) -> int:
        """Return the estimated time of the store, in microseconds since the epoch."""
        return time.monotonic_ns() // 1000 + self._offset
