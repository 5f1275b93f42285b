"""How a blocking store is awaited: each step in a bounded pool of threads."""

from __future__ import annotations

import asyncio
import contextvars
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from aa_cache_integration.core.drive import drive

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence

    from aa_cache_integration.stores.base import Announcement, Fill, Lease, LeaseAnswer, Making, Store

__all__ = ("ThreadedStore", "Threads")

T = TypeVar("T")


class Threads:
    """A pool of at most so many threads, made at its first use."""

    def __init__(self, limit: int) -> None:
        """Make no thread yet."""
        self._limit = limit
        self.renew_lock()
        self._pool: ThreadPoolExecutor | None = None
        self._process = os.getpid()

    def renew_lock(self) -> None:
        """Begin unlocked: at first, and in a child process, where the thread that held the lock isn't."""
        self._lock = threading.Lock()

    async def run(self, function: Callable[..., T], *arguments: Any) -> T:
        """Run a blocking function in the pool, in a copy of this context."""
        call: Callable[[], T] = partial(contextvars.copy_context().run, function, *arguments)  # pyright: ignore[reportAssignmentType]
        with self._lock:
            if self._pool is None or self._process != os.getpid():  # a fork inherits the pool, but not its threads
                self._pool, self._process = ThreadPoolExecutor(self._limit, thread_name_prefix="aa-cache"), os.getpid()
            future = asyncio.get_running_loop().run_in_executor(self._pool, call)
        return await future

    def close(self) -> None:
        """Let the threads end once they are idle."""
        with self._lock:
            pool, self._pool = self._pool, None
        if pool is not None:
            pool.shutdown(wait=False)


class ThreadedStore:
    """The asynchronous face of a store that has only a blocking one."""

    def __init__(self, store: Store, threads: Threads) -> None:
        """Await this store's steps in these threads."""
        self._store = store
        self._threads = threads
        self.atomic_lookup = store.atomic_lookup

    async def _run(self, step: Callable[..., Coroutine[Any, Any, T]], *arguments: Any) -> T:
        return await self._threads.run(lambda: drive(step(*arguments)))

    async def lookup(self, keys: Sequence[str]) -> list[bytes | None]:
        """See `Store.lookup`."""
        return await self._run(self._store.lookup, keys)

    async def lease(self, requests: Sequence[Lease], making: Making) -> tuple[int, list[LeaseAnswer]]:
        """See `Store.lease`."""
        return await self._run(self._store.lease, requests, making)

    async def records(self, keys: Sequence[str], making: Making) -> tuple[int, list[bytes]]:
        """See `Store.records`."""
        return await self._run(self._store.records, keys, making)

    async def fill(self, fills: Sequence[Fill], making: Making, look: Sequence[str] = ()) -> tuple[int, list[bool], list[bytes | None]]:
        """See `Store.fill`."""
        return await self._run(self._store.fill, fills, making, look)

    async def release(self, leases: Sequence[tuple[str, str]]) -> None:
        """See `Store.release`."""
        await self._run(self._store.release, leases)

    async def announce(self, announcement: Announcement, timeout: int, making: Making) -> int:
        """See `Store.announce`."""
        return await self._run(self._store.announce, announcement, timeout, making)

    async def settle(self, announcement: Announcement, making: Making) -> int:
        """See `Store.settle`."""
        return await self._run(self._store.settle, announcement, making)

    async def sleep(self, seconds: float) -> None:
        """See `Store.sleep`."""
        await asyncio.sleep(seconds)
