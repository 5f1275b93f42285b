"""What a statement writes, read off its compiled form; each form is looked at once."""

from __future__ import annotations

import re
import weakref
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import Table
from sqlalchemy.sql import operators
from sqlalchemy.sql.dml import UpdateBase
from sqlalchemy.sql.elements import BinaryExpression, BindParameter, BooleanClauseList, ColumnElement, TextClause
from sqlalchemy.sql.schema import Column

from aa_cache_integration.codecs.identity import base_table_name, identity_of
from aa_cache_integration.codecs.registered import mapper_of_table
from aa_cache_integration.exceptions import IdentityError
from aa_cache_integration.orm.changes import Write

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from sqlalchemy.engine.interfaces import ExecutionContext
    from sqlalchemy.orm import Mapper
    from sqlalchemy.sql.compiler import SQLCompiler

__all__ = ("written_by",)

_NOTHING = Write()
_UNKNOWN = Write(unknown=True)
_LEADING = re.compile(r"(?:\s+|--[^\n]*(?:\n|$)|/\*.*?\*/|\()*([a-zA-Z]+)", re.DOTALL)
_READING_WORDS = frozenset(
    {"select", "values", "show", "pragma", "describe", "desc", "set", "use", "begin", "start", "commit", "rollback", "savepoint", "release"}
)
"""What a text statement begins with when it writes no row. ``SELECT … INTO`` and ``EXPLAIN ANALYZE`` aren't told from what they hold."""
_SELECT_INTO = re.compile(r"\binto\b", re.IGNORECASE)


@dataclass(frozen=True)
class _Form:
    """What all executions of one compiled statement have in common."""

    write: Write
    mapper: Mapper[Any] | None = None
    """Of the table, when the flush's own statement may be exact about its rows."""
    keys: tuple[str, ...] = ()
    """The parameters that name the row, in the order of the base mapper's primary key."""
    exact_bulk: frozenset[str] = frozenset()
    """Tables whose changed rows aren't known even then."""


_forms: weakref.WeakKeyDictionary[SQLCompiler, _Form] = weakref.WeakKeyDictionary()


def written_by(context: ExecutionContext, statement: str) -> Write:
    """Return what an execution is about to write.

    Args:
        context: The execution.
        statement: Its text.
    """
    if context.isddl:  # type: ignore[attr-defined]
        return _UNKNOWN
    compiled: Any = context.compiled
    if compiled is None or isinstance(compiled.statement, TextClause):
        return _written_by_text(statement)
    form = _forms.get(compiled)
    if form is None:
        form = _forms[compiled] = _form_of(compiled)
    if form.mapper is None or not _is_flush(context, form.mapper):
        return form.write
    return _exact(form, context.compiled_parameters)  # type: ignore[attr-defined]


def _written_by_text(statement: str) -> Write:
    match = _LEADING.match(statement)
    word = match.group(1).lower() if match else ""
    more = statement.rstrip().rstrip(";").count(";")
    if more or word not in _READING_WORDS or (word == "select" and _SELECT_INTO.search(statement)):
        return _UNKNOWN
    return _NOTHING


def _form_of(compiled: SQLCompiler) -> _Form:
    written = list(_dml_in(compiled))
    if not written:
        return _Form(_NOTHING)
    tables, bulk = set[str](), set[str]()
    for element, main in written:
        table = element.table
        if not isinstance(table, Table):
            return _Form(_UNKNOWN)  # a join, an alias, or a lightweight table of text
        tables.add(table.fullname)
        plain_insert = main and compiled.isinsert and not getattr(element, "_post_values_clause", None)
        if not plain_insert:
            bulk.add(table.fullname)
            gone = _changed_by_the_database(table) if element.is_delete else ()
            tables.update(gone)
            bulk.update(gone)
    write = Write(frozenset(tables), frozenset(bulk))
    if len(written) > 1 or not (compiled.isupdate or compiled.isdelete):
        return _Form(write)
    return _exact_form(compiled, written[0][0], write)


def _dml_in(compiled: SQLCompiler) -> Iterator[tuple[Any, bool]]:
    """Yield the INSERT, UPDATE and DELETE of a statement: itself, and those in its CTEs."""
    if compiled.isinsert or compiled.isupdate or compiled.isdelete:
        statement: Any = compiled.compile_state.statement if compiled.compile_state is not None else compiled.statement
        yield statement, True
    for cte in getattr(compiled, "ctes", None) or ():
        if isinstance(cte.element, UpdateBase):
            yield cte.element, False


def _changed_by_the_database(table: Table) -> Iterable[str]:
    """Return the tables whose rows a DELETE on this one removes or empties by ``ON DELETE`` rules, over any depth."""
    found: dict[str, None] = {}
    waiting = [table]
    while waiting:
        parent = waiting.pop()
        for child in parent.metadata.tables.values():
            rules = {(key.ondelete or "").upper() for key in child.foreign_keys if _references(key, parent)}
            if child.fullname not in found and rules & {"CASCADE", "SET NULL", "SET DEFAULT"}:
                found[child.fullname] = None
                waiting.append(child)
    return found


def _references(key: Any, parent: Table) -> bool:
    try:
        return key.column.table is parent
    except Exception:  # noqa: BLE001 - a foreign key whose target isn't in the metadata leads to no table that we know
        return False


def _exact_form(compiled: SQLCompiler, element: Any, write: Write) -> _Form:
    """Return the form of a flush's UPDATE or DELETE, whose WHERE names the row by its primary key."""
    mapper = mapper_of_table(element.table)
    if mapper is None:
        return _Form(write)
    named = dict(_fixed_by(element._where_criteria, compiled, element.table))  # noqa: SLF001 - has no public reader
    columns = _base_key(mapper, element.table)
    if not columns or any(column not in named for column in columns):
        return _Form(write)
    return _Form(write, mapper, tuple(named[column] for column in columns), write.bulk - {element.table.fullname})


def _fixed_by(criteria: Iterable[ColumnElement[Any]], compiled: SQLCompiler, table: Table) -> Iterator[tuple[Column[Any], str]]:
    """Yield each column of the table that the criteria set equal to a parameter, and the parameter's name."""
    for criterion in criteria:
        if isinstance(criterion, BooleanClauseList) and criterion.operator is operators.and_:
            yield from _fixed_by(criterion.clauses, compiled, table)
        elif isinstance(criterion, BinaryExpression) and criterion.operator is operators.eq:
            column, parameter = criterion.left, criterion.right
            if isinstance(parameter, BindParameter) and isinstance(column, Column) and column.table is table:
                yield column, compiled.bind_names[parameter]


def _base_key(mapper: Mapper[Any], table: Table) -> tuple[Column[Any], ...]:
    """Return the columns of the table that hold the base mapper's primary key, in its order; ``()`` when that isn't certain."""
    own = list(table.primary_key)
    wanted: Sequence[Any] = mapper.base_mapper.primary_key
    if mapper.base_mapper.local_table is table:
        return tuple(wanted)
    equal = mapper._equivalent_columns  # noqa: SLF001 - the mapper's own knowledge of joined tables, not to be guessed anew
    found = [next((column for column in own if column in equal.get(key, ())), None) for key in wanted]
    return () if any(column is None for column in found) else tuple(column for column in found if column is not None)


def _is_flush(context: ExecutionContext, mapper: Mapper[Any]) -> bool:
    """Whether the unit of work emits this statement itself, and not the application's code in an event of the flush."""
    cache = context.execution_options.get("compiled_cache")
    return cache is not None and cache is mapper.base_mapper._compiled_cache  # noqa: SLF001 - the mark that the unit of work leaves


def _exact(form: _Form, parameters: Sequence[dict[str, Any]]) -> Write:
    mapper = form.mapper
    if mapper is None:
        return form.write
    root = mapper.base_mapper
    try:
        idents = frozenset(identity_of(root, tuple(row[key] for key in form.keys)) for row in parameters)
    except IdentityError:
        return form.write
    return Write(form.write.tables, form.exact_bulk, {base_table_name(mapper): idents})
