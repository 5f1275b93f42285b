"""The caches of an application by their aliases, each manager built when it is first asked for."""

from __future__ import annotations

import contextlib
import threading
import weakref
from typing import TYPE_CHECKING, Any, Final

from aa_cache_integration._layers import nearest
from aa_cache_integration.exceptions import UnknownCacheError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from sqlalchemy.engine import Connection, Engine
    from sqlalchemy.ext.asyncio import AsyncEngine

    from aa_cache_integration.conf import Settings
    from aa_cache_integration.config import CacheConfig, LoggingConfig
    from aa_cache_integration.events.model import EventHook
    from aa_cache_integration.manager import CacheManager
    from aa_cache_integration.pauses import Pause

__all__ = ("CacheRegistry", "caches", "registries")

_live: Final[weakref.WeakSet[CacheRegistry]] = weakref.WeakSet()
_live_lock: Final = threading.Lock()


def registries() -> tuple[CacheRegistry, ...]:
    """Return every registry that something still holds, the global one included."""
    with _live_lock:
        return tuple(_live)


def _load() -> Settings:
    from aa_cache_integration import conf  # noqa: PLC0415 - Dynaconf is imported when settings are wanted, not before

    return conf.load()


def _build(config: CacheConfig, *, alias: str, hooks: list[EventHook] | None) -> CacheManager:
    from aa_cache_integration.manager import CacheManager  # noqa: PLC0415 - nothing heavy at import

    return CacheManager(config, alias=alias, hooks=hooks)


class CacheRegistry:
    """Caches by alias: ``caches["default"]``.

    Settings are read when the first cache is asked for, a manager is built when its alias is, once, however many
    threads ask. What is read stays as it was until ``reload()``.

    Example:
        From code, in the shape of Django's ``CACHES``::

            caches = CacheRegistry.from_mapping({"default": {"backend": "dogpile.cache.memory"}})
    """

    def __init__(self, load: Callable[[], Settings] = _load, *, build: Callable[..., CacheManager] = _build) -> None:
        """Keep how to load and build; nothing is read yet.

        Args:
            load: Returns the settings; the default reads ``settings.toml``, its companions and the environment.
            build: Builds the manager from ``(config, *, alias, hooks)``.
        """
        self._load = load
        self._build = build
        self._lock = threading.RLock()
        self._settings: Settings | None = None
        self._managers: dict[str, CacheManager] = {}
        self._hooks: list[EventHook] | None = None
        with _live_lock:
            _live.add(self)

    @classmethod
    def from_mapping(
        cls,
        mapping: Mapping[str, Mapping[str, Any] | CacheConfig],
        *,
        logging: Mapping[str, Any] | LoggingConfig | None = None,
        build: Callable[..., CacheManager] = _build,
    ) -> CacheRegistry:
        """Build a registry without files; the mapping is checked at once.

        Args:
            mapping: alias → what would stand under ``caches.<alias>`` in ``settings.toml``, or a ``CacheConfig``.
            logging: What would stand in the ``[logging]`` table.
            build: As in the constructor.

        Raises:
            SettingsError: With every problem there is.
        """
        from aa_cache_integration import conf  # noqa: PLC0415 - Dynaconf is imported when settings are wanted, not before

        settings = conf.from_mapping(mapping, logging=logging)
        registry = cls(lambda: settings, build=build)
        registry.load()
        return registry

    def load(self) -> Settings:
        """Read the settings, unless that is done already.

        Raises:
            SettingsError: With every problem there is.
        """
        settings = self._settings
        if settings is None:
            loaded = self._load()  # without our lock: dotted paths import the application's modules, which may ask for a cache
            with self._lock:
                settings = self._settings = self._settings or loaded
        return settings

    @property
    def is_loaded(self) -> bool:
        """Whether the settings have been read."""
        return self._settings is not None

    @property
    def settings(self) -> Settings:
        """The settings; they are read if that isn't done yet."""
        return self.load()

    def reload(self) -> Settings:
        """Close what was built and read the settings anew (a notebook's cell that is run again, a test)."""
        settings = self._load()  # first: what can't be loaded changes nothing, and commits meanwhile are told as before
        with self._lock:
            taken = self._taken()
            self._settings, self._hooks = settings, None
        _close(taken)
        return settings

    def __getitem__(self, alias: str) -> CacheManager:
        """Return the manager of an alias, always the same one.

        Raises:
            UnknownCacheError: No cache has this alias; the message lists those that there are.
        """
        settings = self.load()
        if (manager := self._managers.get(alias)) is not None:
            return manager
        if alias not in settings.caches:
            near = nearest(alias, settings.caches) if isinstance(alias, str) else ""
            raise UnknownCacheError(f"no cache is called {alias!r}{near}; known: {_listed(settings.caches)}")
        with self._lock:
            if self._settings is settings:
                if (manager := self._managers.get(alias)) is None:
                    manager = self._managers[alias] = self._build(settings.caches[alias], alias=alias, hooks=self._logging(settings))
                return manager
        return self[alias]  # they were reloaded meanwhile

    def for_bind_group(self, bind_group: str | None) -> CacheManager:
        """Return the manager that serves a bind group; ``None`` is the default group.

        Raises:
            UnknownCacheError: No cache serves it; the message lists the groups that are served.
        """
        if (alias := self._alias_of(bind_group)) is not None:
            return self[alias]
        groups = [config.bind_group for config in self.load().caches.values()]
        near = nearest(bind_group, [group for group in groups if group]) if isinstance(bind_group, str) else ""
        raise UnknownCacheError(f"no cache serves the bind group {bind_group!r}{near}; served: {_listed(groups)}")

    def managers_for_group(self, bind_group: str | None) -> tuple[CacheManager, ...]:
        """Return the managers that a write to this group must tell.

        A declared cache is built for it: a process that only writes must tell the others' cache too. ``()`` where no
        cache serves the group.
        """
        alias = self._alias_of(bind_group)
        return () if alias is None else (self[alias],)

    def aliases(self) -> tuple[str, ...]:
        """Return the aliases in the order in which they are declared."""
        return tuple(self.load().caches)

    def __iter__(self) -> Iterator[str]:
        """Iterate over the aliases, as a mapping does."""
        return iter(self.aliases())

    def __len__(self) -> int:
        """Return how many caches are declared."""
        return len(self.load().caches)

    def __contains__(self, alias: object) -> bool:
        """Whether a cache has this alias; builds none."""
        return alias in self.load().caches

    def __bool__(self) -> bool:
        """A registry is true, also an empty one; reads nothing."""
        return True

    def close(self) -> None:
        """Close the managers that were built and forget them; the next use builds them anew. Closing twice is fine."""
        _close(self._taken())

    async def aclose(self) -> None:
        """Like ``close()``, for managers that were used from a running loop."""
        async with contextlib.AsyncExitStack() as stack:
            for manager in self._taken():
                stack.push_async_callback(manager.aclose)

    def bind(
        self,
        engine: Engine | AsyncEngine,
        bind_group: str | None = None,
        *,
        replica_of: Engine | AsyncEngine | None = None,
        same_database: bool = False,
        vary: Callable[[Connection], Any] | None = None,
    ) -> None:
        """Serve the reads of an engine from the cache of a bind group, and wire the listeners.

        Args:
            engine: The engine, sync or async; engines that its ``execution_options()`` derived are bound with it.
            bind_group: The group; ``None``: the default one, or that of ``replica_of``.
            replica_of: The primary whose database this engine reads a copy of: its reads may hit, and never fill.
            same_database: The URL differs from the group's but leads to the same database (a proxy, a second host name).
            vary: Returns what the meaning of rows depends on for a connection (a tenant, a role); it joins the key.

        Raises:
            BindError: The engine's database isn't the group's.
            SettingsError: The settings, which are read now, hold problems.
        """
        from aa_cache_integration.orm import binding, listeners  # noqa: PLC0415 - SQLAlchemy is imported by those who bind

        self.load()
        binding.bind(engine, bind_group, replica_of=replica_of, same_database=same_database, vary=vary)
        listeners.setup_cache_listeners()

    def ignore(self, engine: Engine | AsyncEngine) -> None:
        """Take no notice of the writes of an engine, because nothing that is cached can be in its database."""
        from aa_cache_integration.orm import binding, listeners  # noqa: PLC0415 - SQLAlchemy is imported by those who bind

        binding.ignore(engine)
        listeners.setup_cache_listeners()

    def paused(self, bind_group: str | None = None) -> Pause:
        """Return a context manager for a bulk import into a database: ``with caches.paused(): ...``, or ``async with``.

        While it lasts, everybody, in all processes, reads that bind group from the database, and no commit of this process to it is
        announced by itself. Commits of the import's own and of others may go on; each is right. If this process is killed meanwhile, the
        pause ends by itself after two ``write_intent_timeout``.

        Args:
            bind_group: The group; ``None`` is the default one.

        Raises:
            UnknownCacheError: No cache serves the group (when it is entered, as the next).
            StoreUnavailableError: The pause can't be announced, and ``unreachable_commit`` is ``"refuse"``.
        """
        from aa_cache_integration.orm import outside  # noqa: PLC0415 - SQLAlchemy is imported by those who write
        from aa_cache_integration.pauses import Pause  # noqa: PLC0415 - nothing heavy at import

        self.load()
        return Pause(lambda: outside.covers(bind_group))

    def invalidate(self, model_class: type[Any], *idents: Any, bind_group: str | None = None) -> None:
        """Tell every cache of a bind group that rows were written outside of SQLAlchemy, and what the database changes with them.

        Args:
            model_class: Their mapped class.
            *idents: Their primary keys, each as `CacheManager.get_entity_sync` takes it; a composite one as a tuple or dict.
            bind_group: The group; ``None`` is the default one.

        Raises:
            ModelError: The class isn't mapped.
            IdentityError: There is no key, or one of the wrong shape or type.
            UnknownCacheError: No cache serves the group.
        """
        from aa_cache_integration.orm import outside  # noqa: PLC0415 - SQLAlchemy is imported by those who write

        self.load()
        outside.settle(outside.rows(model_class, idents, bind_group), bind_group)

    async def ainvalidate(self, model_class: type[Any], *idents: Any, bind_group: str | None = None) -> None:
        """See `invalidate`."""
        from aa_cache_integration.orm import outside  # noqa: PLC0415

        self.load()
        await outside.asettle(outside.rows(model_class, idents, bind_group), bind_group)

    def invalidate_table(self, *tables: Any, bind_group: str | None = None) -> None:
        """Tell every cache of a bind group that tables were written outside of SQLAlchemy, nobody knows which rows of them.

        Args:
            *tables: Table names, with their schema where they have one; tables; or mapped classes.
            bind_group: The group; ``None`` is the default one.

        Raises:
            ModelError: Something else is named, or nothing.
            UnknownCacheError: No cache serves the group.
        """
        from aa_cache_integration.orm import outside  # noqa: PLC0415

        self.load()
        outside.settle(outside.tables(tables), bind_group)

    async def ainvalidate_table(self, *tables: Any, bind_group: str | None = None) -> None:
        """See `invalidate_table`."""
        from aa_cache_integration.orm import outside  # noqa: PLC0415

        self.load()
        await outside.asettle(outside.tables(tables), bind_group)

    def invalidate_bind_group(self, bind_group: str | None = None) -> None:
        """Tell every cache of a bind group that anything in its database may have been written: after a restore, by a migration.

        Args:
            bind_group: The group; ``None`` is the default one.

        Raises:
            UnknownCacheError: No cache serves the group.
        """
        from aa_cache_integration.orm import outside  # noqa: PLC0415

        self.load()
        outside.settle(outside.anything(), bind_group)

    async def ainvalidate_bind_group(self, bind_group: str | None = None) -> None:
        """See `invalidate_bind_group`."""
        from aa_cache_integration.orm import outside  # noqa: PLC0415

        self.load()
        await outside.asettle(outside.anything(), bind_group)

    def __repr__(self) -> str:
        """Show the aliases, if they are known; reads nothing."""
        known = "not loaded" if self._settings is None else ", ".join(self._settings.caches)
        return f"<CacheRegistry: {known}>"

    def _alias_of(self, bind_group: str | None) -> str | None:
        return next((alias for alias, config in self.load().caches.items() if config.bind_group == bind_group), None)

    def _logging(self, settings: Settings) -> list[EventHook] | None:
        """Return the hook of the ``[logging]`` table, one for all caches; ``None`` leaves the hooks to the manager."""
        if settings.logging is None:
            return None
        if self._hooks is None:
            from aa_cache_integration.events.logs import hook_for  # noqa: PLC0415 - structlog is imported by those who log

            self._hooks = [hook_for(settings.logging)]
        return self._hooks

    def _taken(self) -> list[CacheManager]:
        with self._lock:
            taken = list(self._managers.values())
            self._managers = {}
        return taken


def _close(managers: list[CacheManager]) -> None:
    with contextlib.ExitStack() as stack:  # each is closed, also when another one's closing fails
        for manager in managers:
            stack.callback(manager.close)


def _listed(names: Any) -> str:
    return ", ".join("None (the default group)" if name is None else repr(name) for name in names) or "none"


caches: Final = CacheRegistry()
"""The caches of ``settings.toml``; nothing is read before the first use."""
