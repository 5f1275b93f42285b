"""Transactions above READ COMMITTED read and fill what their snapshot holds, and nothing else (DESIGN 5.1, 5.5)."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import Engine, event, insert, select, text, update

from aa_cache_integration.core.clock import StoreClock
from aa_cache_integration.orm.listeners import remove_cache_listeners, setup_cache_listeners
from aa_cache_integration.stores.null import NO_VALUE
from tests.orm.models import Product, Tag
from tests.orm.world import World, begin_recipe, on_each_store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sqlalchemy.orm import Session

SNAPSHOT = {"postgresql": "REPEATABLE READ", "mariadb": None, "sqlite": None}
"""The level of a snapshot transaction; ``None``: without any, it is the default, or what BEGIN begins."""

products = Product.__table__


class Snapshots:
    """A world, and the engine whose transactions keep to a snapshot."""

    def __init__(self, world: World, database: str) -> None:
        self.world = world
        self.database = database
        self.level = SNAPSHOT[database]
        self.engine = world.make_engine(**({"isolation_level": self.level} if self.level else {}))
        if database == "sqlite":
            begin_recipe(self.engine)
        world.registry.bind(self.engine)

    @contextmanager
    def transaction(self, *, taken: bool = True) -> Iterator[Session]:
        """Open a session in a snapshot transaction; it has run a statement already if its snapshot is to be taken."""
        with self.world.session(self.engine) as session:
            if taken:
                session.execute(select(Tag))
            yield session

    def at(self, level: str) -> Engine:
        """Return an engine whose transactions are of this level."""
        engine = self.world.make_engine(isolation_level=level)
        self.world.registry.bind(engine)
        return engine

    def change(self, ident: int, name: str) -> None:
        """Change a product in a transaction of its own."""
        with self.world.session(self.at("READ COMMITTED") if self.database != "sqlite" else None) as session:
            session.get_one(Product, ident).name = name
            session.commit()

    def refill(self, ident: int) -> None:
        """Read a row in a transaction of its own, so that it is cached as it is now."""
        self.world.read(Product, ident)


@pytest.fixture(params=["sqlite", "postgresql", "mariadb"])
def database(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def options() -> dict[str, Any]:
    return {}


@pytest.fixture(params=["sync", "async"])
def world(request: pytest.FixtureRequest, make_world: Callable[..., World], database: str, options: dict[str, Any]) -> World:
    return make_world(database, asynchronous=request.param == "async", clock_skew=0.0, **options)


@pytest.fixture
def snapshots(world: World, database: str) -> Snapshots:
    """Two products, cached."""
    made = Snapshots(world, database)

    def prepare() -> None:
        world.add(Product(id=1, name="old"), Product(id=2, name="old"), Tag(id=1, name="x"))
        for ident in (1, 2):
            assert world.read(Product, ident).name == "old"

    world.preparations.append(prepare)
    return made


def told(world: World, session: Session, ident: int, model: type[Any] = Product) -> list[tuple[str, str | None]]:
    """Read a row, and return what the cache tells of it."""
    before = len(world.events)
    world.fetch(session, model, ident)
    return [(event.name, event.reason) for event in world.events[before:] if event.name != "cache.miss"]


HIT = [("cache.hit", None)]
LATER = [("cache.bypass", "later than the snapshot")]


@on_each_store
def test_what_was_cached_before_the_snapshot_and_still_holds_is_a_hit(snapshots: Snapshots, world: World) -> None:
    with snapshots.transaction() as session, world.statements() as statements:
        assert told(world, session, 1) == HIT
        assert statements == []


@on_each_store
def test_what_was_changed_after_the_snapshot_is_read_as_it_was_and_cached_for_nobody(snapshots: Snapshots, world: World) -> None:
    with snapshots.transaction() as session:
        snapshots.change(1, "new")
        for _ in range(2):
            assert told(world, session, 1) == LATER
            assert world.fetch(session, Product, 1).name == "old"
        assert world.read(Product, 1).name == "new"
    assert world.read(Product, 1).name == "new"


@on_each_store
def test_what_others_cached_after_the_snapshot_is_not_shown_and_stays_theirs(snapshots: Snapshots, world: World) -> None:
    with snapshots.transaction() as session:
        snapshots.change(1, "new")
        snapshots.refill(1)
        assert told(world, session, 1) == LATER
        assert world.fetch(session, Product, 1).name == "old" == session.get_one(Product, 1).name
        assert world.served(Product, 1), "the value of the others isn't taken away"


@on_each_store
def test_what_did_not_change_since_before_the_snapshot_is_filled(snapshots: Snapshots, world: World) -> None:
    world.call("invalidate_entity", "products", 1)
    with snapshots.transaction() as session:
        assert told(world, session, 1) == [("cache.fill", None)]
    assert world.served(Product, 1)
    assert world.read(Product, 1).name == "old"


def test_a_row_inserted_after_the_snapshot_is_cached_as_missing_for_nobody(snapshots: Snapshots, world: World) -> None:
    with snapshots.transaction() as session:
        world.add(Product(id=3, name="new"))
        assert world.fetch(session, Product, 3) is None
        assert world.read(Product, 3).name == "new"
        assert world.fetch(session, Product, 3) is None
    assert world.read(Product, 3).name == "new"


@pytest.mark.parametrize("settled", [True, False])
def test_a_writer_between_commit_and_settle_keeps_the_old_row_out(snapshots: Snapshots, world: World, *, settled: bool) -> None:
    """Its intents on the table's record say that the snapshot may be older than the row that others read."""
    world.call("invalidate_entity", "products", 2)
    with snapshots.transaction() as session, world.session() as writer:
        writer.get_one(Product, 1).name = "new"
        if settled:
            writer.commit()
            assert told(world, session, 2) == LATER
            return
        seen: list[Any] = []

        @event.listens_for(world.engine, "commit", once=True)
        def between(_: Any) -> None:
            if not seen:
                seen.extend(told(world, session, 2))

        writer.commit()
        assert seen == [("cache.bypass", "write intent")]


def test_before_its_first_statement_a_transaction_is_shown_what_is_committed(snapshots: Snapshots, world: World) -> None:
    with snapshots.transaction(taken=False) as session, world.statements() as statements:
        snapshots.change(1, "new")
        snapshots.refill(1)
        del statements[:]
        assert told(world, session, 1) == HIT
        assert world.fetch(session, Product, 1).name == "new"
        assert statements == []


EXACT = pytest.mark.parametrize("options", [{"snapshot_reads": "exact"}])


@EXACT
def test_exact_snapshots_are_shown_nothing_before_they_are_taken(snapshots: Snapshots, world: World) -> None:
    with snapshots.transaction(taken=False) as session:
        assert told(world, session, 1) == LATER
        assert told(world, session, 2) == HIT, "the first read has taken it"
        snapshots.change(2, "new")
        assert world.fetch(session, Product, 2).name == "old"


@EXACT
def test_exact_snapshots_fill_with_the_statement_that_takes_them(snapshots: Snapshots, world: World) -> None:
    world.call("invalidate_entity", "products", 1)
    with snapshots.transaction(taken=False) as session:
        assert told(world, session, 1) == [("cache.fill", None)]
    assert world.served(Product, 1) == (snapshots.database != "mariadb"), "whose default is a snapshot too"


@EXACT
@pytest.mark.parametrize("database", ["mariadb"], indirect=True)
@pytest.mark.parametrize(
    "statement",
    [text("SELECT 1"), update(products).values(stock=1).where(products.c.id == 9), select(Tag).where(Tag.id == 1).with_for_update()],
)
def test_a_statement_by_which_innodb_takes_no_snapshot_is_not_taken_for_one(snapshots: Snapshots, world: World, statement: Any) -> None:
    world.read(Tag, 1)
    with snapshots.transaction(taken=False) as session:
        session.execute(statement)
        assert told(world, session, 1, Tag) == LATER
        assert told(world, session, 1, Tag) == HIT, "the first read has taken it"


@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
@pytest.mark.parametrize("level", ["SERIALIZABLE", "READ UNCOMMITTED"])
def test_other_levels_ask_the_database_and_fill_nothing(snapshots: Snapshots, world: World, level: str) -> None:
    world.call("invalidate_entity", "products", 2)
    with world.session(snapshots.at(level)) as session:
        for ident in (1, 2):
            assert told(world, session, ident) == [("cache.bypass", f"isolation level {level.lower()}")]
        assert world.call("get_entity", "products", 1, Product) is None
    assert not world.served(Product, 2)


@pytest.mark.parametrize("database", ["postgresql", "mariadb"], indirect=True)
def test_read_committed_is_shown_what_is_committed(snapshots: Snapshots, world: World) -> None:
    with world.session(snapshots.at("READ COMMITTED")) as session:
        session.execute(select(Tag))
        snapshots.change(1, "new")
        assert world.fetch(session, Product, 1).name == "new"
        assert told(world, session, 1) == HIT


@pytest.mark.parametrize("database", ["postgresql", "mariadb"], indirect=True)
def test_a_level_of_the_sessions_own_connection_counts(snapshots: Snapshots, world: World) -> None:
    with world.session() as session:
        session.connection(execution_options={"isolation_level": "REPEATABLE READ"})
        session.execute(select(Tag))
        snapshots.change(1, "new")
        snapshots.refill(1)
        assert world.fetch(session, Product, 1).name == "old"


@pytest.mark.parametrize("database", ["postgresql", "mariadb"], indirect=True)
def test_a_level_that_text_sets_is_unknown(snapshots: Snapshots, world: World) -> None:
    with world.session() as session:
        session.execute(text("SET TRANSACTION ISOLATION LEVEL SERIALIZABLE" if snapshots.database == "postgresql" else "START TRANSACTION"))
        assert told(world, session, 1) == [("cache.bypass", "session state")]
        session.rollback()
        assert told(world, session, 1) == HIT


def test_several_rows_of_one_snapshot_are_of_one_moment(snapshots: Snapshots, world: World) -> None:
    with snapshots.transaction() as session:
        snapshots.change(2, "new")
        snapshots.refill(2)
        assert [row.name for row in world.fetch_all(session, Product, [1, 2])] == ["old", "old"]


@pytest.fixture
def busy_engines() -> Iterator[list[Engine]]:
    """Engines for which an application's listener, that was there before us, runs a statement as each transaction begins."""
    engines: list[Engine] = []

    def begin(conn: Any) -> None:
        if conn.engine in engines:
            conn.execute(select(Tag))

    remove_cache_listeners()
    event.listen(Engine, "begin", begin)
    setup_cache_listeners()
    yield engines
    event.remove(Engine, "begin", begin)


@pytest.mark.parametrize("database", ["postgresql", "mariadb"], indirect=True)
def test_a_statement_of_anothers_begin_listener_takes_the_snapshot(busy_engines: list[Engine], snapshots: Snapshots, world: World) -> None:
    busy_engines.append(snapshots.engine)
    with snapshots.transaction(taken=False) as session:
        session.connection()
        snapshots.change(1, "new")
        assert world.read(Product, 1).name == "new"
        assert world.fetch(session, Product, 1).name == "old"


# Operations that know no session


def test_a_plain_lookup_is_shown_what_the_open_transactions_snapshot_holds(snapshots: Snapshots, world: World) -> None:
    with snapshots.transaction():
        assert world.call("get_entity", "products", 1, Product).name == "old"
        snapshots.change(2, "new")
        snapshots.refill(2)
        assert world.call("get_entity", "products", 2, Product) is None
    assert world.call("get_entity", "products", 2, Product).name == "new"


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_plain_put_of_what_an_older_snapshot_holds_stores_nothing(snapshots: Snapshots, world: World, when: str) -> None:
    """The lookup comes after the change, the row from before it, the put within the transaction or after its end."""
    with snapshots.transaction() as session:
        snapshots.change(1, "new")
        assert world.call("get_entity", "products", 1, Product) is None
        old = session.get_one(Product, 1)
        assert old.name == "old"
        if when == "before":
            world.call("set_entity", "products", 1, old)
    if when == "after":
        world.call("set_entity", "products", 1, old)
    assert world.read(Product, 1).name == "new"


def test_a_plain_put_of_what_did_not_change_is_stored(snapshots: Snapshots, world: World) -> None:
    world.call("invalidate_entity", "products", 1)
    with snapshots.transaction() as session:
        assert world.call("get_entity", "products", 1, Product) is None
        world.call("set_entity", "products", 1, session.get_one(Product, 1))
    assert world.served(Product, 1)


def test_lists_keep_to_the_snapshot_too(snapshots: Snapshots, world: World) -> None:
    with snapshots.transaction() as session:
        snapshots.change(1, "new")
        assert world.call("get_list", "all", Product) is None
        world.call("set_list", "all", session.scalars(select(Product)).all())
        assert world.call("get_list", "all", Product) is None
    assert world.call("get_list", "all", Product) is None


def test_a_key_with_the_models_version_is_not_that_of_rows_from_an_older_snapshot(snapshots: Snapshots, world: World) -> None:
    with snapshots.transaction():
        before = world.call("get_model_version", "products")
        snapshots.change(1, "new")
        during = {world.call("get_model_version", "products") for _ in range(2)}
    after = world.call("get_model_version", "products")
    assert len({before, *during, after}) == 4
    assert world.call("get_model_version", "products") == after


def test_a_snapshot_that_has_ended_limits_nothing(snapshots: Snapshots, world: World) -> None:
    with snapshots.transaction():
        snapshots.change(1, "new")
    snapshots.refill(1)
    assert world.call("get_entity", "products", 1, Product).name == "new"


# The clock


def test_a_process_that_has_no_reading_of_the_stores_clock_asks_for_one(snapshots: Snapshots, world: World) -> None:
    state = world.manager._state
    with snapshots.transaction() as session:
        state.clock = StoreClock()
        assert told(world, session, 1) == HIT


def test_a_snapshot_older_than_a_jump_of_the_stores_clock_is_read_from_the_database(snapshots: Snapshots, world: World) -> None:
    clock = world.manager._state.clock
    with snapshots.transaction() as session:
        clock.learn(clock.now() - 3_600_000_000, clock.sent())
        assert told(world, session, 1) == [("cache.bypass", "store clock set")]
        assert world.call("get_model_version", "products") != world.call("get_model_version", "products")


# Own writes, at every level


def test_a_plain_lookup_shows_nothing_of_a_table_that_the_open_transaction_has_written(snapshots: Snapshots, world: World) -> None:
    with world.session() as session:
        session.get_one(Product, 1).name = "mine"
        session.flush()
        assert world.call("get_entity", "products", 1, Product) is None
        assert world.call("get_list", "all", Product) is None
        world.call("set_entity", "products", 1, session.get_one(Product, 1))
        assert world.call("get_model_version", "products") != world.call("get_model_version", "products")
        session.rollback()
    assert world.call("get_entity", "products", 1, Product).name == "old"


def test_an_explicit_put_of_what_is_not_committed_stores_nothing(snapshots: Snapshots, world: World) -> None:
    with world.session() as session:
        row = session.get_one(Product, 1)
        row.name = "mine"
        session.flush()
        world.call("set_entity", "products", 1, row)
        world.call("set_list", "all", [row])
        world.call("set_list", "none", [])
        session.rollback()
    assert world.call("get_entity", "products", 1, Product).name == "old"
    assert world.call("get_list", "all", Product) is None
    assert world.call("get_list", "none", Product) is None


def test_a_put_of_what_was_rolled_back_since_the_lookup_stores_nothing(snapshots: Snapshots, world: World) -> None:
    world.call("invalidate_entity", "products", 1)
    assert world.call("get_entity", "products", 1, Product) is None
    with world.session() as session:
        row = session.get_one(Product, 1)
        row.name = "mine"
        session.flush()
        session.expunge(row)
        session.rollback()
    world.call("set_entity", "products", 1, row)
    assert world.call("get_entity", "products", 1, Product) is None


def test_a_plain_value_made_of_what_is_not_committed_is_kept_for_nobody(snapshots: Snapshots, world: World) -> None:
    with world.session() as session:
        session.get_one(Product, 1).name = "mine"
        session.flush()
        made = world.call("get_or_create", "made", lambda: "of mine")
        assert world.call("get", "put") is NO_VALUE
        world.call("set", "put", "of mine")
        session.rollback()
    assert made == "of mine"
    assert world.call("get", "made") is NO_VALUE
    assert world.call("get", "put") is NO_VALUE


def test_a_write_of_unknown_tables_changes_every_version(snapshots: Snapshots, world: World) -> None:
    before = world.call("get_model_version", "products")
    with world.session() as session:
        session.execute(text("UPDATE products SET name = 'new'"))
        session.commit()
    assert world.call("get_model_version", "products") != before


def test_other_tables_and_other_groups_are_not_touched_by_own_writes(snapshots: Snapshots, world: World) -> None:
    assert world.read(Tag, 1).name == "x"
    eu = world.cache(bind_group="eu")
    with world.session() as session:
        session.execute(insert(Product).values(id=3, name="mine", stock=0))
        assert world.call("get_entity", "tags", 1, Tag).name == "x"
        assert world.call("get_model_version", "products", manager=eu) == world.call("get_model_version", "products", manager=eu)


# A replica


def test_nothing_that_a_replica_gave_is_put(snapshots: Snapshots, world: World) -> None:
    replica = world.make_engine()
    world.registry.bind(replica, replica_of=world.engine)
    world.call("invalidate_entity", "products", 1)
    with world.session(replica) as session:
        assert session.get_one(Product, 2).name == "old"
        assert world.call("get_entity", "products", 1, Product) is None
        world.call("set_entity", "products", 1, session.get_one(Product, 1))
    assert world.call("get_entity", "products", 1, Product) is None


# A statement of SQLite's whose rows aren't all fetched


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_rows_that_are_read_beside_an_unfinished_statement_are_as_old_as_that(snapshots: Snapshots, world: World) -> None:
    """It keeps the connection's view of the file, although the driver is in no transaction."""
    world.add(*(Product(id=ident, name="many") for ident in range(100, 400)))
    with world.session() as session:
        unfinished = session.connection().execute(select(products.c.id))
        assert unfinished.fetchone() is not None
        with world.session() as other:
            other.get_one(Product, 1).name = "new"
            other.commit()
        there = world.fetch(session, Product, 1).name
        assert world.read(Product, 1).name == "new"
        assert there == ("new" if world.asynchronous else "old"), "an asynchronous driver has fetched all rows at once"
        unfinished.close()
        del unfinished
        assert world.fetch(session, Product, 1).name == "new"
