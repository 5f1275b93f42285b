"""One trial of a way of writing: fill the cache, write, and compare what is read through the cache with what the database has."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING, Any

from sqlalchemy import select
from sqlalchemy.orm import class_mapper

from tests.orm.ways import MARIADB
from tests.orm.ways_bench import ident_of, values_of
from tests.orm.ways_rows import IDENTS
from tests.orm.write_models import Remark

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from sqlalchemy.engine import Engine
    from sqlalchemy.orm import Session

    from tests.orm.ways import Way
    from tests.orm.ways_bench import Bench, Rows

__all__ = ("Trial",)

_numbers = count()


class Trial:
    """A way on a bench, on which everything that it concerns is cached."""

    def __init__(self, bench: Bench, way: Way, namespace: str) -> None:
        """Put the rows back and fill a new cache."""
        self.bench = bench
        self.way = way
        self.models = (*way.models, Remark)
        bench.begin_anew(way, f"{namespace}{next(_numbers)}:")
        self.before = bench.rows(self.models)
        self.read_all()
        self.assert_warm()
        del bench.events[:]

    @property
    def engine(self) -> Engine:
        """The engine that writes."""
        return self.bench.engine_that(self.way.engine)

    def session(self) -> Any:
        """Open the session that writes."""
        return self.bench.session(self.engine)

    # What is read

    def _lists(self) -> Iterator[tuple[type[Any], list[Any] | None]]:
        """Yield the cached list of all rows of each model."""
        for model in self.models:
            yield model, self.bench.call("get_list", model.__name__, model)

    def read_all(self) -> None:
        """Read, and cache, each row and a list of all."""
        # A snapshot fills nothing whose records were made after it, so there each model is read in a transaction of its own.
        together = [self.models] if self.bench.database != MARIADB else [(model,) for model in self.models]
        for models in together:
            with self.bench.session() as session:
                for model in models:
                    self.bench.fetch_all(session, model, IDENTS[model])
        missing = [model for model, found in self._lists() if found is None]
        with self.bench.session() as session:
            for model in missing:
                self.bench.call("set_list", model.__name__, session.scalars(select(model)).all())

    def _assert_equal(self, session: Session, there: Rows, when: str) -> None:
        for model in self.models:
            idents = IDENTS[model]
            for ident, found in zip(idents, self.bench.fetch_all(session, model, idents), strict=True):
                assert _same(values_of(found), there.get((model, ident))), f"{when}: {model.__name__} {ident} is stale"

    def _assert_lists_equal(self, there: Rows, when: str) -> None:
        for model, found in self._lists():
            if found is not None:
                listed = {ident_of(row): values_of(row) for row in found}
                expected = {ident: values for (other, ident), values in there.items() if other is model}
                same = listed.keys() == expected.keys() and all(_same(listed[ident], expected[ident]) for ident in listed)
                assert same, f"{when}: the list of {model.__name__} is stale"

    # What is asserted

    def assert_equal(self, when: str, there: Rows | None = None) -> None:
        """Everything is read as the database has it."""
        there = self.bench.rows(self.models) if there is None else there
        self._assert_lists_equal(there, when)
        with self.bench.session() as session:
            self._assert_equal(session, there, when)

    def assert_equal_within(self, session: Session, when: str) -> None:
        """Everything is read as the session's own transaction sees it."""
        session.flush()
        there = self.bench.rows(self.models, session)
        self._assert_lists_equal(there, when)
        self._assert_equal(session, there, when)

    def assert_others_equal(self, when: str) -> None:
        """In another session everything is read as it is committed; for lists the writer's own context decides, so not they."""
        there = self.bench.rows(self.models)
        with self.bench.session() as session:
            self._assert_equal(session, there, when)

    def assert_warm(self) -> None:
        """Everything is served from the cache."""
        self._assert_served({model: _cacheable(model, self.before) for model in self.models})
        self._assert_listed(self.models)

    def _assert_others_warm(self, after: Rows) -> None:
        """What the way doesn't reach is served from the cache."""
        if self.way.reach == "all":
            return
        self._assert_served({Remark: IDENTS[Remark]})
        self._assert_listed([Remark])
        if self.way.reach == "row":
            model = self.way.models[0]
            unchanged = [ident for (other, ident), values in self.before.items() if other is model and after.get((other, ident)) == values]
            self._assert_served({model: unchanged})

    def assert_rolled_back(self) -> None:
        """Nothing has happened, and nothing is forgotten; but where the way commits by itself, what it did is seen."""
        after = self.bench.rows(self.models)
        if self.bench.database not in self.way.commits_alone:
            assert after == self.before
            self.assert_warm()
        self.assert_equal("after the rollback", after)

    def assert_committed(self) -> None:
        """All is seen, no more is forgotten than the way says, and nothing stands in the way of caching it anew."""
        after = self.bench.rows(self.models)
        assert (after != self.before) is self.way.changes
        assert "cache.invalidate" in self.bench.events.names
        self._assert_others_warm(after)
        self.assert_equal("after the commit", after)
        self.read_all()
        self._assert_served({model: _cacheable(model, after) for model in self.models})
        self._assert_listed(self.models)

    def _assert_served(self, wanted: dict[type[Any], list[Any]]) -> None:
        with self.bench.session() as session:
            for model, idents in wanted.items():
                before = len(self.bench.events)
                self.bench.fetch_all(session, model, idents)
                told = {(event.name, event.reason) for event in self.bench.events[before:]}
                assert not idents or told == {("cache.hit", None)}, f"{model.__name__} isn't served: {told}"

    def _assert_listed(self, models: Iterable[type[Any]]) -> None:
        missing = [model.__name__ for model, found in self._lists() if found is None and model in models]
        assert not missing, "lists that aren't served"


def _cacheable(model: type[Any], rows: Rows) -> list[Any]:
    """Return the primary keys that a cache answers for.

    What isn't there is cached when asked through the base class alone, and by an exact key: text may be found under another spelling.
    """
    mapper = class_mapper(model)
    is_base = mapper.inherits is None or mapper.concrete
    return [ident for ident in IDENTS[model] if (is_base and not isinstance(ident, str)) or (model, ident) in rows]


def _same(found: Any, there: Any) -> bool:
    """Whether two rows are the same in what is loaded of both."""
    if found is None or there is None:
        return found is there
    return all(found[key] == there[key] for key in found.keys() & there.keys())
