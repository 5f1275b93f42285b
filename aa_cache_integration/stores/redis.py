"""The Redis store: atomic steps by scripts, one command each, over redis-py and ``redis.asyncio``."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import threading
import time
import weakref
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from aa_cache_integration.exceptions import BackendError, MissingDependencyError, StoreUnavailableError
from aa_cache_integration.stores import redis_lua
from aa_cache_integration.stores.base import LeaseAnswer

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from aa_cache_integration.stores.base import Announcement, Fill, Lease, Making

__all__ = ("RedisClients", "RedisStore")

T = TypeVar("T")

_SCRIPTS = {name: getattr(redis_lua, name) for name in redis_lua.__all__}
_SHAS = {name: hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest() for name, text in _SCRIPTS.items()}

_SOCKET_TIMEOUT = 1.0
"""Seconds; dogpile's default is to wait for ever."""
_POOL_WAIT = 20.0
"""Seconds that a thread waits for a connection of the bounded pool."""


class RedisStore:
    """One face of the store; which one depends on what it was given to run a command and to sleep."""

    atomic_lookup = True

    def __init__(self, execute: Callable[..., Awaitable[Any]], sleep: Callable[[float], Any]) -> None:
        """Take the face.

        Args:
            execute: Runs one command and returns its answer; raises `StoreUnavailableError`.
            sleep: How time passes on this face: a function, or one that returns an awaitable.
        """
        self._execute = execute
        self._sleep = sleep

    async def sleep(self, seconds: float) -> None:
        """See `Store.sleep`."""
        waiting = self._sleep(seconds)
        if waiting is not None:
            await waiting

    async def _script(self, name: str, keys: Sequence[str], binary: Sequence[bytes] = (), **arguments: Any) -> Any:
        packed = msgspec.msgpack.encode(arguments)
        try:
            return await self._execute("EVALSHA", _SHAS[name], len(keys), *keys, packed, *binary)
        except _NoScriptError:
            return await self._execute("EVAL", _SCRIPTS[name], len(keys), *keys, packed, *binary)

    async def lookup(self, keys: Sequence[str]) -> list[bytes | None]:
        """See `Store.lookup`."""
        return list(await self._execute("MGET", *keys)) if keys else []

    async def lease(self, requests: Sequence[Lease], making: Making) -> tuple[int, list[LeaseAnswer]]:
        """See `Store.lease`."""
        keys = [key for request in requests for key in (request.cell, *request.records)]
        packed = [{"lease": r.lease, "records": len(r.records), "required": r.required, "ttl": r.ttl, "before": r.before} for r in requests]
        seen = [request.seen or b"" for request in requests]
        now, answers = await self._script("LEASE", keys, seen, requests=packed, **_making(making))
        return int(now), [LeaseAnswer(not reason, reason.decode(), tuple(records)) for reason, records in answers]

    async def records(self, keys: Sequence[str], making: Making) -> tuple[int, list[bytes]]:
        """See `Store.records`."""
        now, records = await self._script("RECORDS", keys, **_making(making))
        return int(now), list(records)

    async def fill(self, fills: Sequence[Fill], making: Making, look: Sequence[str] = ()) -> tuple[int, list[bool], list[bytes | None]]:
        """See `Store.fill`."""
        keys = [key for value in fills for key in (value.cell, *value.records)]
        packed = [{"lease": f.lease, "tokens": " ".join(f.tokens), "records": len(f.records), "ttl": f.ttl} for f in fills]
        tails = [value.tail for value in fills]
        now, put, seen = await self._script("FILL", [*keys, *look], tails, fills=packed, **_making(making))
        return int(now), [bool(flag) for flag in put], list(seen)

    async def release(self, leases: Sequence[tuple[str, str]]) -> None:
        """See `Store.release`."""
        await self._script("RELEASE", [cell for cell, _ in leases], leases=[lease for _, lease in leases])

    async def announce(self, announcement: Announcement, timeout: int, making: Making) -> int:
        """See `Store.announce`."""
        cells, records = announcement.cells, announcement.records
        (now,) = await self._script(
            "ANNOUNCE", [*cells, *records], cells=len(cells), writer=announcement.writer, timeout=timeout, **_making(making)
        )
        return int(now)

    async def settle(self, announcement: Announcement, making: Making) -> int:
        """See `Store.settle`."""
        cells, records = announcement.cells, announcement.records
        (now,) = await self._script("SETTLE", [*cells, *records], cells=len(cells), writer=announcement.writer, **_making(making))
        return int(now)


def _making(making: Making) -> dict[str, Any]:
    return {"token": making.token, "rules": making.rules, "record_ttl": making.record_ttl, "quarantine": making.quarantine}


class _NoScriptError(Exception):
    """The server doesn't know the script yet, or was restarted."""


class RedisClients:
    """The clients of one manager: a blocking one, and an asynchronous one for each event loop, all from dogpile's arguments."""

    def __init__(self, arguments: Mapping[str, Any], pool_size: int) -> None:
        """Read the arguments; connects to nothing.

        Args:
            arguments: dogpile's arguments of its Redis backend.
            pool_size: Connections of the blocking pool; a thread that finds all in use waits.

        Raises:
            MissingDependencyError: redis-py isn't installed.
            BackendError: redis-py refuses an argument.
        """
        try:
            import redis  # noqa: PLC0415 - an optional dependency
            import redis.asyncio as redis_asyncio  # noqa: PLC0415
        except ImportError as error:
            raise MissingDependencyError(
                'The backend dogpile.cache.redis needs redis-py: pip install "aa-cache-integration[redis]"'
            ) from error
        self._redis: Any = redis
        self._asyncio: Any = redis_asyncio
        self._arguments = dict(arguments)
        self._pool_size = pool_size
        self._by_loop: dict[asyncio.AbstractEventLoop, Any] = {}
        self._faces: dict[asyncio.AbstractEventLoop, RedisStore] = {}
        self._lock = threading.Lock()
        weakref.finalize(self, _abandon_all, self._by_loop)  # which must not lead back here
        given = arguments.get("connection_pool")
        self.has_asynchronous = given is None
        self.pool = given if given is not None else self._bounded_pool(redis)
        self._client: Any = redis.Redis(connection_pool=self.pool)

    def _bounded_pool(self, module: Any) -> Any:
        arguments = self._arguments
        options = dict(arguments.get("connection_kwargs", {}))
        options.setdefault("socket_timeout", _SOCKET_TIMEOUT)
        options.setdefault("socket_connect_timeout", _SOCKET_TIMEOUT)
        options.setdefault("health_check_interval", 30)
        for name in ("socket_timeout", "socket_connect_timeout", "socket_keepalive", "socket_keepalive_options", "ssl"):
            if arguments.get(name) is not None:
                options[name] = arguments[name]
        options["decode_responses"] = False
        try:
            if arguments.get("url") is not None:
                template = module.Redis.from_url(arguments["url"], **options)
            else:
                address = {name: arguments[name] for name in ("host", "port", "db", "username", "password") if name in arguments}
                template = module.Redis(**address, **options)
        except (TypeError, ValueError, self._redis.RedisError) as error:
            raise BackendError(f"redis-py refuses the arguments of dogpile.cache.redis: {error}") from error
        pool = template.connection_pool
        return module.BlockingConnectionPool(
            max_connections=self._pool_size, timeout=_POOL_WAIT, connection_class=pool.connection_class, **_retrying(module, pool)
        )

    def blocking(self) -> RedisStore:
        """Return the face for threads."""

        async def execute(*command: Any) -> Any:
            try:
                return self._client.execute_command(*command)
            except (self._redis.RedisError, OSError, AttributeError) as error:  # the last: redis-py's, of a connection closed meanwhile
                raise self._ours(error) from error

        return RedisStore(execute, time.sleep)

    def asynchronous(self) -> RedisStore:
        """Return the face for the running event loop, with a client of its own."""
        loop = asyncio.get_running_loop()
        found = self._faces.get(loop)
        if found is None:
            client = self._asyncio.Redis(connection_pool=self._bounded_pool(self._asyncio))
            found = self._asynchronous_face(client)
            with self._lock:  # loops of other threads come and go
                self._abandon_ended()
                self._by_loop[loop], self._faces[loop] = client, found
        return found

    def _abandon_ended(self) -> None:
        for loop in [loop for loop in self._by_loop if loop.is_closed()]:
            del self._faces[loop]
            _abandon(self._by_loop.pop(loop))

    def _asynchronous_face(self, client: Any) -> RedisStore:
        async def execute(*command: Any) -> Any:
            try:
                return await client.execute_command(*command)
            except (self._redis.RedisError, OSError, asyncio.TimeoutError, AttributeError) as error:  # the last: closed meanwhile
                raise self._ours(error) from error

        return RedisStore(execute, asyncio.sleep)

    def _ours(self, error: Exception) -> Exception:
        if isinstance(error, self._redis.exceptions.NoScriptError):
            return _NoScriptError()
        return StoreUnavailableError(f"Redis: {type(error).__name__}: {error}")

    def close(self) -> None:
        """Close the blocking client and the asynchronous ones of loops that have ended."""
        self._client.close()
        self.pool.disconnect()
        with self._lock:
            self._abandon_ended()

    async def aclose(self) -> None:
        """Close the running loop's client, then what `close` closes."""
        loop = asyncio.get_running_loop()
        with self._lock:
            client = self._by_loop.pop(loop, None)
            self._faces.pop(loop, None)
        if client is not None:
            await client.aclose()
            await client.connection_pool.disconnect()
        self.close()


def _retrying(module: Any, pool: Any) -> dict[str, Any]:
    """Return the pool's options, with one retry at once: a connection that the server has dropped meanwhile isn't an outage.

    A timeout isn't tried again: it would cost a request the same time once more.
    """
    from redis import exceptions  # noqa: PLC0415 - an optional dependency
    from redis.backoff import NoBackoff  # noqa: PLC0415

    retry_class = type(pool.connection_kwargs.get("retry")) if pool.connection_kwargs.get("retry") is not None else None
    options = dict(pool.connection_kwargs)
    if retry_class is None:
        from redis.asyncio.retry import Retry as AsyncRetry  # noqa: PLC0415
        from redis.retry import Retry  # noqa: PLC0415

        retry_class = AsyncRetry if module.__name__.endswith("asyncio") else Retry
    options["retry"] = retry_class(NoBackoff(), 1, supported_errors=(exceptions.ConnectionError,))
    return options


def _abandon_all(by_loop: dict[asyncio.AbstractEventLoop, Any]) -> None:
    """Close what a manager leaves behind that nobody closed.

    A loop that isn't closed still watches its sockets: only it may close them, or it would mistake the next of the same number for them.
    """
    while by_loop:
        loop, client = by_loop.popitem()
        try:
            loop.call_soon_threadsafe(_close_connections, client)
        except RuntimeError:  # it is closed
            _abandon(client)


def _connections(client: Any) -> tuple[Any, ...]:
    pool = client.connection_pool
    return (*getattr(pool, "_available_connections", ()), *getattr(pool, "_in_use_connections", ()))


def _close_connections(client: Any) -> None:
    for connection in _connections(client):
        writer = getattr(connection, "_writer", None)
        if writer is not None:
            writer.close()
        connection._reader = connection._writer = None  # noqa: SLF001 - redis-py's own finaliser would warn


def _abandon(client: Any) -> None:
    """Close the sockets of a client whose event loop has ended: the loop's own way of closing them is gone, and only warnings are left."""
    for connection in _connections(client):
        writer = getattr(connection, "_writer", None)
        if writer is not None:
            with contextlib.suppress(AttributeError, OSError):
                transport = writer.transport
                transport._sock.close()  # noqa: SLF001 - asyncio offers nothing for a loop that is closed
                transport._sock, transport._closing = None, True  # noqa: SLF001
        connection._reader = connection._writer = None  # noqa: SLF001 - redis-py's own finaliser would warn
