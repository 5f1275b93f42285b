"""Primary keys in one canonical form, however a caller spells them."""

from __future__ import annotations

import enum
import ipaddress
import uuid
from collections.abc import Mapping
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from aa_cache_integration.codecs import dialects
from aa_cache_integration.codecs.build import describe, key_attributes, mapper_of, state_of
from aa_cache_integration.codecs.columns import form_of
from aa_cache_integration.codecs.convert import convert, expected_type
from aa_cache_integration.codecs.family import base_table_name
from aa_cache_integration.codecs.registered import find_mapper
from aa_cache_integration.exceptions import IdentityError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sqlalchemy.orm import Mapper

    from aa_cache_integration.codecs.columns import ColumnForm

__all__ = ("base_table_name", "find_mapper", "identity_of", "identity_text", "instance_identity", "normalize")


def normalize(model: Any, ident: Any) -> tuple[Any, ...]:
    """Return a primary key as a tuple of Python values in the order of ``mapper.primary_key``.

    ``5`` and ``"5"`` of an integer column, a dashed and an undashed UUID, a tuple and a dict of a composite key give the same.

    Args:
        model: A mapped class or its mapper.
        ident: A value, a tuple or list of values, or a dict by attribute or column names.

    Raises:
        IdentityError: The shape is wrong, or a value isn't of its column's type.
        ModelError: The class isn't mapped.
    """
    mapper = mapper_of(model)
    values = _values(mapper, ident)
    if all(value is None for value in values):
        raise _refusal(mapper, ident, "a primary key isn't None")
    return tuple([_convert(mapper, index, value) for index, value in enumerate(values)])


def identity_of(model: Any, ident: Any) -> tuple[str, ...]:
    """Return the canonical text of a primary key, however it is spelled.

    Args:
        model: A mapped class or its mapper; ``None`` where only a name is known: the values are taken as they are.
        ident: A value, a tuple or list of values, or, with a model, a dict by attribute or column names.

    Raises:
        IdentityError: The shape is wrong, or a value isn't of its column's type.
    """
    if model is None:
        return identity_text(tuple(ident) if isinstance(ident, (tuple, list)) else (ident,))
    return identity_text(normalize(model, ident), model)


def instance_identity(instance: Any) -> tuple[Any, ...]:
    """Return the primary key that an instance has, without asking the database: ``None`` for what isn't set.

    Raises:
        ModelError: It isn't an instance of a mapped class.
    """
    state = state_of(instance)
    if state.identity is not None:
        return tuple(state.identity)
    return tuple([state.dict.get(key) for key in key_attributes(state.mapper)])


def _values(mapper: Mapper[Any], ident: Any) -> Sequence[Any]:
    columns = mapper.primary_key
    if isinstance(ident, Mapping):
        names = [{attribute, column.name} for attribute, column in zip(key_attributes(mapper), columns, strict=True)]
        found = [[name for name in ident if name in known] for known in names]
        if len(ident) != len(columns) or any(len(matches) != 1 for matches in found):
            raise _refusal(mapper, ident, f"the keys are {', '.join(map(str, ident)) or 'none'}")
        return [ident[matches[0]] for matches in found]
    if isinstance(ident, (tuple, list)):
        if len(ident) != len(columns):
            raise _refusal(mapper, ident, f"{len(ident)} values")
        return ident
    if len(columns) != 1:
        raise _refusal(mapper, ident, "one value")
    return (ident,)


def _convert(mapper: Mapper[Any], index: int, value: Any) -> Any:
    if value is None:
        return None
    form = _form(mapper, index)
    try:
        if form.bind is None and form.restore is None:
            return convert(form.stored, value)
        # a type with processing of its own: what the database would give back for this value
        stored = convert(form.stored, form.take(value))
        return stored if form.restore is None else form.restore(stored)
    except Exception as error:  # code of the application's types
        name = key_attributes(mapper)[index]
        wanted = expected_type(form.declared)
        raise _refusal(mapper, value, f"{name}={value!r} ({type(value).__name__}): {error}", wanted) from error


_INFO_KEY = "aa_cache_integration.key_forms"


def _form(mapper: Mapper[Any], index: int) -> ColumnForm:
    forms: tuple[ColumnForm, ...] | None = mapper.class_manager.info.get(_INFO_KEY)
    if forms is None:
        dialect = dialects.named(dialects.DEFAULT)
        forms = tuple([form_of(column.type, dialect, f"{mapper.class_.__name__}.{column.key}") for column in mapper.primary_key])
        mapper.class_manager.info[_INFO_KEY] = forms
    return forms[index]


def _refusal(mapper: Mapper[Any], ident: Any, found: str, wanted: type[Any] | None = None) -> IdentityError:
    key = ", ".join(key_attributes(mapper))
    shape = f"the primary key ({key})" if wanted in (None, object) else f"{wanted.__name__} in the primary key ({key})"
    return IdentityError(f"{describe(mapper.class_)}: expected {shape}, got {found} - in {ident!r}")


def identity_text(values: Sequence[Any], model: Any = None) -> tuple[str, ...]:
    """Return one text for each value of a primary key: equal for equal keys, distinct for distinct ones of one column type.

    Args:
        values: What `normalize` returned; or raw values, where no mapper is known.
        model: The mapped class or mapper; needed for columns whose type makes Python objects of its own.

    Raises:
        IdentityError: A value has no canonical text.
    """
    if model is None:
        return tuple([_text(value) for value in values])
    mapper = mapper_of(model)
    return tuple([_bound_text(mapper, index, value) for index, value in enumerate(values)])


def _bound_text(mapper: Mapper[Any], index: int, value: Any) -> str:
    form = _form(mapper, index)
    if form.bind is None:
        return _text(value)
    try:
        return _text(form.take(value))
    except Exception as error:  # code of the application's types
        raise _refusal(mapper, value, f"{value!r}: {error}") from error


def _text(value: Any) -> str:
    for types, write in _TEXTS:
        if isinstance(value, types):
            return write(value)
    raise IdentityError(f"{value!r} ({describe(type(value))}) has no canonical text, so it can't be part of a cache key")


def _str_text(value: str) -> str:
    text = str.__str__(value)  # of a subclass too
    return "\\" + text if text.startswith("\\") else text  # so that none is taken for None's


def _datetime_text(value: datetime) -> str:
    return (value if value.utcoffset() is None else value.astimezone(timezone.utc)).isoformat()


_MOST_ZEROS = 40


def _decimal_text(value: Decimal) -> str:
    """1.0 and 1.00 are one number; ``normalize()`` would round to the context's precision."""
    sign, digits, exponent = value.as_tuple()
    if not isinstance(exponent, int):
        return str(value)
    if not value:
        return "0"
    text = "".join(map(str, digits)).lstrip("0")
    shorter = text.rstrip("0")
    exponent += len(text) - len(shorter)
    minus = "-" if sign else ""
    return f"{minus}{shorter}{'0' * exponent}" if 0 <= exponent <= _MOST_ZEROS else f"{minus}{shorter}E{exponent}"


_TEXTS: tuple[tuple[Any, Callable[[Any], str]], ...] = (
    (type(None), lambda _: "\\N"),
    (enum.Enum, lambda value: str(value.name)),
    (bool, lambda value: "1" if value else "0"),
    (str, _str_text),
    (int, lambda value: format(value, "d")),
    (uuid.UUID, str),
    (Decimal, _decimal_text),
    (float, lambda value: repr(value + 0.0)),  # -0.0 equals 0.0
    ((bytes, bytearray), lambda value: value.hex()),
    (datetime, _datetime_text),
    ((date, time), lambda value: value.isoformat()),
    (timedelta, lambda value: f"{value // timedelta(microseconds=1)}us"),
    ((ipaddress.IPv4Address, ipaddress.IPv6Address, ipaddress.IPv4Network, ipaddress.IPv6Network), str),
)
"""By type, a subclass before its base."""
