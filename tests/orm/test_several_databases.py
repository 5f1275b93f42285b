"""A bind group is a database: what a session writes to several is told to the caches of each, and to no other's (DESIGN 3.5, 6)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import MetaData, Table, delete, event, insert, select, text, update
from sqlalchemy.ext.horizontal_shard import ShardedSession, set_shard_id
from sqlalchemy.orm import Session

from aa_cache_integration import BindError
from tests.orm.models import Product, Tag
from tests.orm.world import World, only_sync

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy.engine import Engine

    from aa_cache_integration import CacheManager


class Two:
    """Two databases, ``eu`` and ``us``, each with an engine, a cache and the same rows, all cached."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.engines: dict[str, Engine] = {}
        self.caches: dict[str, CacheManager] = {}

    def prepare(self) -> None:
        """Make them."""
        for group in ("eu", "us"):
            engine = self.engines[group] = self.world.engine_of(f"sqlite:///{self.world.file}-{group}")
            cache = self.caches[group] = self.world.cache(bind_group=group)
            self.world.registry.bind(engine, group)
            with engine.begin() as conn:
                Product.metadata.create_all(conn)
            with engine.begin() as conn:
                conn.execute(insert(Product), [{"id": ident, "name": f"old {group}", "stock": 0} for ident in (1, 2)])
                conn.execute(insert(Tag), [{"id": 1, "name": f"old {group}"}])
            with self.world.session(engine) as session:
                self.world.fetch_all(session, Product, [1, 2], cache)
                self.world.fetch(session, Tag, 1, cache)

    def served(self, group: str, model: type[Any], ident: Any) -> bool:
        """Whether the cache answers, and rightly."""
        with self.world.session(self.engines[group]) as session:
            there = session.scalar(select(model.__table__.c.name).where(model.__table__.c.id == ident))
            before = len(self.world.events)
            found = self.world.fetch(session, model, ident, self.caches[group])
            assert (None if found is None else found.name) == there
            return self.world.events.names[before:] == ["cache.hit"]


@pytest.fixture
def two(world: World) -> Two:
    made = Two(world)
    world.preparations.append(made.prepare)
    return made


ROWS = [("eu", Product, 1), ("eu", Product, 2), ("eu", Tag, 1), ("us", Product, 1), ("us", Product, 2), ("us", Tag, 1)]


def emptied(two: Two) -> list[Any]:
    """Return the rows that the caches don't serve any more; each answer is compared with the database."""
    return [row for row in ROWS if not two.served(*row)]


def test_a_session_that_writes_to_two_groups_tells_each(two: Two) -> None:
    with two.world.session(binds={Product: two.engines["eu"], Tag: two.engines["us"]}) as session:
        session.get_one(Product, 1).name = "new"
        session.get_one(Tag, 1).name = "new"
        session.commit()
    assert emptied(two) == [("eu", Product, 1), ("us", Tag, 1)]


def test_what_one_group_rolls_back_stays_cached_in_both(two: Two) -> None:
    with two.world.session(binds={Product: two.engines["eu"], Tag: two.engines["us"]}) as session:
        session.get_one(Product, 1).name = "new"
        session.get_one(Tag, 1).name = "new"
        session.flush()
        session.rollback()
    assert emptied(two) == []


def test_a_mapper_that_is_bound_by_itself(two: Two) -> None:
    with two.world.session(two.engines["us"]) as session:
        session.bind_mapper(Product, two.engines["eu"])
        session.bind_table(Tag.__table__, two.engines["us"])
        session.get_one(Product, 2).name = "new"
        session.execute(update(Tag).where(Tag.id == 1).values(name="new"))
        session.commit()
    assert emptied(two) == [("eu", Product, 2), ("us", Tag, 1)]


def test_a_session_that_chooses_by_get_bind(two: Two) -> None:
    class Routing(Session):
        def get_bind(self, mapper: Any = None, **_: Any) -> Any:
            return two.engines["eu" if mapper is not None and mapper.class_ is Product else "us"]

    with two.world.wrapped(Routing()) as session:
        session.get_one(Product, 1).name = "new"
        session.flush()
        session.execute(text("UPDATE tags SET name = 'new'"))
        session.commit()
    assert emptied(two) == [("eu", Product, 1), ("us", Tag, 1)]


def test_text_of_nobody_knows_what_empties_one_group_alone(two: Two) -> None:
    with two.world.session(two.engines["eu"]) as session:
        session.execute(text("DROP TABLE IF EXISTS nobodys"))
        session.commit()
    assert {group for group, *_ in emptied(two)} == {"eu"}


def test_two_connections_of_one_task_commit_in_turn(two: Two) -> None:
    with two.engines["eu"].connect() as eu, two.engines["us"].connect() as us:
        eu.execute(update(Product).where(Product.id == 1).values(name="new"))
        us.execute(update(Product).where(Product.id == 1).values(name="new"))
        us.execute(update(Product).where(Product.id == 2).values(name="new"))
        us.commit()
        assert two.served("eu", Product, 1)
        eu.commit()
    assert emptied(two) == [("eu", Product, 1), ("us", Product, 1), ("us", Product, 2)]


# Sharded sessions


@pytest.fixture
def sharded(two: Two) -> Iterator[Any]:
    """A maker of sessions over both: odd keys are in ``eu``, even ones in ``us``; above 100 nobody knows."""

    def shard_of(ident: int) -> str:
        return "eu" if ident % 2 else "us"

    def choose(_mapper: Any, instance: Any, clause: Any = None) -> str:
        return shard_of(instance.id) if instance is not None else "eu"

    def identity(_mapper: Any, key: Any, **_: Any) -> list[str]:
        return [] if key[0] < 0 else ["us", "eu"] if key[0] > 100 else [shard_of(key[0])]

    def split() -> None:
        for group, other in (("eu", 2), ("us", 1)):
            with two.engines[group].begin() as conn:
                conn.execute(delete(Product).where(Product.id == other))
            two.served(group, Product, other)

    two.world.preparations.append(split)

    def session() -> ShardedSession:
        return ShardedSession(choose, identity, lambda _: ["eu", "us"], shards=two.engines)

    return session


def test_a_sharded_session_writes_to_the_shard_of_each_row(two: Two, sharded: Any) -> None:
    with two.world.wrapped(sharded()) as session:
        session.get_one(Product, 1).name = "new"
        session.get_one(Product, 2).name = "new"
        session.commit()
    assert emptied(two) == [row for row in ROWS if row[1] is Product], "that a row is in the other shard alone was known until then"


def test_dml_of_a_sharded_session_is_told_in_each_shard_where_it_runs(two: Two, sharded: Any) -> None:
    with two.world.wrapped(sharded()) as session:
        session.execute(update(Product).where(Product.id == 1).values(name="new"), execution_options={"synchronize_session": False})
        session.execute(update(Tag).values(name="new").options(set_shard_id("us")), execution_options={"synchronize_session": False})
        session.commit()
    assert emptied(two) == [row for row in ROWS if row not in {("us", Product, 2), ("eu", Tag, 1)}]


def test_a_sharded_session_reads_the_row_of_its_shard_through_the_cache(two: Two, sharded: Any) -> None:
    for ident, group in ((1, "eu"), (2, "us")):
        with two.world.wrapped(sharded()) as session:
            before = len(two.world.events)
            assert two.world.fetch(session, Product, ident, two.caches[group]).name == f"old {group}"
            assert two.world.events.names[before:] == ["cache.hit"]
            with pytest.raises(BindError, match="bound to the group"):
                two.world.fetch(session, Product, ident, two.caches["us" if group == "eu" else "eu"])


def test_rows_of_several_shards_are_read_from_the_databases_and_not_kept(two: Two, sharded: Any) -> None:
    with two.engines["us"].begin() as conn:
        conn.execute(insert(Product), [{"id": 102, "name": "in us", "stock": 0}])
    with two.engines["eu"].begin() as conn:
        conn.execute(insert(Product), [{"id": 101, "name": "in eu", "stock": 0}, {"id": 102, "name": "in eu", "stock": 0}])
    with two.world.wrapped(sharded()) as session:
        before = len(two.world.events)
        found = two.world.fetch_all(session, Product, [1, 2], two.caches["eu"])
        assert [product.name for product in found] == ["old eu", "old us"]
        assert two.world.fetch(session, Product, 101, two.caches["eu"]).name == "in eu"
        assert two.world.fetch(session, Product, 102, two.caches["eu"]).name == "in us", "the first shard that is named counts"
        assert two.world.fetch(session, Product, 103, two.caches["eu"]) is None
        assert set(two.world.events.names[before:]) == {"cache.bypass"}
        assert {event.reason for event in two.world.events[before:]} == {"several shards"}
        with pytest.raises(BindError, match="names no shard"):
            two.world.fetch(session, Product, -1, two.caches["eu"])


# Tables under other names


def test_a_table_that_was_reflected_is_the_mapped_one(two: Two) -> None:
    with two.engines["eu"].begin() as conn:
        reflected = Table("products", MetaData(), autoload_with=conn)
        conn.execute(update(reflected).where(reflected.c.id == 1).values(name="new"))
    assert emptied(two) == [("eu", Product, 1), ("eu", Product, 2)]


def test_a_schema_that_is_translated_counts_under_both_names(two: Two) -> None:
    engine = two.engines["eu"].execution_options(schema_translate_map={None: "main"})
    with engine.begin() as conn:
        conn.execute(update(Product).where(Product.id == 1).values(name="new"))
    assert ("eu", Product, 1) in emptied(two)
    assert not any(group == "us" for group, *_ in emptied(two))


def test_untracked_tables_are_told_to_nobody_also_when_only_text_names_them(world: World) -> None:
    world.manager = world.cache(untracked=("audit_*", "tags"))
    world.in_the_database("CREATE TABLE audit_log (what TEXT)")
    world.add(Product(id=1, name="old"))
    world.read(Product, 1)
    with world.session() as session, world.intents_at_commit() as seen:
        session.execute(text("INSERT INTO audit_log VALUES ('x')"))
        session.execute(insert(Tag).values(id=5, name="x"))
        session.commit()
    assert seen == [set()]
    assert world.served(Product, 1)


@only_sync
def test_a_derived_engine_and_its_root_are_one_database(two: Two) -> None:
    derived = two.engines["eu"].execution_options(stream_results=False)
    heard: list[str] = []

    @event.listens_for(derived, "commit")
    def commit(_: Any) -> None:
        heard.append("commit")

    with Session(derived) as session:
        session.get_one(Product, 1).name = "new"
        session.commit()
    assert heard == ["commit"]
    assert emptied(two) == [("eu", Product, 1)]
