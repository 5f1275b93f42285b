"""How what a reader puts in a cell is handed to the store (DESIGN 5.3.4)."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Final

from aa_cache_integration.core import envelope
from aa_cache_integration.core.plans import Grant, Plan
from aa_cache_integration.stores.base import Fill

if TYPE_CHECKING:
    from aa_cache_integration.core.plans import Filling
    from aa_cache_integration.core.state import SharedState

__all__ = ("fill_of", "is_kept", "milliseconds")

_FOREVER_MS: Final = 10 * 365 * 24 * 3600 * 1000


def is_kept(filling: Filling, state: SharedState) -> bool:
    """Whether it is put at all: not what lives for no time, nor a "does not exist" that an INSERT under way may make wrong."""
    negative_unsafe = filling.kind == envelope.NEGATIVE and isinstance(filling.under, Grant) and not filling.under.free
    return filling.ttl != 0 and state.serves and not negative_unsafe


def fill_of(filling: Filling, state: SharedState) -> Fill:
    """Return the store's request."""
    under, plan = filling.under, filling.plan
    depth = len(plan.records) if filling.kind == envelope.NEGATIVE else plan.required
    ttl = _FOREVER_MS if filling.ttl < 0 else milliseconds(filling.ttl * (1 - state.config.jitter * random.random()))  # noqa: S311
    if isinstance(under, Plan):
        return Fill(plan.cell, "", (), under.records[:depth], envelope.tail(filling.kind, filling.payload), ttl)
    tokens = under.tokens[:depth]
    signature = state.signer.sign(plan.cell, tokens, filling.kind, filling.payload)
    return Fill(plan.cell, under.lease, tokens, (), envelope.tail(filling.kind, filling.payload, signature), ttl)


def milliseconds(seconds: float) -> int:
    """Return a time to live as the store takes it."""
    return max(1, round(seconds * 1000))
