"""What a statement writes, read off its compiled form; each form is looked at once."""

from __future__ import annotations

import re
import weakref
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from sqlalchemy import Table
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.sql import operators
from sqlalchemy.sql.dml import UpdateBase
from sqlalchemy.sql.elements import (
    BinaryExpression,
    BindParameter,
    BooleanClauseList,
    ColumnElement,
    ReleaseSavepointClause,
    SavepointClause,
    TextClause,
)
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.sql.schema import Column
from sqlalchemy.sql.selectable import SelectBase, TextualSelect

from aa_cache_integration.codecs.family import root_of
from aa_cache_integration.codecs.identity import base_table_name, identity_of
from aa_cache_integration.codecs.registered import mapper_of_table, mappers_with
from aa_cache_integration.exceptions import IdentityError
from aa_cache_integration.orm.changes import Write, in_unit_of_work
from aa_cache_integration.orm.text import NOTHING, RELEASE, SAVEPOINT, SESSION_STATE, UNKNOWN, written_by_ddl, written_by_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from sqlalchemy import ForeignKey
    from sqlalchemy.engine.interfaces import ExecutionContext
    from sqlalchemy.orm import Mapper
    from sqlalchemy.sql.compiler import SQLCompiler

__all__ = ("written_by",)


_SET_CONFIG = re.compile(r"\bset_config\s*\(", re.IGNORECASE)
"""PostgreSQL's function for what SET does."""


@dataclass(frozen=True)
class _Form:
    """What all executions of one compiled statement have in common."""

    write: Write
    tables: tuple[Table, ...] = ()
    """What is written."""
    flushed: Mapper[Any] | None = None
    """Of the table, when the flush's own statement knows its rows."""
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
        return written_by_ddl(statement)
    compiled: Any = context.compiled
    if compiled is None or isinstance(compiled.statement, TextClause):
        return written_by_text(statement, context.dialect.name)
    form = _forms.get(compiled)
    if form is None:
        form = _forms[compiled] = _form_of(compiled, statement)
    write = form.write
    if form.flushed is not None and _is_flush(context, form.flushed):
        write = _exact(form, form.flushed, context.compiled_parameters)  # type: ignore[attr-defined]
    schemas = context.execution_options.get("schema_translate_map")
    return write if not schemas or not write.tables else _translated(write, form.tables, schemas)


def _form_of(compiled: SQLCompiler, statement: str) -> _Form:
    if isinstance(compiled.statement, (SavepointClause, ReleaseSavepointClause)):
        return _Form(SAVEPOINT if isinstance(compiled.statement, SavepointClause) else RELEASE)
    if any(not _only_reads(text) for text in _texts_in(compiled)):
        return _Form(UNKNOWN)
    written = list(_dml_in(compiled))
    if not written:  # a construct of the application's own is told by its text
        if not isinstance(compiled.statement, (SelectBase, FunctionElement)):
            return _Form(written_by_text(statement, compiled.dialect.name))
        return _Form(SESSION_STATE if _SET_CONFIG.search(statement) else NOTHING)
    tables: dict[Table, None] = {}
    bulk: dict[Table, None] = {}
    for element, main in written:
        table = element.table
        if not isinstance(table, Table):
            return _Form(UNKNOWN)  # a join, an alias, or a lightweight table of text
        tables[table] = None
        if main and compiled.isinsert and _only_adds(element):
            continue
        caused = _changed_by_the_database(table, None if element.is_delete else _set_by(compiled, element))
        tables.update(dict.fromkeys(caused))
        bulk.update(dict.fromkeys((table, *caused)))
    write = Write(frozenset(table.fullname for table in tables), frozenset(table.fullname for table in bulk))
    form = _Form(write, tuple(tables))
    return form if len(written) > 1 else _exact_form(compiled, written[0][0], form)


def _texts_in(compiled: SQLCompiler) -> Iterator[str]:
    """Yield the text statements that a compiled one is made of: ``text().columns()``, by itself, in ``from_statement()``, as a CTE."""
    statement: Any = compiled.statement
    for element in (getattr(statement, "element", statement), *(cte.element for cte in getattr(compiled, "ctes", None) or ())):
        text = getattr(element, "element", element) if isinstance(element, TextualSelect) else element
        if isinstance(text, TextClause):
            yield text.text


def _only_reads(text: str) -> bool:
    return written_by_text(text) is NOTHING


def _only_adds(insert: Any) -> bool:
    """Whether an INSERT changes no row that is there: no upsert, no ``OR REPLACE``, no part of an instance that exists already."""
    table = insert.table
    if insert._post_values_clause is not None or insert._prefixes or _replaces(table):  # noqa: SLF001 - they have no public reader
        return False
    mapper = mapper_of_table(table)
    return mapper is None or root_of(mapper).local_table is table


def _replaces(table: Table) -> bool:
    """Whether SQLite's conflict clause of a constraint makes an INSERT or UPDATE remove other rows."""
    told = [*table.constraints, *table.columns]
    return any("REPLACE" in str(value).upper() for thing in told for key, value in thing.dialect_kwargs.items() if "_on_conflict" in key)


def _set_by(compiled: SQLCompiler, element: Any) -> frozenset[str]:
    """Return the names of the columns that an UPDATE or upsert may set; too many rather than too few."""
    names = {str(getattr(key, "key", key)) for key in compiled.column_keys or ()}
    if getattr(element, "_post_values_clause", None) is not None:
        return frozenset(names | set(element.table.columns.keys()))
    for pairs in (element._values or {}, dict(getattr(element, "_ordered_values", None) or ())):  # noqa: SLF001 - have no public reader
        names.update(str(getattr(key, "key", key)) for key in pairs)
    names.update(column.key for column in (compiled.update_prefetch if compiled.isupdate else ()))
    return frozenset(names)


def _dml_in(compiled: SQLCompiler) -> Iterator[tuple[Any, bool]]:
    """Yield the INSERT, UPDATE and DELETE of a statement: itself, and those in its CTEs."""
    if compiled.isinsert or compiled.isupdate or compiled.isdelete:
        statement: Any = compiled.compile_state.statement if compiled.compile_state is not None else compiled.statement
        yield statement, True
    for cte in getattr(compiled, "ctes", None) or ():
        if isinstance(cte.element, UpdateBase):
            yield cte.element, False


def _changed_by_the_database(table: Table, columns: frozenset[str] | None) -> tuple[Table, ...]:
    """Return the tables whose rows the database itself changes by ``ON DELETE`` and ``ON UPDATE`` rules, over any depth.

    Args:
        table: What is written.
        columns: Names of the columns that are set; ``None``: rows are deleted.
    """
    found: dict[Table, None] = {}
    seen: set[tuple[Table, frozenset[str] | None]] = set()
    waiting = [(table, columns)]
    while waiting:
        parent, changed = waiting.pop()
        for child in parent.metadata.tables.values():
            for key in child.foreign_keys:
                then = _effect(key, parent, changed)
                if then is not _NO_EFFECT and (child, then) not in seen:
                    found[child] = None
                    seen.add((child, then))
                    waiting.append((child, then))
    return tuple(found)


_NO_EFFECT: frozenset[str] = frozenset()


def _effect(key: ForeignKey, parent: Table, changed: frozenset[str] | None) -> frozenset[str] | None:
    """Return which columns of the referring rows the database sets; ``None``: it deletes them."""
    try:
        target = key.column
    except SQLAlchemyError:  # a foreign key whose target isn't in the metadata leads to no table that we know
        return _NO_EFFECT
    if target.table is not parent or (changed is not None and not changed & {target.key, target.name}):
        return _NO_EFFECT
    rule = ((key.ondelete if changed is None else key.onupdate) or "").upper()
    if rule.split("(")[0].strip() not in {"CASCADE", "SET NULL", "SET DEFAULT"}:
        return _NO_EFFECT
    return None if changed is None and rule == "CASCADE" else frozenset((key.parent.key, key.parent.name))


def _translated(write: Write, tables: Iterable[Table], schemas: Mapping[str | None, str | None]) -> Write:
    """Add the tables that ``schema_translate_map`` makes of those that are named; the rows of these aren't known."""
    names = frozenset(f"{schema}.{table.name}" if (schema := schemas.get(table.schema, table.schema)) else table.name for table in tables)
    return Write(write.tables | names, write.bulk | names, write.entities)


def _exact_form(compiled: SQLCompiler, element: Any, form: _Form) -> _Form:
    """Return the form of a flush's own statement: an UPDATE or DELETE whose WHERE names the row by its primary key, or an INSERT."""
    mapper = mapper_of_table(element.table)
    if mapper is None or len({root_of(other) for other in mappers_with(element.table)}) > 1:
        return form  # the same rows have several cells, of which one mapper knows its own
    if compiled.isinsert:  # a flush inserts into the tables of one hierarchy together, so it adds to no instance that exists already
        known = not form.write.bulk or _replaces(element.table) or element._prefixes or element._post_values_clause is not None  # noqa: SLF001
        return form if known else replace(form, flushed=mapper)
    named: dict[Any, str] = dict(_fixed_by(element._where_criteria, compiled, element.table))  # noqa: SLF001 - has no public reader
    columns = _base_key(mapper, element.table)
    if _replaces(element.table) or not columns or any(column not in named for column in columns):
        return form
    keys = tuple(named[column] for column in columns)
    # A rule of the table on itself changes other rows of it than the one that is named.
    caused = _changed_by_the_database(element.table, None if element.is_delete else _set_by(compiled, element))
    return replace(form, flushed=mapper, keys=keys, exact_bulk=frozenset(table.fullname for table in caused))


def _fixed_by(criteria: Iterable[ColumnElement[Any]], compiled: SQLCompiler, table: Table) -> Iterator[tuple[Column[Any], str]]:
    """Yield each column of the table that the criteria set equal to a parameter, and the parameter's name."""
    for criterion in criteria:
        if isinstance(criterion, BooleanClauseList) and criterion.operator is operators.and_:
            yield from _fixed_by(criterion.clauses, compiled, table)
        elif isinstance(criterion, BinaryExpression) and criterion.operator is operators.eq:
            column, parameter = criterion.left, criterion.right
            if isinstance(parameter, BindParameter) and isinstance(column, Column) and column.table is table:
                yield column, compiled.bind_names[parameter]


def _base_key(mapper: Mapper[Any], table: Table) -> tuple[ColumnElement[Any], ...]:
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


def _exact(form: _Form, mapper: Mapper[Any], parameters: Sequence[dict[str, Any]]) -> Write:
    if not form.keys:
        return Write(form.write.tables)
    root = mapper.base_mapper
    named = [tuple(row[key] for key in form.keys) for row in parameters]
    if not in_unit_of_work() and any(isinstance(value, str) for values in named for value in values):
        return form.write  # the application's own spelling, which a collation may take for another
    try:
        idents = frozenset(identity_of(root, values) for values in named)
    except IdentityError:
        return form.write
    return Write(form.write.tables, form.exact_bulk, {base_table_name(mapper): idents})
