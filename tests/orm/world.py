"""One application under test: an engine, a cache, and sessions of one kind.

A test is written once, in the synchronous style. With an asynchronous engine it runs as SQLAlchemy itself runs ORM code: in a greenlet
below an event loop, so that every COMMIT awaits (`AsyncSession` is just this).
"""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
import redis
from sqlalchemy import create_engine, event, text
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine
from sqlalchemy.orm import Session
from sqlalchemy.util import await_only

from aa_cache_integration import CacheConfig, CacheManager
from aa_cache_integration.core import envelope
from aa_cache_integration.orm import binding
from aa_cache_integration.registry import CacheRegistry
from tests.orm.models import Base, Product, Tag, Versioned

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from sqlalchemy.engine import Connection, Engine

    from tests.conftest import RecordedEvents

__all__ = ("ServerWorld", "World", "begin_recipe", "on_each_store", "only_async", "only_sync", "pending_tasks", "stored")


@dataclass
class World:
    """See the module."""

    file: Path
    options: dict[str, Any]
    """Of the cache."""
    events: RecordedEvents
    asynchronous: bool = False
    registry: CacheRegistry = field(default_factory=lambda: CacheRegistry.from_mapping({}))
    preparations: list[Callable[[], None]] = field(default_factory=list)
    """What fixtures want done, in the test's own greenlet, before it begins."""

    def __post_init__(self) -> None:
        self.manager = self.cache()
        self._async_engines: list[AsyncEngine] = []
        self._sync_engines: list[Engine] = []
        self._sessions: dict[Session, AsyncSession] = {}
        self.engine = self.make_engine()
        self.registry.bind(self.engine)
        self.create_database()

    def create_database(self) -> None:
        """Make the tables, behind everybody's back."""
        with sqlite3.connect(self.file) as connection:
            connection.execute("PRAGMA journal_mode=WAL")
        connection.close()
        bootstrap = create_engine(f"sqlite:///{self.file}")
        Base.metadata.create_all(bootstrap)
        bootstrap.dispose()

    def cache(self, **options: Any) -> CacheManager:
        """Return another cache on the same store."""
        return CacheManager(CacheConfig(**{**self.options, **options}), alias=self.options["key_prefix"])

    def make_engine(self, **options: Any) -> Engine:
        """Return another engine of this kind, not bound, on the same database."""
        return self.engine_of(f"sqlite:///{self.file}", **options)

    def engine_of(self, url: str, **options: Any) -> Engine:
        """Return an engine of this kind."""
        if not self.asynchronous:
            self._sync_engines.append(create_engine(url, **options))
            return self._sync_engines[-1]
        self._async_engines.append(create_async_engine(url.replace("sqlite:", "sqlite+aiosqlite:"), **options))
        return self._async_engines[-1].sync_engine

    async def aclose(self) -> None:
        """Close what is open."""
        for session in self._sessions.values():
            await session.close()
        for engine in self._async_engines:
            await engine.dispose()
        for sync_engine in self._sync_engines:
            sync_engine.dispose()
        await self.manager.aclose()

    # Sessions

    @contextmanager
    def session(self, bind: Any = None, **options: Any) -> Iterator[Session]:
        """Open a session of this kind."""
        with self.wrapped(Session(self.engine if bind is None else bind, **options)) as session:
            yield session

    @contextmanager
    def wrapped(self, session: Session) -> Iterator[Session]:
        """Use a session that was made otherwise."""
        if self.asynchronous:
            outer = AsyncSession()
            outer.sync_session = outer._proxied = session
            self._sessions[session] = outer
        try:
            with session:
                yield session
        finally:
            self._sessions.pop(session, None)

    def fetch(self, session: Session, model: type[Any], ident: Any, manager: CacheManager | None = None) -> Any:
        """Read a row through the cache."""
        return self.fetch_all(session, model, [ident], manager)[0]

    def fetch_all(self, session: Session, model: type[Any], idents: list[Any], manager: CacheManager | None = None) -> list[Any]:
        """Read rows through the cache."""
        manager = manager or self.manager
        if self.asynchronous:
            return await_only(manager.fetch_entities_async(self._sessions[session], model, idents))
        return manager.fetch_entities_sync(session, model, idents)

    def call(self, operation: str, *arguments: Any, manager: CacheManager | None = None) -> Any:
        """Take an operation of the manager's that knows no session, in the manner of this kind."""
        manager = manager or self.manager
        if self.asynchronous:
            return await_only(getattr(manager, f"{operation}_async")(*arguments))
        return getattr(manager, f"{operation}_sync")(*arguments)

    def read(self, model: type[Any], ident: Any, manager: CacheManager | None = None) -> Any:
        """Read a row through the cache in a session of its own."""
        with self.session() as session:
            return self.fetch(session, model, ident, manager)

    def add(self, *instances: Any) -> None:
        """Insert rows and commit."""
        with self.session() as session:
            session.add_all(instances)
            session.commit()

    # What happens

    def served(self, model: type[Any], ident: Any, manager: CacheManager | None = None) -> bool:
        """Read a row, and return whether the cache answered without the database."""
        before = len(self.events)
        self.read(model, ident, manager)
        names = self.events.names[before:]
        return "cache.hit" in names and not {"cache.miss", "cache.bypass"} & set(names)

    def reason(self, session: Session, model: type[Any], ident: Any) -> str | None:
        """Read a row, and return why the cache was bypassed; ``None`` when it wasn't."""
        before = len(self.events)
        self.fetch(session, model, ident)
        return next((event.reason for event in self.events[before:] if event.name == "cache.bypass"), None)

    def fills(self, session: Session, model: type[Any], ident: Any) -> bool:
        """Read a row, and return whether it was put in the cache."""
        before = len(self.events)
        self.fetch(session, model, ident)
        return "cache.fill" in self.events.names[before:]

    def told(self) -> list[str | None]:
        """Return the tables that commits have told of since this was asked last."""
        told = [
            event.model or event.reason for event in self.events if event.name == "cache.invalidate" and event.cache == self.manager.alias
        ]
        del self.events[:]
        return told

    @contextmanager
    def statements(self) -> Iterator[list[str]]:
        """Collect the statements that reach the database."""
        seen: list[str] = []

        def listen(_conn: Connection, _cursor: Any, statement: str, *_: Any) -> None:
            seen.append(statement)

        event.listen(self.engine, "before_cursor_execute", listen)
        try:
            yield seen
        finally:
            event.remove(self.engine, "before_cursor_execute", listen)

    def intents(self, manager: CacheManager | None = None) -> set[str]:
        """Return the keys, without the prefix, under which write intents stand."""
        prefix = self.options["key_prefix"]
        standing = {}
        for key, raw in stored(manager or self.manager).items():
            record = envelope.parse_record(raw)
            standing[key.removeprefix(prefix)] = record.intents if record else envelope.cell_intents(raw)
        return {key for key, found in standing.items() if found}

    @contextmanager
    def intents_at_commit(self) -> Iterator[list[set[str]]]:
        """Collect the intents that stand at each COMMIT, seen by a listener behind ours."""
        seen: list[set[str]] = []

        def listen(_: Connection) -> None:
            seen.append(self.intents())

        event.listen(self.engine, "commit", listen)
        try:
            yield seen
        finally:
            event.remove(self.engine, "commit", listen)

    @contextmanager
    def intents_before(self, words: tuple[str, ...]) -> Iterator[list[set[str]]]:
        """Collect the intents that stand when a statement that begins so is about to run, seen by a listener behind ours."""
        seen: list[set[str]] = []

        def listen(_conn: Connection, _cursor: Any, statement: str, *_: Any) -> None:
            if statement.startswith(words):
                seen.append(self.intents())

        event.listen(self.engine, "before_cursor_execute", listen)
        try:
            yield seen
        finally:
            event.remove(self.engine, "before_cursor_execute", listen)

    def pass_time(self, seconds: float) -> None:
        """Let the memory store's time pass."""
        slots = self.manager._store().blocking._slots  # type: ignore[attr-defined]
        clock = slots._clock
        slots._clock = lambda: clock() + round(seconds * 1_000_000)
        self.manager._state.clock.learn(slots.now(), self.manager._state.clock.sent())

    def in_the_database(self, statement: str, **parameters: Any) -> None:
        """Write behind everybody's back, through the driver alone."""
        connection = sqlite3.connect(self.file)
        with connection:
            connection.execute(statement, parameters)
        connection.close()


@dataclass
class ServerWorld(World):
    """The same on a database server."""

    url: str = ""
    """Of a database of the test's own, for the synchronous driver."""

    def make_engine(self, **options: Any) -> Engine:
        """See `World.make_engine`."""
        return self.engine_of(self.url, **options)

    def engine_of(self, url: str, **options: Any) -> Engine:
        """See `World.engine_of`."""
        if not self.asynchronous:
            self._sync_engines.append(create_engine(url, **options))
            return self._sync_engines[-1]
        self._async_engines.append(create_async_engine(url.replace("pymysql", "aiomysql"), **options))
        return self._async_engines[-1].sync_engine

    def create_database(self) -> None:
        """See `World.create_database`."""
        bootstrap = create_engine(self.url)
        with ignored(bootstrap):
            Base.metadata.create_all(bootstrap, [Product.__table__, Tag.__table__, Versioned.__table__])  # type: ignore[list-item]
        bootstrap.dispose()

    def in_the_database(self, statement: str, **parameters: Any) -> None:
        """See `World.in_the_database`."""
        engine = create_engine(self.url)
        with ignored(engine), engine.begin() as connection:
            connection.execute(text(statement), parameters)
        engine.dispose()


@contextmanager
def ignored(engine: Engine) -> Iterator[None]:
    """Let nobody hear of what an engine writes."""
    binding.ignore(engine)
    yield


def stored(manager: CacheManager) -> dict[str, bytes]:
    """Return all that stands in a manager's store, by key."""
    if manager.config.backend == "dogpile.cache.memory":
        slots = manager._store().blocking._slots  # type: ignore[attr-defined]
        return {key: raw for key, (raw, _) in slots._entries.items()}
    with redis.Redis(host=manager.config.arguments["host"], port=manager.config.arguments["port"]) as client:
        keys = client.keys(f"{manager.config.key_prefix}*")
        return {key.decode(): client.get(key) or b"" for key in keys}


only_sync = pytest.mark.parametrize("world", ["sync"], indirect=True)
only_async = pytest.mark.parametrize("world", ["async"], indirect=True)
on_each_store = pytest.mark.parametrize("store", ["memory", "redis"])


def pending_tasks() -> set[asyncio.Task[Any]]:
    """Return the tasks of the running loop beside this one."""
    return asyncio.all_tasks() - {asyncio.current_task()}  # type: ignore[arg-type]


def begin_recipe(engine: Engine) -> None:
    """Let the engine's transactions begin with BEGIN, as SQLAlchemy's documentation tells for SQLite."""

    @event.listens_for(engine, "connect")
    def connect(dbapi_connection: Any, _: Any) -> None:
        dbapi_connection.isolation_level = None

    @event.listens_for(engine, "begin")
    def begin(conn: Connection) -> None:
        conn.exec_driver_sql("BEGIN")
