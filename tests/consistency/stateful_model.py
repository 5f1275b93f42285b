"""What the state machine of `test_stateful` runs on: a database, tasks that call a cache, and the simple model that judges the answers."""

from __future__ import annotations

import asyncio
import contextvars
import sqlite3
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import create_engine, event, select
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from aa_cache_integration import CacheConfig, CacheManager
from aa_cache_integration import manager as managers
from aa_cache_integration.core import leases
from aa_cache_integration.core.drive import drive
from aa_cache_integration.core.plans import Grant
from aa_cache_integration.registry import CacheRegistry
from tests.orm.world import begin_recipe

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from pathlib import Path

    from aa_cache_integration.events import CacheEvent
    from tests.managers import Face

__all__ = (
    "FIRST_ROWS",
    "TABLES",
    "Cell",
    "Counts",
    "PlainKey",
    "Snapshot",
    "State",
    "Task",
    "Versions",
    "World",
    "Writer",
    "instance_of",
    "read_rows",
    "values_of",
)


class Base(DeclarativeBase):
    pass


class Item(Base):
    __tablename__ = "stateful_items"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]


class Label(Base):
    __tablename__ = "stateful_labels"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]


Rows = dict[int, tuple[int, str]]
State = dict[str, Rows]
"""What a database holds, or a transaction sees: its tables' rows by primary key."""

TABLES: dict[str, type[Any]] = {model.__tablename__: model for model in (Item, Label)}
FIRST_ROWS: State = {
    Item.__tablename__: {ident: (ident, f"item {ident}") for ident in (1, 2, 3)},
    Label.__tablename__: {1: (1, "label 1")},
}


def values_of(instance: Any) -> tuple[int, str] | None:
    """Return an instance's row; ``None`` for none."""
    return None if instance is None else (instance.id, instance.name)


def instance_of(table: str, row: tuple[int, str]) -> Any:
    """Return a new instance of a row."""
    return TABLES[table](id=row[0], name=row[1])


def read_rows(session: Session, table: str) -> Rows:
    """Ask the database for a table's rows."""
    model = TABLES[table]
    return {ident: (ident, name) for ident, name in session.execute(select(model.id, model.name).order_by(model.id))}


class World:
    """A database file, and two engines on it: one in the driver's own mode, one whose transactions begin with BEGIN (snapshots)."""

    def __init__(self, file: Path, *, is_async: bool) -> None:
        """Make the tables and bind the engines."""
        self.loop = asyncio.new_event_loop() if is_async else None
        self.selects = 0
        """How many SELECTs have run in transactions that begin with BEGIN."""
        self._behind = sqlite3.connect(file, isolation_level=None)
        self._behind.execute("PRAGMA journal_mode=WAL")
        self._behind.execute("PRAGMA synchronous=OFF")
        bootstrap = create_engine(f"sqlite:///{file}")
        Base.metadata.create_all(bootstrap)
        bootstrap.dispose()
        self._engines = [self._engine(file), self._engine(file)]
        begin_recipe(self.sync_engine(begins=True))
        event.listen(self.sync_engine(begins=True), "before_cursor_execute", self._count)
        registry = CacheRegistry.from_mapping({})
        for begins in (False, True):
            registry.bind(self.sync_engine(begins=begins))

    def _engine(self, file: Path) -> Any:
        make: Callable[[str], Any] = create_engine if self.loop is None else create_async_engine
        return make(f"sqlite{'' if self.loop is None else '+aiosqlite'}:///{file}")

    def _count(self, _conn: Any, _cursor: Any, statement: str, *_: Any) -> None:
        self.selects += statement.startswith("SELECT")

    def sync_engine(self, *, begins: bool) -> Any:
        """Return an engine as SQLAlchemy's events know it."""
        return getattr(self._engines[begins], "sync_engine", self._engines[begins])

    def session(self, *, begins: bool = False) -> Session | AsyncSession:
        """Return a new session of this world's kind."""
        return Session(self._engines[0 + begins]) if self.loop is None else AsyncSession(self._engines[0 + begins])

    def committed(self) -> State:
        """Read what is committed, behind everybody's back."""
        return {table: {row[0]: row for row in self._behind.execute(f"SELECT id, name FROM {table} ORDER BY id")} for table in TABLES}  # noqa: S608

    def reset(self) -> None:
        """Put the first rows in place of all, behind everybody's back."""
        for table, rows in FIRST_ROWS.items():
            self._behind.execute(f"DELETE FROM {table}")  # noqa: S608
            self._behind.executemany(f"INSERT INTO {table} VALUES (?, ?)", rows.values())  # noqa: S608

    def close(self) -> None:
        """Close everything."""
        for engine in self._engines:
            closed = engine.dispose()
            if self.loop is not None:
                self.loop.run_until_complete(closed)
        self._behind.close()
        if self.loop is not None:
            self.loop.close()


class Counts(Counter[tuple[str, str | None]]):
    """A hook that counts events by name and operation."""

    def wants(self, name: str) -> bool:
        """Take all."""
        return True

    def __call__(self, event: CacheEvent) -> None:
        """Count it."""
        self[event.name, event.op] += 1
        if event.reason:
            self[event.name, event.reason] += 1

    def manager(self, options: dict[str, Any], *, is_told: bool) -> CacheManager:
        """Return a manager that tells this hook.

        Args:
            options: The fields of its `CacheConfig`.
            is_told: Whether the commits of this process tell it; ``False``: it stands for another process.
        """
        made = CacheManager(CacheConfig(**{"lease_wait": 0, "expiration_time": 300, **options}), hooks=[self])
        if not is_told:
            managers._live.discard(made)
        return made


# Who acts


class Cell(NamedTuple):
    """What a task looks up that comes from the database."""

    table: str
    ident: int | None
    """``None``: the list of all rows."""


@dataclass
class Snapshot:
    """A transaction that begins with BEGIN."""

    session: Any
    state: State | None = None
    """What it holds; ``None`` until its first SELECT."""


@dataclass
class Task:
    """A task of an application, with a context of its own that outlives each call."""

    face: Face
    world: World
    context: contextvars.Context = field(default_factory=contextvars.copy_context)
    missed: dict[Cell, Rows | None] = field(default_factory=dict)
    """What it has looked up and may put: the rows that it has read since, ``None`` until it has."""
    missed_keys: dict[str, int] = field(default_factory=dict)
    """The plain keys that it has looked up and may put, each with its generation at that time."""
    snapshot: Snapshot | None = None

    def run(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        """Run a coroutine in this task's context."""
        loop = self.world.loop
        if loop is None:
            return self.context.run(drive, coroutine)
        return loop.run_until_complete(self.context.run(loop.create_task, self._keeping(coroutine)))

    async def _keeping(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        # An asyncio task runs in a copy of its context (Python 3.10 has no other way).
        try:
            return await coroutine
        finally:
            self.context = contextvars.copy_context()

    def does(self, operation: str, *arguments: Any) -> Any:
        """Take an operation of the manager."""
        return self.run(self.face(operation, *arguments))

    def give_back(self) -> None:
        """Release the leases of all that it has looked up."""

        async def release() -> None:
            manager = self.face.manager
            operations = manager.operations() if self.world.loop is None else manager.async_operations()
            await operations.protocol.give_back([right for right in leases._held.get().values() if isinstance(right, Grant)])

        self.run(release())

    def within(self, session: Any, function: Callable[..., Any], *arguments: Any) -> Any:
        """Call a function with the synchronous session, as this kind of session does it."""

        async def call() -> Any:
            if isinstance(session, AsyncSession):
                return await session.run_sync(function, *arguments)
            return function(session, *arguments)

        return self.run(call())

    def once(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Call a function with a session that is closed after it."""
        session = self.world.session()
        try:
            return self.within(session, function, *arguments)
        finally:
            self.within(session, Session.close)


@dataclass
class Writer:
    """The one open transaction that writes."""

    task: Task
    session: Any
    view: State
    """What it sees once all is flushed."""
    unflushed: bool = False
    knows_tables: bool = True
    """``False`` once it has written by text."""
    savepoints: list[tuple[Any, State]] = field(default_factory=list)


# What is judged


@dataclass
class PlainKey:
    """What a lookup of a plain key may find."""

    allowed: list[Any] = field(default_factory=list)
    """The values that a hit may be."""
    certain: bool = False
    """Whether it must be a hit."""
    generation: int = 0
    """Counts what takes away the leases of those who have looked it up."""

    def put(self, value: Any, *, certain: bool) -> None:
        """Take an explicit put; where it isn't certain, the old value may still stand."""
        self.allowed = [value] if certain else [*self.allowed, value]
        self.certain = certain
        self.generation += certain

    def fill(self, value: Any, generation: int) -> None:
        """Take a put after a lookup: refused when the lease is gone, and perhaps otherwise."""
        if generation == self.generation:
            self.allowed.append(value)

    def end(self) -> None:
        """Take a delete."""
        self.allowed, self.certain, self.generation = [], False, self.generation + 1

    def hit(self, value: Any) -> None:
        """Judge a hit."""
        assert any(type(value) is type(other) and value == other for other in self.allowed), f"{value!r} isn't of {self.allowed!r}"
        self.allowed = [value]

    def miss(self) -> None:
        """Judge a miss: nothing stands there, and nothing will until it is put."""
        assert not self.certain, f"{self.allowed!r} is lost"
        self.allowed = []


@dataclass
class Versions:
    """What a table's token may be."""

    token: str | None = None
    must_change: bool = False
    may_change: bool = False
    retired: set[str] = field(default_factory=set)

    def see(self, token: str) -> None:
        """Judge a token."""
        assert token not in self.retired, "an old token again"
        if self.token is not None and token == self.token:
            assert not self.must_change, "the token stands after a committed write"
        elif self.token is not None:
            assert self.may_change or self.must_change, "the token changed without a write"
            self.retired.add(self.token)
        self.token, self.must_change, self.may_change = token, False, False
