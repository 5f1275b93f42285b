"""The form in which a list of rows is kept: the rows' payloads, and a count that may come with them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from aa_cache_integration.exceptions import SerializationError

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ("dumps", "loads")

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(tuple[int | None, tuple[bytes, ...]])


def dumps(items: Sequence[bytes], count: int | None) -> bytes:
    """Return the bytes of a list.

    Args:
        items: The rows' payloads.
        count: The count; ``None``: without one.
    """
    return _encoder.encode((count, items))


def loads(payload: bytes) -> tuple[tuple[bytes, ...], int | None]:
    """Return the rows' payloads and the count.

    Raises:
        SerializationError: The bytes aren't a list's.
    """
    try:
        count, items = _decoder.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise SerializationError("the list's payload is corrupt") from error
    return items, count
