"""What is written to tables that are told by name: in a statement's text, or by the application (``aa_cache_tables``, DESIGN 6)."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import Table
from sqlalchemy import inspect as sqlalchemy_inspect
from sqlalchemy.orm import Mapper

from aa_cache_integration.codecs.registered import known_tables
from aa_cache_integration.exceptions import ModelError
from aa_cache_integration.orm.cascades import changed_by_the_database, only_adds, replaces, without_transactions
from aa_cache_integration.orm.changes import Write
from aa_cache_integration.orm.sql import targets_of
from aa_cache_integration.orm.text import NOTHING, hides_state, written_by_text

if TYPE_CHECKING:
    from collections.abc import Iterable

    from aa_cache_integration.orm.sql import Target

__all__ = (
    "TABLES",
    "forget_names",
    "tables_without_transactions",
    "written_as_declared",
    "written_by_any_text",
    "written_to",
)

TABLES: Final = "aa_cache_tables"
"""The execution option with which the application tells what a statement writes."""

_names: dict[str, tuple[Table, ...]] = {}
_without_transactions: list[frozenset[str]] = []


def forget_names(*_: Any) -> None:
    """Look tables up anew: one was made."""
    global _names, _without_transactions
    _names, _without_transactions = {}, []


def tables_without_transactions() -> frozenset[str]:
    """See `without_transactions`; looked up once."""
    known = _without_transactions
    if not known:
        known.append(without_transactions())
    return known[0]


def _tables_named(name: str) -> tuple[Table, ...]:
    """Return the tables of this name in any schema, however it is capitalised: which one the database takes, it knows alone."""
    names = _names
    if not names:
        found: dict[str, list[Table]] = {}
        for table in known_tables():
            found.setdefault(table.name.casefold(), []).append(table)
        names.update({key: tuple(tables) for key, tables in found.items()})
    return names.get(name.casefold(), ())


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
        tables = _tables_named(target.name)
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
        names = frozenset(known)
    return frozenset(name for given in names for name in (known[given].key, known[given].name))


def written_as_declared(tables: Any) -> Write:
    """Return what the application says that a statement writes, with what the database changes by itself then.

    Args:
        tables: Table names, tables or mapped classes.

    Raises:
        ModelError: It names something else.
    """
    names = _names_in(tables)
    found = [table for name in names for table in _tables_named(name.rpartition(".")[2])]
    caused = [other for table in found for columns in (None, _columns(table, None)) for other in changed_by_the_database(table, columns)]
    written = frozenset(names) | {table.fullname for table in (*found, *caused)}
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
