"""The judge: what each read could have been answered, known from when each commit began and returned.

Writers tell of their commits in the order in which they happen: each while it holds the database's write lock, after its
statements and before its COMMIT. So the order of a row's history is that of the database, and a read that began at *a* and
ended at *b* is right iff what it saw

- isn't older than the newest commit of that row that had returned before *a*,
- isn't newer than the newest commit of that row that had begun before *b*,
- and was committed: a write that is rolled back makes the population negative, which no commit does.

A list is right iff one moment between *a* and *b* explains all its rows, their order, and the absence of those that aren't in it.
"""

from __future__ import annotations

import math
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

__all__ = ("ABSENT", "Commit", "Content", "Judge", "Row", "now")

now = time.perf_counter
"""The one clock of writers, readers and judge: monotonic, in seconds, the same in all threads."""


class Row(NamedTuple):
    """A row by its identity."""

    table: str
    ident: Any
    group: str
    """The list that it is in: a city's country, a country's continent."""


class Content(NamedTuple):
    """What tells a row's states apart."""

    version: int
    population: int


ABSENT: Final = None
"""The state of a row that doesn't exist."""

State = Content | None


class Window(NamedTuple):
    """When a state may have been the committed one, in seconds."""

    first: float
    last: float


@dataclass(eq=False)
class Commit:
    """A commit: between its beginning and its return nobody outside can know whether it has happened."""

    begun: float
    returned: float = math.inf


@dataclass
class _Change:
    state: State
    commit: Commit


@dataclass
class Judge:
    """Keeps the history of every row, and judges reads against it. Thread-safe."""

    initial: Mapping[Row, Content]
    """What was committed before anything began."""
    _changes: dict[Row, list[_Change]] = field(default_factory=dict)
    _written: dict[tuple[str, str], set[Row]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def commit_begins(self, states: Mapping[Row, State]) -> Commit:
        """Note a commit that is about to begin, by a writer whose statements hold the database's write lock."""
        with self._lock:
            commit = Commit(now())
            for row, state in states.items():
                self._history(row).append(_Change(state, commit))
                self._written.setdefault((row.table, row.group), set()).add(row)
        return commit

    def commit_returned(self, commit: Commit) -> None:
        """Note that a commit has returned: from now on nothing older is right."""
        with self._lock:
            commit.returned = now()

    def judge(self, row: Row, state: State, began: float, ended: float) -> str:
        """Judge one row.

        Args:
            row: Which.
            state: What the read saw.
            began: When it began, by `now`.
            ended: When it had ended.

        Returns:
            What is wrong with it; ``""`` when it is right.
        """
        with self._lock:
            return self._judge(row, state, began, ended)[0]

    def judge_list(
        self, table: str, group: str, items: Sequence[tuple[Row, Content]], limit: int, began: float, ended: float
    ) -> str:
        """Judge a list: the ``limit`` largest rows of a group, the largest first; see `judge`."""
        populations = [content.population for _, content in items]
        if populations != sorted(populations, reverse=True) or len(items) > limit:
            return f"{table} of {group}: out of order"
        smallest = populations[-1] if len(items) == limit else -math.inf
        listed = {row for row, _ in items}
        moment = Window(began, ended)
        with self._lock:
            for row, content in items:
                wrong, window = self._judge(row, content, began, ended)
                if wrong:
                    return wrong
                moment = _common(moment, window)
            for row in self._written.get((table, group), set()) - listed:
                found = self._window(row, lambda state: state is ABSENT or state.population <= smallest, began, ended)
                if found is None:
                    return f"{row.table} {row.ident}: missing in the list of {group}"
                moment = _common(moment, found)
        return "" if moment.first <= moment.last else f"{table} of {group}: its rows were never committed at one moment"

    def _history(self, row: Row) -> list[_Change]:
        history = self._changes.get(row)
        if history is None:
            history = self._changes[row] = [_Change(self.initial.get(row, ABSENT), Commit(-math.inf, -math.inf))]
        return history

    def _judge(self, row: Row, state: State, began: float, ended: float) -> tuple[str, Window]:
        window = self._window(row, lambda other: other == state, began, ended)
        if window is not None:
            return "", window
        return f"{row.table} {row.ident}: {self._reason(row, state, ended)} ({_text(state)})", Window(began, ended)

    def _window(self, row: Row, fits: Callable[[State], bool], began: float, ended: float) -> Window | None:
        """Return when a fitting state may have been the committed one during the read, ``None`` for never."""
        if row not in self._changes:
            return Window(began, ended) if fits(self.initial.get(row, ABSENT)) else None
        found: Window | None = None
        replaced = math.inf  # when the next state had certainly taken this one's place
        for change in reversed(self._changes[row]):
            commit = change.commit
            if commit.begun <= ended and fits(change.state):
                first = commit.begun
                found = Window(first, replaced if found is None else max(found.last, replaced))
            if commit.returned < began:
                break
            replaced = min(replaced, commit.returned)
        return found

    def _reason(self, row: Row, state: State, ended: float) -> str:
        if state is not ABSENT and state.population < 0:
            return "a value that was rolled back"
        commits = [change.commit for change in self._history(row) if change.state == state]
        if not commits:
            return "a value that nobody committed"
        return "a value from the future" if commits[-1].begun > ended else "stale"


def _common(one: Window, other: Window) -> Window:
    return Window(max(one.first, other.first), min(one.last, other.last))


def _text(state: State) -> str:
    return "no such row" if state is ABSENT else f"version {state.version}, population {state.population}"
