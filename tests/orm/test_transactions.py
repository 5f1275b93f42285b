"""Roots, savepoints and joined transactions: what is rolled back is forgotten, what is committed is told, once it is (DESIGN 6)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from sqlalchemy import event, text
from sqlalchemy.orm import Session

from tests.orm.models import Product, Tag
from tests.orm.world import World, begin_recipe, on_each_store

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection, Engine


@pytest.fixture(params=["the driver's own BEGIN", "an explicit BEGIN"])
def engine(request: pytest.FixtureRequest, world: World) -> Engine:
    """The world's engine, in both ways that SQLite's transactions begin with SQLAlchemy."""
    if request.param == "an explicit BEGIN":
        begin_recipe(world.engine)
    return world.engine


@pytest.fixture
def cached(world: World) -> World:
    """Three rows, and all are cached; and the next one's absence."""

    def prepare() -> None:
        world.add(*(Product(id=ident, name="old") for ident in (1, 2, 3)))
        for ident in (1, 2, 3, 4):
            world.read(Product, ident)
        world.told()

    world.preparations.append(prepare)
    return world


def rename(session: Session, ident: int, name: str = "new") -> None:
    session.get_one(Product, ident).name = name
    session.flush()


def names(world: World, *idents: int) -> list[str | None]:
    found = [world.read(Product, ident) for ident in idents]
    return [None if product is None else product.name for product in found]


@on_each_store
def test_a_root_rollback_discards_and_leaves_the_cache_warm(engine: Engine, cached: World) -> None:
    with cached.session() as session:
        rename(session, 1)
        session.add(Product(id=4, name="never"))
        session.flush()
        session.rollback()
    assert cached.told() == []
    assert all(cached.served(Product, ident) for ident in (1, 2, 3, 4))
    assert names(cached, 1, 4) == ["old", None]


def test_a_session_closed_without_commit_discards(engine: Engine, cached: World) -> None:
    with cached.session() as session:
        rename(session, 1)
    assert cached.told() == []
    assert cached.served(Product, 1)


def test_a_new_transaction_of_the_same_session_begins_with_nothing_written(engine: Engine, cached: World) -> None:
    with cached.session() as session:
        rename(session, 1)
        session.rollback()
        assert cached.fetch(session, Product, 1).name == "old"
        rename(session, 2)
        session.commit()
    assert cached.served(Product, 1)
    assert names(cached, 2) == ["new"]


@on_each_store
def test_a_released_savepoint_is_told_by_the_root_commit(engine: Engine, cached: World) -> None:
    with cached.session() as session:
        session.execute(text("UPDATE tags SET name = 'x'"))  # SQLite's driver has begun
        with session.begin_nested():
            rename(session, 1)
        assert cached.told() == []
        assert cached.intents() == set()
        assert cached.read(Product, 1).name == "old"
        session.commit()
        assert cached.intents() == set()
    assert names(cached, 1) == ["new"]


def test_a_released_savepoint_is_forgotten_by_a_root_rollback(engine: Engine, cached: World) -> None:
    with cached.session() as session:
        rename(session, 2)
        with session.begin_nested():
            rename(session, 1)
        session.rollback()
    assert cached.told() == []
    assert all(cached.served(Product, ident) for ident in (1, 2, 3))
    assert names(cached, 1, 2) == ["old", "old"]


def test_a_savepoint_that_is_rolled_back_leaves_nothing_stale(engine: Engine, cached: World) -> None:
    with cached.session() as session:
        rename(session, 1)
        nested = session.begin_nested()
        rename(session, 2)
        nested.rollback()
        rename(session, 3)
        assert cached.told() == []
        session.commit()
    assert names(cached, 1, 2, 3) == ["new", "old", "new"]


def test_savepoints_within_savepoints_leave_nothing_stale(engine: Engine, cached: World) -> None:
    with cached.session() as session:
        rename(session, 3)
        with session.begin_nested():
            rename(session, 1)
            inner = session.begin_nested()
            rename(session, 2)
            inner.rollback()
            with session.begin_nested():
                session.add(Product(id=4, name="new"))
        session.commit()
    assert names(cached, 1, 2, 3, 4) == ["new", "old", "new", "new"]


def test_a_savepoint_that_comes_first_commits_with_the_drivers_own_begin_and_is_told_then(engine: Engine, cached: World) -> None:
    """Python's sqlite3 begins nothing before a SAVEPOINT, so its RELEASE is a COMMIT of SQLite's, whatever becomes of the session."""
    with cached.session() as session:
        with session.begin_nested():
            rename(session, 1)
        session.rollback()
    with cached.session() as session:
        there = session.get_one(Product, 1).name
    assert names(cached, 1) == [there]


def test_the_intents_stand_before_a_release_that_commits(cached: World) -> None:
    standing: list[set[str]] = []

    @event.listens_for(cached.engine, "before_cursor_execute")
    def before(_conn: Connection, _cursor: object, statement: str, *_: object) -> None:
        if statement.startswith("RELEASE"):
            standing.append(cached.intents())

    with cached.session() as session, session.begin_nested():
        rename(session, 1)
        with session.begin_nested():
            rename(session, 2)
    assert standing == [{"products:get:1", "products:get:2", "~:rows:products"}] * 2, "by its name nobody can tell which one commits"
    assert cached.intents() == set()
    assert names(cached, 1, 2) == ["new", "new"]


def test_a_savepoint_in_autocommit_keeps_its_statements_together(cached: World) -> None:
    """Each is told when it is committed: at the RELEASE."""
    autocommit = cached.engine.execution_options(isolation_level="AUTOCOMMIT")
    with cached.session(autocommit) as session:
        nested = session.begin_nested()
        rename(session, 1)
        assert names(cached, 1) == ["old"]
        nested.commit()
        assert names(cached, 1) == ["new"]


def test_names_of_savepoints_of_other_transactions_are_not_mixed_up(cached: World) -> None:
    with cached.engine.connect() as conn:
        conn.exec_driver_sql("SAVEPOINT one")
        conn.commit()
    with cached.engine.connect() as conn:
        conn.exec_driver_sql("UPDATE tags SET name = 'x'")
        conn.exec_driver_sql("SAVEPOINT one")
        conn.exec_driver_sql("UPDATE products SET name = 'new'")
        conn.exec_driver_sql("RELEASE one")
        assert cached.told() == []
        conn.commit()
    assert names(cached, 1) == ["new"]


# The usual test recipe: a Session joined to an outer transaction of its connection


def test_a_session_joined_to_an_outer_transaction_settles_nothing_and_the_outer_commit_does(cached: World) -> None:
    begin_recipe(cached.engine)
    with cached.engine.connect() as conn:
        outer = conn.begin()
        with cached.wrapped(Session(conn, join_transaction_mode="create_savepoint")) as session:
            rename(session, 1)
            session.commit()
            assert cached.told() == []
            assert cached.intents() == set()
            assert cached.read(Product, 1).name == "old"
            assert cached.fetch(session, Product, 1).name == "new"
        outer.commit()
    assert cached.told() == ["products"]
    assert names(cached, 1) == ["new"]


def test_a_session_joined_to_an_outer_transaction_that_is_rolled_back_leaves_the_cache_warm(cached: World) -> None:
    begin_recipe(cached.engine)
    with cached.engine.connect() as conn:
        outer = conn.begin()
        for mode in ("create_savepoint", "rollback_only"):
            with cached.wrapped(Session(conn, join_transaction_mode=mode)) as session:  # type: ignore[arg-type]
                rename(session, 1, mode)
                session.commit()
        outer.rollback()
    assert cached.told() == []
    assert cached.served(Product, 1)
    assert names(cached, 1) == ["old"]


def test_a_session_that_controls_its_connections_transaction_settles(cached: World) -> None:
    with cached.engine.connect() as conn:
        conn.begin()
        with cached.wrapped(Session(conn, join_transaction_mode="control_fully")) as session:
            rename(session, 1)
            session.commit()
            assert cached.intents() == set()
            assert cached.told() == ["products"]
    assert names(cached, 1) == ["new"]


def test_a_rolled_back_recipe_is_followed_by_one_that_commits_on_the_same_connection(cached: World) -> None:
    begin_recipe(cached.engine)
    with cached.engine.connect() as conn:
        with conn.begin() as outer:
            with cached.wrapped(Session(conn, join_transaction_mode="create_savepoint")) as session:
                rename(session, 1)
                session.commit()
            outer.rollback()
        with conn.begin(), cached.wrapped(Session(conn, join_transaction_mode="create_savepoint")) as session:
            rename(session, 2)
            session.commit()
    assert cached.told() == ["products"]
    assert cached.served(Product, 1)
    assert names(cached, 1, 2) == ["old", "new"]


@on_each_store
def test_session_begin_as_a_context_settles_before_it_ends(cached: World) -> None:
    with cached.session() as session:
        with session.begin():
            rename(session, 1)
        assert cached.intents() == set()
        assert names(cached, 1) == ["new"]


def test_several_engines_in_one_session_each_tell_their_own_group(cached: World) -> None:
    other = cached.engine_of(f"sqlite:///{cached.file}2", execution_options={"bind_group": "other"})
    other_cache = cached.cache(bind_group="other")
    with other.begin() as conn:
        Product.metadata.create_all(conn)
        conn.execute(text("INSERT INTO tags VALUES (1, 'old')"))
    with cached.session(binds={Tag: other, Product: cached.engine}) as session:
        assert cached.fetch(session, Tag, 1, other_cache).name == "old"
        assert cached.fetch(session, Product, 1).name == "old"
        session.get_one(Tag, 1).name = "new"
        session.commit()
        cached.told()
        assert cached.fetch(session, Tag, 1, other_cache).name == "new"
        before = len(cached.events)
        assert cached.fetch(session, Product, 1).name == "old"
        assert cached.events.names[before:] == ["cache.hit"], "the other group is untouched"
        rename(session, 1)
        session.get_one(Tag, 1).name = "newer"
        session.commit()
        assert cached.fetch(session, Tag, 1, other_cache).name == "newer"
        assert cached.fetch(session, Product, 1).name == "new"
