"""An inheritance hierarchy that shares one base table, and the one SELECT that reads whole rows of it."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from sqlalchemy import Label, and_, false, or_, select, tuple_
from sqlalchemy.sql.expression import Join, TableClause
from sqlalchemy.util import immutabledict

from aa_cache_integration.codecs.build import describe
from aa_cache_integration.exceptions import ModelError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sqlalchemy import ColumnElement, Dialect, FromClause, Select
    from sqlalchemy.orm import Mapper

    from aa_cache_integration.codecs.columns import ColumnForm

__all__ = ("base_table_name", "discriminator_of", "members_of", "root_of", "select_rows", "table_names", "tables_read", "where_identities")

_TUPLE_IN = frozenset({"postgresql", "mysql", "mariadb", "sqlite", "oracle"})
"""Dialects whose databases know ``(a, b) IN ((1, 2), …)``."""


def root_of(mapper: Mapper[Any]) -> Mapper[Any]:
    """Return the mapper whose table has one row for each instance: the top of the hierarchy, or the nearest concrete mapper."""
    while mapper.inherits is not None and not mapper.concrete:
        mapper = mapper.inherits
    return mapper


def members_of(root: Mapper[Any]) -> tuple[Mapper[Any], ...]:
    """Return the mappers whose instances have a row in the root's table, parents before children."""
    return tuple(mapper for mapper in root.self_and_descendants if root_of(mapper) is root)


def _leaves(mapper: Mapper[Any], source: FromClause) -> list[TableClause]:
    if isinstance(source, Join):
        return [*_leaves(mapper, source.left), *_leaves(mapper, source.right)]
    if isinstance(source, TableClause):
        return [source]
    raise ModelError(
        f"{describe(mapper.class_)} is mapped to a {type(source).__name__}, not to a table, so writes to its rows can't be told; "
        "leave it out of the cache, or cache the classes of its tables"
    )


def base_table_name(mapper: Mapper[Any]) -> str:
    """Return the name, with its schema when it has one, of the table that has one row for each instance of the hierarchy.

    Raises:
        ModelError: The class is mapped to a SELECT.
    """
    root = root_of(mapper)
    return _leaves(root, root.local_table)[0].fullname


def table_names(root: Mapper[Any]) -> tuple[str, ...]:
    """Return the names of all tables of the hierarchy, the base table first.

    Raises:
        ModelError: Some class is mapped to a SELECT, or the root reads a polymorphic union.
    """
    reads_union = root.with_polymorphic is not None and root.with_polymorphic[1] is not None
    if reads_union and any(mapper.concrete for mapper in root.self_and_descendants if mapper is not root):
        raise ModelError(
            f"{describe(root.class_)} is read through a polymorphic union, whose rows have no one table; cache its concrete subclasses"
        )
    names = [table.fullname for mapper in members_of(root) for table in _leaves(mapper, mapper.local_table)]
    return tuple(dict.fromkeys(names))


def discriminator_of(root: Mapper[Any]) -> ColumnElement[Any] | None:
    """Return what tells the class of a row; None: all rows are of the root's class.

    Raises:
        ModelError: There are subclasses and nothing tells them apart.
    """
    several = len(members_of(root)) > 1
    if root.polymorphic_on is not None and (several or not root.concrete):
        return root.polymorphic_on
    if several:
        raise ModelError(
            f"{describe(root.class_)} has mapped subclasses but no `polymorphic_on`, so a row doesn't tell its class; "
            "add a discriminator, or leave these classes out of the cache"
        )
    return None


def select_rows(root: Mapper[Any], columns: Iterable[tuple[ColumnElement[Any], ColumnForm]]) -> Select[Any]:
    """Return the SELECT of the hierarchy's rows: the base table, and every other one outer-joined to it."""
    source: Any = root.local_table
    for mapper in members_of(root)[1:]:
        if not mapper.single:
            source = source.outerjoin(mapper.local_table, mapper.inherit_condition)
    statement = select(*(_selected(column, form) for column, form in columns)).select_from(source)
    # A column_property may be made of ORM attributes, which would make this an ORM statement with criteria of its own.
    # The subqueries inside keep theirs.
    statement._propagate_attrs = immutabledict()  # noqa: SLF001 -- there is no public way to ask for a Core SELECT
    return statement


def _selected(column: ColumnElement[Any], form: ColumnForm) -> ColumnElement[Any]:
    return form.expression(column.element if isinstance(column, Label) and form.is_coerced else column)


def where_identities(columns: Sequence[ColumnElement[Any]], identities: Sequence[tuple[Any, ...]], dialect: Dialect) -> ColumnElement[bool]:
    """Return the criterion for rows with one of these primary keys, in a shape that SQLAlchemy's statement cache knows again."""
    if not identities:
        return false()
    partial = any(value is None for identity in identities for value in identity)
    if len(identities) > 1 and not partial:
        if len(columns) == 1:
            return columns[0].in_([identity[0] for identity in identities])
        if dialect.name in _TUPLE_IN:
            return tuple_(*columns).in_(list(identities))
    return or_(
        *(and_(*(column == value for column, value in zip(columns, identity, strict=True))) for identity in identities),
    )


def tables_read(statement: Select[Any], own: Sequence[str], dialect: Dialect) -> tuple[str, ...]:
    """Return the names of the tables that the column expressions of `select_rows` read, by compiling it and seeing what is rendered.

    The hierarchy's own tables stand once each behind FROM; one that is rendered more often is read by an expression as well.
    """
    base: Any = dialect.statement_compiler
    seen: Counter[str] = Counter()

    class Collector(base):  # type: ignore[misc] # the dialect chooses the compiler
        def visit_table(self, table: TableClause, *args: Any, **options: Any) -> str:
            if options.get("asfrom") or options.get("ashint"):
                seen[table.fullname] += 1
            return str(super().visit_table(table, *args, **options))

    Collector(dialect, statement)
    seen.subtract(own)
    return tuple(sorted(table for table, times in seen.items() if times > 0))
