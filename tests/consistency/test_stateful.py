"""Any order of a manager's operations and of the database's writes, chosen by hypothesis, against a simple model.

Several tasks, each in a context of its own, call one cache; on Redis every other task is another process, whom no commit of ours tells
anything. One thing happens at a time, so what a read through the cache may find is known exactly: what is committed at that moment (a
transaction with a snapshot: what that holds; one that has written: what it has written). A miss is always right, but hits there must be.

``AA_CACHE_DEEP=1`` looks for longer.
"""

from __future__ import annotations

import itertools
import os
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test
from sqlalchemy import delete, text, update
from sqlalchemy.orm import Session

from aa_cache_integration import manager as managers_of_process
from aa_cache_integration.core import envelope
from aa_cache_integration.core.protocol import Protocol
from aa_cache_integration.orm import fetch
from aa_cache_integration.stores import steps
from aa_cache_integration.stores.null import NO_VALUE
from tests.consistency.stateful_model import TABLES, Cell, Counts, PlainKey, Snapshot, Task, Versions, World, Writer, instance_of, values_of
from tests.consistency.stateful_model import read_rows as rows_in
from tests.managers import Face

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from aa_cache_integration.stores.base import Announcement, Fill, Making
    from tests.consistency.stateful_model import State

pytestmark = pytest.mark.usefixtures("no_bindings")

TASKS = 3
EXAMPLES, STEPS = (1000, 80) if os.environ.get("AA_CACHE_DEEP") == "1" else (50, 50)

ITEMS = next(iter(TABLES))

tasks = st.integers(0, TASKS - 1)
keys = st.sampled_from(["a", "b"])
tables = st.sampled_from(list(TABLES))
EVERY = range(1, 5)
idents = st.sampled_from(EVERY)
several = st.lists(idents, min_size=1, max_size=5)
events = st.sampled_from(["", "", "commit", "commit", "write", "roll back", "fetch", "put"])
rarely = st.sampled_from([False, False, False, True])
kinds = st.sampled_from(["row", "row", "row", "key", "bulk", "text"])


class Machine(RuleBasedStateMachine):
    """See the module; `machine_for` gives it a world and a store."""

    world: World
    counts: Counts
    options: dict[str, Any]
    prefixes: Iterator[str]

    def __init__(self) -> None:
        super().__init__()
        self.world.reset()
        self.committed: State = self.world.committed()
        shared = self.options["backend"] != "dogpile.cache.memory"
        options = {**self.options, "key_prefix": next(self.prefixes)}
        self.managers = [self.counts.manager(options, is_told=number == 0) for number in range(1 + shared)]
        is_async = self.world.loop is not None
        faces = [Face(lambda: None, is_async, manager) for manager in self.managers]
        self.tasks = [Task(faces[number % len(faces)], self.world) for number in range(TASKS)]
        self.writer: Writer | None = None
        self.plain = {key: PlainKey() for key in ("a", "b")}
        self.versions = {table: Versions() for table in TABLES}
        self.numbers = itertools.count(1)

    def teardown(self) -> None:
        for task in self.tasks:
            if task.snapshot is not None:
                task.within(task.snapshot.session, Session.close)
        if self.writer is not None:
            self.writer.task.within(self.writer.session, Session.close)
        for manager in self.managers:
            if self.world.loop is None:
                manager.close()
            else:
                self.world.loop.run_until_complete(manager.aclose())
            managers_of_process._live.discard(manager)

    def _writes(self, task: Task) -> bool:
        return self.writer is not None and self.writer.task is task

    # Plain keys

    @rule(number=tasks, key=keys)
    def get(self, number: int, key: str) -> None:
        task = self.tasks[number]
        found = task.does("get", key)
        if found is NO_VALUE:
            self.plain[key].miss()
            task.missed_keys[key] = self.plain[key].generation
        else:
            self.plain[key].hit(found)
            task.missed_keys.pop(key, None)

    @rule(number=tasks, key=keys, is_none=st.booleans())
    def set(self, number: int, key: str, is_none: bool) -> None:
        task = self.tasks[number]
        value = None if is_none else [next(self.numbers)]
        task.does("set", key, value)
        looked_up = task.missed_keys.pop(key, None)
        if looked_up is None:
            self.plain[key].put(value, certain=not self._writes(task))
        else:
            self.plain[key].fill(value, looked_up)

    @rule(number=tasks, key=keys)
    def delete(self, number: int, key: str) -> None:
        self.tasks[number].does("delete", key)
        self.tasks[number].missed_keys.pop(key, None)
        self.plain[key].end()

    @rule(number=tasks, key=keys, expiration_time=st.sampled_from([None, None, 0, -1]), fails=st.booleans())
    def get_or_create(self, number: int, key: str, expiration_time: int | None, fails: bool) -> None:
        task, plain, value, made = self.tasks[number], self.plain[key], str(next(self.numbers)), []

        def create() -> str:
            made.append(value)
            if fails:
                raise LookupError(value)
            return value

        try:
            found = task.does("get_or_create", key, create, expiration_time)
        except LookupError as error:
            assert fails and error.args == (value,)  # noqa: PT017, PT018 - of this very call
        task.missed_keys.pop(key, None)
        if not made:
            assert expiration_time != 0
            plain.hit(found)
            return
        assert fails or found == value
        if expiration_time == 0:
            plain.certain = False
        if not self._writes(task):  # there, an old value may stand and not be given
            plain.miss()
        if not fails and expiration_time != 0:
            plain.put(value, certain=False)

    @rule(number=tasks, really=rarely)
    def invalidate_all(self, number: int, really: bool) -> None:
        if not really:
            return
        task = self.tasks[number]
        task.does("invalidate_all")
        task.missed.clear()
        task.missed_keys.clear()
        for plain in self.plain.values():
            plain.end()
        for versions in self.versions.values():
            versions.may_change = True

    @rule(number=tasks, key=keys)
    def singleflight(self, number: int, key: str) -> None:
        value = next(self.numbers)

        async def create() -> int:
            return value

        task = self.tasks[number]
        assert task.does("singleflight", key, create if self.world.loop is not None else lambda: value) == value

    # Rows and lists, looked up, read and put

    def _judge(self, task: Task, cell: Cell, found: Any) -> None:
        """Compare a hit with all that a transaction of this task's context sees."""
        seen = [self.committed if task.snapshot is None else task.snapshot.state or self.committed]
        if self.writer is not None and self.writer.task is task and not self.writer.unflushed:
            seen.append(self.writer.view)
        for state in seen:
            rows = state[cell.table]
            if cell.ident is not None:
                assert values_of(found) == rows.get(cell.ident)
            else:
                assert list(map(values_of, found)) == list(rows.values())

    def _looked_up(self, task: Task, cell: Cell, found: Any) -> None:
        if found is None:
            task.missed[cell] = None
        else:
            task.missed.pop(cell, None)
            self._judge(task, cell, found)

    @rule(number=tasks, table=tables, ident=idents)
    def get_entity(self, number: int, table: str, ident: int) -> None:
        task = self.tasks[number]
        found = task.does("get_entity", table, ident, TABLES[table])
        self._looked_up(task, Cell(table, ident), found)

    @rule(number=tasks, table=tables, wanted=several)
    def get_entities(self, number: int, table: str, wanted: list[int]) -> None:
        task = self.tasks[number]
        found = task.does("get_entities", table, wanted, TABLES[table])
        assert len({id(one) for one in found if one is not None}) == sum(one is not None for one in found)
        for ident, one in zip(wanted, found, strict=True):
            self._looked_up(task, Cell(table, ident), one)

    @rule(number=tasks, table=tables, counted=st.booleans())
    def get_list(self, number: int, table: str, counted: bool) -> None:
        task, cell = self.tasks[number], Cell(table, None)
        found = task.does("get_list_and_count" if counted else "get_list", f"list:{table}", TABLES[table])
        if counted and found is not None:
            found, count = found
            assert count == len(found)
        self._looked_up(task, cell, found)

    @rule(number=tasks)
    def read_what_missed(self, number: int) -> None:
        """Ask the database, in the transaction that this task has open, for what the cache didn't have."""
        task = self.tasks[number]
        for cell, rows in task.missed.items():
            if rows is not None:
                continue
            if self.writer is not None and self.writer.task is task:
                self.writer.unflushed = False
                task.missed[cell] = task.within(self.writer.session, rows_in, cell.table)
            elif task.snapshot is not None:
                task.missed[cell] = task.within(task.snapshot.session, rows_in, cell.table)
                task.snapshot.state = task.snapshot.state or self.committed
            else:
                task.missed[cell] = task.once(rows_in, cell.table)

    @rule(number=tasks, counted=st.booleans(), together=st.booleans())
    def put_what_was_read(self, number: int, counted: bool, together: bool) -> None:
        task = self.tasks[number]
        for table in TABLES:
            read = {cell: rows for cell, rows in task.missed.items() if cell.table == table and rows is not None}
            entities = {cell.ident: rows[cell.ident] for cell, rows in read.items() if cell.ident in rows}
            self._put(task, table, entities, together=together)
            if Cell(table, None) in read:
                self._put_list(task, table, read[Cell(table, None)], counted=counted)
            for cell in read:
                if cell.ident is None or cell.ident in entities:
                    del task.missed[cell]
        self._audit()

    def _audit(self) -> None:
        """Look at everything there is as a newcomer, and leave no lease."""
        told = self.counts.copy()
        for face in dict.fromkeys(id(task.face) for task in self.tasks):
            newcomer = Task(next(task.face for task in self.tasks if id(task.face) == face), self.world)
            for table, model in TABLES.items():
                for ident, found in enumerate(newcomer.does("get_entities", table, list(range(1, 6)), model), 1):
                    self._looked_up(newcomer, Cell(table, ident), found)
                self._looked_up(newcomer, Cell(table, None), newcomer.does("get_list", f"list:{table}", model))
            newcomer.give_back()
        self.counts.clear()
        self.counts.update(told)

    @staticmethod
    def _put(task: Task, table: str, rows: dict[Any, tuple[int, str]], *, together: bool) -> None:
        entities = {ident: instance_of(table, row) for ident, row in rows.items()}
        if together:
            task.does("set_entities", table, entities)
            return
        for ident, entity in entities.items():
            task.does("set_entity", table, ident, entity)

    @staticmethod
    def _put_list(task: Task, table: str, rows: dict[int, tuple[int, str]], *, counted: bool) -> None:
        items = [instance_of(table, row) for row in rows.values()]
        if counted:
            task.does("set_list_and_count", f"list:{table}", items, len(items))
        else:
            task.does("set_list", f"list:{table}", items)

    @rule(number=tasks, table=tables, ident=idents, counted=st.booleans(), before=events, between=events, other=tasks)
    def read_through(self, number: int, table: str, ident: int, counted: bool, before: str, between: str, other: int) -> None:
        """Look up, read and put a whole table, with something else before reading or before putting, perhaps: what a race would do."""
        self.get_entities(number, table, list(EVERY))
        self.get_list(number, table, counted)
        self._interrupt(before, other, table, ident)
        self.read_what_missed(number)
        self._interrupt(between, other, table, ident)
        self.put_what_was_read(number, counted, together=not counted)
        self.get_entity(other, table, ident)
        self.get_list(other, table, counted)

    def _interrupt(self, event: str, number: int, table: str, ident: int) -> None:
        if event == "commit" and self.writer is not None:
            self.commit()
        elif event == "roll back" and self.writer is not None:
            self.roll_back(by_closing=False)
        elif event in {"commit", "write"}:
            self.write(number, table, ident, "row", remove=False, begins=False)
            if event == "commit":
                self.commit()
        elif event == "fetch":
            self.fetch(number, table, [ident])
        elif event == "put":
            self.put_what_is_committed(number, table, ident == 1, together=False)

    @rule(number=tasks, table=tables, as_list=st.booleans(), together=st.booleans())
    def put_what_is_committed(self, number: int, table: str, as_list: bool, together: bool) -> None:
        """Put fresh rows, whether they were looked up or not: nothing comes between reading and putting."""
        task = self.tasks[number]
        rows = task.once(rows_in, table)
        if not as_list:
            self._put(task, table, rows, together=together)
        elif rows or Cell(table, None) in task.missed:  # an empty list that wasn't looked up names no table
            self._put_list(task, table, rows, counted=together)
        for cell in [cell for cell in task.missed if cell.table == table and (cell.ident is None) == as_list]:
            if as_list or cell.ident in rows:
                del task.missed[cell]

    @rule(number=tasks, table=tables, wanted=several, together=st.booleans())
    def invalidate_entities(self, number: int, table: str, wanted: list[int], together: bool) -> None:
        task = self.tasks[number]
        if together:
            task.does("invalidate_entities", table, wanted)
        else:
            for ident in wanted:
                task.does("invalidate_entity", table, ident)
        for ident in wanted:
            task.missed.pop(Cell(table, ident), None)

    # Versions

    @rule(number=tasks, table=tables)
    def get_model_version(self, number: int, table: str) -> None:
        task = self.tasks[number]
        token = task.does("get_model_version", table)
        if not self._writes(task) and task.snapshot is None:  # to these, one that is valid for nobody may be given
            self.versions[table].see(token)

    @rule(number=tasks, table=tables)
    def bump_model_version(self, number: int, table: str) -> None:
        task = self.tasks[number]
        token = task.does("bump_model_version", table)
        self.versions[table].must_change = True
        if not self._writes(task) and task.snapshot is None:
            self.versions[table].see(token)

    # Read-through

    def _fetch(self, task: Task, session: Any, table: str, wanted: list[int], state: State) -> None:
        if len(wanted) == 1:
            found = [task.does("fetch_entity", session, TABLES[table], wanted[0])]
        else:
            found = task.does("fetch_entities", session, TABLES[table], wanted)
        assert list(map(values_of, found)) == [state[table].get(ident) for ident in wanted]
        assert len({id(one) for one in found if one is not None}) == sum(one is not None for one in found)

    @rule(number=tasks, table=tables, wanted=several)
    def fetch(self, number: int, table: str, wanted: list[int]) -> None:
        task, session = self.tasks[number], self.world.session()
        try:
            self._fetch(task, session, table, wanted, self.committed)
        finally:
            task.within(session, Session.close)

    @precondition(lambda self: self.writer is not None)
    @rule(table=tables, wanted=several)
    def fetch_in_the_writing_session(self, table: str, wanted: list[int]) -> None:
        assert self.writer is not None
        self.writer.unflushed = False
        self._fetch(self.writer.task, self.writer.session, table, wanted, self.writer.view)

    @rule(number=tasks, table=tables, wanted=several)
    def fetch_in_a_snapshot(self, number: int, table: str, wanted: list[int]) -> None:
        task = self.tasks[number]
        if task.snapshot is None:
            task.snapshot = Snapshot(self.world.session(begins=True))
        before = self.world.selects
        self._fetch(task, task.snapshot.session, table, wanted, task.snapshot.state or self.committed)
        if self.world.selects > before:
            task.snapshot.state = task.snapshot.state or self.committed

    @rule(number=tasks)
    def end_snapshot(self, number: int) -> None:
        task = self.tasks[number]
        if task.snapshot is not None:
            task.within(task.snapshot.session, Session.close)
            task.snapshot = None

    # Writes

    def _write(self, table: str, ident: int, kind: str, *, remove: bool) -> None:
        assert self.writer is not None
        writer, model, name = self.writer, TABLES[table], f"written {next(self.numbers)}"
        rows = writer.view[table]

        def write(session: Session) -> None:
            session.flush()
            if kind == "bulk":
                session.execute((delete(model) if remove else update(model).values(name=name)).where(model.id >= ident))
            elif kind == "text":
                session.execute(text(f"UPDATE {table} SET name = :name WHERE id = :id"), {"name": name, "id": ident})  # noqa: S608
                session.expire_all()
            elif ident not in rows:
                session.add(model(id=ident, name=name))
            elif kind == "key" and ident + 1 not in rows:
                session.get_one(model, ident).id = ident + 1
            elif remove:
                session.delete(session.get_one(model, ident))
            else:
                session.get_one(model, ident).name = name

        writer.task.within(writer.session, write)
        writer.unflushed = kind not in {"bulk", "text"}
        writer.knows_tables &= kind != "text"
        if kind == "bulk":
            changed = {one: (one, name) for one in rows if one >= ident and not remove}
            kept = {one: row for one, row in rows.items() if one < ident}
        elif kind == "text":
            kept, changed = rows, {ident: (ident, name)} if ident in rows else {}
        elif ident in rows and kind == "key" and ident + 1 not in rows:
            changed = {ident + 1: (ident + 1, rows[ident][1])}
            kept = {one: row for one, row in rows.items() if one != ident}
        else:
            kept = {one: row for one, row in rows.items() if one != ident}
            changed = {} if ident in rows and remove else {ident: (ident, name)}
        writer.view = {**writer.view, table: dict(sorted({**kept, **changed}.items()))}

    def _learn(self) -> None:
        """See what is committed now."""
        committed = self.world.committed()
        for table, versions in self.versions.items():
            versions.must_change |= committed[table] != self.committed[table]
            versions.may_change = True
        self.committed = committed

    def _end(self, how: Any) -> None:
        assert self.writer is not None
        writer = self.writer
        writer.task.within(writer.session, how)
        writer.task.within(writer.session, Session.close)
        self.writer = None
        for plain in self.plain.values():
            plain.certain &= writer.knows_tables
        self._learn()

    @rule(number=tasks, table=tables, ident=idents, kind=kinds, remove=st.booleans(), begins=st.booleans())
    def write(self, number: int, table: str, ident: int, kind: str, remove: bool, begins: bool) -> None:
        """Write in the open transaction, or begin one."""
        if self.writer is None:
            self.writer = Writer(self.tasks[number], self.world.session(begins=begins), self.committed)
        self._write(table, ident, kind, remove=remove)

    @precondition(lambda self: self.writer is None)
    @rule(number=tasks, table=tables, ident=idents, kind=kinds, remove=st.booleans(), begins=st.booleans())
    def write_and_commit(self, number: int, table: str, ident: int, kind: str, remove: bool, begins: bool) -> None:
        self.write(number, table, ident, kind, remove, begins)
        self.commit()

    @precondition(lambda self: self.writer is not None)
    @rule()
    def commit(self) -> None:
        assert self.writer is not None
        view = self.writer.view
        self._end(Session.commit)
        assert self.committed == view, "the model itself is wrong"
        for table in TABLES:
            self.get_model_version(0, table)

    @precondition(lambda self: self.writer is not None)
    @rule(by_closing=st.booleans())
    def roll_back(self, by_closing: bool) -> None:
        self._end(Session.close if by_closing else Session.rollback)

    @precondition(lambda self: self.writer is not None)
    @rule()
    def savepoint(self) -> None:
        assert self.writer is not None
        nested = self.writer.task.within(self.writer.session, Session.begin_nested)
        self.writer.unflushed = False
        self.writer.savepoints.append((nested, self.writer.view))

    @precondition(lambda self: self.writer is not None and self.writer.savepoints)
    @rule(release=st.booleans())
    def end_savepoint(self, release: bool) -> None:
        assert self.writer is not None
        nested, before = self.writer.savepoints.pop()
        self.writer.task.within(self.writer.session, lambda _: nested.commit() if release else nested.rollback())
        self.writer.unflushed = False
        if not release:
            self.writer.view = before
        # Where the driver had begun no transaction before the savepoint, its release commits.
        self._learn()


@contextmanager
def machine_for(file: Path, options: dict[str, Any], namespace: str, *, is_async: bool) -> Iterator[type[Machine]]:
    """Give the machine a database, and each of its runs a namespace."""
    world = World(file, is_async=is_async)
    prefixes = (f"{namespace}{number}:" for number in itertools.count())
    try:
        yield type("Machine", (Machine,), {"world": world, "counts": Counts(), "options": options, "prefixes": prefixes})
    finally:
        world.close()


PROFILE = settings(
    max_examples=EXAMPLES, stateful_step_count=STEPS, deadline=None, print_blob=True, suppress_health_check=list(HealthCheck)
)


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
def test_whatever_happens_a_hit_is_what_the_database_holds(
    backend: dict[str, Any], is_async: bool, tmp_path: Path, aa_cache_namespace: str
) -> None:
    with machine_for(tmp_path / "world.db", backend, aa_cache_namespace, is_async=is_async) as machine:
        run_state_machine_as_test(machine, settings=PROFILE)
        hits = {op: number for (name, op), number in machine.counts.items() if name == "cache.hit"}
    for ops in ({"get", "get_or_create"}, {"get_entity", "get_entities"}, {"get_list", "get_list_and_count"}, {"fetch_entity"}):
        assert ops & hits.keys(), f"no hit by any of {ops}: the run shows nothing"


def _fills_without_lease(monkeypatch: pytest.MonkeyPatch) -> None:
    def fill(slots: Any, value: Fill, now: int, making: Making) -> bool:
        if not value.lease:
            return real(slots, value, now, making)
        slots.put(value.cell, envelope.value_bytes(now, value.tokens, value.tail), value.ttl)
        return True

    real = steps.fill
    monkeypatch.setattr(steps, "fill", fill)


def _renews_no_records(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("announce", "settle"):

        async def step(self: Protocol, announcement: Announcement, real: Any = getattr(Protocol, name)) -> Any:  # noqa: B008 - of this name
            return await real(self, replace(announcement, records=()))

        monkeypatch.setattr(Protocol, name, step)


def _forgets_own_writes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetch, "sees_uncommitted", lambda *_: False)


def _race(machine: Machine) -> None:
    machine.read_through(0, ITEMS, 1, counted=False, before="", between="commit", other=1)


def _bulk_update(machine: Machine) -> None:
    machine.fetch(0, ITEMS, [1, 2])
    machine.write_and_commit(1, ITEMS, 1, "bulk", remove=False, begins=False)
    machine.fetch(0, ITEMS, [1, 2])


def _fetch_after_writing(machine: Machine) -> None:
    machine.fetch(1, ITEMS, [1])
    machine.write(0, ITEMS, 1, "row", remove=False, begins=False)
    machine.fetch_in_the_writing_session(ITEMS, [1])


@pytest.mark.parametrize(
    ("mutate", "schedule"),
    [(_fills_without_lease, _race), (_renews_no_records, _bulk_update), (_forgets_own_writes, _fetch_after_writing)],
)
def test_the_machine_sees_that_a_rule_is_off(
    mutate: Callable[[pytest.MonkeyPatch], None],
    schedule: Callable[[Machine], None],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    aa_cache_namespace: str,
) -> None:
    """By hand, for chance needs some 50 runs to find the first."""
    memory = {"backend": "dogpile.cache.memory", "clock_skew": 0}  # it has our own clock; what is written is read as of a snapshot
    with machine_for(tmp_path / "world.db", memory, aa_cache_namespace, is_async=False) as machine:
        with _taken_down(machine()) as right:
            schedule(right)
        mutate(monkeypatch)
        with _taken_down(machine()) as wrong, pytest.raises(AssertionError):
            schedule(wrong)


@contextmanager
def _taken_down(machine: Machine) -> Iterator[Machine]:
    try:
        yield machine
    finally:
        machine.teardown()
