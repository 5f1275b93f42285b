"""What a process of a run does: its threads and tasks read and write through one cache until the time is over."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import random
import threading
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

import redis
from sqlalchemy import create_engine, event
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.util import greenlet_spawn

from aa_cache_integration import CacheConfig, CacheManager
from aa_cache_integration.registry import CacheRegistry
from tests.torture.faces import Awaiting, Blocking
from tests.torture.perils import STEPS, Perils, break_rule, put_in_peril
from tests.torture.reading import Reader
from tests.torture.records import Failed, Log, now
from tests.torture.tracking import Transaction, track
from tests.torture.world import World, spare_the_disk
from tests.torture.writing import Writer

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy.engine import Engine

    from tests.torture.faces import Face
    from tests.torture.worker import Assignment

__all__ = ("Labour",)


class Labour:
    """All that one process does."""

    def __init__(self, assignment: Assignment) -> None:
        """Open the log and build the cache."""
        self._assignment = assignment
        chance = random.Random(assignment.seed)
        self._world = World.of(assignment.rows)
        logging.basicConfig(filename=Path(assignment.folder) / f"{assignment.name}.txt")  # connections that were ended
        self._log = Log(Path(assignment.folder) / f"{assignment.name}.log")
        death = None if assignment.dies is None else (chance.choice(STEPS), now() + round(assignment.dies * 1e9))
        break_rule(assignment.broken)
        self._registry = CacheRegistry.from_mapping({})
        self._manager = CacheManager(CacheConfig(**assignment.cache, untracked=("history",)))
        flush = redis.Redis(**assignment.cache["arguments"]).flushall if assignment.robs else None
        perils = Perils(self._log, chance, death, assignment.broken, assignment.losses, flush, assignment.robs)
        put_in_peril(self._manager, perils)
        self._numbers = itertools.count()

    def run(self) -> None:
        """Work until the time is over."""
        engines = self._engines(self._assignment.url, create_engine)
        face = Blocking(self._manager)
        threads = [threading.Thread(target=self._work, args=(face, engines, number)) for number in range(self._assignment.threads)]
        for thread in threads:
            thread.start()
        asyncio.run(self._tasks(threads))
        for engine in engines:
            engine.dispose()

    async def _tasks(self, threads: list[threading.Thread]) -> None:
        engines = self._engines(self._assignment.async_url, create_async_engine)
        face = Awaiting(self._manager)
        works = (greenlet_spawn(self._work, face, engines, 100 + number) for number in range(self._assignment.tasks))
        await asyncio.gather(*works)
        for thread in threads:
            await asyncio.to_thread(thread.join)
        for engine in engines:
            with contextlib.suppress(Exception):  # a connection that was ended
                await engine.dispose()
        await self._manager.aclose()

    def _engines(self, url: str, create: Callable[..., Any]) -> tuple[Any, Any]:
        """Return the engine of the usual transactions and that of those which take a snapshot."""
        level = {} if self._assignment.isolation is None else {"isolation_level": self._assignment.isolation}
        engines: tuple[Any, Any]
        if url.startswith("sqlite"):
            engines = create(url, connect_args={"timeout": 30}), create(url, connect_args={"timeout": 30})
            for engine in engines:
                spare_the_disk(getattr(engine, "sync_engine", engine))
            _begin_with_begin(getattr(engines[1], "sync_engine", engines[1]))
        else:
            engine = create(url, pool_size=10, **level)
            engines = engine, engine
        for engine in dict.fromkeys(engines):
            self._registry.bind(engine)
            track(getattr(engine, "sync_engine", engine))
        return engines

    def _work(self, face: Face, engines: tuple[Any, Any], number: int) -> None:
        assignment = self._assignment
        chance = random.Random(f"{assignment.seed} {number}")
        reader = Reader(face, self._world, self._log, chance, *engines, torn=assignment.broken == "snapshots")
        writer = Writer(face, self._world, self._log, chance, engines[0])
        while now() < assignment.ends:
            writes = chance.random() < assignment.writes
            transaction = Transaction(f"{assignment.name}.{next(self._numbers)}", assignment.repeatable)
            try:
                writer.write(transaction) if writes else reader.read(transaction)
            except Exception as error:  # noqa: BLE001 - whatever it is, the report tells of it
                # SQLAlchemy's errors and the driver's are those that a fault explains, or two writers in each other's way.
                expected = isinstance(error, (SQLAlchemyError, engines[0].dialect.loaded_dbapi.Error))
                what = f"{type(error).__name__}: {error}" if expected else traceback.format_exc()
                self._log.write(Failed(now(), "write" if writes else "read", what, expected))


def _begin_with_begin(engine: Engine) -> None:
    """Let the transactions of a SQLite engine begin with BEGIN, as SQLAlchemy's documentation tells."""

    @event.listens_for(engine, "connect")
    def connect(dbapi_connection: Any, _: Any) -> None:
        dbapi_connection.isolation_level = None

    @event.listens_for(engine, "begin")
    def begin(connection: Any) -> None:
        connection.exec_driver_sql("BEGIN")
