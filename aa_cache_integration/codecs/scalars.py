"""How one value that isn't a container is written under a tag, and read back.

A tag names a type of this table, never a class of the application: reading a payload can't instantiate anything else.
"""

from __future__ import annotations

import ipaddress
import math
import uuid
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import TYPE_CHECKING, Any, NamedTuple
from zoneinfo import ZoneInfo

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ("KINDS", "KIND_OF_TAG", "Kind", "read_datetime", "write_datetime")

Wire = Any  # what msgspec writes natively: None, bool, int, float, str, list


class Kind(NamedTuple):
    """One type that has a tag of its own."""

    tag: str
    write: Callable[[Any], Wire]
    read: Callable[[Any], Any]


def _zone_suffix(value: datetime | time) -> str:
    """What ISO 8601 can't say: the zone's name, and the fold of a value whose offset doesn't tell it (RFC 9557's brackets)."""
    zone = value.tzinfo
    suffix = f"[{zone.key}]" if isinstance(zone, ZoneInfo) and zone.key else ""
    return f"{suffix}[fold=1]" if value.fold else suffix


def write_datetime(value: datetime | time) -> str:
    """Write a datetime or a time as ISO 8601, with its zone's name and fold in brackets where it has them."""
    if isinstance(value, time) and value.tzinfo is not None and value.utcoffset() is None and not isinstance(value.tzinfo, ZoneInfo):
        raise ValueError(f"a time in the zone {value.tzinfo!r}, which has no fixed offset and no name")
    return value.isoformat() + _zone_suffix(value)


def _split_zone(text: str) -> tuple[str, ZoneInfo | None, int]:
    text, *brackets = text.split("[")
    zone, fold = None, 0
    for bracket in brackets:
        if not bracket.endswith("]"):
            raise ValueError(f"an unclosed bracket after {text!r}")
        if bracket == "fold=1]":
            fold = 1
        else:
            zone = ZoneInfo(bracket[:-1])
    return text, zone, fold


def read_datetime(text: str) -> datetime:
    """Read what `write_datetime` wrote of a datetime; ``Z`` is understood too."""
    text, zone, fold = _split_zone(text)
    value = datetime.fromisoformat(text[:-1] + "+00:00" if text.endswith("Z") else text)
    if zone is not None:
        # the wall clock and the fold are what was written; the offset only confirms them
        value = value.replace(tzinfo=zone)
    return value.replace(fold=fold) if fold else value


def _read_time(text: str) -> time:
    text, zone, fold = _split_zone(text)
    value = time.fromisoformat(text[:-1] + "+00:00" if text.endswith("Z") else text)
    if zone is not None:
        value = value.replace(tzinfo=zone)
    return value.replace(fold=fold) if fold else value


def _read_timedelta(wire: list[int]) -> timedelta:
    days, seconds, microseconds = wire
    return timedelta(days, seconds, microseconds)


def _read_complex(wire: list[str]) -> complex:
    real, imaginary = wire
    return complex(float(real), float(imaginary))


def _read_fraction(wire: list[str]) -> Fraction:
    numerator, denominator = wire
    return Fraction(int(numerator, 16), int(denominator, 16))


def _read_float(text: str) -> float:
    value = float(text)
    if math.isfinite(value):
        raise ValueError("a finite float is written as a number")
    return value


def _read_text(cls: type[Any]) -> Callable[[Any], Any]:
    def read(wire: Any) -> Any:
        if type(wire) is not str:
            raise TypeError(f"expected a string, got {type(wire).__name__}")
        return cls(wire)

    return read


def _write_surrogates(value: str) -> str:
    """Lone surrogates (undecodable file names have them) are in no Unicode encoding."""
    return value.encode("utf-8", "surrogatepass").hex()


def _read_surrogates(wire: str) -> str:
    return bytes.fromhex(wire).decode("utf-8", "surrogatepass")


def _hex(value: bytes | bytearray) -> str:
    return bytes(value).hex()


KINDS: dict[type[Any], Kind] = {
    # hexadecimal, because Python limits how many decimal digits it will convert
    int: Kind("int", lambda value: format(value, "x"), lambda wire: int(wire, 16)),
    float: Kind("float", str, _read_float),
    str: Kind("str", _write_surrogates, _read_surrogates),
    bytes: Kind("bytes", _hex, bytes.fromhex),
    bytearray: Kind("bytearray", _hex, bytearray.fromhex),
    complex: Kind("complex", lambda value: [repr(value.real), repr(value.imag)], _read_complex),
    Fraction: Kind("fraction", lambda value: [format(value.numerator, "x"), format(value.denominator, "x")], _read_fraction),
    Decimal: Kind("decimal", str, _read_text(Decimal)),
    uuid.UUID: Kind("uuid", str, _read_text(uuid.UUID)),
    datetime: Kind("datetime", write_datetime, read_datetime),
    date: Kind("date", date.isoformat, date.fromisoformat),
    time: Kind("time", write_datetime, _read_time),
    timedelta: Kind("timedelta", lambda value: [value.days, value.seconds, value.microseconds], _read_timedelta),
    ipaddress.IPv4Address: Kind("ipv4address", str, _read_text(ipaddress.IPv4Address)),
    ipaddress.IPv6Address: Kind("ipv6address", str, _read_text(ipaddress.IPv6Address)),
    ipaddress.IPv4Network: Kind("ipv4network", str, _read_text(ipaddress.IPv4Network)),
    ipaddress.IPv6Network: Kind("ipv6network", str, _read_text(ipaddress.IPv6Network)),
    ipaddress.IPv4Interface: Kind("ipv4interface", str, _read_text(ipaddress.IPv4Interface)),
    ipaddress.IPv6Interface: Kind("ipv6interface", str, _read_text(ipaddress.IPv6Interface)),
}
"""By exact type. ``int``, ``float``, ``str`` and ``bytes`` are tagged only where the format has no native form for the value."""

KIND_OF_TAG: dict[str, Kind] = {kind.tag: kind for kind in KINDS.values()}
