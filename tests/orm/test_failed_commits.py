"""A COMMIT that raises, is interrupted, refused or cancelled: nobody ever reads something stale (DESIGN 5.4, 5.8)."""

from __future__ import annotations

import asyncio
import dataclasses
import gc
import sqlite3
import sys
import threading
from typing import TYPE_CHECKING, Any, ClassVar

import pytest
from sqlalchemy import event, select, text, update
from sqlalchemy.engine import Engine
from sqlalchemy.exc import OperationalError, PendingRollbackError
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session
from sqlalchemy.util import greenlet_spawn

from aa_cache_integration import CommitRefusedError
from aa_cache_integration.core.breaker import Breaker
from aa_cache_integration.orm.listeners import remove_cache_listeners, setup_cache_listeners
from tests.orm.models import Product, Tag
from tests.orm.world import World, on_each_store, only_async, only_sync, pending_tasks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sqlalchemy.engine import Connection

    from aa_cache_integration.stores.base import Announcement, Making, Store
    from tests.servers import RedisServer

products = Product.__table__
INTENTS = {"products:get:1", "~:rows:products"}
BULK_INTENTS = {"~:bulk:products", "~:rows:products"}


class Failing(sqlite3.Connection):
    """A connection whose COMMIT raises when it is told to."""

    error: ClassVar[BaseException | None] = None
    first: ClassVar[Callable[[], object] | None] = None
    """Called before COMMIT."""
    commits_anyway: ClassVar[bool] = False
    """Whether the database commits, and only the answer is lost."""

    def commit(self) -> None:
        if Failing.first is not None:
            Failing.first()
        error, Failing.error = Failing.error, None
        if error is None or Failing.commits_anyway:
            super().commit()
        if error is not None:
            raise error


@pytest.fixture
def cached(world: World, monkeypatch: pytest.MonkeyPatch) -> World:
    """A cached row, in a database whose COMMIT may fail."""
    for name in ("error", "first", "commits_anyway"):
        monkeypatch.setattr(Failing, name, getattr(Failing, name))
    world.engine = world.make_engine(connect_args={"factory": Failing})
    world.registry.bind(world.engine)

    def prepare() -> None:
        world.add(Product(id=1, name="old"), Product(id=2, name="old"), Tag(id=1, name="old"))
        for ident in (1, 2):
            assert world.read(Product, ident).name == "old"
        world.told()

    world.preparations.append(prepare)
    return world


@on_each_store
@pytest.mark.parametrize("committed", [True, False])
@pytest.mark.parametrize("error", [sqlite3.OperationalError("disk I/O error"), KeyboardInterrupt(), SystemExit()], ids=repr)
@only_sync
def test_a_commit_that_raises_settles_nothing_and_nobody_hits_meanwhile(cached: World, *, committed: bool, error: BaseException) -> None:
    with cached.session() as session:
        session.get_one(Product, 1).name = "new"
        Failing.error, Failing.commits_anyway = error, committed
        with pytest.raises((OperationalError, KeyboardInterrupt, SystemExit)):
            session.commit()
        session.rollback()
        assert cached.intents() == INTENTS
        assert cached.told() == []
        for _ in range(2):
            assert cached.read(Product, 1).name == ("new" if committed else "old")
            assert not cached.served(Product, 1)
        session.get_one(Product, 2).name = "newer"  # the session can be used again
        session.commit()
    assert cached.read(Product, 2).name == "newer"
    assert cached.read(Product, 1).name == ("new" if committed else "old")


@pytest.mark.parametrize("committed", [True, False])
def test_a_commit_that_raised_is_settled_by_its_deadline(cached: World, *, committed: bool) -> None:
    with cached.session() as session:
        session.get_one(Product, 1).name = "new"
        Failing.error, Failing.commits_anyway = sqlite3.OperationalError("disk I/O error"), committed
        with pytest.raises(OperationalError):
            session.commit()
    assert not cached.served(Product, 1)
    cached.pass_time(31)
    for _ in range(2):
        assert cached.read(Product, 1).name == ("new" if committed else "old")
    assert cached.served(Product, 1)


@pytest.fixture
def raising_handler() -> Iterator[None]:
    """A handler for all engines that was there before us: SQLAlchemy calls none behind one that raises."""

    def handler(_: Any) -> None:
        raise RuntimeError("the application's own")

    remove_cache_listeners()
    event.listen(Engine, "handle_error", handler)
    setup_cache_listeners()
    yield
    event.remove(Engine, "handle_error", handler)


@pytest.mark.usefixtures("raising_handler")
@pytest.mark.parametrize("committed", [True, False])
def test_a_handler_of_the_applications_that_raises_hides_no_failure(cached: World, *, committed: bool) -> None:
    with cached.engine.connect() as conn:
        conn.execute(update(products).values(name="new"))
        Failing.error, Failing.commits_anyway = sqlite3.OperationalError("disk I/O error"), committed
        with pytest.raises(RuntimeError):
            conn.commit()
        assert cached.intents() == BULK_INTENTS
    assert cached.read(Product, 1).name == ("new" if committed else "old")
    with cached.engine.begin() as conn:
        conn.execute(update(Tag.__table__).values(name="new"))
    assert cached.read(Product, 1).name == ("new" if committed else "old")
    with cached.session() as session:
        assert cached.fetch(session, Product, 1).name == session.get_one(Product, 1).name


def fail_once(cached: World, engine: Engine, where: str) -> None:
    """Let the next COMMIT fail: in the database, or in a listener behind ours."""
    if where == "the database":
        Failing.error = sqlite3.OperationalError("database is locked")
        return

    @event.listens_for(engine, "commit", once=True)
    def listener(_: Connection) -> None:
        raise OperationalError("COMMIT", None, sqlite3.OperationalError("a listener's"))


WHERE = pytest.mark.parametrize("where", ["the database", "a listener"])


@WHERE
def test_what_a_failed_commit_leaves_open_on_a_pooled_connection_is_rolled_back_before_it_is_used_again(cached: World, where: str) -> None:
    """SQLAlchemy returns such a connection to the pool without a ROLLBACK, and its next COMMIT would commit what was given up."""
    with cached.engine.connect() as conn:
        conn.execute(update(products).values(name="given up"))
        fail_once(cached, cached.engine, where)
        with pytest.raises(OperationalError):
            conn.commit()
    with cached.engine.connect() as conn:
        conn.execute(update(Tag.__table__).values(name="new"))
        conn.commit()
    cached.pass_time(31)
    assert cached.read(Product, 1).name == "old"
    assert cached.read(Tag, 1).name == "new"


@WHERE
def test_what_a_failed_commit_leaves_open_is_rolled_back_on_the_same_connection(cached: World, where: str) -> None:
    with cached.engine.connect() as conn:
        conn.execute(update(products).values(name="given up"))
        fail_once(cached, cached.engine, where)
        with pytest.raises(OperationalError):
            conn.commit()
        conn.rollback()
        conn.execute(update(Tag.__table__).values(name="new"))
        conn.commit()
    cached.pass_time(31)
    assert cached.read(Product, 1).name == "old"
    assert cached.read(Tag, 1).name == "new"


@pytest.mark.parametrize("committed", [True, False])
def test_another_listener_of_the_commit_changes_nothing_when_it_doesnt_raise(cached: World, *, committed: bool) -> None:
    event.listen(cached.engine, "commit", lambda _: None)
    with cached.engine.connect() as conn:
        for name in ("a", "b"):
            conn.execute(update(products).values(name=name))
            if committed:
                conn.commit()
            else:
                conn.rollback()
    assert cached.intents() == set()
    assert cached.read(Product, 1).name == ("b" if committed else "old")
    assert cached.told() == (["products", "products"] if committed else [])


def test_a_listener_behind_ours_that_raises_leaves_nothing_stale(cached: World) -> None:
    with cached.session() as session:
        session.get_one(Product, 1).name = "never"
        fail_once(cached, cached.engine, "a listener")
        with pytest.raises(OperationalError):
            session.commit()
        session.rollback()
        assert cached.intents() == set()
        assert cached.fetch(session, Product, 1).name == "old"
        session.get_one(Product, 2).name = "new"
        session.commit()
    assert [cached.read(Product, ident).name for ident in (1, 2)] == ["old", "new"]


@only_sync
def test_an_applications_begin_is_not_undone_for_what_an_earlier_session_left(cached: World) -> None:
    """Its listener, there before ours, emits BEGIN; a session before was forgotten with writes open."""

    def begin(conn: Connection) -> None:
        if conn.engine is engine:
            conn.exec_driver_sql("BEGIN")

    remove_cache_listeners()
    event.listen(Engine, "begin", begin)
    setup_cache_listeners()
    try:
        engine = cached.make_engine(pool_size=1, max_overflow=0)
        event.listen(engine, "connect", lambda connection, _: setattr(connection, "isolation_level", None))
        cached.registry.bind(engine)
        left = Session(engine)
        left.execute(update(Product).values(name="forgotten"))
        del left
        gc.collect()
        with Session(engine) as session:
            session.execute(update(Product).values(name="never"))
            session.rollback()
    finally:
        event.remove(Engine, "begin", begin)
    with cached.session() as session:
        assert session.get_one(Product, 1).name == "old"
    assert cached.read(Product, 1).name == "old"


# The store can't be reached


@pytest.fixture
def store(request: pytest.FixtureRequest) -> str:
    return "memory"


on_redis = pytest.mark.parametrize("store", ["redis"])


@on_redis
@pytest.mark.parametrize("how", ["flush", "autocommit", "text"])
def test_a_refused_commit_commits_nothing_and_the_session_is_usable(cached: World, redis_server: RedisServer, how: str) -> None:
    cached.manager = cached.cache(unreachable_commit="refuse")
    redis_server.kill()
    bind = cached.engine.execution_options(isolation_level="AUTOCOMMIT") if how == "autocommit" else cached.engine
    with cached.session(bind) as session:
        driver: Any = session.connection().connection.driver_connection
        with pytest.raises(CommitRefusedError, match="Nothing was committed"):
            if how == "text":
                session.execute(update(Product).values(name="new"))
                session.execute(text("COMMIT"))
            else:
                session.get_one(Product, 1).name = "new"
                session.commit()
        if how == "flush":
            assert not driver.in_transaction, "the transaction is rolled back"
        session.rollback()
        assert session.get_one(Product, 1).name == "old"
        redis_server.restart()
        cached.manager._state.breaker = Breaker(0, 0)
        session.get_one(Product, 1).name = "newer"
        session.commit()
    with cached.session() as session:
        assert session.get_one(Product, 1).name == "newer"
    assert cached.read(Product, 1).name == "newer"


@on_redis
def test_a_refused_commit_that_one_cache_has_taken_already_is_taken_back_there(cached: World, redis_server: RedisServer) -> None:
    first, cached.manager = cached.manager, cached.cache(unreachable_commit="refuse")
    memory = cached.cache(backend="dogpile.cache.memory", arguments={})
    assert cached.read(Product, 1, memory).name == "old"
    redis_server.kill()
    with cached.session() as session:
        session.get_one(Product, 1).name = "new"
        with pytest.raises(CommitRefusedError):
            session.commit()
    assert cached.intents(memory) == set()
    assert cached.read(Product, 1, memory).name == "old"
    assert first is not None


@on_redis
def test_a_commit_that_proceeds_is_owed_and_nothing_is_hit_until_it_is_paid(cached: World, redis_server: RedisServer) -> None:
    cached.manager = cached.cache(arguments={**cached.options["arguments"], "socket_timeout": 0.2})
    cached.manager._state.breaker = Breaker(0, 0)
    assert cached.read(Product, 1).name == "old"
    redis_server.pause()  # it keeps what it holds
    with cached.session() as session:
        session.get_one(Product, 1).name = "new"
        session.commit()
    assert cached.read(Product, 1).name == "new"
    redis_server.resume()
    for _ in range(2):
        assert cached.read(Product, 1).name == "new"
    assert cached.served(Product, 1)


# Cancellation


class Gate:
    """A store that stops at one of its steps until it is let go on."""

    def __init__(self, store: Store, step: str) -> None:
        self._store = store
        self.step = step
        self.reached = asyncio.Event()
        self.open = asyncio.Event()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def announce(self, announcement: Announcement, timeout: int, making: Making) -> int:
        await self._stop("announce")
        return await self._store.announce(announcement, timeout, making)

    async def settle(self, announcement: Announcement, making: Making) -> int:
        await self._stop("settle")
        return await self._store.settle(announcement, making)

    async def _stop(self, step: str) -> None:
        if step == self.step:
            self.reached.set()
            await self.open.wait()


def gate(world: World, step: str) -> Gate:
    built = world.manager._store()
    gated = Gate(built.asynchronous(), step)
    world.manager._built = dataclasses.replace(built, asynchronous=lambda: gated)  # type: ignore[arg-type, return-value]
    return gated


async def write(world: World) -> None:
    async with AsyncSession(world.engine._aengine) as session:  # type: ignore[attr-defined]
        (await session.get_one(Product, 1)).name = "new"
        await session.commit()


@pytest.fixture
def aworld(cached: World) -> World:
    """The same, for coroutine functions."""
    cached.engine._aengine = cached._async_engines[-1]  # type: ignore[attr-defined]
    return cached


async def name_of(world: World) -> str:
    return str((await greenlet_spawn(world.read, Product, 1)).name)


@only_async
@on_each_store
async def test_a_commit_cancelled_before_commit_commits_nothing_and_takes_its_intents_back(aworld: World) -> None:
    gated = gate(aworld, "announce")
    task = asyncio.create_task(write(aworld))
    await gated.reached.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert aworld.intents() == set()
    assert await name_of(aworld) == "old"
    assert not pending_tasks()


@only_async
@on_each_store
async def test_a_commit_cancelled_while_it_settles_is_settled_and_then_cancelled(aworld: World) -> None:
    gated = gate(aworld, "settle")
    task = asyncio.create_task(write(aworld))
    await gated.reached.wait()
    assert aworld.intents() == INTENTS
    for _ in range(3):
        task.cancel()
        await asyncio.sleep(0)
        assert not task.done()
    gated.open.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert aworld.intents() == set()
    assert await name_of(aworld) == "new"
    assert not pending_tasks()


@only_async
@on_each_store
async def test_between_commit_and_settle_nobody_is_served_what_was_there_before(aworld: World) -> None:
    gated = gate(aworld, "settle")
    task = asyncio.create_task(write(aworld))
    await gated.reached.wait()
    for _ in range(2):
        assert await name_of(aworld) == "new"
        assert not await greenlet_spawn(aworld.served, Product, 1)
    gated.open.set()
    await task
    assert await name_of(aworld) == "new"


@only_async
@pytest.mark.skipif(sys.version_info < (3, 11), reason="asyncio.timeout came with Python 3.11; run with that")
async def test_a_timeout_that_ends_while_a_commit_settles_is_a_timeout(aworld: World) -> None:
    gated = gate(aworld, "settle")

    async def let_go(timeout: asyncio.Timeout) -> None:
        await gated.reached.wait()
        timeout.reschedule(0)
        await asyncio.sleep(0.01)
        gated.open.set()

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(None) as timeout:
            helper = asyncio.create_task(let_go(timeout))
            await write(aworld)
    await helper
    current = asyncio.current_task()
    assert current is not None
    assert current.cancelling() == 0
    assert aworld.intents() == set()
    assert await name_of(aworld) == "new"


@only_async
async def test_a_task_cancelled_in_commit_itself_leaves_its_intents_to_the_deadline(aworld: World) -> None:
    loop = asyncio.get_running_loop()
    reached, let_go = asyncio.Event(), threading.Event()

    def first() -> None:
        loop.call_soon_threadsafe(reached.set)
        let_go.wait(10)

    Failing.first = first
    task = asyncio.create_task(write(aworld))
    await reached.wait()
    task.cancel()
    let_go.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    Failing.first = None
    assert aworld.intents() == INTENTS
    async with AsyncSession(aworld.engine._aengine) as session:  # type: ignore[attr-defined]
        there = (await session.get_one(Product, 1)).name
    assert await name_of(aworld) == there


@only_async
async def test_async_session_settles_before_commit_returns_and_leaves_no_task(aworld: World) -> None:
    async with AsyncSession(aworld.engine._aengine) as session:  # type: ignore[attr-defined]
        async with session.begin():
            (await session.get_one(Product, 1)).name = "new"
        assert aworld.intents() == set()
        found = await aworld.manager.fetch_entity_async(session, Product, 1)
        assert found is not None
        assert found.name == "new"
        await session.execute(select(1))
    assert not pending_tasks()


# The connection is lost


@pytest.mark.parametrize("ended", ["closed", "rolled back", "used again"])
def test_a_connection_lost_in_a_transaction_forgets_what_it_wrote(cached: World, ended: str) -> None:
    with cached.session() as session:
        session.get_one(Product, 1).name = "lost"
        session.flush()
        session.connection().invalidate()
        if ended != "closed":
            session.rollback()
        if ended == "used again":
            assert cached.fetch(session, Product, 1).name == "old"
            session.get_one(Product, 2).name = "new"
            session.commit()
    assert cached.intents() == set()
    assert cached.served(Product, 1)
    assert cached.read(Product, 2).name == ("new" if ended == "used again" else "old")


def test_a_commit_on_a_lost_connection_raises_what_sqlalchemy_raises(cached: World) -> None:
    with cached.engine.connect() as conn:
        conn.execute(update(products).values(name="lost"))
        conn.invalidate()
        with pytest.raises(PendingRollbackError):
            conn.commit()
        conn.rollback()
        conn.execute(update(Tag.__table__).values(name="new"))
        conn.commit()
    assert cached.served(Product, 1)
    assert cached.told() == ["tags"]


def test_a_commit_whose_connection_is_invalidated_afterwards_is_settled(cached: World) -> None:
    with cached.engine.connect() as conn:
        conn.execute(update(products).values(name="new"))
        conn.commit()
        conn.invalidate()
        assert cached.intents() == set()
    assert cached.read(Product, 1).name == "new"
    assert cached.served(Product, 1)


@only_sync
@pytest.mark.usefixtures("raising_handler")
def test_a_commit_that_was_interrupted_unknown_to_us_is_left_to_its_deadline(cached: World) -> None:
    with cached.engine.connect() as conn:
        conn.execute(update(products).values(name="new"))
        Failing.error, Failing.commits_anyway = KeyboardInterrupt(), True
        with pytest.raises(RuntimeError):
            conn.commit()
    assert cached.intents() == BULK_INTENTS
    assert cached.read(Product, 1).name == "new"


@only_sync  # an asynchronous one is never closed by SQLAlchemy 2.0
@on_redis
def test_a_detached_connection_that_closes_without_a_word_leaves_no_debt_that_nobody_can_pay(
    cached: World, redis_server: RedisServer
) -> None:
    cached.manager._state.breaker = Breaker(0, 0)
    redis_server.kill()
    with cached.engine.connect() as conn:
        conn.detach()
        conn.execute(update(products).values(name="new"))
        conn.commit()
    owed = cached.manager._state.debts._owed
    assert owed
    assert max(owed.values()) < float("inf")
