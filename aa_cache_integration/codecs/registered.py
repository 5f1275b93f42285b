"""Mapped classes of this process, found by name; nothing is ever imported."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

from sqlalchemy.orm import mapperlib
from sqlalchemy.sql.expression import TableClause

from aa_cache_integration.codecs.family import root_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Table
    from sqlalchemy.orm import Mapper

__all__ = ("class_name", "find_class", "find_mapper", "known_tables", "mapper_of_table", "mappers_with", "remember")

_by_table: weakref.WeakValueDictionary[str, Mapper[Any]] = weakref.WeakValueDictionary()
_by_name: weakref.WeakValueDictionary[str, type[Any]] = weakref.WeakValueDictionary()


def _mappers() -> Iterator[Mapper[Any]]:
    for registry in mapperlib._all_registries():  # noqa: SLF001 -- the only list of registries there is
        yield from registry.mappers


def _is_mapped(mapper: Mapper[Any]) -> bool:
    return mapper.class_manager.is_mapped and mapper.class_manager.mapper is mapper


def find_mapper(table_name: str) -> Mapper[Any] | None:
    """Return the mapper whose instances are rows of a table.

    Args:
        table_name: With its schema when it has one.

    Returns:
        The topmost mapper of its hierarchy that has this very table; None: there is none, or unrelated classes are mapped to
        tables of this name with primary keys of different types.
    """
    known = _by_table.get(table_name)
    if known is not None and _is_mapped(known):
        return known
    found = [mapper for mapper in _mappers() if isinstance(mapper.local_table, TableClause) and mapper.local_table.fullname == table_name]
    tops = [mapper for mapper in found if not any(other is not mapper and mapper.isa(other) for other in found)]
    if not tops or len({_key_shape(mapper) for mapper in tops}) > 1:
        return None
    top = min(tops, key=lambda mapper: (root_of(mapper) is not mapper, class_name(mapper.class_)))
    _by_table[table_name] = top
    return top


def mapper_of_table(table: Any) -> Mapper[Any] | None:
    """Return the topmost mapper that has this very table as its own; None: no class is mapped to it."""
    found = [mapper for mapper in _mappers() if mapper.local_table is table and _is_mapped(mapper)]
    tops = [mapper for mapper in found if not any(other is not mapper and mapper.isa(other) for other in found)]
    return min(tops, key=lambda mapper: class_name(mapper.class_)) if tops else None


def mappers_with(table: Any) -> tuple[Mapper[Any], ...]:
    """Return every mapper whose instances have values from this very table."""
    return tuple(mapper for mapper in _mappers() if table in mapper.tables and _is_mapped(mapper))


def known_tables() -> Iterator[Table]:
    """Yield every table of the metadata in which a class is mapped; those that no class is mapped to among them."""
    seen: set[int] = set()
    for mapper in _mappers():
        for table in mapper.tables:
            metadata = getattr(table, "metadata", None)
            if metadata is not None and id(metadata) not in seen:
                seen.add(id(metadata))
                yield from tuple(metadata.tables.values())


def _key_shape(mapper: Mapper[Any]) -> tuple[tuple[str, str], ...]:
    return tuple((column.name, repr(column.type)) for column in mapper.primary_key)


def class_name(cls: type[Any]) -> str:
    """Return the name under which payloads know a class."""
    return f"{cls.__module__}:{cls.__qualname__}"


def remember(cls: type[Any]) -> str:
    """Let `find_class` find this very class, rather than another of its name; return its name."""
    name = class_name(cls)
    _by_name[name] = cls
    return name


def find_class(name: str) -> type[Any] | None:
    """Return the mapped class of this name, if one is known here."""
    known = _by_name.get(name)
    if known is not None:
        return known
    found = next((mapper.class_ for mapper in _mappers() if class_name(mapper.class_) == name), None)
    if found is not None:
        _by_name[name] = found
    return found
