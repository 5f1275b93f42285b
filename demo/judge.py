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

__all__ = ("ABSENT", "Commit", "Content", "Judge", "Row", "Scope", "Span", "State", "now")

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


class Span(NamedTuple):
    """A span of time, by `now`: of a read, or that in which a state may have been the committed one."""

    begin: float
    end: float


class Scope(NamedTuple):
    """What a list holds: the largest rows of a group, the largest first."""

    table: str
    group: str
    limit: int


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

    def judge(self, row: Row, state: State, read: Span) -> str:
        """Judge one row.

        Args:
            row: Which.
            state: What the read saw.
            read: When it was read.

        Returns:
            What is wrong with it; ``""`` when it is right.
        """
        with self._lock:
            return self._judge(row, state, read)[0]

    def judge_list(self, scope: Scope, items: Sequence[tuple[Row, Content]], read: Span) -> str:
        """Judge a list; see `judge`."""
        table, group, limit = scope
        populations = [content.population for _, content in items]
        if populations != sorted(populations, reverse=True) or len(items) > limit:
            return f"{table} of {group}: out of order"
        smallest = populations[-1] if len(items) == limit else -math.inf
        moment = read
        with self._lock:
            for row, content in items:
                wrong, span = self._judge(row, content, read)
                if wrong:
                    return wrong
                moment = _common(moment, span)
            for row in self._written.get((table, group), set()) - {row for row, _ in items}:
                found = self._span(row, lambda state: state is ABSENT or state.population <= smallest, read)
                if found is None:
                    return f"{row.table} {row.ident}: missing in the list of {group}"
                moment = _common(moment, found)
        return "" if moment.begin <= moment.end else f"{table} of {group}: its rows were never committed at one moment"

    def _history(self, row: Row) -> list[_Change]:
        history = self._changes.get(row)
        if history is None:
            history = self._changes[row] = [_Change(self.initial.get(row, ABSENT), Commit(-math.inf, -math.inf))]
        return history

    def _judge(self, row: Row, state: State, read: Span) -> tuple[str, Span]:
        span = self._span(row, lambda other: other == state, read)
        if span is not None:
            return "", span
        return f"{row.table} {row.ident}: {self._reason(row, state, read)} ({_text(state)})", read

    def _span(self, row: Row, fits: Callable[[State], bool], read: Span) -> Span | None:
        """Return when a fitting state may have been the committed one during the read, ``None`` for never."""
        if row not in self._changes:
            return read if fits(self.initial.get(row, ABSENT)) else None
        found: Span | None = None
        replaced = math.inf  # when the next state had certainly taken this one's place
        for change in reversed(self._changes[row]):
            commit = change.commit
            if commit.begun <= read.end and fits(change.state):
                found = Span(commit.begun, replaced if found is None else max(found.end, replaced))
            if commit.returned < read.begin:
                break
            replaced = min(replaced, commit.returned)
        return found

    def _reason(self, row: Row, state: State, read: Span) -> str:
        if state is not ABSENT and state.population < 0:
            return "a value that was rolled back"
        commits = [change.commit for change in self._history(row) if change.state == state]
        if not commits:
            return "a value that nobody committed"
        return "a value from the future" if commits[-1].begun > read.end else "stale"


def _common(one: Span, other: Span) -> Span:
    return Span(max(one.begin, other.begin), min(one.end, other.end))


def _text(state: State) -> str:
    return "no such row" if state is ABSENT else f"version {state.version}, population {state.population}"
