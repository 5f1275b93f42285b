"""What a snapshot lets its transaction read from the cache and put there (DESIGN 5.5)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from aa_cache_integration.core.plans import Grant, Snapshot
    from aa_cache_integration.core.state import SharedState

__all__ = ("UNLIMITED", "Limits", "limits")


@dataclass(frozen=True, slots=True)
class Limits:
    """Two bounds in the store's time (µs)."""

    readable: int | None = None
    """Only values that were filled before this may be read; ``None``: all."""
    fillable: int = 0
    """Only values all of whose records last changed before this may be filled; ``0``: all."""
    since: int | None = None
    """The monotonic time (ns) of the snapshot that they come from; ``None``: of none."""

    def covers(self, grant: Grant) -> bool:
        """Whether a lease that was granted to another lookup of this context lets this reader fill, too."""
        return not self.fillable or 0 < grant.before <= self.fillable


UNLIMITED: Final = Limits()


def limits(snapshot: Snapshot | None, state: SharedState, started: int | None = None) -> Limits | None:
    """Return what a transaction may do; ``None``: nothing, for its snapshot can't be dated by the store's clock.

    Before its first statement a transaction has no snapshot: a hit is what that statement could have found. ``snapshot_reads="exact"`` asks
    for more, that all its reads are of one moment, so there nothing is readable then.

    Args:
        snapshot: The transaction's; ``None``: it reads what is committed.
        state: The manager's.
        started: The monotonic time (ns) before which everything that is read together must have been filled, where the store can't read
            several cells in one step: then all of it was true at that time (DESIGN 5.3.5). ``None``: it can.
    """
    allowed = _by_snapshot(snapshot, state)
    if started is None or allowed is None:
        return allowed
    bound = state.clock.bound(started)
    if bound is None:
        return None
    return replace(allowed, readable=bound if allowed.readable is None else min(bound, allowed.readable))


def _by_snapshot(snapshot: Snapshot | None, state: SharedState) -> Limits | None:
    if snapshot is None:
        return UNLIMITED
    exact = state.config.snapshot_reads == "exact"
    if snapshot.since is None:
        return Limits(readable=0) if exact else UNLIMITED
    bound = state.clock.bound(snapshot.since)
    if bound is None:
        return None
    return Limits(0 if exact and not snapshot.certain else bound, bound, snapshot.since)
