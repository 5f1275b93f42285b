"""What was committed, and when it may have been: from what the writers wrote down, and from the database's own account."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.torture.options import LOSSES
from tests.torture.records import Announced, Begun, Died, Ended, Failed, Fault, Own, Read, Settled, records_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from tests.torture.records import Record
    from tests.torture.world import World

__all__ = ("Commit", "History", "Tallies")


@dataclass(eq=False)
class Commit:
    """One version of a unit."""

    unit: int
    version: int
    token: str | None
    begun: float
    """When its COMMIT was about to begin."""
    outcome: str = "unknown"
    """As its writer knows it."""
    returned: float = math.inf
    """When COMMIT had returned; infinity where its writer doesn't know."""
    settled: float = math.inf
    """When the cache was told; infinity where nobody did, or nobody wrote it down."""
    known: float = math.inf
    """When it was certain at the latest that it was committed."""
    witness: str = ""
    """Who knew it then."""
    gone: float = math.inf
    """When it was certain that it isn't the newest any more."""

    def learn(self, when: float, witness: str) -> None:
        """Learn that it was committed at that time."""
        if when < self.known:
            self.known, self.witness = when, witness


@dataclass
class Tallies:
    """What there was of everything."""

    reads: Counter[str] = field(default_factory=Counter)
    cells: Counter[str] = field(default_factory=Counter)
    outcomes: Counter[str] = field(default_factory=Counter)
    deaths: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    failures: Counter[str] = field(default_factory=Counter)
    unexpected: list[str] = field(default_factory=list)
    """Errors that no fault explains."""


class History:
    """All commits of a run, by unit and by token."""

    def __init__(self, layout: World, tokens: Mapping[str, tuple[int, int]], logs: Iterable[Path]) -> None:
        """Read the logs.

        Args:
            layout: The units.
            tokens: Unit and version of each token that the database says is committed.
            logs: What the workers and the supervisor wrote.
        """
        self.tallies = Tallies()
        self.losses: list[Fault] = []
        self.wrong: list[str] = []
        """Where the database and the writers don't agree."""
        self.start = math.inf
        self._begun: dict[str, Begun] = {}
        self._ended: dict[str, Ended] = {}
        self._seen: dict[str, tuple[int, str]] = {}
        self._writers: dict[str, list[str]] = {}
        self._settled: dict[str, int] = {}
        for log in logs:
            self._read(log)
        self.units: dict[int, list[Commit]] = {
            unit.number: [Commit(unit.number, 0, unit.first, -math.inf, "committed", -math.inf, -math.inf, -math.inf)]
            for unit in layout.units
        }
        self._collect(tokens)
        self.by_token = {commit.token: commit for commits in self.units.values() for commit in commits if commit.token}
        for commits in self.units.values():
            self._date(commits)

    # From the logs

    def _read(self, log: Path) -> None:
        owed: dict[str, None] = {}
        for record in records_of(log):
            if isinstance(record, Read):
                self._take_read(record)
            elif isinstance(record, Begun):
                self._begun[record.transaction] = record
            elif isinstance(record, Ended):
                self._ended[record.transaction] = record
            elif isinstance(record, Announced):
                self._writers.setdefault(record.transaction, []).append(record.writer)
                owed[record.writer] = None
            elif isinstance(record, Settled):
                # Too many debts are paid together, and then all are.
                for writer in list(owed) if record.writer.startswith("debts-") else [record.writer]:
                    self._settled[writer] = record.at
                    owed.pop(writer, None)
            else:
                self._count(record)

    def _take_read(self, read: Read) -> None:
        self.start = min(self.start, read.began)
        cached = read.kind not in {"direct", "locked"}
        kind = f"{read.kind} in a snapshot" if read.snapshot and read.kind != "direct" else read.kind
        self.tallies.reads[kind] += 1
        if cached:
            self.tallies.cells["asked"] += read.asked
            self.tallies.cells["hits"] += read.hits
            if read.snapshot:
                self.tallies.cells["asked in a snapshot"] += read.asked
                self.tallies.cells["hits in a snapshot"] += read.hits
        when = min(read.ended, read.snapshot[1]) if read.snapshot else read.ended
        for row, token in read.rows:
            if token is not None and (token not in self._seen or when < self._seen[token][0]):
                self._seen[token] = when, f"a {kind} read of row {row} by {read.transaction}"

    def _count(self, record: Record) -> None:
        tallies = self.tallies
        if isinstance(record, Died):
            tallies.deaths[record.step] += 1
        elif isinstance(record, Fault):
            tallies.faults[f"{record.kind} {record.detail}".strip() if record.kind in {"connections", "flush"} else record.kind] += 1
            if record.kind in LOSSES:
                self.losses.append(record)
        elif isinstance(record, Own):
            tallies.reads["own writes"] += 1
        elif isinstance(record, Failed):
            if record.expected:
                tallies.failures[f"{record.what}: {record.error.split(':')[0]}"] += 1
            else:
                tallies.unexpected.append(record.error)

    # Together with the database

    def _collect(self, tokens: Mapping[str, tuple[int, int]]) -> None:
        announced = {token: begun for begun in self._begun.values() for _, _, token in begun.writes}
        for token, (unit, version) in sorted(tokens.items(), key=lambda item: item[1]):
            commits, begun = self.units[unit], announced.get(token)
            if version != len(commits):
                self.wrong.append(f"unit {unit}: version {version} follows version {len(commits) - 1}: an update was lost in the database")
            if begun is None:
                self.wrong.append(f"unit {unit}: {token} is committed, but its writer never began to commit it")
            commits.append(self._commit(unit, version, token, begun))
        for transaction, begun in self._begun.items():
            ended = self._ended.get(transaction)
            self._compare(ended, [token for _, _, token in begun.writes if token in tokens], len(begun.writes), transaction)
            if ended is None:
                self.tallies.outcomes["killed in COMMIT"] += 1
        self.tallies.outcomes.update(ended.outcome for ended in self._ended.values())

    def _compare(self, ended: Ended | None, there: list[str], wanted: int, transaction: str) -> None:
        if there and len(there) < wanted:
            self.wrong.append(f"{transaction}: only a part of it is committed")
        elif ended is not None and ended.outcome == "committed" and not there:
            self.wrong.append(f"{transaction}: its COMMIT returned, and it isn't committed")
        elif ended is not None and ended.outcome in {"refused", "rolled back"} and there:
            self.wrong.append(f"{transaction}: {ended.outcome}, and it is committed")

    def _commit(self, unit: int, version: int, token: str, begun: Begun | None) -> Commit:
        commit = Commit(unit, version, token, -math.inf if begun is None else begun.at)
        ended = self._ended.get(begun.transaction) if begun is not None else None
        if ended is not None and begun is not None:
            commit.outcome = ended.outcome
            if ended.outcome == "committed":
                commit.returned = ended.at
                commit.settled = max([ended.at, *(self._settled.get(name, math.inf) for name in self._writers.get(begun.transaction, ()))])
        return commit

    def _date(self, commits: list[Commit]) -> None:
        gone = math.inf
        for commit, later in zip(reversed(commits), [None, *reversed(commits[1:])], strict=True):
            commit.learn(commit.returned, "its writer, whose commit() had returned")
            if commit.token in self._seen:
                commit.learn(*self._seen[commit.token])
            if later is not None:
                commit.learn(later.begun, "the next writer, who had locked it")
            commit.gone = gone
            gone = min(gone, commit.known)
