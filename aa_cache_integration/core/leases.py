"""How a lease travels from the ``get_*`` that missed to the ``set_*`` that follows in the same context.

A lookup that was bypassed leaves its mark too: what is read from the database after it may be old by the time it is set, and there is no
lease that a writer could have taken away. So that ``set_*`` is no explicit put, and stores nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from itertools import islice
from types import MappingProxyType
from typing import TYPE_CHECKING

from aa_cache_integration.core.plans import Bypass

if TYPE_CHECKING:
    from aa_cache_integration.core.plans import Grant

__all__ = ("forget", "held", "keep", "take", "void")

_MOST = 1000
"""Leases that one context remembers; a passed one is remembered too, for what it was granted for may still be put, and must be refused."""


@dataclass
class _Mark:
    """What a lookup came to; shared by the contexts that were copied from its own."""

    right: Grant | Bypass


_Held = Mapping[tuple[int, str], _Mark]
_held: ContextVar[_Held] = ContextVar("aa_cache_leases", default=MappingProxyType({}))


def keep(owner: int, cell: str, right: Grant | Bypass) -> None:
    """Remember in this context what a lookup came to.

    Args:
        owner: What tells managers apart: two may use one key.
        cell: The cell that was looked up.
        right: The lease; or that there is none.
    """
    held_now = _held.get()
    _held.set({**dict(islice(held_now.items(), max(0, len(held_now) - _MOST + 1), None)), (owner, cell): _Mark(right)})


def held(owner: int, cell: str) -> Grant | Bypass | None:
    """Return what this context's last lookup of a cell came to; ``None``: a hit, or there was none."""
    mark = _held.get().get((owner, cell))
    return None if mark is None else mark.right


def take(owner: int, cell: str) -> Grant | Bypass | None:
    """Return what `held` does, and forget it."""
    right = held(owner, cell)
    if right is not None:
        _held.set({key: mark for key, mark in _held.get().items() if key != (owner, cell)})
    return right


def forget(owner: int) -> None:
    """Forget all of this context's lookups of one manager."""
    _held.set({key: mark for key, mark in _held.get().items() if key[0] != owner})


def void(reason: str) -> None:
    """Let nothing be put under what this context has looked up so far: what it reads from now on may never be committed."""
    for mark in _held.get().values():
        if not isinstance(mark.right, Bypass):
            mark.right = Bypass(reason, mark.right)
