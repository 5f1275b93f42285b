"""Whatever way is taken to write, what is read through the cache afterwards is what the database has (DESIGN 6)."""

from __future__ import annotations

import functools
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import insert, text, update
from sqlalchemy.exc import IntegrityError

from tests.orm.ways import DATABASES, POSTGRESQL, SQLITE
from tests.orm.ways_bench import benches
from tests.orm.ways_table import WAYS
from tests.orm.ways_trial import Trial
from tests.orm.write_models import Book, Remark

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from contextlib import ExitStack

    from tests.conftest import RecordedEvents
    from tests.orm.ways import Way
    from tests.orm.ways_bench import Bench

_CHOSEN = {"flush: update", "many-to-many: replace", "Core update by key", "Core update by another column", "text: UPDATE"}
REPRESENTATIVES = [way for way in WAYS if way.name in _CHOSEN]
"""The ways that are tried in odd transactions."""


@pytest.fixture(scope="module")
def make_bench(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str, str], Bench]]:
    """Makes benches, each once in a worker."""
    folder = tmp_path_factory.mktemp("ways")

    def make_database(database: str, stack: ExitStack) -> str:
        if database == "sqlite":
            return f"sqlite:///{folder / 'ways.db'}"
        server = request.getfixturevalue(f"{database}_server")
        driver = {"postgresql": "postgresql+psycopg", "mariadb": "mariadb+pymysql"}[database]
        return str(stack.enter_context(server.fresh_database(driver)))

    options = {"backend": "dogpile.cache.memory", "key_prefix": "", "lease_wait": 0.5}
    with benches(make_database, folder, options) as make:
        yield make


@pytest.fixture
def bench(make_bench: Callable[[str, str], Bench], database: str, kind: str, recorded_events: RecordedEvents) -> Bench:
    made = make_bench(database, kind)
    made.events = recorded_events
    return made


@pytest.fixture
def begin(bench: Bench, way: Way, aa_cache_namespace: str) -> Callable[[], Trial]:
    """Begins a trial of the way, with everything cached."""
    return lambda: Trial(bench, way, aa_cache_namespace)


def on_the_bench(test: Callable[..., None]) -> Callable[..., None]:
    """Run a test in the manner of its bench."""

    @functools.wraps(test)
    def run(bench: Bench, **arguments: Any) -> None:
        bench.run(functools.partial(test, bench=bench, **arguments))

    return run


def on_each(ways: Iterable[Way], *, in_savepoint: bool = False, without: str = "") -> Any:
    """Parametrise a test by the ways, the databases that have them and the kinds of engine."""
    cases = [
        (way, database, kind)
        for way in ways
        for database in DATABASES
        if database in way.on and database != without and not (in_savepoint and database in way.no_savepoint)
        for kind in way.kinds
    ]
    return pytest.mark.parametrize(("way", "database", "kind"), cases, ids=str)


def tries(trial: Trial, begin: Callable[[], Trial]) -> Trial:
    """Return the trial, or a new one where the way has committed by itself."""
    return begin() if trial.bench.database in trial.way.commits_alone else trial


@on_each(WAYS)
@on_the_bench
def test_what_a_session_writes_is_seen_by_itself_then_by_nobody_or_by_everybody(bench: Bench, way: Way, begin: Callable[[], Trial]) -> None:
    trial = begin()
    with trial.session() as session:
        way.write(session)
        trial.assert_equal_within(session, "in the transaction, for itself")
        if bench.database not in way.locks:
            trial.assert_others_equal("in the transaction, for others")
        session.rollback()
    trial.assert_rolled_back()
    trial = tries(trial, begin)
    with trial.session() as session:
        way.write(session)
        session.commit()
    trial.assert_committed()


@on_each([way for way in WAYS if way.core])
@on_the_bench
def test_what_a_connection_writes_is_seen_by_nobody_or_by_everybody(bench: Bench, way: Way, begin: Callable[[], Trial]) -> None:
    trial = begin()
    with trial.engine.connect() as connection:
        way.write(connection)
        connection.rollback()
    trial.assert_rolled_back()
    trial = tries(trial, begin)
    with trial.engine.begin() as connection:
        way.write(connection)
    trial.assert_committed()


@on_each(WAYS, in_savepoint=True)
@on_the_bench
def test_what_is_written_in_a_savepoint_is_committed_with_it_or_rolled_back_alone(
    bench: Bench, way: Way, begin: Callable[[], Trial]
) -> None:
    trial = begin()
    with trial.session() as session:
        savepoint = session.begin_nested()
        way.write(session)
        savepoint.rollback()
        session.execute(insert(Remark).values(id=3, text="new"))
        session.commit()
    trial.assert_equal("after a savepoint that was rolled back, and the commit")
    trial.read_all()
    trial = tries(trial, begin)
    with trial.session() as session:
        with session.begin_nested():
            way.write(session)
        session.commit()
    trial.assert_equal("after a savepoint that was released, and the commit")


@on_each(REPRESENTATIVES)
@pytest.mark.parametrize("fate", ["released", "the inner one rolled back", "the outer one rolled back"])
@on_the_bench
def test_savepoints_in_savepoints_lose_no_write(bench: Bench, way: Way, fate: str, begin: Callable[[], Trial]) -> None:
    trial = begin()
    with trial.session() as session:
        session.execute(insert(Remark).values(id=3, text="new"))
        outer = session.begin_nested()
        session.execute(update(Remark).where(Remark.id == 1).values(text="new"))
        inner = session.begin_nested()
        way.write(session)
        if fate == "the inner one rolled back":
            inner.rollback()
        else:
            inner.commit()
        trial.assert_equal_within(session, "after the inner savepoint")
        if fate == "the outer one rolled back":
            outer.rollback()
        else:
            outer.commit()
        trial.assert_equal_within(session, "after the outer savepoint")
        session.commit()
    trial.assert_equal("after the commit")


@on_each(REPRESENTATIVES)
@pytest.mark.parametrize("mode", ["conditional_savepoint", "rollback_only", "control_fully", "create_savepoint"])
@on_the_bench
def test_a_session_that_joins_a_transaction_commits_with_it(bench: Bench, way: Way, mode: str, begin: Callable[[], Trial]) -> None:
    for ending in ("rollback", "commit"):
        trial = begin()
        with trial.engine.connect() as connection:
            outer = connection.begin()
            with bench.session(connection, join_transaction_mode=mode) as session:
                way.write(session)
                session.commit()
            trial.assert_others_equal("after the session's commit")
            if outer.is_active:
                getattr(outer, ending)()
        trial.assert_equal(f"after the {ending} of the transaction that the session joined")


@on_each(REPRESENTATIVES)
@on_the_bench
def test_each_commit_of_a_session_and_of_a_connection_is_seen(bench: Bench, way: Way, begin: Callable[[], Trial]) -> None:
    trial = begin()
    with trial.session() as session, trial.engine.connect() as connection:
        way.write(session)
        session.commit()
        trial.assert_equal("after the first commit")
        for number in range(2):
            session.execute(update(Book).values(title=f"session {number}"))
            session.commit()
            trial.assert_equal("after a commit of the session")
            connection.execute(update(Book).values(title=f"connection {number}"))
            connection.commit()
            trial.assert_equal("after a commit of the connection")


@on_each([way for way in REPRESENTATIVES if way.reach == "row"], without=SQLITE)  # where one writes at a time
@on_the_bench
def test_of_two_sessions_that_write_at_once_each_is_seen_when_it_commits(bench: Bench, way: Way, begin: Callable[[], Trial]) -> None:
    for ending in ("rollback", "commit"):
        trial = begin()
        with trial.session() as one, trial.session() as other:
            way.write(one)
            other.execute(update(Book).where(Book.id == 3).values(title="other"))
            trial.assert_equal_within(one, "within the one")
            other.commit()
            trial.assert_others_equal("after the commit of the other")
            getattr(one, ending)()
        trial.assert_equal(f"after the {ending} of the one")


@on_each(REPRESENTATIVES)
@on_the_bench
def test_a_statement_that_fails_loses_nothing_that_was_written(bench: Bench, way: Way, begin: Callable[[], Trial]) -> None:
    """In a savepoint; and without one, where the transaction goes on: of many rows the first may stand in the database."""
    rows = [{"id": 6, "title": "stands", "stock": 0}, {"id": 3, "title": "twice", "stock": 0}]
    for savepoint in (True, False):
        if not savepoint and bench.database == POSTGRESQL:
            continue  # the transaction is over there
        trial = begin()
        with trial.session() as session:
            with pytest.raises(IntegrityError), session.begin_nested() if savepoint else nullcontext():
                session.connection().execute(text("INSERT INTO books (id, title, stock) VALUES (:id, :title, :stock)"), rows)
            way.write(session)
            with pytest.raises(IntegrityError), session.begin_nested() if savepoint else nullcontext():
                session.connection().execute(insert(Remark.__table__), [{"id": number, "text": "new"} for number in (3, 1)])
            session.commit()
        trial.assert_equal("after the commit")
