"""Which rows a statement writes, where that is certain: those whose primary key it names (DESIGN 6)."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import Integer, Uuid
from sqlalchemy.sql import operators
from sqlalchemy.sql.elements import BinaryExpression, BindParameter, BooleanClauseList, ColumnElement, Tuple
from sqlalchemy.sql.schema import Column

from aa_cache_integration.codecs.family import root_of
from aa_cache_integration.codecs.identity import identity_of
from aa_cache_integration.codecs.registered import only_mapper_of
from aa_cache_integration.exceptions import IdentityError
from aa_cache_integration.orm import flushes
from aa_cache_integration.orm.cascades import replaces
from aa_cache_integration.orm.spellings import Believed, in_dialect, is_sqlalchemys, is_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from sqlalchemy import Dialect, Table
    from sqlalchemy.engine.interfaces import ExecutionContext
    from sqlalchemy.orm import Mapper
    from sqlalchemy.sql.compiler import SQLCompiler

__all__ = ("Rows", "flushed_rows", "named_rows")

_MOST_ROWS: Final = 10_000
"""Of one statement; above these they aren't told one by one, whatever ``bulk_threshold`` is."""


@dataclass(frozen=True)
class _Named:
    """A criterion that fixes a part of the primary key."""

    places: tuple[int, ...]
    """Which columns of the root mapper's key; several for a tuple."""
    parameter: str
    is_exact: bool
    """Whether column and parameter are of one type, in which equal values are the same key for the database and here."""
    believed: tuple[Believed, ...]
    """For each column, which values are the same key where they are equal, in what a mapper emits."""
    several: bool = False
    """Whether the parameter is a list, of ``IN``."""

    def values(self, row: Mapping[str, Any], expanded: Mapping[str, Sequence[str]]) -> list[tuple[Any, ...]]:
        """Return what the parameter holds, for these columns.

        Args:
            row: The parameters of one execution.
            expanded: The names that were made of each list's.
        """
        if not self.several:
            return [(row[self.parameter],)]
        flat = [row[name] for name in expanded[self.parameter]]
        return [tuple(flat[start : start + len(self.places)]) for start in range(0, len(flat), len(self.places))]


@dataclass(frozen=True)
class Rows:
    """How the rows of a compiled statement are known."""

    mapper: Mapper[Any]
    named: tuple[_Named, ...] = ()
    """What fixes the whole key; ``()``: an INSERT, which adds to no instance that exists already."""
    flush_only: bool = False
    """Whether only the unit of work's own statement says so."""

    def written(self, context: ExecutionContext) -> frozenset[tuple[str, ...]] | None:
        """Return the identities of the rows that an execution writes; ``None``: they aren't known."""
        is_flush = _is_flush(context, self.mapper)
        if (self.flush_only and not is_flush) or not all(is_flush or named.is_exact for named in self.named):
            return None
        expanded: Mapping[str, Sequence[str]] = getattr(context, "_expanded_parameters", {})
        found: set[tuple[str, ...]] = set()
        try:
            for row in context.compiled_parameters if self.named else ():  # type: ignore[attr-defined]
                parts = [named.values(row, expanded) for named in self.named]
                if not all(map(self._are_believed, self.named, parts)) or math.prod(map(len, parts)) + len(found) > _MOST_ROWS:
                    return None
                keys = list(map(self._key, itertools.product(*parts)))
                if not all(map(self._is_one, keys)):
                    return None
                found.update(identity_of(root_of(self.mapper), key) for key in keys)
        except (IdentityError, KeyError):  # of the wrong shape or type; or written into the statement, not a parameter of it
            return None
        return frozenset(found)

    @staticmethod
    def _are_believed(named: _Named, values: Iterable[tuple[Any, ...]]) -> bool:
        return all(believed.holds(value) for row in values for value, believed in zip(row, named.believed, strict=True))

    def _is_one(self, key: tuple[Any, ...]) -> bool:
        """Whether this is one row for the database and here.

        A text is one where the unit of work names it: a column of the database may know less of case than the metadata says.
        """
        return not any(map(is_text, key)) or flushes.has(root_of(self.mapper), key)

    def _key(self, chosen: Iterable[tuple[Any, ...]]) -> tuple[Any, ...]:
        """Return the primary key that was chosen part by part, in its order."""
        places = [place for named in self.named for place in named.places]
        by_place = dict(zip(places, itertools.chain(*chosen), strict=True))
        return tuple(by_place[place] for place in range(len(places)))


def flushed_rows(table: Table) -> Rows | None:
    """Return how the rows of a flush's INSERT are known: it adds to the tables of one hierarchy together."""
    mapper = only_mapper_of(table)
    return None if mapper is None else Rows(mapper, flush_only=True)


def named_rows(compiled: SQLCompiler, element: Any) -> Rows | None:
    """Return how the rows are known of an UPDATE or DELETE whose WHERE fixes the primary key; ``None``: they aren't."""
    table = element.table
    mapper = only_mapper_of(table)
    if mapper is None or replaces(table):
        return None
    columns = _base_key(mapper, table)
    places = {column: place for place, column in enumerate(columns)}
    found = list(_named_by(element._where_criteria, compiled, places))  # noqa: SLF001 - has no public reader
    whole = next((named for named in found if len(named.places) == len(columns) > 1), None)
    if whole is not None:
        return Rows(mapper, (whole,))
    of_one = {named.places[0]: named for named in sorted(found, key=lambda named: not named.several) if len(named.places) == 1}
    return Rows(mapper, tuple(of_one[place] for place in sorted(of_one))) if columns and len(of_one) == len(columns) else None


def _named_by(criteria: Iterable[ColumnElement[Any]], compiled: SQLCompiler, places: Mapping[Any, int]) -> Iterator[_Named]:
    """Yield what the criteria say of the primary key; all of them hold, so each narrows the rows."""
    for criterion in criteria:
        if isinstance(criterion, BooleanClauseList) and criterion.operator is operators.and_:
            yield from _named_by(criterion.clauses, compiled, places)
        elif isinstance(criterion, BinaryExpression):
            left, right = criterion.left, criterion.right
            if isinstance(left, BindParameter) and criterion.operator is operators.eq:
                left, right = right, left
            named = _named(left, right, criterion.operator, compiled, places) if isinstance(right, BindParameter) else None
            if named is not None:
                yield named


def _named(left: Any, right: BindParameter[Any], operator: Any, compiled: SQLCompiler, places: Mapping[Any, int]) -> _Named | None:
    several = operator is operators.in_op
    if (operator is not operators.eq and not several) or right not in compiled.bind_names or bool(right.expanding) != several:
        return None
    parameter = compiled.bind_names[right]
    if isinstance(left, Column):
        if left not in places:
            return None
        exact = _same(left.type, right.type, compiled.dialect)
        return _Named((places[left],), parameter, exact, (Believed.of(left.type, compiled.dialect),), several)
    columns = list(left.clauses) if isinstance(left, Tuple) and several else []
    if not columns or not all(isinstance(column, Column) and column in places for column in columns):
        return None
    types = list(getattr(right.type, "types", ()))
    exact = len(types) == len(columns) and all(
        _same(column.type, kind, compiled.dialect) for column, kind in zip(columns, types, strict=True)
    )
    believed = tuple(Believed.of(column.type, compiled.dialect) for column in columns)
    return _Named(tuple(places[column] for column in columns), parameter, exact, believed, several)


def _same(column: Any, parameter: Any, dialect: Dialect) -> bool:
    """Whether a column and a parameter are of one type that is stored as it is given: SQLAlchemy's own, for others may convert values."""
    kinds = [in_dialect(kind, dialect) for kind in (column, parameter)]
    return all(map(is_sqlalchemys, kinds)) and any(all(isinstance(kind, types) for kind in kinds) for types in (Integer, Uuid))


def _base_key(mapper: Mapper[Any], table: Table) -> tuple[ColumnElement[Any], ...]:
    """Return the columns of the table that hold the root mapper's primary key, in its order; ``()`` when that isn't certain."""
    own = list(table.primary_key)
    root = root_of(mapper)
    wanted: Sequence[Any] = root.primary_key
    if root.local_table is table:
        return tuple(wanted)
    equal = mapper._equivalent_columns  # noqa: SLF001 - the mapper's own knowledge of joined tables, not to be guessed anew
    found = [next((column for column in own if column in equal.get(key, ())), None) for key in wanted]
    return () if any(column is None for column in found) else tuple(column for column in found if column is not None)


def _is_flush(context: ExecutionContext, mapper: Mapper[Any]) -> bool:
    """Whether the unit of work emits this statement itself, and not the application's code in an event of the flush."""
    cache = context.execution_options.get("compiled_cache")
    return cache is not None and cache is mapper.base_mapper._compiled_cache  # noqa: SLF001 - the mark that the unit of work leaves
