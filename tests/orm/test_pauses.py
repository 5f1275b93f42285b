"""While a bind group is paused, everybody reads from the database, and commits needn't be announced one by one (DESIGN 6)."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import event, insert, update
from sqlalchemy.util import await_only

from aa_cache_integration import CacheRegistry, StoreUnavailableError, UnknownCacheError, pauses
from aa_cache_integration.core.protocol import Protocol
from aa_cache_integration.orm import commit
from aa_cache_integration.orm.changes import Ledger, Write
from aa_cache_integration.orm.managers import managers_of
from tests.orm.models import Product
from tests.orm.world import World, on_each_store, only_async, only_sync, stored

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aa_cache_integration.pauses import Pause

NAMESPACE = {"~:namespace"}


@contextmanager
def paused(world: World, pause: Pause | None = None) -> Iterator[Pause]:
    """Pause in the manner of the world."""
    pause = pause or world.registry.paused()
    if not world.asynchronous:
        with pause:
            yield pause
        return
    await_only(pause.__aenter__())
    try:
        yield pause
    finally:
        await_only(pause.__aexit__(None, None, None))


@contextmanager
def steps(world: World) -> Iterator[list[str]]:
    """Collect the writers' steps that reach the store."""
    taken: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        for name in ("hold", "settle"):
            original = getattr(Protocol, name)

            async def step(self: Protocol, *arguments: Any, original: Any = original, name: str = name) -> Any:
                taken.append(name)
                return await original(self, *arguments)

            patch.setattr(Protocol, name, step)
        yield taken


@pytest.fixture
def cached(world: World) -> World:
    """Two rows, and both are cached."""

    def prepare() -> None:
        world.add(Product(id=1, name="old"), Product(id=2, name="old"))
        for ident in (1, 2):
            world.read(Product, ident)
        world.told()

    world.preparations.append(prepare)
    return world


def rename(world: World, ident: int, name: str) -> None:
    with world.session() as session:
        session.get_one(Product, ident).name = name
        session.commit()


@on_each_store
def test_commits_in_a_pause_take_no_step_of_their_own_and_everybody_reads_from_the_database(cached: World) -> None:
    with steps(cached) as taken, paused(cached):
        assert cached.intents() == NAMESPACE
        for number in range(10):
            rename(cached, 1, f"new {number}")
            with cached.session() as session:
                assert cached.reason(session, Product, 1) == "write intent"
                assert cached.fetch(session, Product, 1).name == f"new {number}"
        assert taken == ["hold"]
        assert cached.told() == []
    assert taken == ["hold", "settle"]
    assert cached.intents() == set()
    assert cached.told() == ["the pause is over"]
    assert cached.read(Product, 1).name == "new 9"
    assert cached.served(Product, 1)
    assert not pauses._active


@on_each_store
def test_other_processes_read_from_the_database_too(cached: World) -> None:
    """Another manager of the store, whom no commit of this process is told to, is as another process."""
    other = cached.cache()
    with paused(cached):
        rename(cached, 1, "new")
        assert cached.read(Product, 1, other).name == "new"
    assert cached.read(Product, 1, other).name == "new"


def test_without_a_pause_each_commit_is_announced_and_settled(cached: World) -> None:
    with steps(cached) as taken:
        rename(cached, 1, "new")
    assert taken == ["hold", "settle"]


def test_what_is_rolled_back_or_refused_in_a_pause_leaves_nothing(cached: World) -> None:
    with paused(cached), cached.session() as session:
        session.execute(insert(Product).values(id=3, name="never", stock=0))
        session.rollback()
    assert cached.intents() == set()
    assert cached.read(Product, 3) is None


def test_a_commit_that_is_under_way_when_the_pause_ends_settles_it(cached: World) -> None:
    """What is read between the end of the pause and that of the COMMIT isn't kept."""
    pause = cached.registry.paused()

    @event.listens_for(cached.engine, "commit", once=True)
    def end(_: Any) -> None:
        ending.__exit__(None, None, None)
        assert cached.intents() == NAMESPACE

    ending = paused(cached, pause)
    ending.__enter__()
    with steps(cached) as taken:
        rename(cached, 1, "new")
    assert taken == ["settle"]
    assert cached.intents() == set()
    assert cached.read(Product, 1).name == "new"


def test_a_commit_of_unknown_outcome_leaves_the_pause_to_its_deadline(cached: World) -> None:
    def fail(_: Any) -> None:
        raise KeyboardInterrupt

    with paused(cached), pytest.MonkeyPatch.context() as patch:
        patch.setattr(cached.engine.dialect, "do_commit", fail)
        with cached.session() as session, pytest.raises(KeyboardInterrupt):
            session.execute(update(Product).values(name="new"))
            session.commit()
    assert cached.intents() == NAMESPACE
    cached.pass_time(2 * cached.manager.config.write_intent_timeout + 1)
    assert cached.intents() == NAMESPACE, "nobody has met it yet"
    cached.read(Product, 1)
    assert cached.intents() == set()


def test_a_commit_goes_by_itself_when_the_intent_may_not_outlast_it(cached: World, monkeypatch: pytest.MonkeyPatch) -> None:
    now = pauses.time.monotonic()
    monkeypatch.setattr(pauses, "time", type("Clock", (), {"monotonic": staticmethod(lambda: now)}))
    with paused(cached) as pause, steps(cached) as taken:
        rename(cached, 1, "a")
        assert taken == []
        now += cached.manager.config.write_intent_timeout + 1
        rename(cached, 1, "b")
        assert taken == ["hold", "settle"]
        for cover in pause._covers or ():
            cover.beat()
        del taken[:]
        rename(cached, 1, "c")
        assert taken == []
    assert cached.read(Product, 1).name == "c"


def test_the_intent_is_put_anew_before_it_wears_out(cached: World) -> None:
    """A thread does it: with a timeout of a fifth of a second, more than twice in less than the intent would live."""
    cached.manager = cached.cache(write_intent_timeout=0.2)
    beaten = threading.Semaphore(0)
    with pytest.MonkeyPatch.context() as patch:
        original = pauses.Cover.beat

        def beat(self: pauses.Cover) -> None:
            original(self)
            if self.manager is cached.manager:
                beaten.release()

        patch.setattr(pauses.Cover, "beat", beat)
        with paused(cached):
            assert all(beaten.acquire(timeout=60) for _ in range(12))
            assert cached.intents(cached.manager) == NAMESPACE
    threads = [thread for thread in threading.enumerate() if thread.name == "aa_cache_pause"]
    for thread in threads:
        thread.join(60)
    assert not any(thread.is_alive() for thread in threads)
    assert cached.intents(cached.manager) == set()


def test_no_intent_is_put_after_the_last_was_settled(cached: World) -> None:
    with paused(cached) as pause:
        pass
    for cover in pause._covers or ():
        cover.beat()
    assert cached.intents() == set()


@pytest.mark.parametrize("refuse", [False, True])
def test_where_the_store_cannot_be_reached_commits_go_by_themselves_or_nothing_is_paused(
    cached: World, refuse: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    cached.manager.config.unreachable_commit = "refuse" if refuse else "proceed"

    async def hold(*_: Any) -> None:
        raise StoreUnavailableError("down")

    with monkeypatch.context() as patch:
        patch.setattr(Protocol, "hold", hold)
        if refuse:
            with pytest.raises(StoreUnavailableError, match="Nothing is paused"), paused(cached):
                pass
            assert not pauses._active
            return
        with paused(cached):
            patch.undo()
            with steps(cached) as taken:
                rename(cached, 1, "new")
            assert taken == ["hold", "settle"]
    assert cached.read(Product, 1).name == "new"


def test_a_child_process_that_leaves_the_block_ends_nothing(cached: World) -> None:
    with paused(cached) as pause:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(pauses.os, "getpid", lambda: -1)
            assert pause._end() == []
        assert cached.intents() == NAMESPACE
        with steps(cached) as taken:
            rename(cached, 1, "new")
        assert taken == []


def test_with_eventual_consistency_a_pause_is_one_all_the_same(cached: World) -> None:
    cached.manager = cached.cache(consistency="eventual")
    cached.read(Product, 1)
    with paused(cached):
        assert cached.intents(cached.manager) == NAMESPACE
        rename(cached, 1, "new")
        assert cached.read(Product, 1).name == "new"
    assert cached.read(Product, 1).name == "new"


def test_another_bind_group_goes_on(cached: World) -> None:
    other = cached.cache(bind_group="eu")
    other.set_sync("key", 1)
    with paused(cached):
        assert other.get_sync("key") == 1
        with paused(cached, cached.registry.paused("eu")):
            assert cached.intents(other) == {"~eu:namespace"}
        assert cached.intents(other) == set()


def test_pauses_may_lie_within_each_other(cached: World) -> None:
    with paused(cached):
        with paused(cached):
            rename(cached, 1, "a")
        assert cached.intents() == NAMESPACE
        rename(cached, 1, "b")
    assert cached.intents() == set()
    assert cached.read(Product, 1).name == "b"


@only_sync
def test_a_pause_is_used_once_and_of_a_group_that_is_served(cached: World) -> None:
    pause = cached.registry.paused()
    with pause:
        pass
    with pytest.raises(RuntimeError, match="used already"), pause:
        pass
    with pytest.raises(UnknownCacheError, match="'nowhere'"), cached.registry.paused("nowhere"):
        pass


@only_sync
def test_of_the_commits_that_are_under_way_the_last_settles_the_pause(cached: World) -> None:
    ledgers = [Ledger() for _ in range(3)]
    with steps(cached) as taken:
        with paused(cached):
            for ledger in ledgers:
                ledger.add([None], Write(tables=frozenset({"products"})))
                commit.announce(ledger, managers_of)
            commit.settle(ledgers.pop())
        assert taken == ["hold"]
        commit.withdraw(ledgers.pop())
        assert cached.intents() == NAMESPACE
        commit.settle(ledgers[0])
        commit.settle(ledgers[0])
    assert taken == ["hold", "settle"]
    assert cached.intents() == set()


@only_async
async def test_an_import_in_a_task(world: World) -> None:
    """As the documentation shows it."""
    async with world.registry.paused():
        assert stored(world.manager)
    assert world.intents() == set()


def test_a_registry_that_nobody_has_loaded_is_loaded_by_a_pause(cached: World) -> None:
    loads: list[int] = []
    registry = CacheRegistry(lambda: loads.append(1) or cached.registry.settings)  # type: ignore[func-returns-value]
    with paused(cached, registry.paused()):
        assert loads == [1]
