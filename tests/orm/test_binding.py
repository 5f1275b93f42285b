"""Which engines are served, from which group, and what is refused (DESIGN 3.5)."""

from __future__ import annotations

import functools
import gc
import sqlite3
import subprocess
import sys
import threading
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import create_engine, text, update
from sqlalchemy.dialects import plugins
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.orm import Session
from sqlalchemy.pool import QueuePool, SingletonThreadPool

from aa_cache_integration import BindError, CacheConfig, CacheManager, caches
from aa_cache_integration.orm import binding
from aa_cache_integration.orm.plugin import AaCachePlugin
from aa_cache_integration.registry import CacheRegistry
from tests.orm.models import Base, Product
from tests.orm.world import World, only_sync

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy.engine import Connection, Engine

registry = CacheRegistry.from_mapping({})
products = Product.__table__


def bound_group(engine: Any) -> str | None:
    found = binding.binding_of(binding.root_engine(engine).dialect)
    assert found is not None
    return found.bind_group


# Engines nobody bound


def test_an_unbound_engine_is_read_from_the_database_with_one_warning_that_has_the_line_to_add(world: World) -> None:
    world.add(Product(id=1, name="old"))
    engine = world.make_engine()
    for _ in range(3):
        with world.session(engine) as session:
            assert world.fetch(session, Product, 1).name == "old"
    warnings = [event for event in world.events if event.name == "cache.rejected"]
    assert len(warnings) == 1
    assert "caches.bind(engine)" in (warnings[0].reason or "")
    assert "cache.fill" not in world.events.names
    other = world.make_engine()
    with world.session(other) as session:
        world.fetch(session, Product, 1)
    assert world.events.names.count("cache.rejected") == 2


def test_an_ignored_engine_is_not_served_and_may_be_bound_again(world: World) -> None:
    world.add(Product(id=1, name="old"))
    world.registry.ignore(world.engine)
    with world.session() as session:
        assert world.reason(session, Product, 1) == "ignored engine"
    assert "cache.rejected" not in world.events.names
    world.registry.bind(world.engine)
    world.read(Product, 1)
    assert world.served(Product, 1)
    with world.session() as session:
        session.get_one(Product, 1).name = "new"
        session.commit()
    assert world.read(Product, 1).name == "new"


def test_a_cache_of_another_group_is_refused_with_both_names(world: World) -> None:
    eu = world.cache(bind_group="eu")
    with world.session() as session, pytest.raises(BindError, match=r"group None.*serves 'eu'.*for_bind_group\(None\)"):
        world.fetch(session, Product, 1, eu)


@pytest.mark.parametrize("thing", ["sqlite://", None, object(), Session()])
def test_what_is_no_engine_is_refused(thing: Any) -> None:
    for call in (registry.bind, registry.ignore, functools.partial(registry.bind, create_engine("sqlite://"), replica_of=thing)):
        if thing is None and isinstance(call, functools.partial):
            continue
        with pytest.raises(BindError, match="Expected an Engine or AsyncEngine"):
            call(thing) if not isinstance(call, functools.partial) else call()


# One group is one database


def test_two_databases_in_one_group_are_refused_with_both_urls_and_the_remedies() -> None:
    one = create_engine("sqlite:////tmp/one.db")
    two = create_engine("sqlite:////tmp/two.db")
    registry.bind(one)
    with pytest.raises(BindError) as caught:
        registry.bind(two)
    for part in ("one.db", "two.db", "bind group of its own", "same_database=True", "replica_of="):
        assert part in str(caught.value)
    registry.bind(two, "two")
    registry.bind(create_engine("sqlite:////tmp/one.db"))
    registry.bind(create_async_engine("sqlite+aiosqlite:////tmp/one.db"))
    with pytest.raises(BindError, match="'two'"):
        registry.bind(create_engine("sqlite:////tmp/three.db"), "two")


def test_no_password_is_shown() -> None:
    def engine(host: str) -> Engine:
        made = create_engine("sqlite:////tmp/one.db")
        made.url = made.url.set(drivername="postgresql", username="me", password="secret", host=host)  # noqa: S106
        return made

    one, two = engine("one"), engine("two")
    registry.bind(one)
    with pytest.raises(BindError) as caught:
        registry.bind(two)
    assert "me:***@one" in str(caught.value)
    assert "me:***@two" in str(caught.value)
    assert "secret" not in str(caught.value)
    registry.bind(two, same_database=True)
    assert bound_group(two) is None


def test_an_engine_that_nobody_holds_any_more_is_no_obstacle() -> None:
    registry.bind(create_engine("sqlite:////tmp/one.db"))
    kept = create_engine("sqlite:////tmp/two.db")
    registry.bind(kept)
    assert len(binding._bindings) == 1


def test_a_replica_hits_and_never_fills(world: World) -> None:
    world.add(Product(id=1, name="old"), Product(id=2, name="old"))
    replica = world.engine_of(f"sqlite:///{world.file}.replica")
    with replica.begin() as conn:
        Base.metadata.create_all(conn)
        conn.execute(text("INSERT INTO products VALUES (1, 'lagging', 0), (2, 'lagging', 0)"))
    world.registry.bind(replica, replica_of=world.engine)
    assert bound_group(replica) is None
    with world.session(replica) as session:
        assert not world.fills(session, Product, 1)
        assert world.fetch(session, Product, 1).name == "lagging"
        assert world.read(Product, 1).name == "old"
        assert world.fetch(session, Product, 1).name == "old", "a hit"
        assert [product.name for product in world.fetch_all(session, Product, [1, 2])] == ["lagging"] * 2, "one moment, not two"


def test_the_primary_of_a_replica_must_be_bound() -> None:
    primary, replica = create_engine("sqlite:////tmp/one.db"), create_engine("sqlite:////tmp/two.db")
    with pytest.raises(BindError, match="bind that engine first"):
        registry.bind(replica, replica_of=primary)
    registry.bind(primary, "eu")
    registry.bind(replica, replica_of=primary)
    assert bound_group(replica) == "eu"


def test_a_proxy_of_the_same_database_shares_its_entries(world: World) -> None:
    (world.file.parent / "link").symlink_to(world.file.parent)
    proxy = world.engine_of(f"sqlite:///{world.file.parent}/link/{world.file.name}")
    with pytest.raises(BindError):
        world.registry.bind(proxy)
    world.registry.bind(proxy, same_database=True)
    world.add(Product(id=1, name="old"))
    world.read(Product, 1)
    with world.session(proxy) as session:
        assert world.reason(session, Product, 1) is None
        assert "cache.hit" in world.events.names
        session.get_one(Product, 1).name = "new"
        session.commit()
    assert world.read(Product, 1).name == "new"


# Groups


def test_a_derived_engine_is_bound_with_its_root_and_the_root_with_it(world: World) -> None:
    world.add(Product(id=1, name="old"))
    derived = world.engine.execution_options(stream_results=True)
    with world.session(derived) as session:
        assert world.fills(session, Product, 1)
    assert world.served(Product, 1)
    other = world.make_engine()
    world.registry.bind(other.execution_options(x=1))
    with world.session(other) as session:
        assert world.reason(session, Product, 1) is None


def test_the_bind_group_option_binds_an_engine_at_its_first_read(world: World) -> None:
    world.add(Product(id=1, name="old"))
    eu = world.cache(bind_group="eu")
    engine = world.make_engine(execution_options={"bind_group": "eu"})
    for names in (["cache.miss", "cache.fill"], ["cache.hit"]):
        del world.events[:]
        with world.session(engine) as session:
            assert world.fetch(session, Product, 1, eu).name == "old"
        assert world.events.names == names
    with engine.begin() as conn:
        conn.execute(update(products).values(name="new"))
    with world.session(engine) as session:
        assert world.fetch(session, Product, 1, eu).name == "new"


def test_a_write_through_an_option_of_another_group_is_told_to_the_engines_group_too(world: World) -> None:
    world.add(Product(id=1, name="old"))
    world.read(Product, 1)
    with world.engine.execution_options(bind_group="eu").begin() as conn:
        conn.execute(update(products).values(name="new"))
    assert world.read(Product, 1).name == "new"


def test_a_write_in_one_group_leaves_another_ones_entries(world: World) -> None:
    world.add(Product(id=1, name="old"))
    world.read(Product, 1)
    other = world.engine_of(f"sqlite:///{world.file}2")
    world.registry.bind(other, "other")
    with other.begin() as conn:
        Base.metadata.create_all(conn)
        conn.execute(text("INSERT INTO products VALUES (1, 'x', 0)"))
    assert world.served(Product, 1)


def test_every_cache_of_the_group_is_told_whoever_built_it(world: World) -> None:
    world.add(Product(id=1, name="old"))
    second = world.cache(key_prefix=world.options["key_prefix"] + "2:")
    assert world.read(Product, 1).name == world.read(Product, 1, second).name == "old"
    with world.session() as session:
        session.get_one(Product, 1).name = "new"
        session.commit()
    assert world.read(Product, 1).name == world.read(Product, 1, second).name == "new"


# What rows mean may depend on the connection

tenant: ContextVar[str] = ContextVar("tenant", default="a")


def test_tenants_never_see_each_others_rows_and_writes_reach_both(world: World) -> None:
    engine = world.make_engine()

    def vary(conn: Connection) -> str:
        assert not conn.closed
        return tenant.get()

    world.registry.bind(engine, vary=vary)
    world.add(Product(id=1, name="old"))
    found: dict[str, Any] = {}
    for name in ("a", "b", "a:b"):
        tenant.set(name)
        for fills in (True, False):
            with world.session(engine) as session:
                assert world.fills(session, Product, 1) is fills, name
    with world.session() as session:
        session.get_one(Product, 1).name = "new"
        session.commit()
    for name in ("a", "b", "a:b"):
        tenant.set(name)
        with world.session(engine) as session:
            found[name] = world.fetch(session, Product, 1).name
    assert set(found.values()) == {"new"}


# Databases of an engine's own


def memory_engine(**options: Any) -> Engine:
    engine = create_engine("sqlite://", **options)
    Base.metadata.create_all(engine)
    return engine


@pytest.fixture
def manager(aa_cache_namespace: str, recorded_events: Any) -> CacheManager:
    return CacheManager(CacheConfig("dogpile.cache.memory", key_prefix=aa_cache_namespace))


def add(engine: Engine, name: str) -> None:
    with Session(engine) as session:
        session.merge(Product(id=1, name=name))
        session.commit()


def name_in(engine: Engine, manager: CacheManager) -> str | None:
    with Session(engine) as session:
        found = manager.fetch_entity_sync(session, Product, 1)
        return found and found.name


@pytest.fixture
def in_memory() -> Iterator[list[Engine]]:
    engines = [memory_engine(), memory_engine()]
    yield engines
    for engine in engines:
        engine.dispose()


def test_engines_in_memory_never_see_each_others_rows(manager: CacheManager, in_memory: list[Engine], recorded_events: Any) -> None:
    for engine, name in zip(in_memory, "ab", strict=True):
        registry.bind(engine)
        add(engine, name)
    assert [name_in(engine, manager) for engine in in_memory * 2] == ["a", "b", "a", "b"]
    assert recorded_events.names.count("cache.hit") == 2
    add(in_memory[0], "c")
    assert [name_in(engine, manager) for engine in in_memory] == ["c", "b"]


def test_a_write_in_memory_is_told_to_the_group_too(manager: CacheManager, in_memory: list[Engine]) -> None:
    registry.bind(in_memory[0])
    before = manager.get_model_version_sync("products")
    add(in_memory[0], "a")
    assert manager.get_model_version_sync("products") != before


def test_each_thread_has_a_database_in_memory_of_its_own(manager: CacheManager) -> None:
    engine = create_engine("sqlite://", poolclass=SingletonThreadPool, connect_args={"check_same_thread": False})
    registry.bind(engine)
    found: dict[str, Any] = {}

    def run(name: str) -> None:
        Base.metadata.create_all(engine)
        add(engine, name)
        found[name] = [name_in(engine, manager), name_in(engine, manager)]

    for name in ("a", "b"):
        thread = threading.Thread(target=run, args=[name])
        thread.start()
        thread.join()
    assert found == {"a": ["a", "a"], "b": ["b", "b"]}
    engine.dispose()
    gc.collect()


def test_engines_that_share_a_database_in_memory_hear_of_each_others_writes(manager: CacheManager) -> None:
    url = "sqlite:///file:shared?mode=memory&cache=shared&uri=true"
    engines = [create_engine(url, poolclass=QueuePool), create_engine(url, poolclass=QueuePool)]
    Base.metadata.create_all(engines[0])
    for engine in engines:
        registry.bind(engine)
    add(engines[0], "a")
    assert [name_in(engine, manager) for engine in engines] == ["a", "a"]
    add(engines[1], "b")
    assert [name_in(engine, manager) for engine in engines] == ["b", "b"]
    for engine in engines:
        engine.dispose()


class Connect:
    """A creator that is an object."""

    def __init__(self, file: Any) -> None:
        self.file = file

    def __call__(self) -> Any:
        return sqlite3.connect(self.file)


@pytest.mark.parametrize("kind", ["function", "partial", "object"])
@only_sync
def test_an_engine_with_a_creator_has_entries_of_its_own_that_all_writes_of_the_group_reach(world: World, kind: str) -> None:
    creator = {"function": lambda: sqlite3.connect(world.file), "partial": functools.partial(sqlite3.connect, world.file)}
    own = [create_engine("sqlite:////elsewhere", creator=creator.get(kind, Connect(world.file))) for _ in range(2)]
    for engine in own:
        world.registry.bind(engine)
    world.add(Product(id=1, name="a"))
    engines = [world.engine, *own]
    for writer in engines:
        name = f"by {engines.index(writer)}"
        add(writer, name)
        for engine in engines:
            with world.session(engine) as session:
                assert world.fills(session, Product, 1), "each has its own"
                assert world.reason(session, Product, 1) is None
            assert name_in(engine, world.manager) == name
    for engine in own:
        engine.dispose()


@only_sync
def test_an_engine_with_a_creator_that_leads_to_the_same_database_shares_its_entries(world: World) -> None:
    engine = create_engine("sqlite:////elsewhere", creator=lambda: sqlite3.connect(world.file))
    world.registry.bind(engine, same_database=True)
    world.add(Product(id=1, name="a"))
    world.read(Product, 1)
    with world.session(engine) as session:
        assert not world.fills(session, Product, 1)
    engine.dispose()


# The plugin


@pytest.fixture(autouse=True)
def _plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the package isn't installed its entry point isn't known; `caches` reads settings that say nothing."""
    plugins.register("aa_cache", AaCachePlugin.__module__, AaCachePlugin.__name__)
    (tmp_path / "settings.toml").touch()
    monkeypatch.setenv("AA_CACHE_SETTINGS", str(tmp_path / "settings.toml"))
    monkeypatch.setattr(caches, "_settings", None)


@pytest.mark.parametrize(
    ("url", "options", "group"),
    [
        ("sqlite:////tmp/x.db", {"plugins": ["aa_cache"]}, None),
        ("sqlite:////tmp/x.db", {"plugins": ["aa_cache"], "execution_options": {"bind_group": "eu"}}, "eu"),
        ("sqlite:////tmp/x.db?plugin=aa_cache", {}, None),
        ("sqlite:////tmp/x.db?plugin=aa_cache&aa_cache_bind_group=eu", {}, "eu"),
    ],
)
@pytest.mark.parametrize("create", [create_engine, create_async_engine])
def test_the_plugin_binds_an_engine_as_it_is_made(url: str, options: dict[str, Any], group: str | None, create: Any) -> None:
    engine = create(url.replace("sqlite:", "sqlite+aiosqlite:") if create is create_async_engine else url, **options)
    assert bound_group(engine) == group
    assert not engine.url.query


def test_the_plugin_refuses_what_bind_refuses() -> None:
    first = create_engine("sqlite:////tmp/x.db", plugins=["aa_cache"])
    with pytest.raises(BindError):
        create_engine("sqlite:////tmp/y.db", plugins=["aa_cache"])
    assert bound_group(first) is None


# Without greenlet

WITHOUT_GREENLET = """
import sys
sys.modules["greenlet"] = None
import asyncio
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from aa_cache_integration import CacheConfig, CacheManager, MissingDependencyError
class Base(DeclarativeBase): pass
class Tea(Base):
    __tablename__ = "teas"
    id: Mapped[int] = mapped_column(primary_key=True)
manager = CacheManager(CacheConfig("dogpile.cache.memory"))
try:
    asyncio.run(manager.fetch_entity_async(object(), Tea, 1))
except MissingDependencyError as error:
    print(error)
from sqlalchemy import create_engine
from sqlalchemy.orm import Session
import aa_cache_integration.orm.listeners as listeners
listeners.setup_cache_listeners()
engine = create_engine("sqlite://")
Base.metadata.create_all(engine)
with Session(engine) as session:
    session.add(Tea(id=1))
    session.commit()
print("and synchronous sessions work")
"""


def test_an_async_session_without_greenlet_names_the_extra() -> None:
    root = Path(__file__).parents[2]
    result = subprocess.run(  # noqa: S603 - our own code
        [sys.executable, "-c", WITHOUT_GREENLET], env={"PYTHONPATH": str(root)}, capture_output=True, text=True, check=False
    )
    assert result.stdout.splitlines() == [
        'AsyncSession needs greenlet: pip install "aa-cache-integration[asyncio]"',
        "and synchronous sessions work",
    ], result.stderr
