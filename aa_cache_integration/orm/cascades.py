"""What the database changes beside the rows that a statement names: by foreign keys, conflict clauses, and as it is declared (DESIGN 6)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from aa_cache_integration.codecs.family import root_of
from aa_cache_integration.codecs.registered import (
    are_one,
    holds_whole_rows,
    known_tables,
    mapper_of_table,
    may_be_one,
    only_mapper_of,
    referred_by,
    target_of,
)
from aa_cache_integration.orm.once import once

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sqlalchemy import ForeignKey, Table

    from aa_cache_integration.planner import Planner

__all__ = (
    "also_written",
    "changed_by_the_database",
    "column_names",
    "known_as",
    "namesakes",
    "only_adds",
    "replaces",
    "tables_named",
    "with_caused",
    "without_transactions",
)

_FOLLOWED: Final = frozenset({"CASCADE", "SET NULL", "SET DEFAULT"})
_NO_EFFECT: Final[frozenset[str]] = frozenset()
_TRANSACTIONAL: Final = frozenset({"innodb", "rocksdb", "ndb", "ndbcluster", "tokudb"})


def changed_by_the_database(table: Table, columns: frozenset[str] | None, *, other_rows: bool = False) -> tuple[Table, ...]:
    """Return the tables whose rows the database itself changes by ``ON DELETE`` and ``ON UPDATE`` rules, over any depth.

    Args:
        table: What is written.
        columns: Names of the columns that are set; ``None``: rows are deleted.
        other_rows: Leave out those of which only the parts of the written rows' own instances are changed: a row of a subclass's table.
    """
    found: dict[Table, None] = {}
    seen: set[tuple[Table, frozenset[str] | None, bool]] = set()
    waiting = [(table, columns, other_rows)]
    keys = _keys_to(table)
    while waiting:
        parent, changed, is_own = waiting.pop()
        changed = None if changed is None else changed | _computed(parent)
        for key in keys.get(parent.name.casefold(), ()):
            then = _effect(key, parent, changed)
            if then is _NO_EFFECT:
                continue
            child = key.parent.table
            edge = (child, then, is_own and _inherits(key))
            if not edge[2]:
                found[child] = None
            if edge not in seen:
                seen.add(edge)
                waiting.append(edge)
    return tuple(found)


_Keys = dict[str, list["ForeignKey"]]


@once
def _all_keys() -> tuple[frozenset[int], _Keys]:
    tables = known_tables()
    return frozenset(map(id, tables)), _keys_by_target(tables)


def _keys_to(table: Table) -> _Keys:
    """Return the foreign keys of all tables, by the name of what they refer to."""
    idents, keys = _all_keys()
    return keys if id(table) in idents else _keys_by_target(known_tables(table.metadata))


def _keys_by_target(tables: Iterable[Table]) -> _Keys:
    found: _Keys = {}
    for table in tables:
        for key in tuple(table.foreign_keys):
            referred = referred_by(key)
            if referred is not None:
                found.setdefault(referred.name.casefold(), []).append(key)
    return found


def _computed(table: Table) -> frozenset[str]:
    """Return the names of the columns that change with others: the database computes them, or an UPDATE sets them anew each time."""
    columns = (column for column in table.columns if column.computed is not None or column.onupdate is not None or column.server_onupdate)
    return frozenset(name for column in columns for name in (column.key, column.name))


@once
def _tables_by_name() -> dict[str, tuple[Table, ...]]:
    found: dict[str, tuple[Table, ...]] = {}
    for table in known_tables():
        found[table.name.casefold()] = (*found.get(table.name.casefold(), ()), table)
    return found


def tables_named(name: str) -> tuple[Table, ...]:
    """Return the tables of this name in any schema, however it is capitalised: which one the database takes, it knows alone."""
    return _tables_by_name().get(name.casefold(), ())


def known_as(schema: str | None, name: str) -> frozenset[str]:
    """Return the tables that may be meant by a name with its schema, and those that the database changes with them."""
    return with_caused(table for table in tables_named(name) if may_be_one(schema, name, table))


def with_caused(tables: Iterable[Table]) -> frozenset[str]:
    """Return the names of tables of which nobody knows what is written, and of those that the database changes with them."""
    return frozenset[str]().union(*map(_with_caused, tables))


@once
def _with_caused(table: Table) -> frozenset[str]:
    caused = (other for columns in (None, column_names(table)) for other in changed_by_the_database(table, columns))
    return frozenset(other.fullname for other in (table, *caused))


def also_written(tables: Iterable[str], planner: Planner) -> set[str]:
    """Return what the database changes when these are written because it is declared to, and under the rules of foreign keys then."""
    tables = set(tables)
    found: set[str] = set()
    while declared := planner.caused(tables | found) - found:
        found |= declared.union(*(with_caused(tables_named(name.rpartition(".")[2])) for name in declared))
    return found


def column_names(table: Table) -> frozenset[str]:
    """Return the names of a table's columns, in the metadata and in the database."""
    return frozenset(name for column in table.columns for name in (column.key, column.name))


def _inherits(key: ForeignKey) -> bool:
    """Whether a foreign key joins the rows of one instance: a subclass's table to that of its parent (joined inheritance)."""
    if not key.parent.primary_key or target_of(key) is None:
        return False
    child, parent = mapper_of_table(key.parent.table), mapper_of_table(key.column.table)
    if child is None or parent is None or child is parent or root_of(child) is not root_of(parent):
        return False
    equal = child._equivalent_columns  # noqa: SLF001 - the mapper's own knowledge of joined tables, not to be guessed anew
    return key.column in equal.get(key.parent, ()) and only_mapper_of(key.parent.table) is not None


def _effect(key: ForeignKey, parent: Table, changed: frozenset[str] | None) -> frozenset[str] | None:
    """Return which columns of the referring rows the database sets; ``None``: it deletes them."""
    referred = referred_by(key)
    if referred is None or not referred.may_be(parent) or (changed is not None and not _names(parent, changed) & referred.columns):
        return _NO_EFFECT
    rule = ((key.ondelete if changed is None else key.onupdate) or "").upper()
    if rule.split("(")[0].strip() not in _FOLLOWED:
        return _NO_EFFECT
    if changed is None and rule == "CASCADE":
        return None
    columns = [key.parent] if rule == "CASCADE" or key.constraint is None else key.constraint.columns  # the others set all of them
    return frozenset(name for column in columns for name in (column.key, column.name))


def _names(table: Table, columns: frozenset[str]) -> frozenset[str]:
    """Return all names of columns that are told by one of them, folded: their keys in the metadata, and their names in the database."""
    told = {name.casefold() for name in columns}
    both = ({column.key.casefold(), column.name.casefold()} for column in table.columns)
    return frozenset(told.union(*(names for names in both if names & told)))


def replaces(table: Table) -> bool:
    """Whether SQLite's conflict clause of a constraint makes an INSERT or UPDATE remove other rows."""
    told = [*table.constraints, *table.columns]
    return any("REPLACE" in str(value).upper() for thing in told for key, value in thing.dialect_kwargs.items() if "_on_conflict" in key)


def namesakes(tables: Iterable[Table]) -> frozenset[str]:
    """Return the names of other tables that may be the same in the database (`are_one`): which rows of these are written isn't known."""
    own: dict[str, list[Table]] = {}
    for table in tables:
        own.setdefault(table.name.casefold(), []).append(table)
    found = {
        other.fullname
        for other in known_tables()
        for table in own.get(other.name.casefold(), ())
        if other.fullname != table.fullname and are_one(table, other)
    }
    return frozenset(found)


@once
def only_adds(table: Table) -> bool:
    """Whether a plain INSERT into the table changes no row, and is no part of an instance that exists already."""
    return not replaces(table) and holds_whole_rows(table)


@once
def without_transactions() -> frozenset[str]:
    """Return the tables whose storage engine knows no transactions, where the metadata says so: MySQL's MyISAM, Aria, MEMORY."""
    found: set[str] = set()
    for table in known_tables():
        engines = (table.dialect_kwargs.get(f"{name}_engine") for name in ("mysql", "mariadb"))
        if any(engine is not None and str(engine).lower() not in _TRANSACTIONAL for engine in engines):
            found.add(table.fullname)
    return frozenset(found)
