"""CacheManager: the public operations of one cache, each as a thin pair over `operations`."""

from __future__ import annotations

import inspect
import os
import threading
import weakref
from typing import TYPE_CHECKING, Any, TypeVar, cast

from aa_cache_integration import config as configuration
from aa_cache_integration import events
from aa_cache_integration.codecs import plain
from aa_cache_integration.core import envelope
from aa_cache_integration.core.drive import drive
from aa_cache_integration.core.flights import Flights, LoopGate, ThreadGate
from aa_cache_integration.core.protocol import Protocol
from aa_cache_integration.core.state import SharedState
from aa_cache_integration.exceptions import ConfigurationError, ModelError, SerializationError
from aa_cache_integration.operations import Operations
from aa_cache_integration.planner import Planner
from aa_cache_integration.stores import build as stores
from aa_cache_integration.stores.null import NullRegion, SyncCacheRegionProtocol
from aa_cache_integration.stores.threads import Threads

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from sqlalchemy.ext.asyncio import AsyncSession, async_scoped_session
    from sqlalchemy.orm import Session, scoped_session

    from aa_cache_integration.config import CacheConfig
    from aa_cache_integration.events import EventHook
    from aa_cache_integration.stores.base import Guarantee

__all__ = ("CacheManager", "live_managers")

T = TypeVar("T")

_live: weakref.WeakSet[CacheManager] = weakref.WeakSet()


def live_managers() -> tuple[CacheManager, ...]:
    """Return every manager of this process that is in use, whoever built it."""
    while True:
        try:
            return tuple(_live)
        except RuntimeError:  # noqa: PERF203 - another thread has built one meanwhile; without a lock, for a fork may come at any time
            continue


def _after_fork() -> None:
    """Give the child locks and flights of its own: their owners are threads that only the parent has."""
    for manager in live_managers():
        manager.renew_locks()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


class CacheManager:
    """One cache: plain values, rows by primary key and lists, kept right by the consistency protocol.

    Every operation comes as ``*_sync`` and ``*_async``. A read never fails because of the cache: when its server can't be reached,
    the answer is a miss.

    Example:
        Sync usage::

            manager = CacheManager(CacheConfig(backend="dogpile.cache.memory", expiration_time=300))
            result = manager.get_or_create_sync("users:1", lambda: fetch_user_from_db(1))

        Async usage::

            result = await manager.get_or_create_async("users:1", lambda: fetch_user_from_db(1))
    """

    def __init__(self, config: CacheConfig, *, alias: str = "-", hooks: Sequence[EventHook] | None = None) -> None:
        """Prepare a cache; nothing is built or connected before the first use.

        Args:
            config: What the cache is told.
            alias: Its name in events.
            hooks: Who is told of its events; ``None``: the process's hooks.

        Raises:
            ConfigurationError: The configuration holds values of the wrong type or out of range; all are named.
        """
        problems = configuration.validate(config)
        if problems:
            raise ConfigurationError("This CacheConfig can't be used:\n" + "\n".join(f"  - {problem}" for problem in problems))
        self.config = config
        self.alias = alias
        self.planner = Planner(config)
        self.emitter = events.Emitter(alias, config.bind_group, hooks)
        self._state = SharedState(config, self.emitter)
        self._threads = Threads(config.max_threads)
        self._built: stores.Built | None = None
        self._blocking: Operations | None = None
        self.renew_locks()
        _live.add(self)

    def renew_locks(self) -> None:
        """Begin with nothing locked and no call under way: at first, and in a child process."""
        self._flights = Flights(_copies)
        self._lock = threading.RLock()
        self._threads.renew_lock()
        self._state.renew_locks()

    @property
    def region(self) -> SyncCacheRegionProtocol:
        """The dogpile region, built at first use.

        A `NullRegion` when the cache is disabled, when dogpile.cache can't be imported, or, told by a ``cache.rejected`` event, when
        the region can't be built. Leases, intents and bytes that aren't ours are misses to it.
        """
        if not self.config.enabled:
            return NullRegion()
        return cast("SyncCacheRegionProtocol", self._store().region)

    @property
    def guarantee(self) -> Guarantee:
        """What the store promises: ``"strict"``, or ``"best effort"`` where it has no atomic step that all processes share."""
        return self._store().guarantee

    def _store(self) -> stores.Built:
        if self._built is None:
            with self._lock:
                if self._built is None:
                    self._built = self._build()
        return self._built

    def _build(self) -> stores.Built:
        try:
            built = stores.build(self.config, stores.PlainCodec(plain.dumps, plain.loads), self._threads)
        except ConfigurationError as error:
            self.emitter.emit(events.REJECTED, op="build", reason=str(error))
            built = stores.null()
        if built.guarantee != "strict":
            self.emitter.emit(events.REJECTED, op="build", reason="this backend has no atomic steps: its guarantee is best effort")
        self._state.serves = self.config.enabled and built.serves
        return built

    def operations(self) -> Operations:
        """Return the operations for synchronous code: their coroutines never suspend."""
        found = self._blocking
        if found is None:
            with self._lock:  # `close` may come between: both faces must have one store
                store = self._store()
                found = self._blocking = Operations(self._state, self.planner, Protocol(store.blocking, self._state), _call)
        return found

    def async_operations(self) -> Operations:
        """Return the operations for the running event loop."""
        store = self._store()
        return Operations(self._state, self.planner, Protocol(store.asynchronous(), self._state), self._create)

    async def _create(self, creator: Callable[[], Any]) -> Any:
        """Await an asynchronous creator; run a synchronous one in the thread pool."""
        made = creator() if inspect.iscoroutinefunction(creator) else await self._threads.run(creator)
        return await made if inspect.isawaitable(made) else made

    def close(self) -> None:
        """Close the connections; the manager opens them again when it is used again."""
        with self._lock:
            built, self._built, self._blocking = self._built, None, None
        if built is not None:
            built.close()
        self._threads.close()

    async def aclose(self) -> None:
        """Close the connections, those of the running event loop too."""
        with self._lock:
            built, self._built, self._blocking = self._built, None, None
        if built is not None:
            await built.aclose()
        self._threads.close()

    # Plain keys

    def get_sync(self, key: str) -> object:
        """Return a cached value.

        Args:
            key: The key, without the prefix.

        Returns:
            The value, or dogpile.cache's ``NO_VALUE``; a cached ``None`` is a hit.
        """
        return drive(self.operations().get(key))

    async def get_async(self, key: str) -> object:
        """See `get_sync`."""
        return await self.async_operations().get(key)

    def set_sync(self, key: str, value: Any) -> None:
        """Cache a value.

        After a `get_sync` of the key that missed in the same context (thread or task), the value is put under that lookup's lease: it
        is not stored if the key was deleted or everything invalidated meanwhile, if ``lease_timeout`` has passed, or if a transaction of
        this context has written something, for it may be rolled back. Without one it is an explicit put, as fresh as what the caller gives.

        Args:
            key: The key, without the prefix.
            value: None, bool, int, float, str, bytes, the types of ``datetime``, Decimal, UUID, containers of these, mapped instances.

        Raises:
            SerializationError: The value has no safe form.
        """
        drive(self.operations().set(key, value))

    async def set_async(self, key: str, value: Any) -> None:
        """See `set_sync`."""
        await self.async_operations().set(key, value)

    def delete_sync(self, key: str) -> None:
        """Remove a cached value, and the right of those who are loading it to put what they find.

        Args:
            key: The key, without the prefix.
        """
        drive(self.operations().delete(key))

    async def delete_async(self, key: str) -> None:
        """See `delete_sync`."""
        await self.async_operations().delete(key)

    def get_or_create_sync(self, key: str, creator: Callable[[], T], expiration_time: int | None = None) -> T:
        """Return a cached value, or create and cache it; of several callers at once, in any process, one creates.

        Nothing is cached while a transaction of this context has written something: what the creator reads may be rolled back.

        Args:
            key: The key, without the prefix.
            creator: Makes the value.
            expiration_time: Seconds that a value may be old and will live. ``0``: always create, ``-1``: for ever, ``None``: the cache's.

        Raises:
            Exception: Whatever ``creator`` raises. A value with no safe form is returned uncached, told by a ``cache.rejected`` event.
        """
        return cast("T", drive(self.operations().get_or_create(key, creator, expiration_time)))

    async def get_or_create_async(
        self, key: str, creator: Callable[[], T] | Callable[[], Awaitable[T]], expiration_time: int | None = None
    ) -> T:
        """See `get_or_create_sync`. A synchronous creator runs in the thread pool (``max_threads``), an asynchronous one is awaited."""
        return cast("T", await self.async_operations().get_or_create(key, creator, expiration_time))

    def singleflight_sync(self, key: str, creator: Callable[[], T]) -> T:
        """Coalesce concurrent calls of this process: one runs ``creator``, the others get copies of its result, or its error.

        Nothing is cached. An owner that ends by KeyboardInterrupt or the like hands over to a waiter; a call from within ``creator``
        runs by itself.

        Args:
            key: What is being made.
            creator: Makes it.
        """

        async def create() -> T:
            return creator()

        return drive(self._flights.run(("thread", key), create, ThreadGate))

    async def singleflight_async(self, key: str, creator: Callable[[], Awaitable[T]]) -> T:
        """See `singleflight_sync`; coalesces the tasks of one event loop, and a cancelled owner hands over to a waiter."""
        return await self._flights.run(("loop", LoopGate.loop(), key), creator, LoopGate)

    # Rows by primary key

    def get_entity_sync(self, model_name: str, entity_id: Any, model_class: type[T], bind_group: str | None = None) -> T | None:
        """Return a cached row as a detached instance.

        Args:
            model_name: The table's name, with its schema when it has one.
            entity_id: The primary key: a value, or a tuple or dict of a composite one.
            model_class: The mapped class.
            bind_group: Another group's namespace in this cache; ``None``: the cache's own group.

        Returns:
            An instance of the caller's own, or ``None`` for a miss.

        Raises:
            ModelError: The class isn't mapped, or has a column that no cache may hold.
            IdentityError: The key has the wrong shape or type.
        """
        return drive(self.operations().get_entities(model_name, [entity_id], model_class, bind_group, "get_entity"))[0]

    async def get_entity_async(self, model_name: str, entity_id: Any, model_class: type[T], bind_group: str | None = None) -> T | None:
        """See `get_entity_sync`."""
        return (await self.async_operations().get_entities(model_name, [entity_id], model_class, bind_group, "get_entity"))[0]

    def get_entities_sync(
        self, model_name: str, entity_ids: Sequence[Any], model_class: type[T], bind_group: str | None = None
    ) -> list[T | None]:
        """Return several cached rows, looked up in one round trip, in the order of ``entity_ids``; see `get_entity_sync`."""
        return drive(self.operations().get_entities(model_name, entity_ids, model_class, bind_group, "get_entities"))

    async def get_entities_async(
        self, model_name: str, entity_ids: Sequence[Any], model_class: type[T], bind_group: str | None = None
    ) -> list[T | None]:
        """See `get_entities_sync`."""
        return await self.async_operations().get_entities(model_name, entity_ids, model_class, bind_group, "get_entities")

    def set_entity_sync(self, model_name: str, entity_id: Any, entity: Any, bind_group: str | None = None) -> None:
        """Cache a row as it is in this instance; under the lease of a `get_entity_sync` that missed, else explicitly (see `set_sync`).

        Args:
            model_name: The table's name, with its schema when it has one.
            entity_id: The primary key.
            entity: The instance; only what is loaded of it is kept.
            bind_group: Another group's namespace in this cache; ``None``: the cache's own group.

        Raises:
            ModelError: It isn't a mapped instance, or its class has a column that no cache may hold.
            IdentityError: ``entity_id`` isn't its primary key, or it has none yet.
        """
        drive(self.operations().set_entities(model_name, [(entity_id, entity)], bind_group, "set_entity"))

    async def set_entity_async(self, model_name: str, entity_id: Any, entity: Any, bind_group: str | None = None) -> None:
        """See `set_entity_sync`."""
        await self.async_operations().set_entities(model_name, [(entity_id, entity)], bind_group, "set_entity")

    def set_entities_sync(self, model_name: str, entities: Mapping[Any, Any], bind_group: str | None = None) -> None:
        """Cache several rows, by primary key, in one round trip; see `set_entity_sync`."""
        drive(self.operations().set_entities(model_name, list(entities.items()), bind_group, "set_entities"))

    async def set_entities_async(self, model_name: str, entities: Mapping[Any, Any], bind_group: str | None = None) -> None:
        """See `set_entities_sync`."""
        await self.async_operations().set_entities(model_name, list(entities.items()), bind_group, "set_entities")

    def invalidate_entity_sync(self, model_name: str, entity_id: Any, bind_group: str | None = None) -> None:
        """Remove a cached row, after a write that was made outside SQLAlchemy.

        Args:
            model_name: The table's name, with its schema when it has one.
            entity_id: The primary key.
            bind_group: Another group's namespace in this cache; ``None``: the cache's own group.

        Raises:
            IdentityError: The key has the wrong shape or type.
        """
        drive(self.operations().invalidate_entities(model_name, [entity_id], bind_group, "invalidate_entity"))

    async def invalidate_entity_async(self, model_name: str, entity_id: Any, bind_group: str | None = None) -> None:
        """See `invalidate_entity_sync`."""
        await self.async_operations().invalidate_entities(model_name, [entity_id], bind_group, "invalidate_entity")

    def invalidate_entities_sync(self, model_name: str, entity_ids: Sequence[Any], bind_group: str | None = None) -> None:
        """Remove several cached rows in one round trip; see `invalidate_entity_sync`."""
        drive(self.operations().invalidate_entities(model_name, entity_ids, bind_group, "invalidate_entities"))

    async def invalidate_entities_async(self, model_name: str, entity_ids: Sequence[Any], bind_group: str | None = None) -> None:
        """See `invalidate_entities_sync`."""
        await self.async_operations().invalidate_entities(model_name, entity_ids, bind_group, "invalidate_entities")

    # Read-through

    def fetch_entity_sync(self, session: Session | scoped_session[Any], model_class: type[T], ident: Any) -> T | None:
        """Return a row from the cache, else from the session's database and into the cache, under all the rules of the protocol.

        Pending changes are flushed first, as by a query. A table that the transaction itself has written is read from the database.

        Args:
            session: The session; its engine must be bound (``caches.bind``), else every read goes to the database.
            model_class: The mapped class.
            ident: The primary key: a value, or a tuple or dict of a composite one.

        Returns:
            A detached instance of the caller's own, or ``None`` when there is no such row.

        Raises:
            ModelError: The class isn't mapped.
            IdentityError: The key has the wrong shape or type.
            BindError: The session's engine is bound to another group than this cache serves.
        """
        return self.fetch_entities_sync(session, model_class, [ident])[0]

    async def fetch_entity_async(self, session: AsyncSession | async_scoped_session[Any], model_class: type[T], ident: Any) -> T | None:
        """See `fetch_entity_sync`."""
        return (await self.fetch_entities_async(session, model_class, [ident]))[0]

    def fetch_entities_sync(self, session: Session | scoped_session[Any], model_class: type[T], idents: Sequence[Any]) -> list[T | None]:
        """Return several rows, all as committed at one moment, in the order of ``idents``; see `fetch_entity_sync`."""
        from aa_cache_integration.orm import fetch  # noqa: PLC0415 - orm stands above

        return drive(fetch.fetch(self.operations(), fetch.Blocking(session), model_class, idents))

    async def fetch_entities_async(
        self, session: AsyncSession | async_scoped_session[Any], model_class: type[T], idents: Sequence[Any]
    ) -> list[T | None]:
        """See `fetch_entities_sync`."""
        from aa_cache_integration.orm import fetch  # noqa: PLC0415 - orm stands above

        return await fetch.fetch(self.async_operations(), fetch.Asynchronous(session), model_class, idents)

    # Lists

    def get_list_sync(self, key: str, model_class: type[T], bind_group: str | None = None) -> list[T] | None:
        """Return a cached list of rows as detached instances.

        Args:
            key: The key, without the prefix.
            model_class: The mapped class of the rows; any write to its tables makes the list a miss.
            bind_group: Another group's namespace in this cache; ``None``: the cache's own group.

        Returns:
            The list, or ``None`` for a miss.
        """
        page = drive(self.operations().get_page(key, model_class, bind_group, "get_list", envelope.LIST + envelope.COUNTED))
        return None if page is None else page[0]

    async def get_list_async(self, key: str, model_class: type[T], bind_group: str | None = None) -> list[T] | None:
        """See `get_list_sync`."""
        page = await self.async_operations().get_page(key, model_class, bind_group, "get_list", envelope.LIST + envelope.COUNTED)
        return None if page is None else page[0]

    def set_list_sync(self, key: str, items: Sequence[Any], bind_group: str | None = None) -> None:
        """Cache a list of rows; under the lease of a `get_list_sync` that missed, else explicitly (see `set_sync`).

        An empty list that is put explicitly names no table: only `invalidate_all_sync`, or a key that holds the model's version, ends it.

        Args:
            key: The key, without the prefix.
            items: Mapped instances.
            bind_group: Another group's namespace in this cache; ``None``: the cache's own group.

        Raises:
            ModelError: An item isn't a mapped instance.
        """
        drive(self.operations().set_page(key, items, None, bind_group, "set_list"))

    async def set_list_async(self, key: str, items: Sequence[Any], bind_group: str | None = None) -> None:
        """See `set_list_sync`."""
        await self.async_operations().set_page(key, items, None, bind_group, "set_list")

    def get_list_and_count_sync(self, key: str, model_class: type[T], bind_group: str | None = None) -> tuple[list[T], int] | None:
        """Return a cached list of rows and the count that was cached with it; see `get_list_sync`."""
        return _counted(drive(self.operations().get_page(key, model_class, bind_group, "get_list_and_count", envelope.COUNTED)))

    async def get_list_and_count_async(self, key: str, model_class: type[T], bind_group: str | None = None) -> tuple[list[T], int] | None:
        """See `get_list_and_count_sync`."""
        return _counted(await self.async_operations().get_page(key, model_class, bind_group, "get_list_and_count", envelope.COUNTED))

    def set_list_and_count_sync(self, key: str, items: Sequence[Any], count: int, bind_group: str | None = None) -> None:
        """Cache a list of rows and a count, of pages for example; see `set_list_sync`."""
        drive(self.operations().set_page(key, items, count, bind_group, "set_list_and_count"))

    async def set_list_and_count_async(self, key: str, items: Sequence[Any], count: int, bind_group: str | None = None) -> None:
        """See `set_list_and_count_sync`."""
        await self.async_operations().set_page(key, items, count, bind_group, "set_list_and_count")

    get_many_sync, get_many_async = get_list_sync, get_list_async
    set_many_sync, set_many_async = set_list_sync, set_list_async
    get_many_and_count_sync, get_many_and_count_async = get_list_and_count_sync, get_list_and_count_async
    set_many_and_count_sync, set_many_and_count_async = set_list_and_count_sync, set_list_and_count_async

    # Versions and namespaces

    def get_model_version_sync(self, model_name: str, bind_group: str | None = None) -> str:
        """Return the token of a table, which every write to it changes; for keys that must change with it.

        Args:
            model_name: The table's name, with its schema when it has one; an unknown name gets a token of its own.
            bind_group: Another group's namespace in this cache; ``None``: the cache's own group.

        Returns:
            A random token. While a write to the table is being committed, in a transaction that has written to it, or in one whose snapshot
            is older than its last change: one that is valid for nobody.
        """
        return drive(self.operations().model_version(model_name, bind_group))

    async def get_model_version_async(self, model_name: str, bind_group: str | None = None) -> str:
        """See `get_model_version_sync`."""
        return await self.async_operations().model_version(model_name, bind_group)

    def bump_model_version_sync(self, model_name: str, bind_group: str | None = None) -> str:
        """Give a table a new token: every list and result that depends on it is a miss from now on.

        Args:
            model_name: The table's name, with its schema when it has one.
            bind_group: Another group's namespace in this cache; ``None``: the cache's own group.

        Returns:
            The new token, as `get_model_version_sync` gives it.
        """
        return drive(self.operations().bump_model_version(model_name, bind_group))

    async def bump_model_version_async(self, model_name: str, bind_group: str | None = None) -> str:
        """See `bump_model_version_sync`."""
        return await self.async_operations().bump_model_version(model_name, bind_group)

    def invalidate_all_sync(self) -> None:
        """Make everything under this key prefix a miss, in all its bind groups and for all processes at once.

        Entries of other applications on the same server, under other prefixes, stay.
        """
        drive(self.operations().invalidate_all())

    async def invalidate_all_async(self) -> None:
        """See `invalidate_all_sync`."""
        await self.async_operations().invalidate_all()


async def _call(creator: Callable[[], T]) -> T:
    made = creator()
    if inspect.iscoroutine(made):
        made.close()
        raise SerializationError("The creator is a coroutine function: await it before, or call get_or_create_async")
    return made


def _counted(page: tuple[list[T], int | None] | None) -> tuple[list[T], int] | None:
    return None if page is None or page[1] is None else (page[0], page[1])


def _copies(value: T) -> Callable[[], T]:
    """Return what makes copies of a value as it is now; what has no safe form is shared."""
    try:
        payload = plain.dumps(value)
        plain.loads(payload)
    except (SerializationError, ModelError):
        return lambda: value
    return lambda: cast("T", plain.loads(payload))
