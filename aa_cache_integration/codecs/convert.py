"""Turn a value that stands for a primary key into the Python type of its column."""

from __future__ import annotations

import enum
import re
import uuid
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from sqlalchemy import Enum

from aa_cache_integration.codecs.scalars import read_datetime

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy.types import TypeEngine

__all__ = ("convert", "expected_type")

_INTEGER = re.compile(r"[+-]?\d+", re.ASCII)
_BOOLS = {"true": True, "t": True, "1": True, "false": False, "f": False, "0": False}


def convert(type_: TypeEngine[Any], value: Any) -> Any:
    """Return ``value`` as the Python type of a column of SQLAlchemy's own type.

    Raises:
        ValueError: It isn't of that type and has no one meaning in it.
        TypeError: As ``ValueError``.
    """
    if value is None:
        return None
    if isinstance(type_, Enum):
        return _to_enum(type_, value)
    converter = _CONVERTERS.get(expected_type(type_) or object)
    if converter is None:
        hash(value)  # a key must be hashable whatever it is
        return value
    return converter(value, type_)


def expected_type(type_: TypeEngine[Any]) -> type[Any] | None:
    """Return the Python type of a column's values; None: the type doesn't tell."""
    if isinstance(type_, Enum) and type_.enum_class is not None:
        return type_.enum_class
    try:
        return type_.python_type
    except NotImplementedError:
        return None


def _to_int(value: Any, _: TypeEngine[Any]) -> int:
    if isinstance(value, str):
        if not _INTEGER.fullmatch(value):
            raise ValueError("not a whole number")
        return int(value)
    if isinstance(value, (float, Decimal)):
        if value != int(value):
            raise ValueError("not a whole number")
        return int(value)
    if hasattr(value, "__index__"):
        return int(value)  # bools and NumPy's integers are integers
    raise TypeError("not a whole number")


def _to_bool(value: Any, _: TypeEngine[Any]) -> bool:
    if isinstance(value, str):
        if value.lower() not in _BOOLS:
            raise ValueError("not a truth value")
        return _BOOLS[value.lower()]
    if value not in (0, 1):
        raise ValueError("not a truth value")
    return bool(value)


def _to_str(value: Any, type_: TypeEngine[Any]) -> str:
    if hasattr(type_, "as_uuid"):
        return str(_to_uuid(value, type_))
    if isinstance(value, str):
        return str.__str__(value)  # the text of a str subclass, a StrEnum's too
    if isinstance(value, (int, uuid.UUID)) and not isinstance(value, (bool, enum.Enum)):
        return str(value)
    raise TypeError("not a string")


def _to_uuid(value: Any, _: TypeEngine[Any]) -> uuid.UUID:
    if isinstance(value, uuid.UUID):
        return value if type(value) is uuid.UUID else uuid.UUID(int=value.int)
    if isinstance(value, bytes):
        return uuid.UUID(bytes=value)
    if isinstance(value, str):
        return uuid.UUID(value)
    raise TypeError("not a UUID")


def _to_decimal(value: Any, _: TypeEngine[Any]) -> Decimal:
    if isinstance(value, float):
        value = repr(value)
    if isinstance(value, (int, str, Decimal)):
        return Decimal(value)  # decimal.InvalidOperation is an ArithmeticError
    raise TypeError("not a decimal number")


def _to_float(value: Any, _: TypeEngine[Any]) -> float:
    if isinstance(value, (int, float, str, Decimal)):
        return float(value)
    raise TypeError("not a number")


def _to_bytes(value: Any, _: TypeEngine[Any]) -> bytes:
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value)
    raise TypeError("not bytes")


def _to_datetime(value: Any, _: TypeEngine[Any]) -> datetime:
    if isinstance(value, str):
        return read_datetime(value)
    if isinstance(value, datetime):
        return value
    if isinstance(value, date):
        return datetime(value.year, value.month, value.day)  # noqa: DTZ001 -- a date has no zone
    raise TypeError("not a datetime")


def _to_date(value: Any, _: TypeEngine[Any]) -> date:
    if isinstance(value, str):
        return date.fromisoformat(value)
    if isinstance(value, date) and not isinstance(value, datetime):
        return value
    raise TypeError("not a date")


def _to_time(value: Any, _: TypeEngine[Any]) -> time:
    if isinstance(value, str):
        return time.fromisoformat(value)
    if isinstance(value, time):
        return value
    raise TypeError("not a time")


def _to_timedelta(value: Any, _: TypeEngine[Any]) -> timedelta:
    if isinstance(value, timedelta):
        return value
    raise TypeError("not a timedelta")


def _to_enum(type_: Enum, value: Any) -> Any:
    members: Any = type_.enum_class
    if members is None:
        if isinstance(value, str) and value in type_.enums:
            return str.__str__(value)
        raise ValueError(f"not one of {', '.join(type_.enums)}")
    if isinstance(value, members):
        return value
    if isinstance(value, str) and value in members.__members__:
        return members[value]
    if isinstance(value, str) and value in type_.enums:  # what the database holds, when `values_callable` chose it
        unique: list[Any] = list(members)
        every = unique if len(unique) == len(type_.enums) else list(members.__members__.values())
        return every[type_.enums.index(value)]
    raise ValueError(f"not one of {', '.join(members.__members__)}")


_CONVERTERS: dict[type[Any], Callable[[Any, TypeEngine[Any]], Any]] = {
    int: _to_int,
    bool: _to_bool,
    str: _to_str,
    uuid.UUID: _to_uuid,
    Decimal: _to_decimal,
    float: _to_float,
    bytes: _to_bytes,
    datetime: _to_datetime,
    date: _to_date,
    time: _to_time,
    timedelta: _to_timedelta,
}
