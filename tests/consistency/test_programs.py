"""Random programs of writes, savepoints, commits and rollbacks over related models: each read through the cache is what the database holds.

No model of what a write does judges: the database itself does, read by plain SELECTs, on the program's own connection for what is read
in its transaction, and past the cache for what others read. A miss is always right, but hits there must be.

``AA_CACHE_DEEP=1`` looks for longer.
"""

from __future__ import annotations

import itertools
import os
from collections import Counter
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import event

from aa_cache_integration.orm import cascades, fetch
from aa_cache_integration.orm.changes import ChangeSet, ledger_of
from tests.consistency.programs_draw import OPTIONS, TOUR, programs
from tests.consistency.programs_run import Run
from tests.consistency.programs_world import World
from tests.consistency.stateful_model import Counts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

DEEP = os.environ.get("AA_CACHE_DEEP") == "1"
EXAMPLES = {"sqlite": 2000, "postgresql": 800, "mariadb": 800} if DEEP else {"sqlite": 60, "postgresql": 25, "mariadb": 25}

ASYNC_DRIVERS = {"sqlite": "sqlite+aiosqlite", "postgresql": "postgresql+asyncpg", "mariadb": "mariadb+aiomysql"}
DRIVERS = {"postgresql": "postgresql+psycopg", "mariadb": "mariadb+pymysql"}

pytestmark = [
    pytest.mark.usefixtures("no_bindings"),
    pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SAWarning"),  # of programs that a person wouldn't write
]


@pytest.fixture
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    """A database for the kind that the test names: ``sqlite``, ``sqlite-begins``, ``sqlite-async`` and so on."""
    database, _, manner = request.param.partition("-")
    with _url(request, database, tmp_path) as url:
        async_url = url.replace(url.partition(":")[0], ASYNC_DRIVERS[database], 1) if manner == "async" else ""
        made = World(url, async_url=async_url, begins=manner == "begins")
        try:
            yield made
        finally:
            made.close()


@contextmanager
def _url(request: pytest.FixtureRequest, database: str, folder: Path) -> Iterator[str]:
    if database == "sqlite":
        yield f"sqlite:///{folder / 'world.db'}"
        return
    with request.getfixturevalue(f"{database}_server").fresh_database(DRIVERS[database]) as url:
        yield url


class Runner:
    """Runs programs, each on the first rows and with a cache of its own."""

    def __init__(self, world: World, namespace: str) -> None:
        self.world = world
        self.counts = Counts()
        self.done: Counter[str] = Counter()
        self.failed: Counter[str] = Counter()
        self.warm: list[bool] = []
        """Of each program, whether the cache answered."""
        self._prefixes = (f"{namespace}{number}:" for number in itertools.count())

    def run(self, steps: list[Any], **options: Any) -> None:
        """Run a program.

        Raises:
            AssertionError: Something was read through the cache that the database doesn't hold.
        """
        self.world.reset()
        before = self._hits()
        made = {"backend": "dogpile.cache.memory", "key_prefix": next(self._prefixes), "clock_skew": 0, **options}  # it has our own clock
        run = Run(self.world, self.counts.manager(made, is_told=True), self.done, self.failed)
        try:
            self.world.run(run.steps, steps)
        finally:
            run.close()
        self.warm.append(self._hits() > before)

    def _hits(self) -> int:
        return self.counts["cache.hit", "fetch_entity"]


WORLDS = ["sqlite", "sqlite-begins", "sqlite-async", "postgresql", "postgresql-async", "mariadb", "mariadb-async"]
in_each_world = pytest.mark.parametrize("world", WORLDS, indirect=True)


@in_each_world
def test_after_each_step_a_hit_is_what_the_database_holds(world: World, aa_cache_namespace: str) -> None:
    runner = Runner(world, aa_cache_namespace)
    runner.run(TOUR)
    assert not runner.failed
    assert all(runner.warm)


@in_each_world
def test_after_any_program_a_hit_is_what_the_database_holds(world: World, aa_cache_namespace: str) -> None:
    runner = Runner(world, aa_cache_namespace)

    examples = EXAMPLES[world.engine.dialect.name] // (1 if world.loop is None else 2)

    @settings(max_examples=examples, deadline=None, print_blob=True, suppress_health_check=list(HealthCheck))
    @given(steps=programs, options=st.sampled_from(OPTIONS))
    def explore(steps: list[Any], options: dict[str, Any]) -> None:
        runner.run(steps, **options)

    explore()
    assert sum(runner.warm) > len(runner.warm) / 2, "most programs saw no hit: the run shows nothing"


# The tests of the test: what is switched off is found out by the tour, for chance takes its time


def _cascades_unknown(monkeypatch: pytest.MonkeyPatch, _: World) -> None:
    monkeypatch.setattr(cascades, "_effect", lambda *_: cascades._NO_EFFECT)


def _bulk_unknown(monkeypatch: pytest.MonkeyPatch, _: World) -> None:
    _changes_see(monkeypatch, bulk=frozenset())


def _rows_unknown(monkeypatch: pytest.MonkeyPatch, _: World) -> None:
    _changes_see(monkeypatch, entities={})


def _changes_see(monkeypatch: pytest.MonkeyPatch, **parts: Any) -> None:
    add = ChangeSet.add
    monkeypatch.setattr(ChangeSet, "add", lambda self, write: add(self, replace(write, **parts)))


def _savepoint_takes_all_back(_: pytest.MonkeyPatch, world: World) -> None:
    event.listen(world.engine, "rollback_savepoint", lambda conn, *_: ledger_of(conn.info).changes.clear())


def _own_writes_forgotten(monkeypatch: pytest.MonkeyPatch, _: World) -> None:
    monkeypatch.setattr(fetch, "sees_uncommitted", lambda *_: False)


MUTANTS = [_cascades_unknown, _bulk_unknown, _rows_unknown, _savepoint_takes_all_back, _own_writes_forgotten]


@pytest.mark.parametrize("world", ["sqlite"], indirect=True)
@pytest.mark.parametrize("switch_off", MUTANTS)
def test_a_rule_that_is_off_is_found_out(
    switch_off: Callable[[pytest.MonkeyPatch, World], None], world: World, aa_cache_namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    switch_off(monkeypatch, world)
    with pytest.raises(AssertionError, match=r"of program_\w+|the list of program_\w+"):
        Runner(world, aa_cache_namespace).run(TOUR)
