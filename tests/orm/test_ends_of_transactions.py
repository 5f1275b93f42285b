"""How a transaction ends on a real server: refused, cut off, in two phases, cancelled, forgotten (DESIGN 5.4, 6)."""

from __future__ import annotations

import asyncio
import gc
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import Engine, event, insert, make_url, select, text, update
from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session
from sqlalchemy.util import greenlet_spawn

from aa_cache_integration import CommitRefusedError
from aa_cache_integration.orm.changes import ledger_of
from aa_cache_integration.orm.listeners import remove_cache_listeners, setup_cache_listeners
from tests.orm.models import Product, Tag
from tests.orm.world import World, on_each_store, only_async, only_sync, pending_tasks
from tests.proxy import Proxy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sqlalchemy.engine import Connection

    from tests.servers import RedisServer

products = Product.__table__
INTENTS = {"products:get:1", "~:rows:products"}
on_postgresql = pytest.mark.parametrize("database", ["postgresql"], indirect=True)


@pytest.fixture(params=["postgresql", "mariadb"])
def database(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=["sync", "async"])
def world(request: pytest.FixtureRequest, make_world: Callable[..., World], database: str) -> World:
    """Two products, cached; a READ COMMITTED engine on either server."""
    made = make_world(database, asynchronous=request.param == "async")
    made.engine = made.make_engine(isolation_level="READ COMMITTED")
    made.registry.bind(made.engine)

    def prepare() -> None:
        made.add(Product(id=1, name="old"), Product(id=2, name="old"), Tag(id=1, name="x"))
        for ident in (1, 2):
            assert made.read(Product, ident).name == "old"
        made.told()

    made.preparations.append(prepare)
    return made


def there(world: World, ident: int) -> str | None:
    """Return what the database holds."""
    with world.session() as session:
        return session.scalar(select(Product.name).where(Product.id == ident))


def assert_right(world: World) -> None:
    """See that what is read through the cache is what the database holds, at first and once it may be cached again.

    A COMMIT that was sent before its connection was cut may be taken between two looks.
    """
    for _ in range(2):
        for ident in (1, 2):
            before = there(world, ident)
            found = world.read(Product, ident)
            assert (None if found is None else found.name) in {before, there(world, ident)}


# COMMIT fails


@on_postgresql
def test_a_commit_that_the_database_refuses_changes_nothing(world: World) -> None:
    """A deferred constraint is checked by COMMIT itself, which then rolls back."""
    world.in_the_database("CREATE TABLE parts (product_id int REFERENCES products DEFERRABLE INITIALLY DEFERRED)")
    with world.session() as session:
        session.get_one(Product, 1).name = "new"
        session.execute(text("INSERT INTO parts VALUES (99)"))
        with pytest.raises(IntegrityError):
            session.commit()
        session.rollback()
        assert_right(world)
        session.get_one(Product, 2).name = "newer"
        session.commit()
    assert there(world, 1) == "old"
    assert_right(world)


@on_postgresql
def test_a_commit_that_can_not_be_serialized_changes_nothing(world: World) -> None:
    serializable = world.make_engine(isolation_level="SERIALIZABLE")
    world.registry.bind(serializable)
    with world.session(serializable) as one, world.session(serializable) as other:
        for session, ident in ((one, 1), (other, 2)):
            session.scalars(select(Product)).all()
            session.get_one(Product, ident).name = "new"
            session.flush()
        one.commit()
        with pytest.raises(OperationalError):
            other.commit()
        other.rollback()
    assert [there(world, 1), there(world, 2)] == ["new", "old"]
    assert_right(world)


@pytest.fixture
def proxy(world: World) -> Iterator[Proxy]:
    """A wire that can be cut, and the world's engine on it."""
    url = make_url(world.url)  # type: ignore[attr-defined]
    assert url.port is not None
    with Proxy(url.port) as wire:
        world.engine = world.engine_of(url.set(port=wire.port).render_as_string(hide_password=False))
        world.registry.bind(world.engine, same_database=True)
        yield wire


@on_each_store
@pytest.mark.parametrize("losing", ["request", "answer"])
def test_a_commit_whose_connection_is_cut_is_left_to_its_deadline(world: World, proxy: Proxy, losing: Any) -> None:
    """Nobody knows whether the database has committed: it has when the answer was lost, and hasn't when the request was."""
    with world.session() as session:
        session.get_one(Product, 1).name = "new"
        session.flush()
        proxy.cut_at(b"COMMIT", losing)
        with pytest.raises(DBAPIError):
            session.commit()
        assert proxy.was_cut.wait(10)
        session.rollback()
    assert world.intents() == INTENTS
    assert world.told() == []
    assert world.read(Product, 1).name == ("new" if losing == "answer" else "old")
    assert not world.served(Product, 1)
    assert_right(world)
    assert world.served(Product, 2), "what the transaction didn't write stays cached"


@pytest.mark.parametrize("losing", ["request", "answer"])
def test_what_is_left_to_its_deadline_is_settled_by_whoever_meets_it_then(world: World, proxy: Proxy, losing: Any) -> None:
    with world.session() as session:
        session.get_one(Product, 1).name = "new"
        session.flush()
        proxy.cut_at(b"COMMIT", losing)
        with pytest.raises(DBAPIError):
            session.commit()
    world.pass_time(31)
    assert_right(world)
    assert world.served(Product, 1)
    assert world.intents() == set()


@pytest.mark.parametrize("statement", ["UPDATE", "SELECT"])
def test_a_connection_that_is_cut_before_commit_takes_its_changes_with_it(world: World, proxy: Proxy, statement: str) -> None:
    with world.session() as session:
        session.execute(update(Product).where(Product.id == 2).values(name="lost"))
        proxy.cut_at(statement.encode(), "answer")
        with pytest.raises(DBAPIError):
            session.execute(update(Product).values(name="lost") if statement == "UPDATE" else select(Product))
        session.rollback()
        session.get_one(Product, 1).name = "new"
        session.commit()
    assert [there(world, 1), there(world, 2)] == ["new", "old"]
    assert world.intents() == set()
    assert_right(world)


# Two phases


@pytest.mark.parametrize("prepared", [True, False])
@on_each_store
def test_a_commit_in_two_phases_is_announced_before_it_and_settled_after_it(world: World, database: str, *, prepared: bool) -> None:
    seen: list[set[str]] = []
    event.listen(world.engine, "commit_twophase", lambda *_: seen.append(world.intents()), once=True)
    with world.session(twophase=True) as session, world.intents_before(("XA COMMIT",)) as seen_later:
        session.get_one(Product, 1).name = "new"
        if prepared:
            session.prepare()
            assert world.intents() == set()
            assert world.served(Product, 1)
        session.commit()
        assert seen == [INTENTS]
        assert seen_later in ([INTENTS], []), "where the driver has no methods of its own, statements end it"
        assert seen_later or database == "postgresql"
        assert world.intents() == set()
        assert world.told() == ["products"]
    assert there(world, 1) == "new"
    assert_right(world)


@pytest.mark.parametrize("prepared", [True, False])
def test_a_second_phase_that_a_listener_keeps_from_being_sent_changes_nothing(world: World, *, prepared: bool) -> None:
    def listener(*_: Any) -> None:
        raise RuntimeError("the application's own")

    with world.session(twophase=True) as session:
        session.get_one(Product, 1).name = "never"
        session.flush()
        if prepared:
            session.prepare()
        event.listen(world.engine, "commit_twophase", listener, once=True)
        with pytest.raises(RuntimeError):
            session.commit()
        session.rollback()
        assert world.fetch(session, Product, 1).name == "old"
        session.get_one(Product, 2).name = "new"
        session.commit()
    assert [there(world, 1), there(world, 2)] == ["old", "new"]
    assert_right(world)


@pytest.mark.parametrize("store", ["redis"])
@pytest.mark.parametrize("prepared", [True, False])
def test_a_refusal_in_two_phases_leaves_nothing_prepared(world: World, redis_server: RedisServer, *, prepared: bool) -> None:
    world.manager = world.cache(unreachable_commit="refuse")
    with world.session(twophase=True) as session:
        session.get_one(Product, 1).name = "never"
        session.flush()
        if prepared:
            session.prepare()
        redis_server.kill()
        with pytest.raises(CommitRefusedError):
            session.commit()
        session.rollback()
    redis_server.restart()
    assert there(world, 1) == "old"
    with world.engine.connect() as conn:
        conn.execute(select(products.c.id).where(products.c.id == 1).with_for_update(nowait=True))
        assert conn.recover_twophase() == []


@pytest.mark.parametrize("prepared", [True, False])
def test_what_is_rolled_back_in_two_phases_changes_nothing(world: World, *, prepared: bool) -> None:
    with world.session(twophase=True) as session:
        session.get_one(Product, 1).name = "never"
        session.flush()
        if prepared:
            session.prepare()
        session.rollback()
    assert there(world, 1) == "old"
    assert world.served(Product, 1)


def test_operations_that_know_no_session_know_of_a_transaction_in_two_phases(world: World) -> None:
    with world.session(twophase=True) as session:
        session.get_one(Product, 1).name = "mine"
        session.flush()
        assert world.call("get_entity", "products", 1, Product) is None
        world.call("set_entity", "products", 1, session.get_one(Product, 1))
        session.rollback()
    assert world.read(Product, 1).name == "old"


@only_sync
@pytest.mark.parametrize("losing", ["request", "answer"])
def test_a_second_phase_that_is_cut_off_is_left_to_its_deadline(world: World, proxy: Proxy, losing: Any) -> None:
    with world.session(twophase=True) as session:
        session.get_one(Product, 1).name = "new"
        session.prepare()
        proxy.cut_at(b"COMMIT", losing)
        with pytest.raises(DBAPIError):
            session.commit()
        assert world.intents() == INTENTS
    assert world.read(Product, 1).name == ("new" if losing == "answer" else "old")
    assert not world.served(Product, 1)


@pytest.mark.parametrize("database", ["mariadb"], indirect=True)  # PostgreSQL's drivers do it by methods that nobody is told of
def test_a_prepared_transaction_that_another_connection_commits_renews_everything(world: World) -> None:
    """As after a crash: who commits it doesn't know what was written."""
    with world.engine.connect() as conn:
        transaction = conn.begin_twophase()
        conn.execute(update(products).values(name="new"))
        transaction.prepare()
        xid = transaction.xid
        conn.invalidate()
    assert world.served(Product, 1)
    with world.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as other, world.intents_before(("XA COMMIT",)) as seen:
        assert xid in [found if isinstance(found, str) else found.decode() for found in other.recover_twophase()]
        other.rollback()
        other.commit_prepared(xid, recover=True)
        assert seen == [{"~:namespace"}]
        assert world.intents() == set()
    assert there(world, 1) == "new"
    assert_right(world)


# Listeners of the application's


@pytest.mark.parametrize("how", ["read", "nothing"])
def test_what_a_listener_of_the_commit_writes_is_announced_though_nothing_was_written_before(world: World, how: str) -> None:
    @event.listens_for(world.engine, "commit", once=True)
    def listener(conn: Connection) -> None:
        conn.execute(update(products).values(name="new"))

    with world.session() as session:
        session.execute(select(Tag)) if how == "read" else session.connection()
        session.commit()
    assert there(world, 1) == "new"
    assert world.intents() == set()
    assert_right(world)


@only_sync
def test_a_session_within_a_listener_of_the_commit_settles_nothing_of_it(world: World) -> None:
    @event.listens_for(world.engine, "commit", once=True)
    def listener(conn: Connection) -> None:
        with Session(conn, join_transaction_mode="create_savepoint") as inner:
            inner.execute(update(Tag).values(name="y"))
            inner.commit()
        seen.append(world.intents())

    seen: list[set[str]] = []
    with world.session() as session:
        session.get_one(Product, 1).name = "new"
        session.commit()
    assert seen[0] >= INTENTS
    assert world.intents() == set()
    assert_right(world)


@only_sync
def test_a_commit_that_the_pool_makes_after_another_ones_listener_raised_is_owed(world: World) -> None:
    def before_ours(conn: Connection) -> None:
        if conn.engine is engine and failing:
            raise RuntimeError("the application's own")

    failing = [True]
    engine = world.make_engine(pool_reset_on_return="commit")
    world.registry.bind(engine)
    remove_cache_listeners()
    event.listen(Engine, "commit", before_ours)
    setup_cache_listeners()
    try:
        with Session(engine) as session:
            session.get_one(Product, 1).name = "new"
            with pytest.raises(RuntimeError):
                session.commit()
            failing.clear()
    finally:
        event.remove(Engine, "commit", before_ours)
    assert_right(world)


@pytest.mark.parametrize("writes", ["another row", "the same row"])
def test_what_a_listener_of_the_commit_writes_is_announced_with_it(world: World, writes: str) -> None:
    """It runs when our intents are put: they stand until COMMIT is over, and so do those of what it writes."""

    @event.listens_for(world.engine, "commit", once=True)
    def listener(conn: Connection) -> None:
        conn.execute(update(products).where(products.c.id == (2 if writes == "another row" else 1)).values(stock=7))
        seen.append(world.intents())

    seen: list[set[str]] = []
    with world.session() as session:
        session.get_one(Product, 1).name = "new"
        session.commit()
    assert seen == [INTENTS | {f"products:get:{2 if writes == 'another row' else 1}"}]
    assert world.intents() == set()
    assert world.read(Product, 2 if writes == "another row" else 1).stock == 7
    assert_right(world)


# Cancelled


async def cancelled_at(number: int, world: World) -> bool:
    """Write and commit in a task that is cancelled when it waits for the so-manieth time; return whether it ended before."""

    async def write() -> None:
        async with AsyncSession(world._async_engines[-1]) as session:
            (await session.get_one(Product, 1)).name = f"new {number}"
            await session.flush()
            begun.set()
            await session.commit()

    begun = asyncio.Event()
    task = asyncio.create_task(write())
    await begun.wait()
    for _ in range(number):
        await asyncio.sleep(0)
    ended = task.done()
    task.cancel()
    await asyncio.wait([task])
    if not task.cancelled():
        task.result()
    return ended


@only_async
@on_each_store
async def test_a_commit_that_is_cancelled_wherever_it_waits_leaves_nothing_wrong(world: World) -> None:
    ends = 0
    for number in range(400):
        ends += await cancelled_at(number, world)
        assert not pending_tasks()
        await greenlet_spawn(assert_right, world)
        if ends == 3:
            break
    assert ends == 3
    await greenlet_spawn(world.add, Product(id=3, name="x"))
    await greenlet_spawn(assert_right, world)


# Forgotten


@only_sync
@pytest.mark.parametrize("how", ["nothing committed", "committed"])
def test_a_session_that_is_garbage_leaves_nothing_wrong(world: World, how: str) -> None:
    def leave() -> None:
        session = Session(world.engine)
        session.get_one(Product, 1).name = "new"
        session.flush()
        if how == "committed":
            session.commit()
            session.execute(insert(Tag).values(id=2, name="more"))

    leave()
    gc.collect()
    assert there(world, 1) == ("new" if how == "committed" else "old")
    assert world.intents() == set()
    assert_right(world)
    assert world.served(Product, 1)


@only_sync
@pytest.mark.parametrize("how", ["garbage", "invalidated"])
def test_what_was_never_committed_is_put_for_nobody_however_its_transaction_ended(world: World, how: str) -> None:
    world.call("invalidate_entity", "products", 1)
    assert world.call("get_entity", "products", 1, Product) is None
    session = Session(world.engine)
    row = session.get_one(Product, 1)
    row.name = "mine"
    session.flush()
    session.expunge(row)
    if how == "invalidated":
        session.invalidate()
    del session
    gc.collect()
    world.call("set_entity", "products", 1, row)
    assert world.read(Product, 1).name == "old"


@only_sync
@pytest.mark.parametrize("reset", ["commit", "rollback", None])
def test_a_pool_resets_what_a_forgotten_session_wrote_in_its_own_way(world: World, reset: Any) -> None:
    engine = world.make_engine(pool_reset_on_return=reset, pool_size=1, max_overflow=0)
    world.registry.bind(engine)

    def leave() -> None:
        session = Session(engine)
        session.get_one(Product, 1).name = "new"
        session.flush()

    leave()
    gc.collect()
    with Session(engine) as session:
        session.get_one(Product, 2).name = "newer"
        session.commit()
    assert there(world, 1) == ("new" if reset == "commit" else "old")
    assert_right(world)
    assert world.served(Product, 1)


# Several writers on one cell


@on_each_store
def test_of_two_commits_of_one_row_the_first_to_settle_leaves_the_others_intents(world: World) -> None:
    """The second writer gets the row's lock with the first one's COMMIT, and may announce before that one settles."""
    engine = second_engine(world)
    with world.session() as one:
        one.get_one(Product, 1).name = "first"
        one.flush()

        @event.listens_for(engine, "commit", once=True)
        def between(_: Connection) -> None:
            one.commit()  # intents, COMMIT and settling of the first, while the intents of the second stand
            assert world.intents() == INTENTS | {"products:get:2"}
            assert world.read(Product, 1).name == "first"
            assert not world.served(Product, 1)

        with world.session(engine) as other:
            other.get_one(Product, 2).name = "second"
            other.flush()
            announce_also(other, 1)
            other.commit()
    assert world.intents() == set()
    assert_right(world)


def second_engine(world: World) -> Engine:
    engine = world.make_engine(isolation_level="READ COMMITTED")
    world.registry.bind(engine)
    return engine


def announce_also(session: Session, ident: int) -> None:
    """Let the session's transaction announce a row that it doesn't change, for its lock is another's."""
    ledger_of(session.connection().info).changes[None].entities["products"].add((str(ident),))
