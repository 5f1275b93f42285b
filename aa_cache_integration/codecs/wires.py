"""The fast form of one column's stored values: the msgpack type, and what must be done to a value on its way there and back."""

from __future__ import annotations

import uuid
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import JSON, DateTime, Enum, Time

from aa_cache_integration.codecs.tagged import MAX_DEPTH, Reader, Writer

if TYPE_CHECKING:
    import enum
    from collections.abc import Callable

    from sqlalchemy.types import TypeEngine

__all__ = ("Unfit", "Wire", "wire_of")


class Unfit(Exception):  # noqa: N818 -- not an error: the row takes the other form
    """This value isn't what its column's type promises."""


class Wire(NamedTuple):
    """How one column's values stand in the fast form."""

    annotation: Any
    """What msgspec decodes it as."""
    exact: type[Any] | None
    """The one Python type that stored values have; None: ``pack`` decides."""
    pack: Callable[[Any], Any] | None = None
    """Stored value → what msgspec writes; raises `Unfit`. Not given None."""
    read: Callable[[Any], Any] | None = None
    """What msgspec read → stored value. Not given None."""


_NATIVE: frozenset[type[Any]] = frozenset({bool, int, float, Decimal, str, bytes, date, timedelta})


def wire_of(stored: TypeEngine[Any]) -> Wire:
    """Return the fast form for a type of stored values."""
    if isinstance(stored, Enum) and stored.enum_class is not None:
        return _enum_wire(stored.enum_class)
    if isinstance(stored, JSON):
        return Wire(Any, None, _pack_json)
    try:
        python: Any = stored.python_type
    except NotImplementedError:
        python = None
    if python in _NATIVE:
        return Wire(python | None, python)
    if python is uuid.UUID:
        return Wire(uuid.UUID | None, None, _pack_uuid)
    if python in (datetime, time):
        return _clock_wire(python, aware=isinstance(stored, (DateTime, Time)) and stored.timezone)
    return _tree_wire(stored)


def _enum_wire(members: type[enum.Enum]) -> Wire:
    def pack(value: enum.Enum) -> str:
        if members.__members__.get(value.name) is not value:
            raise Unfit
        return value.name

    return Wire(str | None, members, pack, lambda name: members[name])  # ``members.__getitem__`` is that of `str` for a `StrEnum`


def _pack_uuid(value: Any) -> uuid.UUID:
    if type(value) is uuid.UUID:
        return value
    if isinstance(value, uuid.UUID):
        return uuid.UUID(int=value.int)  # asyncpg's own class
    raise Unfit


def _clock_wire(python: type[Any], *, aware: bool) -> Wire:
    """Datetimes and times. msgspec turns aware datetimes to UTC and rounds offsets, so those go as text."""

    def pack_naive(value: Any) -> Any:
        if value.tzinfo is not None or value.fold:
            raise Unfit
        return value

    def pack_aware(value: Any) -> str:
        if value.fold and value.utcoffset() is None:
            raise Unfit
        return str(value.isoformat())

    if aware:
        return Wire(str | None, python, pack_aware, python.fromisoformat)
    return Wire(python | None, python, pack_naive)


def _pack_json(value: Any) -> Any:
    if not _is_json(value, 0):
        raise Unfit
    return value


def _is_json(value: Any, depth: int) -> bool:
    cls = type(value)
    if value is None or cls in (str, int, float, bool):
        return True
    if depth >= MAX_DEPTH:
        return False
    if cls is dict:
        return all(type(key) is str and _is_json(item, depth + 1) for key, item in value.items())
    return cls is list and all(_is_json(item, depth + 1) for item in value)


def _tree_wire(stored: TypeEngine[Any]) -> Wire:
    """Arrays, ranges, addresses, and whatever a DBAPI gives: self-describing values in a fast row."""
    members = stored.enum_class if isinstance(stored, Enum) else getattr(getattr(stored, "item_type", None), "enum_class", None)
    return Wire(Any, None, Writer(text=False, enums=members).write, Reader(enums=members).read)
