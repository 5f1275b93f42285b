"""No store at all: the region that keeps nothing, for when dogpile.cache is absent or the cache is off."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

try:
    from dogpile.cache.api import NO_VALUE as _NO_VALUE

    NO_VALUE: Any = _NO_VALUE
    DOGPILE_CACHE_INSTALLED = True
except ImportError:  # pragma: no cover - dogpile.cache is a core dependency; a broken installation still imports

    class _NoValue:
        def __bool__(self) -> bool:
            return False

        def __repr__(self) -> str:
            return "<NO_VALUE>"

    NO_VALUE = _NoValue()
    DOGPILE_CACHE_INSTALLED = False

from aa_cache_integration.stores.base import LeaseAnswer

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from aa_cache_integration.stores.base import Announcement, Fill, Lease, Making

__all__ = ("DOGPILE_CACHE_INSTALLED", "NO_VALUE", "NullRegion", "NullStore", "SyncCacheRegionProtocol")


@runtime_checkable
class SyncCacheRegionProtocol(Protocol):
    """What a region has: the part of dogpile.cache's ``CacheRegion`` that a manager relies on."""

    def get(self, key: str, expiration_time: int | None = None) -> Any:
        """Return the value under ``key``, or ``NO_VALUE``."""
        ...

    def get_or_create(self, key: str, creator: Callable[[], Any], expiration_time: int | None = None) -> Any:
        """Return the value under ``key``, made by ``creator`` when there is none."""
        ...

    def set(self, key: str, value: Any) -> None:
        """Put a value under ``key``."""
        ...

    def delete(self, key: str) -> None:
        """Remove what stands under ``key``."""
        ...

    def invalidate(self) -> None:
        """Forget everything."""
        ...

    def configure(
        self,
        backend: str,
        expiration_time: int | None = None,
        arguments: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> SyncCacheRegionProtocol:
        """Choose the backend."""
        ...


class NullRegion:
    """A region that holds nothing: every read is a miss, every write is forgotten."""

    def get(self, key: str, expiration_time: int | None = None) -> Any:  # noqa: ARG002 - the region's interface
        """Return ``NO_VALUE``."""
        return NO_VALUE

    def get_or_create(self, key: str, creator: Callable[[], Any], expiration_time: int | None = None) -> Any:  # noqa: ARG002
        """Return what ``creator`` makes, always anew."""
        return creator()

    def set(self, key: str, value: Any) -> None:
        """Forget the value."""

    def delete(self, key: str) -> None:
        """Do nothing."""

    def invalidate(self) -> None:
        """Do nothing."""

    def configure(
        self,
        backend: str,  # noqa: ARG002
        expiration_time: int | None = None,  # noqa: ARG002
        arguments: Mapping[str, Any] | None = None,  # noqa: ARG002
        **options: Any,  # noqa: ARG002
    ) -> NullRegion:
        """Ignore the choice."""
        return self


class NullStore:
    """The store of a `NullRegion`: grants nothing, keeps nothing, and can always be told."""

    atomic_lookup = True

    async def lookup(self, keys: Sequence[str]) -> list[bytes | None]:
        """Find nothing."""
        return [None] * len(keys)

    async def lease(self, requests: Sequence[Lease], making: Making) -> tuple[int, list[LeaseAnswer]]:  # noqa: ARG002
        """Grant nothing."""
        return 0, [LeaseAnswer(granted=False, reason="write intent")] * len(requests)

    async def records(self, keys: Sequence[str], making: Making) -> tuple[int, list[bytes]]:  # noqa: ARG002
        """Know no record."""
        return 0, [b""] * len(keys)

    async def fill(self, fills: Sequence[Fill], making: Making, look: Sequence[str] = ()) -> tuple[int, list[bool], list[bytes | None]]:  # noqa: ARG002
        """Put nothing."""
        return 0, [False] * len(fills), [None] * len(look)

    async def release(self, leases: Sequence[tuple[str, str]]) -> None:
        """Do nothing."""

    async def announce(self, announcement: Announcement, timeout: int, making: Making) -> int:  # noqa: ARG002
        """Do nothing."""
        return 0

    async def settle(self, announcement: Announcement, making: Making) -> int:  # noqa: ARG002
        """Do nothing."""
        return 0

    async def sleep(self, seconds: float) -> None:
        """Do nothing."""
