"""The workload: threads with sync sessions and tasks with ``AsyncSession``, at the same time on one database."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from sqlalchemy import Engine, create_engine, event
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine
from sqlalchemy.orm import Session

from demo.judge import Scope, Span, now
from demo.operations import LIST_LIMIT, Listing, Read, Write, sequence
from demo.world import BUSY_TIMEOUT, content_of, row_of
from demo.writing import CONFLICTS, prepare

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from demo.access import Access
    from demo.judge import Judge
    from demo.models import Place
    from demo.operations import Operation
    from demo.world import World
    from demo.writing import Prepared

__all__ = ("TASKS", "THREADS", "WORKERS", "Engines", "Plan", "Stage", "Tally", "run")

THREADS, TASKS = 4, 4
WORKERS = THREADS + TASKS


@dataclass(frozen=True)
class Engines:
    """Two engines that lead to one database."""

    sync: Engine
    asynchronous: AsyncEngine
    statements: Counter[str] = field(default_factory=Counter)

    @classmethod
    def open(cls, file: Path) -> Engines:
        """Make the engines; their statements are counted."""
        arguments = {"timeout": BUSY_TIMEOUT}
        engines = cls(
            create_engine(f"sqlite:///{file}", connect_args=arguments, pool_size=THREADS),
            create_async_engine(f"sqlite+aiosqlite:///{file}", connect_args=arguments, pool_size=TASKS),
        )
        for engine in (engines.sync, engines.asynchronous.sync_engine):
            event.listen(engine, "before_cursor_execute", engines._count)
        return engines

    def _count(self, *_: Any) -> None:
        self.statements[threading.current_thread().name] += 1  # one counter for each thread, so that none is lost


@dataclass(frozen=True)
class Stage:
    """What the workload is done on."""

    world: World
    judge: Judge
    access: Access
    engines: Engines


@dataclass(frozen=True)
class Plan:
    """How long each worker works."""

    seed: int
    operations: tuple[int, ...] | None = None
    """Operations of each worker, ``None``: as many as there is time for."""
    seconds: float | None = None


@dataclass
class Tally:
    """What one worker has done."""

    operations: int = 0
    reads: Counter[str] = field(default_factory=Counter)
    writes: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)


@dataclass
class _Worker:
    """What the two kinds of workers share."""

    session: ClassVar[str]
    """What it reads with."""

    stage: Stage
    operations: Iterator[Operation]
    stop: threading.Event
    limit: int | None
    deadline: float
    tally: Tally

    def next(self) -> Operation | None:
        """Return the next operation, ``None`` at the end."""
        if self.tally.operations == self.limit or time.monotonic() >= self.deadline or self.stop.is_set():
            return None
        self.tally.operations += 1
        return next(self.operations)

    def check_one(self, read: Read, found: Place | None, span: Span) -> None:
        """Have one place judged."""
        self.tally.reads[read.kind] += 1
        state = None if found is None else content_of(found)
        self._note(read.kind, self.stage.judge.judge(self.stage.world.rows[read.model, read.ident], state, span))

    def check_many(self, listing: Listing, found: Sequence[Place], span: Span) -> None:
        """Have a list judged."""
        self.tally.reads[listing.kind] += 1
        items = [(row_of(place), content_of(place)) for place in found]
        scope = Scope(listing.model.__tablename__, listing.group, LIST_LIMIT)
        self._note(listing.kind, self.stage.judge.judge_list(scope, items, span))

    def check_own(self, read: Read, found: Place | None, prepared: Prepared) -> None:
        """Compare what a transaction reads of its own write."""
        self.tally.reads[read.kind] += 1
        state = None if found is None else content_of(found)
        right = state == prepared.states[self.stage.world.rows[read.model, read.ident]]
        self._note(read.kind, "" if right else f"{read.kind} {read.ident}: not what the transaction itself wrote ({state})")

    def _note(self, kind: str, wrong: str) -> None:
        if wrong:
            self.tally.wrong.append(f"{kind} ({self.session}): {wrong}")


class _Thread(_Worker):
    """A worker in a thread of its own, with sync sessions."""

    session = "Session"

    def work(self, engine: Engine) -> None:
        while (operation := self.next()) is not None:
            if isinstance(operation, Write):
                while not self._write(engine, operation):
                    self.tally.writes["done again after a conflict"] += 1
                continue
            with Session(engine) as session:
                began = now()
                if isinstance(operation, Read):
                    one = self.stage.access.one(session, operation)
                    self.check_one(operation, one, Span(began, now()))
                else:
                    many = self.stage.access.many(session, operation)
                    self.check_many(operation, many, Span(began, now()))

    def _write(self, engine: Engine, write: Write) -> bool:
        with Session(engine) as session:
            try:
                prepared = prepare(session, self.stage.world, write)
            except CONFLICTS:
                return False
            own = self.stage.access.one(session, write.first)
            self.check_own(write.first, own, prepared)
            if prepared.commits:
                commit = self.stage.judge.commit_begins(prepared.states)
                session.commit()
                self.stage.judge.commit_returned(commit)
            else:
                session.rollback()
            self.tally.writes[write.ending.value] += 1
        return True


class _Task(_Worker):
    """A worker in a task of an event loop, with ``AsyncSession``."""

    session = "AsyncSession"

    async def work(self, engine: AsyncEngine) -> None:
        while (operation := self.next()) is not None:
            if isinstance(operation, Write):
                while not await self._write(engine, operation):
                    self.tally.writes["done again after a conflict"] += 1
                continue
            async with AsyncSession(engine) as session:
                began = now()
                if isinstance(operation, Read):
                    one = await self.stage.access.one_async(session, operation)
                    self.check_one(operation, one, Span(began, now()))
                else:
                    many = await self.stage.access.many_async(session, operation)
                    self.check_many(operation, many, Span(began, now()))

    async def _write(self, engine: AsyncEngine, write: Write) -> bool:
        async with AsyncSession(engine) as session:
            try:
                prepared = await session.run_sync(prepare, self.stage.world, write)
            except CONFLICTS:
                return False
            own = await self.stage.access.one_async(session, write.first)
            self.check_own(write.first, own, prepared)
            if prepared.commits:
                commit = self.stage.judge.commit_begins(prepared.states)
                await session.commit()
                self.stage.judge.commit_returned(commit)
            else:
                await session.rollback()
            self.tally.writes[write.ending.value] += 1
        return True


def run(stage: Stage, plan: Plan, watch: Callable[[int], None]) -> list[Tally]:
    """Run all workers to their ends, and close the engines.

    Args:
        stage: What is worked on; its judge must know nothing yet.
        plan: How long.
        watch: Told, several times a second, how many operations are done.

    Returns:
        The tally of each worker.
    """
    stop, finished = threading.Event(), threading.Event()
    deadline = time.monotonic() + plan.seconds if plan.seconds is not None else float("inf")
    tallies = [Tally() for _ in range(WORKERS)]

    def parts(number: int) -> tuple[Any, ...]:
        limit = None if plan.operations is None else plan.operations[number]
        return stage, sequence(stage.world, plan.seed, number), stop, limit, deadline, tallies[number]

    async def tasks() -> None:
        try:
            workers = (_Task(*parts(number)) for number in range(THREADS, WORKERS))
            await asyncio.gather(*(worker.work(stage.engines.asynchronous) for worker in workers))
        except BaseException:
            stop.set()
            raise
        finally:
            await asyncio.to_thread(finished.wait)  # the cache is closed once, when no thread uses it any more
            await stage.engines.asynchronous.dispose()
            await stage.access.aclose()

    with ThreadPoolExecutor(THREADS + 1) as pool:
        loop = pool.submit(asyncio.run, tasks())
        threads = [pool.submit(_Thread(*parts(number)).work, stage.engines.sync) for number in range(THREADS)]
        waiting = {loop, *threads}
        try:
            while waiting:
                done, waiting = wait(waiting, timeout=0.2, return_when=FIRST_EXCEPTION)
                watch(sum(tally.operations for tally in tallies))
                if waiting <= {loop}:
                    finished.set()
                for future in done:
                    future.result()
        finally:
            stop.set()
            finished.set()
    stage.engines.sync.dispose()
    return tallies
