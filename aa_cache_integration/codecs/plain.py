"""The safe typed form of plain values that users keep in the cache themselves.

It knows the types of `scalars`, containers of them, and mapped instances. Types are exact, and nothing that a payload names is
imported or instantiated but mapped classes that this process has already.
"""

from __future__ import annotations

import zlib
from typing import Any

import msgspec
from sqlalchemy import inspect
from sqlalchemy.orm import InstanceState

from aa_cache_integration.codecs import registered
from aa_cache_integration.codecs.mapper import codec_for
from aa_cache_integration.codecs.tagged import READ_ERRORS, Reader, Writer
from aa_cache_integration.exceptions import ModelError, SerializationError

__all__ = ("FORMAT", "dumps", "loads")

FORMAT = 1
"""The version of the form."""
_HEAD = bytes((FORMAT,))
_BODY = 5
_ENCODER = msgspec.msgpack.Encoder()
_DECODER = msgspec.msgpack.Decoder()


def dumps(value: Any) -> bytes:
    """Serialise a plain value.

    Args:
        value: None, bools, numbers, strings, bytes, dates and times, ``Decimal``, ``Fraction``, ``UUID``, IP addresses, PostgreSQL
            ranges; lists, tuples, sets, frozensets and dicts of these; mapped instances.

    Raises:
        SerializationError: Some part has another type (subclasses of these included), or is nested too deeply; the message has the
            type and the path to it.
        ModelError: A mapped instance has a column that can't be written safely.
    """
    tree = Writer(text=False, entity=_write_entity).write(value)
    try:
        body = _ENCODER.encode(tree)
    except RecursionError as error:
        raise SerializationError("the value is nested too deeply") from error
    return _HEAD + zlib.crc32(body).to_bytes(4, "big") + body


def loads(data: bytes) -> Any:
    """Return the value that `dumps` wrote.

    Raises:
        SerializationError: The data is foreign or damaged, or holds an instance of a class that isn't mapped here as it was there.
    """
    if data[:1] != _HEAD:
        raise SerializationError(f"not a plain value of this package (format {FORMAT})")
    body = data[_BODY:]
    if data[1:_BODY] != zlib.crc32(body).to_bytes(4, "big"):
        raise SerializationError("damaged plain value: the checksum is wrong")
    try:
        return Reader(entity=_read_entity).read(_DECODER.decode(body))
    except SerializationError:
        raise
    except (msgspec.MsgspecError, *READ_ERRORS) as error:
        raise SerializationError(f"damaged plain value: {error}") from error


def _write_entity(value: Any) -> Any:
    if not isinstance(inspect(value, raiseerr=False), InstanceState):
        return None
    cls = type(value)
    return [registered.remember(cls), codec_for(cls).encode(value)]


def _read_entity(wire: Any) -> Any:
    name, payload = wire
    if type(name) is not str or type(payload) is not bytes:
        raise TypeError("malformed instance")
    cls = registered.find_class(name)
    if cls is None:
        raise SerializationError(f"an instance of {name}, which isn't a mapped class of this process")
    try:
        instance = codec_for(cls).decode(payload, cls)
    except ModelError as error:
        raise SerializationError(f"an instance of {name}, which can't be read: {error}") from error
    if instance is None or type(instance) is not cls:
        raise SerializationError(f"an instance of {name} with the payload of another class")
    return instance
