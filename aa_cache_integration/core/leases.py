"""How a lease travels from the ``get_*`` that missed to the ``set_*`` that follows in the same context."""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import ContextVar
from itertools import islice
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from aa_cache_integration.core.plans import Grant

__all__ = ("forget", "held", "keep", "take")

_MOST = 1000
"""Leases that one context remembers; a passed one is remembered too, for what it was granted for may still be put, and must be refused."""

_Held = Mapping[tuple[int, str], "Grant"]
_held: ContextVar[_Held] = ContextVar("aa_cache_leases", default=MappingProxyType({}))


def keep(owner: int, grant: Grant) -> None:
    """Remember a grant in this context.

    Args:
        owner: What tells managers apart: two may use one key.
        grant: The lease.
    """
    held_now = _held.get()
    _held.set({**dict(islice(held_now.items(), max(0, len(held_now) - _MOST + 1), None)), (owner, grant.plan.cell): grant})


def held(owner: int, cell: str) -> Grant | None:
    """Return this context's grant for a cell."""
    return _held.get().get((owner, cell))


def take(owner: int, cell: str) -> Grant | None:
    """Return this context's grant for a cell and forget it."""
    held_now = _held.get()
    grant = held_now.get((owner, cell))
    if grant is not None:
        _held.set({key: old for key, old in held_now.items() if old is not grant})
    return grant


def forget(owner: int) -> None:
    """Forget all of this context's grants of one manager."""
    _held.set({key: old for key, old in _held.get().items() if key[0] != owner})
