"""Mapped classes of this process, found by name; nothing is ever imported."""

from __future__ import annotations

import weakref
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import Table
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import mapperlib
from sqlalchemy.sql.expression import TableClause

from aa_cache_integration.codecs.family import root_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import ForeignKey, MetaData
    from sqlalchemy.orm import Mapper

__all__ = (
    "are_one",
    "class_name",
    "find_class",
    "find_mapper",
    "holds_whole_rows",
    "known_tables",
    "mapper_of_table",
    "may_be_one",
    "only_mapper_of",
    "referred_by",
    "remember",
    "target_of",
)

_by_table: weakref.WeakValueDictionary[str, Mapper[Any]] = weakref.WeakValueDictionary()
_by_name: weakref.WeakValueDictionary[str, type[Any]] = weakref.WeakValueDictionary()


def _mappers() -> Iterator[Mapper[Any]]:
    for registry in mapperlib._all_registries():  # noqa: SLF001 -- the only list of registries there is
        for manager in _managers_of(registry):
            # Not so a class whose declaration failed; one that is under way in another thread has no tables yet, or no key.
            if manager.is_mapped and vars(manager.mapper).keys() >= {"tables", "primary_key"}:
                yield manager.mapper


def _managers_of(registry: Any) -> tuple[Any, ...]:
    while True:
        try:
            return tuple(registry._managers)  # noqa: SLF001 -- `mappers` raises for a class that isn't mapped
        except RuntimeError:  # noqa: PERF203 - another thread has declared a class meanwhile
            continue


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


def known_tables(also: MetaData | None = None) -> tuple[Table, ...]:
    """Return every table of a mapped class, of the metadata of these, and of those to which their foreign keys lead.

    A table that another thread is making just now (a reflection takes round trips) isn't among them: it is told of when it is made.

    Args:
        also: More metadata to begin with.
    """
    mapped = [table for mapper in _mappers() for table in _tables_of(mapper)]
    found = dict.fromkeys(mapped)  # which may have been taken out of their metadata
    waiting = [table.metadata for table in mapped] + ([] if also is None else [also])
    seen: set[int] = set()
    while waiting:
        metadata = waiting.pop()
        if id(metadata) in seen:
            continue
        seen.add(id(metadata))
        tables = [table for table in tuple(metadata.tables.values()) if _is_made(table)]
        found.update(dict.fromkeys(tables))
        waiting.extend(target.metadata for table in tables for key in tuple(table.foreign_keys) if (target := target_of(key)) is not None)
    return tuple(found)


def _is_made(table: Table) -> bool:
    return all(hasattr(table, attribute) for attribute in ("name", "schema", "fullname", "foreign_keys"))


def target_of(key: ForeignKey) -> Table | None:
    """Return the table to which a foreign key leads; ``None``: its metadata doesn't have it."""
    try:
        return key.column.table
    except (SQLAlchemyError, AttributeError):  # it isn't there, or not made yet
        return None


@dataclass(frozen=True)
class Referred:
    """What a foreign key refers to, by name: the table may be in another metadata, or in several."""

    schema: str | None
    name: str
    columns: frozenset[str]
    """The column's names, folded."""

    def may_be(self, table: Table) -> bool:
        """Whether this may be that table."""
        return may_be_one(self.schema, self.name, table)


def referred_by(key: ForeignKey) -> Referred | None:
    """Return what a foreign key refers to; ``None``: it isn't made yet."""
    target = target_of(key)
    if target is not None:
        return Referred(target.schema, target.name, _folded(key.column.key, key.column.name))
    try:
        *table, column = key.target_fullname.split(".")
    except AttributeError:
        return None
    *schema, name = table or [column]  # a column that isn't named is called as the one that refers to it
    return Referred(".".join(schema) or None, name, _folded(column if table else key.parent.name))


def _folded(*names: str) -> frozenset[str]:
    return frozenset(name.casefold() for name in names)


def are_one(table: Table, other: Table) -> bool:
    """Whether two tables may be one in the database: of one name, however it is capitalised, and of one schema, or one has none.

    What a name without a schema means is for the connection to say (the default schema, a search path).
    """
    return table is other or may_be_one(table.schema, table.name, other)


def may_be_one(schema: str | None, name: str, table: Table) -> bool:
    """Whether a table may be the one that is meant by a name; see `are_one`."""
    schemas = {(schema or "").casefold(), (table.schema or "").casefold()}
    return name.casefold() == table.name.casefold() and (len(schemas) == 1 or "" in schemas)


def holds_whole_rows(table: Table) -> bool:
    """Whether each instance that has a part in the table has its root there: no row is added to one that exists without it.

    Else the table is a subclass's (joined inheritance), or one that a class joins; perhaps under another name, in other metadata.
    """
    return all(root_of(mapper).local_table is own for mapper in _mappers() for own in _tables_of(mapper) if are_one(table, own))


def only_mapper_of(table: Table) -> Mapper[Any] | None:
    """Return the topmost mapper of a table; ``None`` also where its rows have several cells, of which one mapper knows its own."""
    mapper = mapper_of_table(table)
    if mapper is None:
        return None
    root = root_of(mapper)
    named = table.fullname  # what is written to a table of another name, though it may be the same one, is never known by row
    others = (root_of(other) for other in _mappers() if _is_mapped(other) and any(one.fullname == named for one in _tables_of(other)))
    return mapper if all(other is root or _has_same_cells(root, other) for other in others) else None


def _tables_of(mapper: Mapper[Any]) -> Iterator[Table]:
    return (table for table in mapper.tables if isinstance(table, Table))


def _has_same_cells(root: Mapper[Any], other: Mapper[Any]) -> bool:
    """Whether the rows of two unrelated classes have the same cells: they are of a table of the same name and have the same key."""
    names = [getattr(one.local_table, "fullname", None) for one in (root, other)]
    return root.local_table is not other.local_table and names[0] == names[1] and _key_shape(root) == _key_shape(other)


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
