"""What a reader makes of what it found: the pure part of DESIGN 5.3."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from aa_cache_integration.core import envelope
from aa_cache_integration.exceptions import SerializationError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from aa_cache_integration.core.envelope import Intent, Signer, Value
    from aa_cache_integration.core.plans import Plan, Request

__all__ = ("NAMESPACES", "Blocked", "Leased", "Usable", "Vacant", "judge")

NAMESPACES: Final = 2
"""How many records everything depends on: the prefix's namespace and the group's. They come first in every plan."""


_LISTS: Final = envelope.LIST + envelope.COUNTED


@dataclass(frozen=True, slots=True)
class Usable:
    """A valid value."""

    value: Any
    filled: int
    """The store's time (µs) at its fill."""


@dataclass(frozen=True, slots=True)
class Blocked:
    """The cell or a record is under write intent."""


@dataclass(frozen=True, slots=True)
class Leased:
    """Another reader holds the lease, or this one does."""

    lease: str


@dataclass(frozen=True, slots=True)
class Vacant:
    """Nothing usable: a lease may be asked for."""

    seen: bytes | None
    reason: str
    rejected: bool = False
    """Whether the cell holds something that shouldn't be there."""


def judge(
    request: Request, cell: bytes | None, records: Sequence[bytes | None], now: int, signer: Signer
) -> Usable | Blocked | Leased | Vacant:
    """Decide about one cell.

    Args:
        request: What the reader asked for.
        cell: What stands in the cell.
        records: What stands under the plan's records.
        now: The store's time (µs), estimated; the store itself decides when it grants a lease.
        signer: Verifies payloads.
    """
    plan = request.plan
    if cell is not None and envelope.is_lease(cell):
        return Leased(envelope.lease_of(cell))
    if _standing(envelope.cell_intents(cell), now) or _announced(records[: plan.required], now):
        return Blocked()
    if cell is None or not envelope.is_value(cell):
        return Vacant(None, "absent")
    return _judge_value(request, cell, records, now, signer)


def _judge_value(request: Request, cell: bytes, records: Sequence[bytes | None], now: int, signer: Signer) -> Usable | Blocked | Vacant:
    plan = request.plan
    parsed = envelope.parse_value(cell)
    if parsed is None:
        return Vacant(cell, "foreign payload", rejected=True)
    value, signature = parsed
    reason = _unusable(plan, request, value, records, now)
    if reason == "write intent":
        return Blocked()
    if reason:
        return Vacant(cell, reason)
    if not signer.verifies(plan.cell, value, signature):
        return Vacant(cell, "bad signature", rejected=True)
    try:
        return Usable(request.decode(value), value.filled)
    except SerializationError as error:
        return Vacant(cell, str(error), rejected=True)


def _unusable(plan: Plan, request: Request, value: Value, records: Sequence[bytes | None], now: int) -> str:
    """Return why a value can't be used, ``""`` when it can."""
    depth = len(value.tokens)
    tableless = value.kind in _LISTS and depth == NAMESPACES
    if value.kind not in request.kinds or (depth < _least(plan, value.kind) and not tableless) or depth > len(plan.records):
        return "other kind"
    if tableless and _changed_since(value.filled, records[depth:]):
        return "outdated"
    reason = _outdated(value.tokens, records, now)
    if reason:
        return reason
    if request.max_age is not None and request.max_age >= 0 and now - value.filled >= request.max_age * 1_000_000:
        return "expired"
    return ""


def _outdated(tokens: Sequence[str], records: Sequence[bytes | None], now: int) -> str:
    """Return what has become of the records since, ``""`` when they are as they were (DESIGN 5.2)."""
    for token, raw in zip(tokens, records, strict=False):
        record = envelope.parse_record(raw)
        if record is None:
            return "record gone"
        if _standing(record.intents, now):
            return "write intent"
        if record.intents or record.token != token:
            return "outdated"
    return ""


def _least(plan: Plan, kind: bytes) -> int:
    """Return how many records a value of this kind must depend on."""
    return len(plan.records) if kind == envelope.NEGATIVE else plan.required


def _changed_since(filled: int, records: Iterable[bytes | None]) -> bool:
    """Whether a table was written since: for an empty list that was put without a lookup, so that nobody knew what tables it is of.

    A record that isn't there belongs to a table that nobody has written, or was evicted before the list was.
    """
    parsed = (envelope.parse_record(raw) for raw in records)
    return any(record is not None and (record.intents or record.changed >= filled) for record in parsed)


def _announced(records: Iterable[bytes | None], now: int) -> bool:
    parsed = (envelope.parse_record(raw) for raw in records)
    return any(_standing(record.intents, now) for record in parsed if record is not None)


def _standing(intents: Iterable[Intent], now: int) -> bool:
    return any(intent.deadline > now for intent in intents)
