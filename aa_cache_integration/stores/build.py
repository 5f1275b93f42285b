"""The one place that builds stores: a dogpile region from a `CacheConfig`, and the faces of the store on it."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from aa_cache_integration._layers import Report
from aa_cache_integration._lookup import check_backend, known_backends
from aa_cache_integration.exceptions import BackendError, CacheError, MissingDependencyError
from aa_cache_integration.stores.generic import RegionSlots
from aa_cache_integration.stores.locked import LockedStore
from aa_cache_integration.stores.memory import MemorySlots
from aa_cache_integration.stores.null import DOGPILE_CACHE_INSTALLED, NO_VALUE, NullRegion, NullStore
from aa_cache_integration.stores.threads import ThreadedStore, Threads

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from aa_cache_integration.config import CacheConfig
    from aa_cache_integration.stores.base import Guarantee, Store

__all__ = ("Built", "PlainCodec", "build", "null")

_FOREVER = 10 * 365 * 24 * 3600


@dataclass(frozen=True)
class PlainCodec:
    """How plain values are written and read; given by the manager, for stores know no codec."""

    dumps: Callable[[Any], bytes]
    loads: Callable[[bytes], Any]


@dataclass(frozen=True)
class Built:
    """A region, the faces of its store, and what they promise."""

    region: Any
    blocking: Store
    asynchronous: Callable[[], Store]
    """Returns the face for the running event loop."""
    guarantee: Guarantee
    close: Callable[[], None]
    aclose: Callable[[], Awaitable[None]]
    serves: bool = True
    """Whether it keeps anything at all."""


def build(config: CacheConfig, plain: PlainCodec, threads: Threads) -> Built:
    """Build the store that a configuration names.

    Args:
        config: The cache's configuration.
        plain: How plain values are written.
        threads: Where blocking clients are awaited.

    Raises:
        BackendError: The back end is unknown, or refuses its arguments.
        MissingDependencyError: Its client library isn't installed.
    """
    if config.region_factory is not None:
        return _generic(_made_by_factory(config), threads)
    if config.backend == "dogpile.cache.null":
        return null(_region(config, plain, config.arguments))
    if config.backend in {"dogpile.cache.memory", "dogpile.cache.memory_pickle"} and "cache_dict" not in config.arguments:
        return _memory(config, plain)
    if config.backend == "dogpile.cache.redis":
        return _redis(config, plain, threads)
    return _generic(_region(config, plain, config.arguments, guarded=False), threads)


def null(region: Any = None) -> Built:
    """Return what keeps nothing."""
    store = NullStore()
    return Built(NullRegion() if region is None else region, store, lambda: store, "strict", _nothing, _nothing_async, serves=False)


def _memory(config: CacheConfig, plain: PlainCodec) -> Built:
    slots = MemorySlots(config.max_entries, _lifetime(config) * 1000)
    region = _region(config, plain, {**config.arguments, "cache_dict": slots}, backend="dogpile.cache.memory")
    asynchronous = LockedStore(slots, asyncio.sleep)
    return Built(region, LockedStore(slots, time.sleep), lambda: asynchronous, "strict", _nothing, _nothing_async)


def _redis(config: CacheConfig, plain: PlainCodec, threads: Threads) -> Built:
    from aa_cache_integration.stores.redis import RedisClients  # noqa: PLC0415 - an optional dependency

    clients = RedisClients(config.arguments, config.max_threads)
    lifetime = config.arguments.get("redis_expiration_time") or _lifetime(config)  # whatever the region puts expires too
    arguments = {**config.arguments, "redis_expiration_time": lifetime, "connection_pool": clients.pool}
    region = _region(config, plain, arguments)
    blocking = clients.blocking()
    threaded = ThreadedStore(blocking, threads)

    def asynchronous() -> Store:
        return clients.asynchronous() if clients.has_asynchronous else threaded

    return Built(region, blocking, asynchronous, "strict", clients.close, clients.aclose)


def _check(backend: str) -> None:
    """Raise for what dogpile.cache would tell late, or not at all: an unknown name, a client library that isn't installed."""
    report = Report()
    check_backend(report, ("backend",), backend)
    if report.problems:
        known = backend in known_backends()
        raise (MissingDependencyError if known else BackendError)(f"The backend {backend!r} can't be built: {report.problems[0]}")


def _made_by_factory(config: CacheConfig) -> Any:
    try:
        return config.region_factory(config) if config.region_factory else None
    except CacheError:
        raise
    except Exception as error:
        # The application's code may raise anything; without its region there is no cache, and the manager tells why.
        raise BackendError(f"The region_factory raised {type(error).__name__}: {error}") from error


def _generic(region: Any, threads: Threads) -> Built:
    blocking = LockedStore(RegionSlots(region, (None, NO_VALUE)), time.sleep)
    threaded = ThreadedStore(blocking, threads)
    return Built(region, blocking, lambda: threaded, "best effort", _nothing, _nothing_async)


def _region(config: CacheConfig, plain: PlainCodec, arguments: dict[str, Any], *, backend: str | None = None, guarded: bool = True) -> Any:
    if not DOGPILE_CACHE_INSTALLED:
        raise MissingDependencyError(f"The backend {config.backend!r} needs dogpile.cache: pip install dogpile.cache")
    _check(config.backend)
    from aa_cache_integration.stores import region  # noqa: PLC0415 - imports dogpile.cache, which a broken installation may not have

    return region.configured(config, plain, arguments, backend=backend, guarded=guarded)


def _lifetime(config: CacheConfig) -> int:
    """Return the seconds that what a region puts by itself lives."""
    return _FOREVER if config.expiration_time < 0 else max(1, config.expiration_time)


def _nothing() -> None:
    """There is nothing to close."""


async def _nothing_async() -> None:
    """There is nothing to close."""
