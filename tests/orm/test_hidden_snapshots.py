"""Snapshots and writes that don't show where they are looked for first: in other contexts, older cursors, locks that aren't, replicas."""

from __future__ import annotations

import contextvars
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import func, insert, literal, select, text, update
from sqlalchemy.exc import OperationalError
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.orm import Session
from sqlalchemy.util import await_only

from aa_cache_integration.stores.null import NO_VALUE
from tests.orm.models import Product, Tag
from tests.orm.world import World, begin_recipe, only_async, only_sync

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Engine

products, tags = Product.__table__, Tag.__table__


@pytest.fixture
def cached(world: World) -> World:
    def prepare() -> None:
        world.add(Product(id=1, name="old"), Product(id=2, name="old"), Tag(id=1, name="x"))
        assert world.read(Product, 2).name == "old"

    world.preparations.append(prepare)
    return world


@pytest.fixture
def snapshots(cached: World) -> Engine:
    """An engine whose transactions begin with BEGIN."""
    engine = cached.make_engine()
    begin_recipe(engine)
    cached.registry.bind(engine)
    return engine


def change(world: World, ident: int = 1, name: str = "new") -> None:
    with world.session() as session:
        session.get_one(Product, ident).name = name
        session.commit()


def elsewhere(function: Callable[[], Any]) -> Any:
    """Call a function in a copy of this context, as frameworks call what an endpoint depends on."""
    return contextvars.copy_context().run(function)


# A transaction that another context began


def test_a_row_of_a_snapshot_that_another_context_took_is_put_for_nobody(cached: World, snapshots: Engine) -> None:
    with cached.session(snapshots) as session:
        elsewhere(lambda: session.execute(select(Tag)).all())
        change(cached)
        assert cached.call("get_entity", "products", 1, Product) is None
        row = session.get_one(Product, 1)
        assert row.name == "old"
        cached.call("set_entity", "products", 1, row)
    assert cached.read(Product, 1).name == "new"


def test_a_row_that_another_context_wrote_is_put_for_nobody(cached: World) -> None:
    with cached.session() as session:

        def write() -> None:
            session.execute(update(Product).where(Product.id == 1).values(name="uncommitted"))

        elsewhere(write)
        assert cached.call("get_entity", "products", 1, Product) is None
        cached.call("set_entity", "products", 1, session.get_one(Product, 1))
        session.rollback()
    assert cached.read(Product, 1).name == "old"


def test_a_lease_of_this_context_is_not_taken_up_for_an_older_snapshot(cached: World, snapshots: Engine) -> None:
    """Snapshot, taken elsewhere. Writer: commits. Here: a lookup misses, and its lease knows of no snapshot. Read-through: the old row."""
    with cached.session(snapshots) as session:
        elsewhere(lambda: session.execute(select(Tag)).all())
        change(cached)
        assert cached.call("get_entity", "products", 1, Product) is None
        assert cached.fetch(session, Product, 1).name == "old"
    assert cached.read(Product, 1).name == "new"


# SQLite's cursors and locks


@only_sync
@pytest.mark.parametrize("pooled", [True, False])
def test_a_half_read_result_keeps_its_connection_old_beyond_its_transaction(cached: World, *, pooled: bool) -> None:
    engine = cached.make_engine(pool_size=1, max_overflow=0)
    cached.registry.bind(engine)
    cached.add(*(Product(id=ident, name="many") for ident in range(100, 400)))
    conn = engine.connect()
    unfinished = conn.execute(select(products.c.id))
    assert unfinished.fetchone() is not None
    change(cached)
    conn.rollback()
    if pooled:
        conn.close()
        with cached.session(engine) as session:
            found = cached.fetch(session, Product, 1)
    else:
        with cached.session(conn) as session:
            found = cached.fetch(session, Product, 1)
    assert found.name in {"old", "new"}
    assert cached.read(Product, 1).name == "new"
    unfinished.close()
    conn.close()


@only_async
def test_rows_that_are_read_beside_a_stream_are_as_old_as_that(cached: World) -> None:
    cached.add(*(Product(id=ident, name="many") for ident in range(100, 400)))
    with cached.session() as session:
        stream = await_only(AsyncConnection._retrieve_proxy_for_target(session.connection()).stream(select(products.c.id)))
        assert await_only(stream.fetchone()) is not None
        change(cached)
        assert cached.fetch(session, Product, 1).name == "old"
        assert cached.read(Product, 1).name == "new"
        await_only(stream.close())


@pytest.mark.parametrize("how", ["legacy", "autocommit"])
def test_a_change_that_committed_by_itself_holds_no_lock(cached: World, how: str) -> None:
    """The savepoint after it opens a snapshot, beside which others commit. The driver begins no transaction before a WITH."""
    one = select(literal(1).label("one")).cte("one")
    write: Any = update(tags).values(name="y").add_cte(one) if how == "legacy" else insert(tags).values(id=2, name="y")
    with cached.session(cached.engine.execution_options(isolation_level="AUTOCOMMIT") if how == "autocommit" else None) as session:
        session.execute(write)
        session.connection().exec_driver_sql("SAVEPOINT sp")
        session.connection().execute(select(tags))
        change(cached)
        assert cached.fetch(session, Product, 1).name == "old"
        assert cached.read(Product, 1).name == "new"
        session.connection().exec_driver_sql("ROLLBACK TO sp")
        session.connection().exec_driver_sql("RELEASE sp")


# Where it reads from


def test_a_snapshot_of_a_replica_is_read_from_that(cached: World, snapshots: Engine) -> None:
    """It may be older than what was cached before the snapshot was taken."""
    cached.registry.bind(snapshots, replica_of=cached.engine)
    assert cached.read(Product, 1).name == "old"
    with cached.session(snapshots) as session:
        session.execute(select(Tag))
        assert cached.reason(session, Product, 1) == "replica"
        assert cached.call("get_entity", "products", 1, Product) is None


def test_each_bind_of_a_session_has_the_level_of_its_own(cached: World) -> None:
    uncommitted = cached.engine.execution_options(isolation_level="READ UNCOMMITTED")
    with cached.session(binds={Product: uncommitted, Tag: cached.engine}) as session:
        session.execute(select(Tag))
        assert cached.reason(session, Product, 2) == "read uncommitted"
        assert cached.reason(session, Tag, 1) is None


@pytest.mark.parametrize("level", ["READ_UNCOMMITTED", "READ UNCOMMITTED"])
def test_a_level_may_be_spelled_with_underscores(cached: World, level: str) -> None:
    engine = cached.make_engine(isolation_level=level)
    cached.registry.bind(engine)
    with cached.session(engine) as session:
        assert cached.reason(session, Product, 2) == "read uncommitted"


@pytest.mark.parametrize("statement", ["PRAGMA read_uncommitted(1)", "PRAGMA read_uncommitted = 1"])
def test_reading_what_is_not_committed_may_be_set_by_a_pragma(cached: World, statement: str) -> None:
    with cached.session() as session:
        session.execute(text(statement))
        assert cached.reason(session, Product, 2) == "session state"


def test_what_set_transaction_sets_ends_with_the_transaction(cached: World) -> None:
    with cached.engine.connect() as conn, cached.session(conn, join_transaction_mode="control_fully") as session:
        conn.info["aa_cache_integration"].session_state = "transaction"
        assert cached.reason(session, Product, 2) == "session state"
        session.commit()
        assert cached.reason(session, Product, 2) is None


SETS = select(func.set_config("search_path", "other", False))  # noqa: FBT003 - PostgreSQL's signature


@pytest.mark.parametrize("statement", [SETS, text("SELECT set_config('search_path', 'other', false)")])
def test_set_config_is_session_state(cached: World, statement: Any) -> None:
    with cached.session() as session:
        with pytest.raises(OperationalError, match="no such function"):  # here
            session.execute(statement)
        assert cached.reason(session, Product, 2) == "session state"


# Values of the application's own


@only_sync
def test_a_value_made_in_a_transaction_that_its_creator_rolled_back_is_kept_for_nobody(cached: World) -> None:
    def create() -> str:
        with cached.session() as session:
            session.get_one(Product, 1).name = "mine"
            session.flush()
            made = session.get_one(Product, 1).name
            session.rollback()
            return made

    assert cached.call("get_or_create", "made", create) == "mine"
    assert cached.call("get", "made") is NO_VALUE


def test_a_put_that_is_refused_gives_its_lease_back(cached: World) -> None:
    assert cached.call("get_entity", "products", 1, Product) is None
    with cached.session() as session:
        row = session.get_one(Product, 1)
        row.name = "mine"
        session.flush()
        cached.call("set_entity", "products", 1, row)
        session.rollback()
    assert cached.events[-1].reason != "lease held"
    with cached.session() as session:
        assert cached.fills(session, Product, 1), "nobody holds it"


@only_sync
def test_a_transaction_that_a_thread_ends_meanwhile_raises_nothing(cached: World) -> None:
    session = Session(cached.engine)
    session.execute(select(Tag))
    context = contextvars.copy_context()
    session.connection().connection.driver_connection.close()
    assert context.run(cached.call, "get_entity", "products", 2, Product).name == "old"
    session.invalidate()
