"""What the listeners cost a statement that has nothing to do with the cache: a ratio of two timings in one run (DESIGN 6).

Run by itself it prints the figures that docs/writes.md shows: ``python -m tests.orm.test_hook_cost``.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import create_engine, event
from sqlalchemy.orm import Session

from aa_cache_integration import CacheRegistry
from aa_cache_integration.orm import statements
from tests.orm.models import Base, Product

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Engine

MOST = 0.03
"""Of a SQLite primary-key SELECT through a Session."""
_LOOPS, _ROUNDS, _ATTEMPTS = 500, 7, 5


def timed(function: Callable[[], Any]) -> float:
    """Return the seconds of one call; the best of several rounds, for the rest is what else the machine did."""
    best = float("inf")
    for _ in range(_ROUNDS):
        started = time.perf_counter()
        for _ in range(_LOOPS):
            function()
        best = min(best, (time.perf_counter() - started) / _LOOPS)
    return best


def counted(function: Callable[[], Any]) -> float:
    """Return how many Python functions one call calls: so that a slow machine says the same."""
    calls = -1  # the function itself

    def profile(_frame: Any, what: str, _argument: Any) -> None:
        nonlocal calls
        calls += what == "call"

    function()
    sys.setprofile(profile)
    try:
        function()
    finally:
        sys.setprofile(None)
    return calls


def measured(folder: Path, measure: Callable[[Callable[[], Any]], float] = timed) -> tuple[float, float]:
    """Return the measure of a SELECT through a Session that has begun already, and of our hooks around its statement."""
    engine = create_engine(f"sqlite:///{folder / 'cost.db'}")
    registry = CacheRegistry.from_mapping({"default": {"backend": "dogpile.cache.memory"}})
    registry.bind(engine)
    Base.metadata.create_all(engine)
    with Session(engine) as session:
        session.add(Product(id=1, name="tea"))
        session.commit()
    try:
        return _measured(engine, measure)
    finally:
        engine.dispose()


def _measured(engine: Engine, measure: Callable[[Callable[[], Any]], float]) -> tuple[float, float]:
    seen: list[tuple[Any, ...]] = []

    def see(*arguments: Any) -> None:
        seen[:] = [arguments]

    with Session(engine) as session:

        def select() -> None:
            session.get(Product, 1)
            session.expunge_all()

        event.listen(engine, "after_cursor_execute", see)
        select()
        event.remove(engine, "after_cursor_execute", see)
        arguments = seen[0]

        def hooks() -> None:
            statements.before_cursor_execute(*arguments)
            statements.after_cursor_execute(*arguments)

        return measure(select), measure(hooks)


def test_the_hooks_cost_less_than_three_percent_of_a_select(tmp_path: Path) -> None:
    figures = []
    for attempt in range(_ATTEMPTS):
        folder = tmp_path / str(attempt)
        folder.mkdir()
        select, hooks = measured(folder)
        figures.append(hooks / select)
        if figures[-1] < MOST:
            return
    assert min(figures) < MOST, figures


def test_the_hooks_of_a_reading_statement_make_few_calls(tmp_path: Path) -> None:
    select, hooks = measured(tmp_path, counted)
    assert hooks < 25
    assert select > 5 * hooks


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as where:
        of_select, of_hooks = measured(Path(where))
    print(f"SELECT {of_select * 1e6:.1f} us, hooks {of_hooks * 1e6:.2f} us: {of_hooks / of_select:.1%}")  # noqa: T201
