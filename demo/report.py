"""What is told at the end: the counts of the structured log beside those of the workload."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from demo.workload import Tally

__all__ = ("Phase", "Told", "render", "verdict")

_COLUMNS = ("hit", "miss", "bypass")
_LEAST_HIT_RATIO = 0.5


@dataclass(frozen=True)
class Phase:
    """One run of the workload."""

    tallies: Sequence[Tally]
    statements: int
    seconds: float

    @property
    def wrong(self) -> list[str]:
        """Every wrong answer."""
        return [wrong for tally in self.tallies for wrong in tally.wrong]

    @property
    def reads(self) -> Counter[str]:
        """The reads, by kind."""
        return _sum(tally.reads for tally in self.tallies)

    @property
    def writes(self) -> Counter[str]:
        """The transactions that wrote, by what became of them."""
        return _sum(tally.writes for tally in self.tallies)


@dataclass
class Told:
    """What the cache told in its log."""

    reads: dict[str, Counter[str]] = field(default_factory=dict)
    """By kind of read: how many were hits, misses and bypassed."""
    invalidations: int = 0
    events: Counter[str] = field(default_factory=Counter)
    first: list[str] = field(default_factory=list)

    @classmethod
    def read(cls, log: Path) -> Told:
        """Read the log."""
        told = cls()
        if not log.exists():
            return told
        with log.open(encoding="utf-8") as lines:
            told.first = [line.rstrip() for line in islice(lines, 5)]
        with log.open(encoding="utf-8") as lines:
            for line in lines:
                told._take(json.loads(line))
        return told

    def _take(self, event: dict[str, Any]) -> None:
        self.events[event["event"]] += 1
        name = event["event"].removeprefix("cache.")
        if name == "invalidate":
            self.invalidations += 1
        elif name in _COLUMNS and event["op"] in {"fetch_entity", "get_list"} and event.get("reason") != "lease lost":
            # A lost lease is told of a read that was counted as a miss before.
            kind = event["model"] if event["op"] == "fetch_entity" else f"lists of {event['model']}"
            self.reads.setdefault(kind, Counter())[name] += event.get("count", 1)

    @property
    def hit_ratio(self) -> float:
        """Hits of all reads."""
        return _ratio(_sum(self.reads.values()))

    def summary(self) -> str:
        """Return how many events of each name there are."""
        return ", ".join(f"{count:,} {name}" for name, count in self.events.most_common())


def render(plain: Phase, cached: Phase, told: Told) -> str:
    """Return the tables."""
    kinds = sorted(cached.reads)
    rows = [(kind, cached.reads[kind], told.reads.get(kind, Counter())) for kind in kinds]
    rows.append(("all", cached.reads.total(), _sum(told.reads.values())))
    lines = [_line("", "reads", "hits", "misses", "bypassed", "hit ratio")]
    lines += [_line(kind, reads, *(counts[name] for name in _COLUMNS), f"{_ratio(counts):.1%}") for kind, reads, counts in rows]
    saved = f"{1 - cached.statements / plain.statements:.0%} fewer" if plain.statements > cached.statements else ""
    lines += [
        "",
        _line("", "without cache", "with cache"),
        _line("database statements", plain.statements, cached.statements, saved),
        _line("wall time", f"{plain.seconds:.2f} s", f"{cached.seconds:.2f} s"),
        _line("wrong answers", len(plain.wrong), len(cached.wrong)),
        "",
        _line("transactions that wrote", cached.writes.total()),
        *(_line(f"  {what}", count) for what, count in sorted(cached.writes.items())),
        _line("invalidations", told.invalidations),
    ]
    return "\n".join(lines)


def verdict(plain: Phase, cached: Phase, told: Told) -> list[str]:
    """Return what went wrong, one line each; none when all is well."""
    problems = [f"wrong answer without the cache: {wrong}" for wrong in plain.wrong[:10]]
    problems += [f"wrong answer: {wrong}" for wrong in cached.wrong[:10]]
    if told.hit_ratio < _LEAST_HIT_RATIO:
        problems.append(f"the hit ratio is {told.hit_ratio:.1%}, which is under {_LEAST_HIT_RATIO:.0%}")
    if not told.invalidations:
        problems.append("nothing was invalidated")
    if told.events["cache.degraded"]:
        return [*problems, "the cache's server could not be reached for a while"]  # a read may have met that twice, and told of both
    for kind, reads in sorted(cached.reads.items()):
        if (events := told.reads.get(kind, Counter()).total()) != reads:
            problems.append(f"the log tells of {events:,} reads of {kind}, but there were {reads:,}")
    return problems


def _line(label: str, *cells: Any) -> str:
    return (f"{label:<40}" + "".join(f"{cell:>15,}" if isinstance(cell, int) else f"{cell:>15}" for cell in cells)).rstrip()


def _ratio(counts: Counter[str]) -> float:
    return counts["hit"] / max(1, counts.total())


def _sum(counters: Iterable[Counter[str]]) -> Counter[str]:
    total: Counter[str] = Counter()
    for counter in counters:
        total.update(counter)
    return total
