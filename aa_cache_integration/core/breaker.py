"""What keeps an outage of the store from costing every request a timeout (DESIGN 5.8)."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ("Breaker",)


class Breaker:
    """A circuit breaker: a failure opens it, one probe at a time may close it again."""

    def __init__(self, rest: float = 0.5, longest: float = 10.0, clock: Callable[[], float] = time.monotonic) -> None:
        """Begin closed.

        Args:
            rest: Seconds without a try after the first failure; doubled with each further one.
            longest: Seconds that the rest grows to.
            clock: A monotonic clock in seconds.
        """
        self._first_rest, self._longest, self._clock = rest, longest, clock
        self.renew_lock()
        self._rest = rest
        self._until: float | None = None
        self._probing = False

    def renew_lock(self) -> None:
        """Begin unlocked: at first, and in a child process, where the thread that held the lock isn't."""
        self._lock = threading.Lock()

    def allows(self) -> bool:
        """Whether the store may be asked now; while open, true once per rest, for the probe."""
        if self._until is None:
            return True
        with self._lock:
            now = self._clock()
            if self._until is not None and now < self._until:
                return False
            if self._until is not None:
                self._until, self._probing = now + self._rest, True
            return True

    def failed(self) -> bool:
        """Open; return whether it was closed until now.

        Of the requests that were under way when an outage began, the first failure counts; while it lasts, the probe's does.
        """
        with self._lock:
            opened = self._until is None
            if opened:
                self._rest = self._first_rest
            elif self._probing:
                self._rest = min(self._rest * 2, self._longest)
            else:
                return False
            self._until, self._probing = self._clock() + self._rest, False
            return opened

    def succeeded(self) -> bool:
        """Close; return whether it was open until now."""
        if self._until is None:
            return False
        with self._lock:
            closed = self._until is not None
            self._until, self._probing = None, False
            return closed
