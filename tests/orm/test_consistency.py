"""Readers and writers at random, in threads and in tasks, on one database: each read is judged by its interval.

A read may not be older than the newest commit that had returned before it began, or that another read, of the database itself perhaps,
had shown by then; it may never be of a transaction that was rolled back, nor newer than the newest commit that had begun before it ended.
Pairs of rows are always written together, so two rows of one answer must be of one transaction, and a transaction that has a snapshot may
be shown nothing else.
"""

from __future__ import annotations

import asyncio
import itertools
import random
import sqlite3
import threading
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import create_engine, event, update
from sqlalchemy.exc import OperationalError
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import Session
from sqlalchemy.orm.exc import StaleDataError
from sqlalchemy.util import await_only, greenlet_spawn

from aa_cache_integration import CacheConfig, CacheManager
from aa_cache_integration.registry import CacheRegistry
from tests.orm.models import Base, Versioned
from tests.orm.world import begin_recipe

if TYPE_CHECKING:
    from pathlib import Path

    from sqlalchemy.engine import Engine

    from aa_cache_integration.stores.base import Announcement, Making, Store

PAIRS = 4
OPERATIONS = 120
THREADS, TASKS = 3, 4


@dataclass
class Write:
    """One transaction that writes a pair."""

    token: str
    pair: int
    begun: int = -1
    returned: int = -1
    versions: tuple[int, ...] = ()
    committed: bool = False


@dataclass
class Read:
    """One answer."""

    pair: int
    began: int
    ended: int
    found: list[tuple[str, int]]


@dataclass
class History:
    """What happened, in the order of one clock."""

    clock: Any = field(default_factory=itertools.count)
    writes: dict[str, Write] = field(default_factory=dict)
    reads: list[Read] = field(default_factory=list)
    errors: list[BaseException] = field(default_factory=list)

    def violations(self) -> list[str]:
        """Return what is wrong with the reads."""
        found: list[str] = []
        for read in self.reads:
            write = self.writes.get(read.found[0][0])
            returned = [w for w in self.writes.values() if w.pair == read.pair and w.committed and 0 <= w.returned < read.began]
            seen = [other.found[0][1] for other in self.reads if other.pair == read.pair and other.ended < read.began]
            newest = max([1, *seen, *(w.versions[0] for w in returned)])
            if len({token for token, _ in read.found}) > 1:
                found.append(f"torn: {read}")
            elif read.found[0][1] < newest:
                found.append(f"stale (newest is {newest}): {read}")
            elif write is None and read.found[0][0] != "first":
                found.append(f"unknown: {read}")
            elif write is not None and (not write.committed or write.begun > read.ended):
                found.append(f"uncommitted: {read} {write}")
        return found


@dataclass
class Worker:
    """Reads and writes through one kind of session; the body is synchronous, and runs in a greenlet for an AsyncSession."""

    history: History
    manager: CacheManager
    engine: Any
    snapshots: Any
    """An engine whose transactions begin with BEGIN, for reading."""
    random: random.Random
    name: str

    def fetch(self, session: Session, idents: list[int]) -> list[Any]:
        """Read rows through the cache."""
        return self.manager.fetch_entities_sync(session, Versioned, idents)

    def session(self, engine: Any) -> Any:
        """Open a session."""
        return Session(engine)

    @staticmethod
    def _idents(pair: int) -> list[int]:
        return [2 * pair, 2 * pair + 1]

    def run(self) -> None:
        """Take the operations."""
        try:
            for number in range(OPERATIONS):
                pair = self.random.randrange(PAIRS)
                if self.random.random() < 0.75:
                    self.read(pair)
                else:
                    self.write(pair, Write(f"{self.name}.{number}", pair))
        except BaseException as error:
            self.history.errors.append(error)
            raise

    def read(self, pair: int) -> None:
        """Read and keep what was found."""
        if self.random.random() < 0.2:
            self._read_in_a_snapshot(pair)
            return
        idents = self.random.choice([self._idents(pair), self._idents(pair), self._idents(pair)[:1]])
        with self.session(self.engine) as session:
            began = next(self.history.clock)
            direct = self.random.random() < 0.2
            found = [session.get_one(Versioned, idents[0])] if direct else self.fetch(session, idents)
            self.history.reads.append(Read(pair, began, next(self.history.clock), [(row.name, row.version) for row in found]))

    def _read_in_a_snapshot(self, pair: int) -> None:
        with self.session(self.snapshots) as session:
            there = session.get_one(Versioned, 2 * pair).name
            others = self.random.randrange(3)
            found = [row.name for _ in range(others) for row in self.fetch(session, self._idents(pair))]
            assert set(found) <= {there}, "repeatable reads"

    def write(self, pair: int, write: Write) -> None:
        """Write a pair: by flush or by a statement, with savepoints or without, and commit or roll back."""
        self.history.writes[write.token] = write
        try:
            with self.session(self.engine) as session:
                self._write(session, pair, write)
        except StaleDataError:
            return  # another was faster: rolled back
        except OperationalError as error:
            if "locked" not in str(error):
                raise

    def _write(self, session: Session, pair: int, write: Write) -> None:
        idents = self._idents(pair)
        if self.random.random() < 0.5:
            for ident in idents:
                session.get_one(Versioned, ident).name = write.token
            session.flush()
        else:
            change = update(Versioned).where(Versioned.id.in_(idents)).values(name=write.token, version=Versioned.version + 1)
            session.execute(change, execution_options={"synchronize_session": False})
        chance = self.random.random()
        if chance < 0.2:
            with session.begin_nested():
                session.execute(update(Versioned).where(Versioned.id == 2 * PAIRS + pair).values(name=write.token))
        elif chance < 0.4:
            nested = session.begin_nested()
            session.execute(update(Versioned).where(Versioned.id.in_(idents)).values(name="rolled back"))
            nested.rollback()
        if self.random.random() < 0.3:
            mine = self.fetch(session, idents)
            assert [row.name for row in mine] == [write.token] * 2, "own writes"
        if self.random.random() < 0.25:
            session.rollback()
            return
        write.versions = tuple(row.version for row in self.fetch(session, idents))
        write.begun, write.committed = next(self.history.clock), True
        session.commit()
        write.returned = next(self.history.clock)


class AsyncWorker(Worker):
    """The same with an AsyncSession."""

    def session(self, engine: Any) -> Any:
        """Open the synchronous session of one."""
        outer = AsyncSession(engine)
        outer.sync_session.info["outer"] = outer
        return outer.sync_session

    def fetch(self, session: Session, idents: list[int]) -> list[Any]:
        """Read rows through the cache."""
        return await_only(self.manager.fetch_entities_async(session.info["outer"], Versioned, idents))


class Slow:
    """A store on a slow network: between COMMIT and settle others have time to look."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def settle(self, announcement: Announcement, making: Making) -> int:
        """Settle, but not at once."""
        await self._store.sleep(0.002)
        return await self._store.settle(announcement, making)


def slow_down(manager: CacheManager) -> None:
    """Put a manager on a slow network."""
    built = manager._store()
    faces: dict[str, Any] = {"blocking": Slow(built.blocking), "asynchronous": lambda: Slow(built.asynchronous())}
    manager._built = replace(built, **faces)


def fast(engine: Engine) -> None:
    """Spare the disk."""

    @event.listens_for(engine, "connect")
    def connect(dbapi_connection: Any, _: Any) -> None:
        cursor = dbapi_connection.cursor()
        cursor.execute("PRAGMA synchronous = OFF")
        cursor.close()


def in_threads(
    history: History, manager: CacheManager, engines: list[Engine], registry: CacheRegistry, seed: int
) -> list[threading.Thread]:
    for engine in engines:
        fast(engine)
        registry.bind(engine)
    begin_recipe(engines[1])
    workers = [Worker(history, manager, *engines, random.Random(seed + n), f"thread {n}") for n in range(THREADS)]
    return [threading.Thread(target=worker.run) for worker in workers]


async def in_tasks(
    history: History, manager: CacheManager, url: str, registry: CacheRegistry, others: list[threading.Thread], seed: int
) -> None:
    engines = [create_async_engine(url), create_async_engine(url)]
    for engine in engines:
        fast(engine.sync_engine)
        registry.bind(engine)
    begin_recipe(engines[1].sync_engine)
    workers = [AsyncWorker(history, manager, *engines, random.Random(seed + 100 + n), f"task {n}") for n in range(TASKS)]
    try:
        await asyncio.gather(*(greenlet_spawn(worker.run) for worker in workers))
    finally:
        for engine in engines:
            await engine.dispose()
        for thread in others:
            await asyncio.to_thread(thread.join)
        await manager.aclose()


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("store", ["memory", "redis"])
def test_every_read_is_one_that_the_database_could_have_answered(
    tmp_path: Path, cache_options: dict[str, Any], recorded_events: list[Any], seed: int
) -> None:
    file = tmp_path / "x.db"
    with sqlite3.connect(file) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
    connection.close()
    engine = create_engine(f"sqlite:///{file}")
    Base.metadata.create_all(engine)
    with Session(engine) as session:
        session.add_all(Versioned(id=ident, name="first") for ident in range(3 * PAIRS))
        session.commit()
    engine.dispose()
    manager, registry, history = CacheManager(CacheConfig(**cache_options)), CacheRegistry.from_mapping({}), History()
    slow_down(manager)
    engines = [create_engine(f"sqlite:///{file}"), create_engine(f"sqlite:///{file}")]
    threads = in_threads(history, manager, engines, registry, seed)
    for thread in threads:
        thread.start()
    asyncio.run(in_tasks(history, manager, f"sqlite+aiosqlite:///{file}", registry, threads, seed))
    for engine in engines:
        engine.dispose()
    assert history.errors == []
    assert history.violations() == []
    told = {name: sum(event.name == name for event in recorded_events) for name in ("cache.hit", "cache.fill", "cache.invalidate")}
    assert all(count > 20 for count in told.values()), f"nothing much was tried: {told}"
    assert sum(write.committed for write in history.writes.values()) > 20
