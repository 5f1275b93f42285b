"""Where the random programs of `test_programs` run: a database, its sessions and requests, blocking or in greenlets below an event loop."""

from __future__ import annotations

import asyncio
import contextvars
from functools import partial
from typing import TYPE_CHECKING, Any

from sqlalchemy import create_engine, event
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import Session
from sqlalchemy.util import await_only, greenlet_spawn

from aa_cache_integration.orm import binding
from aa_cache_integration.registry import CacheRegistry
from tests.consistency.programs import Base, empty, read_state, seed
from tests.orm.world import begin_recipe

if TYPE_CHECKING:
    from collections.abc import Callable

    from aa_cache_integration import CacheManager
    from tests.consistency.programs import State

__all__ = ("World",)


class World:
    """A database, the engine of the program's sessions, and one of which the cache hears nothing."""

    def __init__(self, url: str, *, async_url: str = "", begins: bool = False) -> None:
        """Make the tables; with ``begins``, transactions begin with BEGIN in SQLite too."""
        self.loop = asyncio.new_event_loop() if async_url else None
        self._behind = create_engine(url)
        binding.ignore(self._behind)
        self._engine: Any = create_async_engine(async_url) if async_url else create_engine(url)
        for engine in (self._behind, self.engine):
            event.listen(engine, "connect", partial(_prepare, statements=_PREPARATIONS[engine.dialect.name]))
        if begins:
            begin_recipe(self.engine)
        self.folds = self.engine.dialect.name in {"mysql", "mariadb"}
        """Whether keys know no case."""
        self._wrappers: dict[Session, AsyncSession | None] = {}
        Base.metadata.create_all(self._behind)
        CacheRegistry.from_mapping({}).bind(self.engine)

    @property
    def engine(self) -> Any:
        """The engine, as SQLAlchemy's events know it."""
        return getattr(self._engine, "sync_engine", self._engine)

    def reset(self) -> None:
        """Put the first rows in place of all, behind everybody's back."""
        with self._behind.begin() as connection:
            empty(connection)
            seed(connection)

    def committed(self) -> State:
        """Read what is committed, behind everybody's back."""
        with self._behind.connect() as connection:
            return read_state(connection)

    def session(self) -> Session:
        """Return a new session; what it does in an asynchronous world, it does in a greenlet."""
        if self.loop is None:
            session = Session(self._engine)
            self._wrappers[session] = None
            return session
        wrapper = AsyncSession(self._engine)
        self._wrappers[wrapper.sync_session] = wrapper
        return wrapper.sync_session

    def call(self, manager: CacheManager, operation: str, *arguments: Any) -> Any:
        """Take an operation of a manager, in the manner of this world."""
        if self.loop is None:
            return getattr(manager, f"{operation}_sync")(*arguments)
        given = (self._wrappers[argument] if isinstance(argument, Session) else argument for argument in arguments)
        return await_only(getattr(manager, f"{operation}_async")(*given))

    def run(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Call a function as a request of its own: in an empty context."""
        context = contextvars.Context()
        if self.loop is None:
            return context.run(function, *arguments)
        task = context.run(self.loop.create_task, greenlet_spawn(function, *arguments))
        return await_only(task) if self.loop.is_running() else self.loop.run_until_complete(task)

    def close_cache(self, manager: CacheManager) -> None:
        """Close a cache."""
        if self.loop is None:
            manager.close()
        else:
            self.loop.run_until_complete(manager.aclose())

    def forget(self) -> None:
        """Close and forget the sessions of a program that is over, perhaps in the middle."""
        self.run(lambda: [session.close() for session in self._wrappers])
        self._wrappers.clear()

    def close(self) -> None:
        """Close everything."""
        closed = self._engine.dispose()
        if self.loop is not None:
            self.loop.run_until_complete(closed)
            self.loop.close()
        self._behind.dispose()


_PREPARATIONS = {
    "sqlite": ("PRAGMA foreign_keys=ON", "PRAGMA journal_mode=WAL", "PRAGMA synchronous=OFF"),
    "postgresql": ("SET lock_timeout='2s'",),
    "mysql": ("SET innodb_lock_wait_timeout=2",),
    "mariadb": ("SET innodb_lock_wait_timeout=2",),
}
"""What each connection is told; one program's sessions shouldn't meet, but if they do, the test mustn't stand still."""


def _prepare(connection: Any, _: Any, *, statements: tuple[str, ...]) -> None:
    cursor = connection.cursor()
    for statement in statements:
        cursor.execute(statement)
    cursor.close()
    connection.commit()
