"""What a snapshot lets its transaction read from the cache and put there (DESIGN 5.5)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from aa_cache_integration.core.plans import Snapshot
    from aa_cache_integration.core.state import SharedState

__all__ = ("UNLIMITED", "Limits", "is_taken", "limits")


@dataclass(frozen=True, slots=True)
class Limits:
    """Two bounds in the store's time (µs)."""

    readable: int | None = None
    """Only values that were filled before this may be read; ``None``: all."""
    fillable: int = 0
    """Only values all of whose records last changed before this may be filled; ``0``: all."""


UNLIMITED: Final = Limits()


def is_taken(snapshot: Snapshot | None) -> bool:
    """Whether there is a snapshot to keep to, so that the store's clock must be known to date it."""
    return snapshot is not None and snapshot.since is not None


def limits(snapshot: Snapshot | None, state: SharedState) -> Limits | None:
    """Return what a transaction may do; ``None``: nothing, for its snapshot can't be dated by the store's clock.

    Before its first statement a transaction has no snapshot: a hit is what that statement could have found. ``snapshot_reads="exact"`` asks
    for more, that all its reads are of one moment, so there nothing is readable then.

    Args:
        snapshot: The transaction's; ``None``: it reads what is committed.
        state: The manager's.
    """
    if snapshot is None:
        return UNLIMITED
    exact = state.config.snapshot_reads == "exact"
    if snapshot.since is None:
        return Limits(readable=0) if exact else UNLIMITED
    bound = state.clock.bound(snapshot.since)
    if bound is None:
        return None
    return Limits(0 if exact and not snapshot.certain else bound, bound)
