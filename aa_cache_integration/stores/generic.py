"""Any other region of dogpile's, or of the application's own making: atomic within this process only."""

from __future__ import annotations

import os
import threading
import time
import weakref
from typing import Any

from aa_cache_integration.exceptions import StoreUnavailableError

__all__ = ("RegionSlots",)


class RegionSlots:
    """Bytes in a region's ``get``, ``set`` and ``delete``, each with its time of expiry before it."""

    def __init__(self, region: Any, missing: tuple[Any, ...]) -> None:
        """Serve a region.

        Args:
            region: The object with dogpile's region interface.
            missing: What its ``get`` returns for nothing.
        """
        self.lock = threading.RLock()
        self._region = region
        self._missing = missing
        self._latest = 0
        _live.add(self)

    def now(self) -> int:
        """Return the time of this process's clock (µs), which never goes back."""
        self._latest = max(self._latest, time.time_ns() // 1000)
        return self._latest

    def _reach(self, method: str, *arguments: Any) -> Any:
        try:
            return getattr(self._region, method)(*arguments)
        except Exception as error:
            # Which exceptions mean "unreachable" is known to the region's client alone, and a read may never fail because of the cache.
            raise StoreUnavailableError(f"{type(self._region).__name__}: {type(error).__name__}: {error}") from error

    def _entry(self, key: str) -> tuple[bytes, int] | None:
        found = self._reach("get", key)
        if not isinstance(found, bytes) or any(found is missing for missing in self._missing):
            return None
        expires, bar, raw = found.partition(b"|")
        if not bar or not expires.isdigit() or int(expires) <= self.now():
            return None
        return raw, int(expires)

    def get(self, key: str) -> bytes | None:
        """Return what stands under the key and hasn't expired."""
        entry = self._entry(key)
        return None if entry is None else entry[0]

    def put(self, key: str, raw: bytes, ttl: int) -> None:
        """Put bytes that live for ``ttl`` milliseconds."""
        self._put(key, raw, self.now() + ttl * 1000)

    def raise_ttl(self, key: str, raw: bytes, ttl: int) -> None:
        """Put bytes that live for ``ttl`` milliseconds or as long as what they replace, whichever is longer."""
        entry = self._entry(key)
        expires = self.now() + ttl * 1000
        self._put(key, raw, expires if entry is None else max(expires, entry[1]))

    def _put(self, key: str, raw: bytes, expires: int) -> None:
        self._reach("set", key, b"%d|%b" % (expires, raw))

    def drop(self, key: str) -> None:
        """Empty the key."""
        self._reach("delete", key)


_live: weakref.WeakSet[RegionSlots] = weakref.WeakSet()


def _after_fork() -> None:
    """Give the child locks of its own: a thread that only the parent has may have held one."""
    for slots in list(_live):
        slots.lock = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
