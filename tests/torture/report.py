"""What a run has come to, as a table and as an exit status."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.torture.checker import Verdict
    from tests.torture.options import Options

__all__ = ("failures", "render")

LEAST_HITS: Final = 0.3
"""Of the cells that were looked up."""
_READS_A_MINUTE: Final = 2000
_COMMITS_A_MINUTE: Final = 100


def hit_ratio(verdict: Verdict) -> float:
    """Return the share of the cells looked up that the cache answered."""
    cells = verdict.tallies.cells
    return cells["hits"] / cells["asked"] if cells["asked"] else 0.0


def failures(options: Options, verdict: Verdict) -> list[str]:
    """Return why the run has failed; nothing where it hasn't."""
    tallies, found = verdict.tallies, list(verdict.problems)
    if count := sum(verdict.kinds.values()):
        found.append(f"{count} violations")
    if tallies.unexpected:
        found.append(f"{len(tallies.unexpected)} errors that no fault explains; the first:\n{tallies.unexpected[0]}")
    if hit_ratio(verdict) < LEAST_HITS:
        found.append(f"fewer hits than {LEAST_HITS:.0%}")
    reads, commits = sum(tallies.reads.values()), tallies.outcomes["committed"]
    if reads < options.minutes * _READS_A_MINUTE or commits < options.minutes * _COMMITS_A_MINUTE:
        found.append(f"nothing much was done: {reads} reads, {commits} commits")
    return found


def render(options: Options, verdict: Verdict) -> str:
    """Return the table."""
    rows = list(_rows(options, verdict))
    width = max(len(name) for name, _ in rows)
    table = "\n".join(f"{name:<{width}}  {value}" for name, value in rows)
    return "\n".join([*verdict.violations, "", table] if verdict.violations else [table])


def _rows(options: Options, verdict: Verdict) -> Iterator[tuple[str, str]]:
    isolation = options.isolation or "default isolation"
    guard = ", intent_loss_guard" if options.intent_loss_guard else ""
    yield "run", f"{options.db} and {options.store}, {isolation}{guard}, {options.minutes:g} min, seed {options.seed}"
    yield from _done(verdict)
    for fault, count in sorted(verdict.tallies.faults.items()):
        yield f"fault: {fault}", f"{count:,}"
    if "clock" in options.faults:
        yield "fault: clock", "hours off in one worker, both ways by turns"
    for step, count in sorted(verdict.tallies.deaths.items()):
        yield f"killed {step}", f"{count:,}"
    if options.losses:
        for excuse, count in sorted(verdict.allowed.items()):
            yield f"allowed stale reads: {excuse}", f"{count:,}"
        yield "allowed stale reads", f"{sum(verdict.allowed.values()):,}"
    for kind, count in sorted(verdict.kinds.items()):
        yield f"violations: {kind}", f"{count:,}"
    yield "violations", f"{sum(verdict.kinds.values()):,}"


def _done(verdict: Verdict) -> Iterator[tuple[str, str]]:
    tallies = verdict.tallies
    for kind, count in sorted(tallies.reads.items()):
        yield f"reads: {kind}", f"{count:,}"
    yield "hits", f"{hit_ratio(verdict):.1%} of {tallies.cells['asked']:,} cells"
    if asked := tallies.cells["asked in a snapshot"]:
        yield "hits in a snapshot", f"{tallies.cells['hits in a snapshot'] / asked:.1%} of {asked:,} cells"
    names = {"committed": "commits", "rolled back": "rollbacks", "refused": "commits refused", "unknown": "commits of unknown outcome"}
    for outcome in (*names, "killed in COMMIT"):
        yield names.get(outcome, outcome), f"{tallies.outcomes[outcome]:,}"
    for failure, count in sorted(tallies.failures.items()):
        yield f"failed: {failure}", f"{count:,}"
