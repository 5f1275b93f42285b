"""Which random programs `test_programs` runs, and one that takes each step, without chance."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st

from tests.consistency import programs_steps as steps
from tests.consistency.programs import KINDS, WHICH
from tests.consistency.programs_run import Elsewhere, End, EndSavepoint, Fetch, Flush, Look, ReadList, Savepoint
from tests.consistency.programs_steps import To, Where

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

__all__ = ("OPTIONS", "TOUR", "programs")


def _weighed(*choices: tuple[int, SearchStrategy[Any]]) -> SearchStrategy[Any]:
    """Choose by weight; `one_of` would weigh by how many branches a choice has itself."""
    chosen = [number for number, (weight, _) in enumerate(choices) for _ in range(weight)]
    return st.sampled_from(chosen).flatmap(lambda number: choices[number][1])


FAMILIES = (
    ("author", "book", "review", "tag"),
    ("shelf", "place", "slot"),
    ("node",),
    ("person", "engineer"),
    tuple(KINDS),
)
"""The kinds that a program is about: few, so that its steps meet."""

which = st.sampled_from(WHICH)
free = st.sampled_from([3, 3, 3, *WHICH])
"""Mostly where no row is at first."""
numbers = st.integers(0, 9)
few = st.sampled_from([1, 1, 1, 1, 2])
parents = st.sampled_from([None, 0, 0, 1, 2, 3])
several = st.lists(which, min_size=1, max_size=4).map(tuple)
rarely = st.sampled_from([False, False, False, True])
wheres = st.builds(Where, st.sampled_from(["key", "key", "keys", "value", "parent", "all"]), which, which)
values = st.builds(To, st.sampled_from(["value", "value", "sum", "parent"]), numbers)
tos = _weighed((3, values), (2, st.builds(To, st.just("key"), free)))
syncs = st.sampled_from(["auto", "evaluate", "fetch", False])
upserts = st.sampled_from(["update", "nothing", "replace", "key"])
texts = st.sampled_from(["plain", "driver", "name", "table", "model"])


def _writes(kinds: SearchStrategy[str]) -> SearchStrategy[Any]:
    unit_of_work = [
        st.builds(steps.Add, kinds, free, numbers, parents),
        st.builds(steps.Merge, kinds, which, numbers, parents),
        st.builds(steps.Change, kinds, which, tos),
        st.builds(steps.Remove, kinds, which),
        st.builds(steps.TagBook, st.just("book"), which, which, st.booleans()),
    ]
    statements = [
        st.builds(steps.BulkInsert, kinds, free, few, st.booleans()),
        st.builds(steps.BulkUpdate, kinds, which, few, st.booleans()),
        st.builds(steps.UpdateWhere, kinds, wheres, tos, st.booleans(), syncs),
        st.builds(steps.DeleteWhere, kinds, wheres, st.booleans(), syncs, st.booleans()),
        st.builds(steps.InsertRows, kinds, free, few, parents),
        st.builds(steps.UpdateRows, kinds, which, few, parents),
        st.builds(steps.Upsert, kinds, which, numbers, parents, upserts),
        st.builds(steps.Copy, kinds, which, free),
        st.builds(steps.Text, kinds, which, st.none() | tos, texts),
    ]
    return _weighed((1, st.one_of(unit_of_work)), (1, st.one_of(statements)))


def _programs(family: tuple[str, ...]) -> SearchStrategy[list[Any]]:
    kinds = st.sampled_from(family)
    write = _writes(kinds)
    fetch, look = st.builds(Fetch, kinds, several, st.booleans()), st.builds(Look, kinds, several, st.booleans())
    listed = st.builds(ReadList, kinds, st.booleans(), _weighed((2, st.none()), (1, write)))
    read = _weighed((3, fetch), (2, look), (2, listed), (1, st.just(Flush())))
    step = _weighed((6, write), (3, read), (1, st.builds(Elsewhere, write, st.booleans())))
    block: SearchStrategy[list[Any]] = st.deferred(lambda: _weighed((4, step.map(lambda step: [step])), (1, nested)))
    ended = st.builds(EndSavepoint, st.booleans(), rarely)
    nested = st.tuples(st.lists(block, max_size=3).map(_flat), ended).map(lambda drawn: [Savepoint(), *drawn[0], drawn[1]])
    end = st.builds(End, st.sampled_from(["commit", "commit", "commit", "commit", "rollback", "close"]))
    transaction = st.tuples(st.lists(block, min_size=1, max_size=6).map(_flat), end).map(lambda drawn: [*drawn[0], drawn[1]])
    return st.lists(transaction, min_size=1, max_size=5).map(_flat)


def _flat(drawn: list[list[Any]]) -> list[Any]:
    return [step for steps in drawn for step in steps]


programs = _weighed(*((1, _programs(family)) for family in FAMILIES))
"""A step that can't be taken (a savepoint ended that isn't there) does nothing."""

OPTIONS: list[dict[str, Any]] = [{}, {}, {"bulk_threshold": 1}, {"snapshot_reads": "exact"}]
"""What the cache may be told."""

_COMMIT = End("commit")
_TAKEN_BACK: list[list[Any]] = [
    [Savepoint(), steps.Change("author", 0, To("value", 9)), EndSavepoint(release=False), steps.Change("author", 1, To("value", 9))],
    [steps.Change("tag", 0, To("value", 9)), Savepoint(), steps.Remove("tag", 1), EndSavepoint(release=False)],
    [Savepoint(), Savepoint(), steps.Remove("node", 1), EndSavepoint(release=True, all=True)],
    [steps.Change("person", 0, To("value", 9)), Fetch("person", (0, 1)), Look("person", (0, 1)), End("rollback")],
    [ReadList("tag", counted=True, meanwhile=steps.Remove("tag", 2)), End("rollback")],
    [Fetch("author", (0,), first=True), Elsewhere(steps.Change("author", 0, To("value", 8))), Fetch("author", (0,)), End("close")],
    [steps.DeleteWhere("place"), Fetch("place", (0, 1), first=True), Flush(), End("close")],
]
_SINGLE: list[Any] = [
    steps.Add("author", 3),
    steps.Merge("book", 3, 4, 3),
    steps.Change("slot", 2, To("value", 4)),
    steps.Change("shelf", 2, To("value", 4)),
    steps.TagBook("book", 3, 0),
    steps.TagBook("book", 3, 1, core=True),
    steps.BulkInsert("review", 3),
    steps.BulkUpdate("review", 0, 4),
    steps.BulkUpdate("node", 0, 1, mappings=False),
    steps.Change("tag", 2, To("key", 3)),
    steps.Change("engineer", 2, To("key", 3)),
    steps.UpdateWhere("person", Where("value", 0), To("sum")),
    steps.UpdateWhere("book", Where("parent", 0), To("value", 8), synchronize="fetch"),
    steps.UpdateWhere("place", Where("all"), To("sum"), core=True),
    steps.UpdateWhere("engineer", Where("keys", 1, 3), To("value", 7), core=True),
    steps.InsertRows("place", 3, 1, 2),
    steps.UpdateRows("place", 0, 3, 0),
    steps.Upsert("tag", 0, 5),
    steps.Upsert("slot", 1, 8),
    steps.Upsert("author", 1, 7, None, "replace"),
    steps.Upsert("node", 2, 3, None, "key"),
    steps.Upsert("node", 1, 7, None, "nothing"),
    steps.UpdateWhere("tag", Where("key", 1), To("key", 2), core=True),
    steps.Copy("tag", 0, 1),
    steps.Text("person", 0, To("value", 5), "driver"),
    steps.Text("shelf", 0, To("key", 3)),
    steps.Change("shelf", 3, To("key", 0)),
    steps.DeleteWhere("author", Where("key", 1), core=True, cte=True),
    steps.Remove("author", 3),
    steps.Text("person", 1, None, "name"),
    steps.DeleteWhere("slot", Where("all")),
    steps.Text("book", 0, None),
]

TOUR: list[Any] = [
    Fetch("author", (0, 3)),
    ReadList("book"),
    Look("book", (0, 1)),
    *(step for part in _TAKEN_BACK for step in (*part, _COMMIT)),
    Elsewhere(steps.Change("review", 0, To("value", 5))),
    *(step for single in _SINGLE for step in (single, _COMMIT)),
]
"""Takes each step, each write in a transaction of its own; none fails."""
