"""What a statement writes, read off its compiled form; each form is looked at once."""

from __future__ import annotations

import re
import weakref
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from sqlalchemy import Table
from sqlalchemy.sql.dml import UpdateBase
from sqlalchemy.sql.elements import ReleaseSavepointClause, SavepointClause, TextClause
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.sql.selectable import SelectBase, TableClause, TextualSelect

from aa_cache_integration.codecs.identity import base_table_name
from aa_cache_integration.orm import named
from aa_cache_integration.orm.cascades import changed_by_the_database, known_as, namesakes, only_adds, replaces
from aa_cache_integration.orm.changes import Write
from aa_cache_integration.orm.effects import NOTHING, RELEASE, SAVEPOINT, SESSION_STATE, UNKNOWN
from aa_cache_integration.orm.functions import is_call
from aa_cache_integration.orm.once import forget
from aa_cache_integration.orm.rows import Rows, flushed_rows, named_rows
from aa_cache_integration.orm.session_state import hides_state
from aa_cache_integration.orm.sql import Target
from aa_cache_integration.orm.text import written_by_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from sqlalchemy.engine.interfaces import ExecutionContext
    from sqlalchemy.sql.compiler import SQLCompiler

__all__ = ("forget_forms", "written_by")


_INTO = re.compile(r"\binto\b", re.IGNORECASE)
_UPSERT = re.compile(r"\bon\s+(?:conflict|duplicate)\b|\breplace\b", re.IGNORECASE)


@dataclass(frozen=True)
class _Form:
    """What all executions of one compiled statement have in common."""

    write: Write
    tables: tuple[Table, ...] = ()
    """What is written."""
    rows: Rows | None = None
    """How its rows are known."""
    exact_bulk: frozenset[str] = frozenset()
    """Tables whose changed rows aren't known even then."""


_forms: weakref.WeakKeyDictionary[SQLCompiler, _Form] = weakref.WeakKeyDictionary()


def forget_forms(*_: Any) -> None:
    """Look at every statement anew: a table, a foreign key or a mapper was made, which may refer to what it writes."""
    global _forms  # noqa: PLW0603 - replaced, so that who looks at one meanwhile leaves nothing behind
    forget()  # this first, for a form is made of it
    _forms = weakref.WeakKeyDictionary()


def written_by(context: ExecutionContext, statement: str) -> Write:
    """Return what an execution is about to write.

    Args:
        context: The execution.
        statement: Its text.

    Raises:
        ModelError: The execution option ``aa_cache_tables`` names something else than tables.
    """
    declared = context.execution_options.get(named.TABLES)
    if declared is None:
        compiled: Any = context.compiled
        form = None if compiled is None else _forms.get(compiled)
        if form is not None and form.write is NOTHING:  # nearly all statements: decided at once
            return NOTHING
    write = _seen(context, statement)
    if declared is None or write.control or write.begins:
        return write
    told = named.written_as_declared(declared)
    return replace(
        write,
        tables=write.tables | told.tables,
        bulk=write.bulk | told.bulk,
        strangers=frozenset(),
        unknown=False,
    )


def _seen(context: ExecutionContext, statement: str) -> Write:
    if context.isddl:  # type: ignore[attr-defined]
        return written_by_text(statement, context.dialect.name)
    compiled: Any = context.compiled
    if compiled is None or isinstance(compiled.statement, TextClause):
        return named.written_by_any_text(statement, context.dialect.name)
    forms = _forms
    form = forms.get(compiled)
    if form is None:
        form = forms[compiled] = _form_of(compiled, statement)
    write = form.write
    if form.rows is not None:
        write = _exact(form, form.rows, context)
    schemas = context.execution_options.get("schema_translate_map")
    return write if not schemas or not write.tables else _translated(write, form.tables, schemas)


def _form_of(compiled: SQLCompiler, statement: str) -> _Form:
    if isinstance(compiled.statement, (SavepointClause, ReleaseSavepointClause)):
        return _Form(SAVEPOINT if isinstance(compiled.statement, SavepointClause) else RELEASE)
    dialect = compiled.dialect.name
    if any(written_by_text(text, dialect) is not NOTHING for text in _texts_in(compiled)):
        return _Form(named.written_by_any_text(statement, dialect))
    written = list(_dml_in(compiled))
    if not written:  # a construct of the application's own is told by its text
        if not isinstance(compiled.statement, (SelectBase, FunctionElement)) or is_call(statement, dialect) or _INTO.search(statement):
            return _Form(named.written_by_any_text(statement, dialect))
        return _Form(SESSION_STATE if hides_state(statement) else NOTHING)
    tables: dict[Table, None] = {}
    bulk: dict[Table, None] = {}
    for element, main in written:
        targets = _targets(element)
        if not all(isinstance(table, Table) for table in targets):
            return _Form(_by_name(compiled, [element for element, _ in written]))
        tables.update(dict.fromkeys(targets))
        if main and element.is_insert and _only_adds(compiled, element):
            continue
        caused = _caused(compiled, element, targets)
        tables.update(dict.fromkeys(caused))
        bulk.update(dict.fromkeys((*targets, *caused)))
    others = namesakes(tables)
    names = frozenset(table.fullname for table in tables) | others
    write = Write(names, frozenset(table.fullname for table in bulk) | others, session_state="connection" if hides_state(statement) else "")
    form = _Form(write, tuple(tables))
    (element, main), *more = written
    return _exact_form(compiled, element, form, others) if main and not more and len(_targets(element)) == 1 else form


def _by_name(compiled: SQLCompiler, elements: list[Any]) -> Write:
    """Return what is written by statements of which some name a table alone (``table("products")``); a join or an alias may be anything."""
    targets: list[Target] = []
    for element in elements:
        verb = "delete" if element.is_delete else "insert" if element.is_insert and not _upserts(compiled, element) else "update"
        for table in _targets(element):
            if not isinstance(table, TableClause) or element._prefixes:  # noqa: SLF001 - has no public reader
                return UNKNOWN
            targets.append(Target(table.name, getattr(table, "schema", None), verb, None))  # type: ignore[arg-type] # of three literals
    return named.written_to(targets)


def _targets(element: Any) -> tuple[Any, ...]:
    """Return what a statement names as written: MySQL's UPDATE may set columns of several tables."""
    found = {element.table: None}
    for pairs in _assignments(element):
        found.update((key.table, None) for key in pairs if getattr(key, "table", None) is not None)
    return tuple(found)


def _assignments(element: Any) -> tuple[dict[Any, Any], ...]:
    if element.is_delete:
        return ()
    return element._values or {}, dict(getattr(element, "_ordered_values", None) or ())  # noqa: SLF001 - have no public reader


def _caused(compiled: SQLCompiler, element: Any, targets: tuple[Table, ...], *, other_rows: bool = False) -> tuple[Table, ...]:
    """Return the tables that the database changes together with the targets; see `changed_by_the_database`."""
    removes = element.is_delete or bool(element._prefixes) or any(map(replaces, targets))  # noqa: SLF001 - ``OR REPLACE`` is a prefix
    found: dict[Table, None] = {}
    for table in targets:
        if removes:
            found.update(dict.fromkeys(changed_by_the_database(table, None, other_rows=other_rows)))
        if not element.is_delete:
            found.update(dict.fromkeys(changed_by_the_database(table, _set_by(compiled, element), other_rows=other_rows)))
    return tuple(found)


def _texts_in(compiled: SQLCompiler) -> Iterator[str]:
    """Yield the text statements that a compiled one is made of: ``text().columns()``, by itself, in ``from_statement()``, as a CTE."""
    statement: Any = compiled.statement
    for element in (getattr(statement, "element", statement), *(cte.element for cte in getattr(compiled, "ctes", None) or ())):
        text = getattr(element, "element", element) if isinstance(element, TextualSelect) else element
        if isinstance(text, TextClause):
            yield text.text


def _only_adds(compiled: SQLCompiler, insert: Any) -> bool:
    """Whether an INSERT changes no row that is there: no upsert, no ``OR REPLACE``."""
    return not _upserts(compiled, insert) and not insert._prefixes and only_adds(insert.table)  # noqa: SLF001 - has no public reader


def _upserts(compiled: SQLCompiler, insert: Any) -> bool:
    """Whether an INSERT may change rows that are there; the application may have compiled something to that end."""
    return insert._post_values_clause is not None or _UPSERT.search(compiled.string or "") is not None  # noqa: SLF001 - has no public reader


def _set_by(compiled: SQLCompiler, element: Any) -> frozenset[str]:
    """Return the names of the columns that an UPDATE or upsert may set; too many rather than too few."""
    names = {str(getattr(key, "key", key)) for key in compiled.column_keys or ()}
    if getattr(element, "_post_values_clause", None) is not None or element._prefixes:  # noqa: SLF001 - has no public reader
        return frozenset(names | set(element.table.columns.keys()))
    for pairs in _assignments(element):
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


def _exact_form(compiled: SQLCompiler, element: Any, form: _Form, same: frozenset[str]) -> _Form:
    """Return the form of a statement whose rows are known: its WHERE names them by primary key, or the flush's INSERT adds them."""
    if element._prefixes:  # noqa: SLF001 - has no public reader
        return form
    if element.is_insert:
        upserts = _upserts(compiled, element) or replaces(element.table)
        rows = None if upserts or not form.write.bulk else flushed_rows(element.table)
        return form if rows is None else replace(form, rows=rows, exact_bulk=same)
    rows = named_rows(compiled, element)
    if rows is None:
        return form
    # A rule of the table on itself changes other rows of it than the one that is named.
    others = _caused(compiled, element, (element.table,), other_rows=True)
    return replace(form, rows=rows, exact_bulk=frozenset(table.fullname for table in others) | same)


def _exact(form: _Form, rows: Rows, context: ExecutionContext) -> Write:
    """Return what an execution writes whose rows may be known."""
    idents = rows.written(context)
    if idents is None:
        return form.write
    entities = {base_table_name(rows.mapper): idents} if rows.named else {}
    return replace(form.write, bulk=form.exact_bulk, entities=entities)


def _translated(write: Write, tables: Iterable[Table], schemas: Mapping[str | None, str | None]) -> Write:
    """Add what ``schema_translate_map`` makes of the tables that are named, and what the database changes with it: no rows are known."""
    names: set[str] = set()
    for table in tables:
        schema = schemas.get(table.schema, table.schema)
        names.add(f"{schema}.{table.name}" if schema else table.name)
        if schema != table.schema:
            names |= known_as(schema, table.name)
    return replace(write, tables=write.tables | names, bulk=write.bulk | names)
