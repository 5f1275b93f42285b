"""The session-aware read-through: what it serves, what it fills, and what it leaves to the database (DESIGN 5.1, 5.3)."""

from __future__ import annotations

import asyncio
import datetime as dt
import decimal
import threading
import uuid
from typing import Any

import pytest
from sqlalchemy import event, inspect, text, update
from sqlalchemy.exc import OperationalError
from sqlalchemy.ext.asyncio import AsyncSession, async_scoped_session, async_sessionmaker
from sqlalchemy.orm import Session, scoped_session, sessionmaker, with_loader_criteria
from sqlalchemy.orm.exc import DetachedInstanceError
from sqlalchemy.pool import StaticPool
from sqlalchemy.util import greenlet_spawn

from aa_cache_integration import IdentityError, ModelError
from aa_cache_integration.config import ModelConfig
from tests.orm.models import Cat, Colour, Dog, Engineer, Everything, Line, Order, Person, Pet, Price, Product, Tag
from tests.orm.world import World, begin_recipe, on_each_store, only_async, only_sync, stored

products = Product.__table__


@pytest.fixture
def cached(world: World) -> World:
    """Two rows, of which one is cached, and a tag."""

    def prepare() -> None:
        world.add(Product(id=1, name="old"), Product(id=2, name="old"), Tag(id=1, name="old"))
        assert world.read(Product, 1).name == "old"
        assert world.read(Tag, 1).name == "old"
        del world.events[:]

    world.preparations.append(prepare)
    return world


def write(world: World, ident: int, name: str) -> None:
    """Write and commit, in a session of its own."""
    with world.session() as session:
        session.execute(update(Product).where(Product.id == ident).values(name=name))
        session.commit()


# Hits, misses, absences


@on_each_store
def test_a_second_read_asks_nothing_of_the_database(cached: World) -> None:
    with cached.session() as session, cached.statements() as statements:
        assert cached.fetch(session, Product, 2).name == "old"
        assert len(statements) == 1
        assert cached.fetch(session, Product, 2).name == "old"
        assert cached.fetch(session, Product, "2").name == "old"
        assert len(statements) == 1
    with cached.session() as session, cached.statements() as statements:
        assert cached.fetch(session, Product, 2).name == "old"
        assert statements == []
        assert not session.in_transaction(), "a hit takes no connection"


@on_each_store
def test_an_absence_is_cached_too(cached: World) -> None:
    assert cached.read(Product, 7) is None
    assert cached.served(Product, 7)
    cached.manager = cached.cache(negative_ttl=0)
    assert cached.read(Product, 8) is None
    assert not cached.served(Product, 8)


def test_what_is_returned_is_detached_and_of_the_callers_own(cached: World) -> None:
    with cached.session() as session:
        found = [cached.fetch(session, Product, 1), cached.fetch(session, Product, 1), *cached.fetch_all(session, Product, [1, 1, 2, 2])]
        assert len({id(product) for product in found}) == len(found)
        assert all(inspect(product).detached for product in found)
        found[0].name = "changed by a caller"
        assert cached.fetch(session, Product, 1).name == "old"
        with pytest.raises(DetachedInstanceError):
            _ = found[1].tags
        with cached.statements() as statements:
            session.add(found[1])
            assert session.get(Product, 1) is found[1]
            assert statements == []


def test_the_database_and_the_cache_give_the_same_of_every_type(world: World) -> None:
    values = {
        "text": "ünï\0code",
        "real": 0.1,
        "yes": True,
        "day": dt.date(2024, 2, 29),
        "moment": dt.datetime(2024, 2, 29, 1, 2, 3, 456789),  # noqa: DTZ001 - as SQLite keeps it
        "hour": dt.time(1, 2, 3, 4),
        "span": dt.timedelta(days=3, microseconds=1),
        "amount": decimal.Decimal("12345678.1230"),
        "raw": b"\0\xff",
        "unique": uuid.uuid4(),
        "document": {"1": [None, {"__type__": "x"}], "a": 1.5},
        "colour": Colour.BLUE,
        "long": "deferred",
    }
    world.add(Everything(id=1, **values), Everything(id=2))
    for ident, wanted in ((1, values), (2, dict.fromkeys(values))):
        missed, hit = world.read(Everything, ident), world.read(Everything, ident)
        assert world.served(Everything, ident)
        for found in (missed, hit):
            assert {"long"} == inspect(found).unloaded
            assert {key: getattr(found, key) for key in values if key != "long"} == {k: v for k, v in wanted.items() if k != "long"}
            assert [type(getattr(found, key)) for key in values if key != "long"] == [type(v) for k, v in wanted.items() if k != "long"]


def test_a_column_property_is_as_fresh_as_the_table_that_it_reads(world: World) -> None:
    world.add(Order(id=1, note="x"), Price(id=1, order_id=1, amount=5))
    assert world.read(Order, 1).total == 5
    assert world.served(Order, 1)
    world.add(Price(id=2, order_id=1, amount=6))
    assert world.read(Order, 1).total == 11
    with world.session() as session:
        session.add(Price(id=3, order_id=1, amount=7))
        session.flush()
        assert world.reason(session, Order, 1) == "own writes"


@pytest.mark.parametrize("order", [(Person, Engineer), (Engineer, Person)])
def test_a_base_and_its_subclass_are_read_in_any_order(world: World, order: tuple[type[Any], ...]) -> None:
    world.add(Engineer(id=1, name="e", language="C"), Person(id=2, name="p"), Cat(id=1, name="cat"))
    for model in order:
        assert type(world.read(model, 1)) is Engineer
    assert world.served(order[0], 1)
    for _ in range(2):
        assert world.read(Engineer, 2) is None, "a Person isn't an Engineer"
        assert type(world.read(Person, 2)) is Person
        assert world.read(Dog, 1) is None
        assert type(world.read(Pet, 1)) is Cat


@pytest.mark.parametrize(
    ("model", "ident", "error"),
    [
        (Product, "x", IdentityError),
        (Product, None, IdentityError),
        (Product, (1, 2), IdentityError),
        (Line, 1, IdentityError),
        (Line, {"order_id": 1, "nummer": 2}, IdentityError),
        (int, 1, ModelError),
        (Product(id=1), 1, ModelError),
    ],
)
def test_what_names_no_row_is_an_error_and_asks_nothing(cached: World, model: Any, ident: Any, error: type[Exception]) -> None:
    with cached.session() as session, cached.statements() as statements:
        with pytest.raises(error):
            cached.fetch(session, model, ident)
        assert statements == []


# Several rows


@on_each_store
def test_rows_come_in_the_order_of_their_keys_with_gaps_and_duplicates(cached: World) -> None:
    idents = [2, 1, 9, 1, "2", 2]
    with cached.session() as session:
        for _ in range(2):
            found = cached.fetch_all(session, Product, idents)
            assert [product and product.id for product in found] == [2, 1, None, 1, 2, 2]
        assert cached.fetch_all(session, Product, []) == []


def test_the_missing_rows_are_read_in_one_statement(cached: World) -> None:
    with cached.session() as session, cached.statements() as statements:
        cached.fetch_all(session, Product, [1, 2, 3, 4])
        assert len(statements) == 1
        cached.fetch_all(session, Product, [1, 2, 3, 4])
        assert len(statements) == 1


@on_each_store
def test_a_commit_between_the_lookup_and_the_load_makes_the_database_answer_for_all(cached: World) -> None:
    """Else the answer would hold rows of two moments: 1 from before the commit, 2 from after it."""
    once = [True]

    @event.listens_for(cached.engine, "before_cursor_execute")
    def before(_conn: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if once and statement.startswith("SELECT products"):
            once.clear()
            with cached.session() as session:
                session.execute(update(Product).values(name="new"))
                session.commit()

    with cached.session() as session:
        assert [product.name for product in cached.fetch_all(session, Product, [1, 2])] == ["new", "new"]
    assert not once
    assert [cached.read(Product, ident).name for ident in (1, 2)] == ["new", "new"]


@on_each_store
@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_commit_while_a_row_is_loaded_leaves_nothing_stale(cached: World, moment: str) -> None:
    once = [True]

    @event.listens_for(cached.engine, f"{moment}_cursor_execute")
    def listen(_conn: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if once and statement.startswith("SELECT products"):
            once.clear()
            write(cached, 2, "new")

    found = cached.read(Product, 2).name
    assert not once
    assert moment == "after" or found == "new"
    assert cached.read(Product, 2).name == "new"


# The transaction's own writes


@on_each_store
def test_own_writes_are_read_from_the_database_and_fill_nothing_until_the_transaction_ends(cached: World) -> None:
    with cached.session() as session:
        session.get_one(Product, 1).name = "mine"
        session.flush()
        for _ in range(2):
            assert cached.fetch(session, Product, 1).name == "mine"
            assert cached.fetch(session, Product, 2).name == "old"
        assert cached.fetch_all(session, Product, [1, 2])[0].name == "mine"
        assert cached.read(Product, 1).name == "old"
        session.rollback()
        assert cached.fetch(session, Product, 1).name == "old"
    assert cached.served(Product, 1)


def test_tables_that_the_transaction_hasnt_written_still_hit(cached: World) -> None:
    cached.pass_time(1)  # SQLite's transaction is a snapshot, and clocks may differ a little
    with cached.session() as session:
        session.get_one(Product, 1).name = "mine"
        session.flush()
        assert cached.reason(session, Tag, 1) is None
        assert "cache.hit" in cached.events.names


def test_after_text_that_cannot_be_told_every_table_counts_as_written(cached: World) -> None:
    cached.pass_time(1)
    with cached.session() as session:
        session.execute(text("UPDATE products SET name = 'mine'"))
        assert cached.reason(session, Tag, 1) is None
        session.execute(text("DROP TABLE IF EXISTS nobodys"))
        assert cached.reason(session, Tag, 1) == "own writes"


def test_pending_changes_are_flushed_first_unless_the_session_forbids_it(cached: World) -> None:
    with cached.session() as session:
        product = session.get_one(Product, 1)
        product.name = "pending"
        with session.no_autoflush:
            assert cached.fetch(session, Product, 1).name == "old"
            assert product in session.dirty
        assert cached.fetch(session, Product, 1).name == "pending"
    with cached.session(autoflush=False) as session:
        session.get_one(Product, 1).name = "pending"
        assert cached.fetch(session, Product, 1).name == "old"
        assert cached.reason(session, Product, 1) is None
        session.flush()
        assert cached.fetch(session, Product, 1).name == "pending"
    assert cached.served(Product, 1)


def test_an_instance_in_the_session_doesnt_show_in_what_is_cached(cached: World) -> None:
    with cached.session(autoflush=False) as session:
        there = session.get_one(Product, 2)
        there.name = "pending"
        found = cached.fetch(session, Product, 2)
        assert found is not there
        assert found.name == "old"
    assert cached.read(Product, 2).name == "old"


def test_sessions_that_share_a_database_connection_fill_nothing_uncommitted(world: World) -> None:
    engine = world.make_engine(poolclass=StaticPool)
    world.registry.bind(engine)
    world.add(Product(id=1, name="old"))
    with world.session(engine) as writer, world.session(engine) as reader:
        writer.get_one(Product, 1).name = "never"
        writer.flush()
        assert world.fetch(reader, Product, 1).name == "never", "it is one transaction to the database"
        writer.rollback()
        assert world.fetch(reader, Product, 1).name == "old"
    assert world.read(Product, 1).name == "old"


# The session


def test_a_session_bound_to_a_connection_knows_what_the_connection_wrote(cached: World) -> None:
    with cached.engine.connect() as conn:
        conn.execute(update(products).values(name="mine"))
        with cached.session(conn) as session:
            assert cached.fetch(session, Product, 1).name == "mine"
        conn.rollback()
    assert cached.served(Product, 1)


def test_criteria_and_handlers_of_the_application_dont_change_what_is_cached(cached: World) -> None:
    def handler(state: Any) -> None:
        state.statement = state.statement.options(with_loader_criteria(Product, Product.id > 1))

    with cached.session() as session:
        event.listen(session, "do_orm_execute", handler)
        assert session.get(Product, 1) is None
        assert cached.fetch(session, Product, 1).name == "old"
        assert cached.fetch(session, Product, 2).name == "old"
    assert cached.served(Product, 2)


@only_sync
def test_a_scoped_session_will_do(cached: World) -> None:
    scoped = scoped_session(sessionmaker(cached.engine))
    assert cached.manager.fetch_entity_sync(scoped, Product, 2).name == "old"  # type: ignore[union-attr]
    scoped.remove()


@only_async
async def test_an_async_scoped_session_will_do(cached: World) -> None:
    scoped = async_scoped_session(async_sessionmaker(cached._async_engines[-1]), asyncio.current_task)
    for _ in range(2):
        found = await cached.manager.fetch_entity_async(scoped, Product, 2)
        assert found is not None
        assert found.name == "old"
    await scoped.remove()


class Routing(Session):
    """Reads go to one engine, writes to another, as SQLAlchemy's documentation shows it."""

    leader: Any
    followers: Any

    def get_bind(self, mapper: Any = None, *, clause: Any = None, **_: Any) -> Any:
        if self._flushing or clause is None or getattr(clause, "is_dml", False):
            return self.leader
        return next(self.followers)


def test_what_an_applications_get_bind_chooses_is_what_is_asked(cached: World) -> None:
    """Each call may choose another engine; one that isn't bound, or may not fill, must not pass for one that is."""
    stranger = cached.engine_of(f"sqlite:///{cached.file}2")
    with stranger.begin() as conn:
        Product.metadata.create_all(conn)
        conn.execute(text("INSERT INTO products VALUES (2, 'a stranger', 0)"))
    replica = cached.make_engine()
    cached.registry.bind(replica, replica_of=cached.engine)
    with cached.wrapped(Routing()) as session:
        session.leader, session.followers = cached.engine, iter([stranger, cached.engine] * 5)  # type: ignore[attr-defined]
        assert [cached.fetch(session, Product, 2).name for _ in range(4)] == ["a stranger", "old", "a stranger", "old"]
        session.close()
        session.followers = iter([replica, cached.engine] * 5)  # type: ignore[attr-defined]
        cached.manager.invalidate_all_sync()
        assert not cached.fills(session, Product, 2)
        assert cached.fills(session, Product, 2)


# What isn't served


def test_a_translated_schema_bypasses(cached: World) -> None:
    engine = cached.engine.execution_options(schema_translate_map={None: "main"})
    with cached.session(engine) as session:
        assert cached.reason(session, Product, 1) == "schema translation"
    with cached.session() as session:
        session.connection(execution_options={"schema_translate_map": {None: "main"}})
        assert cached.reason(session, Product, 1) == "schema translation"


def test_read_uncommitted_bypasses(cached: World) -> None:
    for engine in (
        cached.engine.execution_options(isolation_level="READ UNCOMMITTED"),
        cached.make_engine(isolation_level="READ UNCOMMITTED"),
    ):
        cached.registry.bind(engine)
        with cached.session(engine) as session:
            assert cached.reason(session, Product, 1) == "read uncommitted"
            assert not cached.fills(session, Product, 2)


@pytest.mark.parametrize("level", ["SERIALIZABLE", "AUTOCOMMIT"])
def test_other_levels_of_sqlite_go_by_its_own_rule(cached: World, level: Any) -> None:
    with cached.session(cached.engine.execution_options(isolation_level=level)) as session:
        session.execute(text("SELECT * FROM products"))
        assert cached.reason(session, Product, 1) is None
    with cached.session() as session:
        session.connection(execution_options={"isolation_level": level})
        assert cached.reason(session, Product, 1) is None


def test_a_transaction_that_began_with_begin_reads_from_its_snapshot(cached: World) -> None:
    begin_recipe(cached.engine)
    with cached.session() as session:
        assert session.get_one(Product, 1).name == "old"
        write(cached, 1, "new")
        assert cached.read(Product, 1).name == "new"
        assert cached.reason(session, Product, 1) == "later than the snapshot"
        assert cached.fetch(session, Product, 1).name == "old"
        assert not cached.fills(session, Product, 2)
    assert cached.read(Product, 1).name == "new"


def test_a_transaction_whose_first_write_failed_may_hold_a_snapshot(cached: World) -> None:
    """The driver has begun, and nothing keeps others from writing."""
    engine = cached.make_engine(connect_args={"timeout": 0})
    cached.registry.bind(engine)
    with cached.engine.connect() as busy, engine.connect() as conn, cached.session(conn) as session:
        busy.execute(update(Tag.__table__).values(name="x"))
        with pytest.raises(OperationalError, match="locked"):
            conn.execute(update(Tag.__table__).values(name="y"))
        assert conn.execute(text("SELECT name FROM products WHERE id = 2")).scalar() == "old"
        busy.execute(update(products).values(name="new"))
        busy.commit()
        busy.execute(text("SELECT 1"))  # its commit is settled
        assert cached.reason(session, Product, 2) == "later than the snapshot"
        assert cached.fetch(session, Product, 2).name == "old"
    assert cached.read(Product, 2).name == "new"


@pytest.mark.parametrize("options", [{"untracked": ("prod*",)}, {"enabled": False}])
def test_what_may_not_be_cached_is_read_from_the_database(cached: World, options: dict[str, Any]) -> None:
    cached.manager = cached.cache(**options)
    for _ in range(2):
        assert cached.read(Product, 2).name == "old"
        assert not cached.served(Product, 2)


def test_a_row_that_reads_an_untracked_table_isnt_cached(world: World) -> None:
    world.manager = world.cache(untracked=("prices",))
    world.add(Order(id=1, note="x"))
    for amount in (5, 6):
        world.read(Order, 1)
        world.add(Price(id=amount, order_id=1, amount=amount))
    assert world.read(Order, 1).total == 11


def test_a_view_that_depends_on_tables_is_renewed_with_them(world: World) -> None:
    world.manager = world.cache(models={"tags": ModelConfig(depends_on=("products",))})
    world.add(Tag(id=1, name="x"))
    world.read(Tag, 1)
    assert world.served(Tag, 1)
    world.add(Product(id=1, name="x"))
    assert not world.served(Tag, 1)
    with world.session() as session:
        session.add(Product(id=2, name="x"))
        session.flush()
        assert world.reason(session, Tag, 1) == "own writes"


def test_what_a_trigger_changes_is_renewed_with_its_cause(world: World) -> None:
    world.manager = world.cache(models={"products": ModelConfig(also_changes=("tags",))})
    world.add(Tag(id=1, name="x"))
    world.read(Tag, 1)
    world.add(Product(id=1, name="x"))
    assert not world.served(Tag, 1)


# Readers that fail


@on_each_store
def test_a_reader_whose_database_fails_gives_its_lease_back(cached: World) -> None:
    def fail(_conn: Any, _cursor: Any, statement: str, *_: Any) -> None:
        raise RuntimeError(statement)

    event.listen(cached.engine, "before_cursor_execute", fail)
    with cached.session() as session, pytest.raises(RuntimeError, match="SELECT"):
        cached.fetch(session, Product, 2)
    event.remove(cached.engine, "before_cursor_execute", fail)
    assert not any(key.endswith("products:get:2") for key in stored(cached.manager))
    with cached.session() as session:
        assert cached.fills(session, Product, 2)


@only_async
@on_each_store
async def test_a_reader_that_is_cancelled_gives_its_lease_back(cached: World) -> None:
    reached, let_go = asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()

    @event.listens_for(cached.engine, "connect")
    def connect(dbapi_connection: Any, _: Any) -> None:
        def wait() -> int:
            loop.call_soon_threadsafe(reached.set)
            let_go.wait(10)
            return 1

        dbapi_connection.create_function("wait", 0, wait)

    engine = cached._async_engines[-1]
    await engine.dispose()

    @event.listens_for(cached.engine, "before_cursor_execute", retval=True)
    def before(_conn: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> Any:
        return statement.replace("WHERE ", "WHERE wait() AND ") if not let_go.is_set() else statement, parameters

    async def read() -> None:
        async with AsyncSession(engine) as session:
            await cached.manager.fetch_entity_async(session, Product, 2)

    task = asyncio.create_task(read())
    await reached.wait()
    task.cancel()
    let_go.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not any(key.endswith("products:get:2") for key in stored(cached.manager))
    assert (await greenlet_spawn(cached.read, Product, 2)).name == "old"


def test_a_corrupt_payload_is_read_from_the_database_and_replaced(cached: World) -> None:
    slots = cached.manager._store().blocking._slots  # type: ignore[attr-defined]
    (cell,) = (key for key in slots._entries if key.endswith("products:get:1"))
    raw = slots.get(cell)
    for corrupt in (raw[:-3], b"garbage", raw[:-1] + bytes([raw[-1] ^ 1])):
        slots.put(cell, corrupt, 60_000)
        assert cached.read(Product, 1).name == "old"
        assert cached.served(Product, 1)


def test_an_instance_of_which_the_database_has_half_is_given_to_each_who_asks(world: World) -> None:
    """Its part in the subclass's table was deleted by itself; that no whole instance can be made of it is no reason to raise."""
    world.add(Engineer(id=1, name="half", language="C"))
    world.in_the_database("DELETE FROM engineers")
    with world.session() as session:
        for _ in range(2):
            first, second = world.fetch_all(session, Person, [1, 1])
            assert first is not second
            assert first.name == second.name == "half"
            assert first.id == second.id == session.get_one(Person, 1).id == 1
            session.expunge_all()
            session.add(first)
            assert session.get(Person, 1) is first
            session.expunge_all()
