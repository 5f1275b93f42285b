"""The memory store's slots: a bounded dictionary that dogpile's memory backend and our atomic steps share."""

from __future__ import annotations

import os
import threading
import time
import weakref
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

from aa_cache_integration.core import envelope

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ("MemorySlots",)

_SWEEP_AT_LEAST = 1000


_BEGAN = time.time_ns() // 1000 - time.monotonic_ns() // 1000


def _steady_clock() -> int:
    """Return the time since the epoch (µs), as a clock that nobody sets: only this process reads it."""
    return _BEGAN + time.monotonic_ns() // 1000


class MemorySlots:
    """Bytes by key with a time to live; the least recently used go first, a standing write intent never."""

    def __init__(self, max_entries: int | None, default_ttl: int, clock: Callable[[], int] = _steady_clock) -> None:
        """Begin empty.

        Args:
            max_entries: Entries held before the least recently used are evicted; ``None``: no bound.
            default_ttl: Milliseconds that what is put through the dictionary's own interface lives.
            clock: The store's time in microseconds since the epoch.
        """
        self.lock = threading.RLock()
        self._entries: OrderedDict[str, tuple[bytes, int]] = OrderedDict()
        self._max_entries = max_entries
        self._default_ttl = default_ttl
        self._clock = clock
        self._latest = 0
        self._writes = 0
        _live.add(self)

    def now(self) -> int:
        """Return the store's time (µs), which never goes back."""
        self._latest = max(self._latest, self._clock())
        return self._latest

    def __len__(self) -> int:
        """Return the number of entries, expired ones that weren't swept yet included."""
        return len(self._entries)

    def get(self, key: str, default: Any = None) -> Any:
        """Return what stands under the key and hasn't expired."""
        with self.lock:
            entry = self._entries.get(key)
            if entry is None:
                return default
            if entry[1] <= self.now():
                del self._entries[key]
                return default
            self._entries.move_to_end(key)
            return entry[0]

    def put(self, key: str, raw: bytes, ttl: int) -> None:
        """Put bytes that live for ``ttl`` milliseconds."""
        with self.lock:
            self._put(key, raw, self.now() + ttl * 1000)

    def raise_ttl(self, key: str, raw: bytes, ttl: int) -> None:
        """Put bytes that live for ``ttl`` milliseconds or as long as what they replace, whichever is longer."""
        with self.lock:
            entry = self._entries.get(key)
            expires = self.now() + ttl * 1000
            self._put(key, raw, expires if entry is None else max(expires, entry[1]))

    def drop(self, key: str) -> None:
        """Empty the key."""
        self.pop(key, None)

    def pop(self, key: str, default: Any = None) -> Any:
        """Remove the key and return what stood there."""
        with self.lock:
            entry = self._entries.pop(key, None)
            return default if entry is None else entry[0]

    def clear(self) -> None:
        """Remove everything."""
        self._entries.clear()

    def __setitem__(self, key: str, raw: bytes) -> None:
        """Put bytes in the way of dogpile's memory backend."""
        self.put(key, raw, self._default_ttl)

    def _put(self, key: str, raw: bytes, expires: int) -> None:
        self._entries[key] = (raw, expires)
        self._entries.move_to_end(key)
        self._writes += 1
        if self._writes > max(_SWEEP_AT_LEAST, len(self._entries)):
            self._sweep()
        if self._max_entries is not None and len(self._entries) > self._max_entries:
            self._evict()

    def _sweep(self) -> None:
        """Drop what has expired; once for as many writes as there are entries, so each write pays for one."""
        self._writes = 0
        now = self.now()
        for key in [key for key, (_, expires) in self._entries.items() if expires <= now]:
            del self._entries[key]

    def _evict(self) -> None:
        for _ in range(len(self._entries)):
            key, (raw, _) = next(iter(self._entries.items()))
            if not self._announced(raw):
                del self._entries[key]
                return
            self._entries.move_to_end(key)

    def _announced(self, raw: bytes) -> bool:
        found = envelope.parse_record(raw)
        now = self.now()
        return any(intent.deadline > now for intent in (found.intents if found else envelope.cell_intents(raw)))


_live: weakref.WeakSet[MemorySlots] = weakref.WeakSet()


def _after_fork() -> None:
    """Give the child locks of its own: another thread of the parent may have held one, with a step half done."""
    for slots in list(_live):
        slots.lock = threading.RLock()
        slots.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
