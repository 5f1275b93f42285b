"""What the database changes beside the rows that a statement names: by the rules of foreign keys and by conflict clauses (DESIGN 6)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from aa_cache_integration.codecs.family import root_of
from aa_cache_integration.codecs.registered import are_one, known_tables, mapper_of_table, only_mapper_of, referred_by, target_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sqlalchemy import ForeignKey, Table

__all__ = ("changed_by_the_database", "forget_keys", "namesakes", "only_adds", "replaces", "without_transactions")

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
_known: list[tuple[frozenset[int], _Keys]] = []


def forget_keys() -> None:
    """Look foreign keys up anew: a table or one of them was made."""
    global _known  # noqa: PLW0603 - replaced, so that who fills the old one meanwhile leaves nothing behind
    _known = []


def _keys_to(table: Table) -> _Keys:
    """Return the foreign keys of all tables, by the name of what they refer to; looked up once for the metadata of mapped classes."""
    known = _known
    if not known:
        tables = known_tables()
        known.append((frozenset(map(id, tables)), _keys_by_target(tables)))
    idents, keys = known[0]
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
    if referred is None or not referred.may_be(parent) or (changed is not None and not changed & referred.columns):
        return _NO_EFFECT
    rule = ((key.ondelete if changed is None else key.onupdate) or "").upper()
    if rule.split("(")[0].strip() not in _FOLLOWED:
        return _NO_EFFECT
    if changed is None and rule == "CASCADE":
        return None
    columns = [key.parent] if rule == "CASCADE" or key.constraint is None else key.constraint.columns  # the others set all of them
    return frozenset(name for column in columns for name in (column.key, column.name))


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


def only_adds(table: Table) -> bool:
    """Whether a plain INSERT into the table changes no row, and is no part of an instance that exists already."""
    if replaces(table):
        return False
    mapper = mapper_of_table(table)
    return mapper is None or root_of(mapper).local_table is table


def without_transactions() -> frozenset[str]:
    """Return the tables whose storage engine knows no transactions, where the metadata says so: MySQL's MyISAM, Aria, MEMORY."""
    found: set[str] = set()
    for table in known_tables():
        engines = (table.dialect_kwargs.get(f"{name}_engine") for name in ("mysql", "mariadb"))
        if any(engine is not None and str(engine).lower() not in _TRANSACTIONAL for engine in engines):
            found.add(table.fullname)
    return frozenset(found)
