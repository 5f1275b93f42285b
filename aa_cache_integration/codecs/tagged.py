"""Write any supported value as a tree of what msgspec knows, with tags where the type would be lost.

A tree holds None, bools, numbers, strings, bytes (binary form only), lists and dicts. Everything else stands in it as
``{"__type__": tag, "value": tree}``; so does a dict that has such a key of its own, or a key that isn't a string. Types are exact:
a subclass of a built-in type is refused rather than read back as its base.
"""

from __future__ import annotations

import math
import uuid
from typing import TYPE_CHECKING, Any

from sqlalchemy.dialects import postgresql

from aa_cache_integration.codecs.scalars import KIND_OF_TAG, KINDS
from aa_cache_integration.exceptions import SerializationError

if TYPE_CHECKING:
    import enum
    from collections.abc import Callable, Iterable

__all__ = ("MAX_DEPTH", "READ_ERRORS", "Reader", "Writer")

MAX_DEPTH = 100
"""Containers within containers; deeper values are refused (and so are those that contain themselves)."""

READ_ERRORS = (ValueError, TypeError, LookupError, ArithmeticError, AttributeError, OSError, RecursionError)
"""What reading a damaged tree can raise (``OSError``: a zone's name that isn't a file's)."""

_MARK, _VALUE = "__type__", "value"
_INT64 = range(-(2**63), 2**63)
_SEQUENCES: dict[type[Any], str] = {tuple: "tuple", set: "set", frozenset: "frozenset", postgresql.ranges.MultiRange: "multirange"}
_SEQUENCE_OF_TAG: dict[str, Callable[[Iterable[Any]], Any]] = {tag: cls for cls, tag in _SEQUENCES.items()}
_BOUNDS = ("()", "[)", "(]", "[]")
# SQLAlchemy 2.1 has a string subclass for BIT columns; 2.0 has none
_BIT_STRING: type[Any] | None = getattr(postgresql, "BitString", None)


def _tag(tag: str, tree: Any) -> dict[str, Any]:
    return {_MARK: tag, _VALUE: tree}


class Writer:
    """Writes values as trees. It keeps no state, so threads may share it.

    Args:
        text: For JSON: bytes as hex, and no native NaN or infinity.
        enums: The one Enum class whose members may occur; they are written by name.
        entity: Writes a mapped instance as a tree, or returns None for what isn't one.
    """

    __slots__ = ("_entity", "_enums", "_text")

    def __init__(self, *, text: bool, enums: type[enum.Enum] | None = None, entity: Callable[[Any], Any] | None = None) -> None:
        """Fix the form."""
        self._text = text
        self._enums = enums
        self._entity = entity

    def write(self, value: Any, root: str = "$") -> Any:
        """Return the tree of ``value``.

        Args:
            value: Anything.
            root: What the value is called in errors.

        Raises:
            SerializationError: Some part has no safe form; the message has its type and its path.
        """
        try:
            return self._write(value, [root])
        except RecursionError as error:
            raise SerializationError(f"the value at `{root}` is nested too deeply") from error

    def _write(self, value: Any, path: list[str]) -> Any:  # noqa: PLR0911 -- one per native form
        cls = type(value)
        if value is None or cls is bool:
            return value
        if cls is str:
            return self._write_str(value)
        if cls is int:
            return value if value in _INT64 else _tag("int", KINDS[int].write(value))
        if cls is float:
            return value if math.isfinite(value) or not self._text else _tag("float", str(value))
        if cls is bytes and not self._text:
            return value
        if cls is list:
            return self._write_items(value, path)
        if cls is dict:
            return self._write_dict(value, path)
        if cls in _SEQUENCES:
            return _tag(_SEQUENCES[cls], self._write_items(value, path))
        return self._write_other(value, cls, path)

    def _write_str(self, value: str) -> Any:
        try:
            value.encode()
        except UnicodeEncodeError:
            return _tag("str", KINDS[str].write(value))
        return value

    def _write_items(self, items: Iterable[Any], path: list[str]) -> list[Any]:
        _descend(path)
        tree = []
        for index, item in enumerate(items):
            path[-1] = f"[{index}]"
            tree.append(self._write(item, path))
        path.pop()
        return tree

    def _write_dict(self, value: dict[Any, Any], path: list[str]) -> Any:
        _descend(path)
        plain = _MARK not in value
        pairs = []
        for key, item in value.items():
            path[-1] = f".{key}" if type(key) is str else f"[{key!r}]"
            written = self._write(key, path)
            plain = plain and type(written) is str
            pairs.append((written, self._write(item, path)))
        path.pop()
        return dict(pairs) if plain else _tag("dict", [list(pair) for pair in pairs])

    def _write_other(self, value: Any, cls: type[Any], path: list[str]) -> Any:
        # asyncpg has a faster UUID of its own, equal in all but its class
        kind = KINDS.get(uuid.UUID if issubclass(cls, uuid.UUID) else cls)
        if kind is not None:
            try:
                return _tag(kind.tag, kind.write(value))
            except ValueError as error:
                raise _refusal(str(error), path) from error
        if cls is postgresql.Range:
            ends = [self._write(value.lower, path), self._write(value.upper, path)]
            return _tag("range", [*ends, value.bounds, value.empty])
        if cls is _BIT_STRING:
            return _tag("bitstring", str(value))
        if self._enums is not None and cls is self._enums and self._enums.__members__.get(value.name) is value:
            return _tag("enum", value.name)
        tree = None if self._entity is None else self._entity(value)
        if tree is None:
            raise _refusal(f"{cls.__module__}.{cls.__qualname__} has no safe serialised form", path)
        return _tag("entity", tree)


def _descend(path: list[str]) -> None:
    if len(path) > MAX_DEPTH:
        start = "".join(path[:4])
        raise SerializationError(f"the value at {start}… is nested deeper than {MAX_DEPTH} levels, or contains itself")
    path.append("")


def _refusal(what: str, path: list[str]) -> SerializationError:
    return SerializationError(f"{what} - at `{''.join(path)}`")


class Reader:
    """Reads trees; what it raises on a damaged tree is among `READ_ERRORS`.

    Args:
        enums: The Enum class that the tag ``enum`` stands for.
        entity: Reads the tree of a mapped instance.
    """

    __slots__ = ("_entity", "_enums")

    def __init__(self, *, enums: type[enum.Enum] | None = None, entity: Callable[[Any], Any] | None = None) -> None:
        """Fix what the tags ``enum`` and ``entity`` mean."""
        self._enums = enums
        self._entity = entity

    def read(self, tree: Any, depth: int = 0) -> Any:
        """Return the value of ``tree``."""
        cls = type(tree)
        if tree is None or cls in (bool, int, float, str, bytes):
            return tree
        if depth > MAX_DEPTH + 1:
            raise ValueError(f"nested deeper than {MAX_DEPTH} levels")
        if cls is list:
            return [self.read(item, depth + 1) for item in tree]
        if cls is not dict:
            raise TypeError(f"unexpected {cls.__name__}")
        if _MARK in tree:
            return self._read_tagged(tree, depth + 1)
        if not all(type(key) is str for key in tree):
            raise TypeError("a key that isn't a string")
        return {key: self.read(item, depth + 1) for key, item in tree.items()}

    def _read_tagged(self, tree: dict[str, Any], depth: int) -> Any:  # noqa: PLR0911 -- one per tag
        tag, wire = tree[_MARK], tree[_VALUE]
        if len(tree) != len((_MARK, _VALUE)):
            raise ValueError("a tag with unknown fields")
        kind = KIND_OF_TAG.get(tag)
        if kind is not None:
            return kind.read(wire)
        if tag in _SEQUENCE_OF_TAG:
            return _SEQUENCE_OF_TAG[tag]([self.read(item, depth) for item in _expect_list(wire)])
        if tag == "dict":
            return {self.read(key, depth): self.read(item, depth) for key, item in _expect_list(wire)}
        if tag == "range":
            return self._read_range(wire, depth)
        if tag == "bitstring" and _BIT_STRING is not None:
            return _BIT_STRING(wire)
        if tag == "enum" and self._enums is not None:
            return self._enums[wire]
        if tag == "entity" and self._entity is not None:
            return self._entity(wire)
        raise ValueError(f"unknown tag {tag!r}")

    def _read_range(self, wire: Any, depth: int) -> Any:
        lower, upper, bounds, empty = wire
        if bounds not in _BOUNDS or type(empty) is not bool:
            raise ValueError("malformed range")
        return postgresql.Range(self.read(lower, depth), self.read(upper, depth), bounds=bounds, empty=empty)


def _expect_list(wire: Any) -> list[Any]:
    if type(wire) is not list:
        raise TypeError(f"expected a list, got {type(wire).__name__}")
    return wire
