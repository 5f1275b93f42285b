"""What is written to tables that are told by name: in a statement's text, or by the application (``aa_cache_tables``, DESIGN 6)."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import Table
from sqlalchemy import inspect as sqlalchemy_inspect
from sqlalchemy.orm import Mapper

from aa_cache_integration.exceptions import ModelError
from aa_cache_integration.orm.cascades import changed_by_the_database, column_names, only_adds, replaces, tables_named, with_caused
from aa_cache_integration.orm.changes import Write
from aa_cache_integration.orm.effects import NOTHING
from aa_cache_integration.orm.session_state import hides_state
from aa_cache_integration.orm.sql import targets_of
from aa_cache_integration.orm.text import written_by_text

if TYPE_CHECKING:
    from collections.abc import Iterable

    from aa_cache_integration.orm.sql import Target

__all__ = ("TABLES", "written_as_declared", "written_by_any_text", "written_to")

TABLES: Final = "aa_cache_tables"
"""The execution option with which the application tells what a statement writes."""


def written_by_any_text(statement: str, dialect: str) -> Write:
    """Return what a statement of text does.

    Args:
        statement: The text.
        dialect: The name of the database's dialect.
    """
    write = written_by_text(statement, dialect)
    targets = targets_of(statement, dialect) if write.unknown else None
    if targets is None:
        return write
    found = written_to(targets) if targets else NOTHING
    return replace(found, session_state="connection") if hides_state(statement) else found


def written_to(targets: Iterable[Target]) -> Write:
    """Return what is written to tables of these names."""
    written: dict[Table, None] = {}
    bulk: dict[Table, None] = {}
    strangers: set[str] = set()
    for target in targets:
        tables = tables_named(target.name)
        if not tables:
            strangers.add(f"{target.schema}.{target.name}" if target.schema else target.name)
        for table in tables:
            written[table] = None
            if target.verb == "insert" and only_adds(table):
                continue
            removes = target.verb == "delete" or replaces(table)
            caused = changed_by_the_database(table, None) if removes else ()
            if target.verb != "delete":
                caused = (*caused, *changed_by_the_database(table, _columns(table, target.columns)))
            written.update(dict.fromkeys(caused))
            bulk.update(dict.fromkeys((table, *caused)))
    names, bulk_names = (frozenset(table.fullname for table in tables) for tables in (written, bulk))
    return Write(names, bulk_names, strangers=frozenset(strangers))


def _columns(table: Table, names: frozenset[str] | None) -> frozenset[str]:
    """Return the names of the columns that are set; of all, where they aren't known."""
    known = {column.name.lower(): column for column in table.columns}
    if names is None or not names <= known.keys():
        return column_names(table)
    return frozenset(name for given in names for name in (known[given].key, known[given].name))


def written_as_declared(tables: Any) -> Write:
    """Return what the application says that a statement writes, with what the database changes by itself then.

    Args:
        tables: Table names, tables or mapped classes.

    Raises:
        ModelError: It names something else.
    """
    names = _names_in(tables)
    written = frozenset(names).union(*(with_caused(tables_named(name.rpartition(".")[2])) for name in names))
    return Write(written, written)


def _names_in(tables: Any) -> tuple[str, ...]:
    """Return the names of tables, each with its schema where it has one.

    Args:
        tables: Table names, tables or mapped classes; or one of these.

    Raises:
        ModelError: It names something else.
    """
    several = tables if isinstance(tables, (list, tuple, set, frozenset)) else (tables,)
    return tuple(dict.fromkeys(name for one in several for name in _names_of(one)))


def _names_of(one: Any) -> tuple[str, ...]:
    if isinstance(one, str):
        return (one,)
    if isinstance(one, Table):
        return (one.fullname,)
    mapper = sqlalchemy_inspect(one, raiseerr=False)
    if not isinstance(mapper, Mapper):
        raise ModelError(f"{TABLES}: expected table names, tables or mapped classes, got {one!r} ({type(one).__name__})")
    return tuple(table.fullname for table in mapper.tables if isinstance(table, Table))
