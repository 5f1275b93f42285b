"""The checker: whether each read was one that the database itself could have answered.

All versions of a unit are in one order, that of the database's locks. A version *may* be the committed one from the moment at which its
COMMIT was about to begin, and *is* no more once a later one is known to be committed: its COMMIT has returned, a read that ended has shown
it, or a later writer has locked it. A read is right iff some moment between its start and its end, or between the bounds of its
transaction's snapshot, explains all that it shows.
"""

from __future__ import annotations

import math
from collections import Counter, OrderedDict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from tests.torture.history import History
from tests.torture.records import Own, Read, records_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from tests.torture.history import Commit, Tallies
    from tests.torture.world import Unit, World

__all__ = ("Rules", "Verdict", "check")

_MOST: Final = 20
_OPEN: Final = 1000
"""Transactions of one log that are remembered; far fewer run at a time."""
_SLACK: Final = 0.5
"""Seconds that a server's clock for time to live may be late."""


@dataclass(frozen=True)
class Rules:
    """What is allowed beyond what the database could have answered."""

    ttl: float = 0.0
    """Seconds that a value lives."""
    lease_timeout: float = 0.0
    """Seconds that a reader has to fill."""
    excuses: bool = False
    """Whether intents that the store lost excuse a stale read, as far as DESIGN 5.6 goes."""


@dataclass
class Verdict:
    """What came out."""

    tallies: Tallies
    violations: list[str] = field(default_factory=list)
    """The first ones, with what is known about them."""
    kinds: Counter[str] = field(default_factory=Counter)
    """How many there are of each kind."""
    allowed: Counter[str] = field(default_factory=Counter)
    """Stale reads that lost intents excuse."""
    problems: list[str] = field(default_factory=list)
    """Why the run itself is no good."""


@dataclass
class _Moment:
    """The time that a read, or all reads of a snapshot, may show."""

    low: float
    high: float
    tokens: dict[int, str | None] = field(default_factory=dict)


def check(layout: World, tokens: Mapping[str, tuple[int, int]], logs: Iterable[Path], rules: Rules) -> Verdict:
    """Judge a run.

    Args:
        layout: The units.
        tokens: Unit and version of each token that the database says is committed.
        logs: What the workers and the supervisor wrote.
        rules: What is allowed.
    """
    logs = list(logs)
    history = History(layout, tokens, logs)
    verdict = Verdict(history.tallies)
    for wrong in history.wrong:
        _add(verdict, "the database and its writers disagree", wrong)
    for log in logs:
        _Judge(layout, history, rules, verdict).judge(log)
    return verdict


def _add(verdict: Verdict, kind: str, text: str) -> None:
    verdict.kinds[kind] += 1
    if len(verdict.violations) < _MOST:
        verdict.violations.append(f"{kind}: {text}")


class _Judge:
    """Judges what one process read."""

    def __init__(self, layout: World, history: History, rules: Rules, verdict: Verdict) -> None:
        self._layout = layout
        self._history = history
        self._rules = rules
        self._verdict = verdict
        self._snapshots: OrderedDict[str, _Moment] = OrderedDict()

    def judge(self, log: Path) -> None:
        for record in records_of(log):
            if isinstance(record, Read):
                self._judge(record)
            elif isinstance(record, Own) and record.rows != record.expected:
                _add(self._verdict, "own write not shown", f"{record.transaction} wrote {record.expected} and was shown {record.rows}")

    def _judge(self, read: Read) -> None:
        moment = self._moment(read)
        for row, token in read.rows:
            unit = self._layout.of_row[row]
            wrong = self._wrong(unit, token, read, moment)
            if wrong:
                self._tell(wrong, unit, row, token, read)
                self._snapshots.pop(read.transaction, None)
                return

    def _moment(self, read: Read) -> _Moment:
        if read.snapshot is None:
            return _Moment(read.began, read.ended)
        found = self._snapshots.get(read.transaction)
        if found is None:
            found = self._snapshots[read.transaction] = _Moment(*read.snapshot)
            if len(self._snapshots) > _OPEN:
                self._snapshots.popitem(last=False)
        return found

    def _wrong(self, unit: Unit, token: str | None, read: Read, moment: _Moment) -> str:
        """Return what is wrong with a row; narrow the moment when nothing is."""
        low, high = read.snapshot or (read.began, read.ended)
        shown = self._shown(unit, token, low, high)
        if isinstance(shown, str):
            return shown
        if moment.tokens.setdefault(unit.number, token) != token:
            return "torn" if read.snapshot is None else "not repeatable"
        begun, gone = shown
        if begun > high:
            return "from the future"
        if gone < low:
            return "stale"
        moment.low, moment.high = max(moment.low, begun), min(moment.high, gone)
        return "" if moment.low <= moment.high else "rows of no one moment"

    def _shown(self, unit: Unit, token: str | None, low: float, high: float) -> tuple[float, float] | str:
        """Return from when until when what a row shows may have been committed; or why it never was."""
        if token is not None:
            commit = self._history.by_token.get(token)
            if commit is None:
                return "never committed"
            return (commit.begun, commit.gone) if commit.unit == unit.number else "of another row"
        if not unit.transient:
            return "missing"
        absent = self._history.units[unit.number][::2]
        fitting = [commit for commit in absent if commit.begun <= high and commit.gone >= low]
        if fitting:
            return fitting[0].begun, fitting[-1].gone
        last = [commit for commit in absent if commit.begun <= high][-1]  # the first version is
        return last.begun, last.gone

    # What is told of it

    def _tell(self, wrong: str, unit: Unit, row: int, token: str | None, read: Read) -> None:
        if self._rules.excuses and wrong in {"stale", "torn", "not repeatable", "rows of no one moment"}:
            excuse = self._excuse(wrong, unit, token, read)
            if excuse:
                self._verdict.allowed[excuse] += 1
                return
        _add(self._verdict, wrong, self._facts(unit, row, token, read))

    def _version(self, unit: Unit, token: str | None, low: float) -> int:
        """Return the version that a row shows; of an absent one the newest that isn't younger than the read."""
        commit = self._history.by_token.get(token or "")
        if commit is not None:
            return commit.version
        absent = [each.version for each in self._history.units[unit.number] if each.begun <= low and each.version % 2 == 0]
        return absent[-1] if absent else 0

    def _excuse(self, wrong: str, unit: Unit, token: str | None, read: Read) -> str:
        """Return which loss of intents excuses the read; ``""`` for none (DESIGN 5.6)."""
        low, _ = read.snapshot or (read.began, read.ended)
        if wrong == "stale":
            later = self._history.units[unit.number][self._version(unit, token, low) + 1 :]
            excuses = [self._lost(commit, read) for commit in later if commit.known < low]
            return max(excuses, default="") if all(excuses) else ""
        shown = [(self._layout.of_row[row], other) for row, other in read.rows]
        later = [
            commit
            for other, its_token in shown
            for commit in self._history.units[other.number][self._version(other, its_token, low) + 1 :]
            if commit.begun <= read.ended
        ]
        return max((self._lost(commit, read) for commit in later), default="")

    def _lost(self, commit: Commit, read: Read) -> str:
        """Return why this commit's intents may not have been there when the read began."""
        done = commit.settled if commit.outcome == "committed" else math.inf
        if not any(loss.began <= done and loss.ended >= commit.begun for loss in self._history.losses):
            return ""
        if done < math.inf:
            if read.began > done:
                return ""
            return "before commit() had returned" if read.began <= commit.returned else "while the settling was owed"
        until = commit.known + (self._rules.ttl + self._rules.lease_timeout + _SLACK) * 1e9
        return "until the TTL, for the writer was killed or its outcome unknown" if read.began <= until else ""

    def _facts(self, unit: Unit, row: int, token: str | None, read: Read) -> str:
        low, _ = read.snapshot or (read.began, read.ended)
        snapshot = f", its snapshot taken {self._span(*read.snapshot)}" if read.snapshot else ""
        told = (
            f"row {row} (unit {unit.number}) shows {token!r}: a {read.kind} read by {read.transaction},"
            f" {self._span(read.began, read.ended)}{snapshot}, {read.hits} of {read.asked} cells were hits; all it showed: {read.rows}"
        )
        version = self._version(unit, token, low)
        around = self._history.units[unit.number][max(0, version - 1) : version + 4]
        lines = [
            f"    version {commit.version} {commit.token!r}: COMMIT {self._span(commit.begun, commit.returned)} ({commit.outcome});"
            f" known at {self._time(commit.known)} by {commit.witness or 'all'}"
            for commit in around
        ]
        return "\n".join([told, *lines])

    def _span(self, low: float, high: float) -> str:
        return f"{self._time(low)} to {self._time(high)}"

    def _time(self, when: float) -> str:
        if not math.isfinite(when):
            return "the start" if when < 0 else "?"
        return f"{(when - self._history.start) / 1e6:.3f} ms"
