"""How the values of one column type are stored: in which form they are read, kept, and restored.

A *stored* value is what the cache keeps. For SQLAlchemy's own types it is the value that an instance holds. For a
``TypeDecorator`` it is the database form, which ``process_result_value`` receives (what is encrypted in the database stays so in
the cache). For any other type with result processing of its own it is what the DBAPI gave.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import ARRAY, JSON, Enum, PickleType, TypeDecorator, column, type_coerce
from sqlalchemy.ext.mutable import Mutable
from sqlalchemy.types import NullType, TypeEngine

from aa_cache_integration.exceptions import ModelError, SerializationError

if TYPE_CHECKING:
    import enum
    from collections.abc import Callable

    from sqlalchemy import ColumnElement, Dialect

__all__ = ("ColumnForm", "form_of")


@dataclass(frozen=True)
class ColumnForm:
    """How values of one column type are stored, for one dialect."""

    declared: TypeEngine[Any]
    stored: TypeEngine[Any]
    """The type of the stored values; ``NullType``: whatever the DBAPI gives."""
    expression: Callable[[ColumnElement[Any]], ColumnElement[Any]]
    """The expression whose rows give stored values, made from the column."""
    bind: Callable[[Any], Any] | None = None
    """Instance value → stored value; None: they are the same."""
    restore: Callable[[Any], Any] | None = None
    """Stored value → instance value; None: they are the same. It is given None (NULL) too, as SQLAlchemy does."""

    @property
    def is_coerced(self) -> bool:
        """Whether a SELECT must ask for another type than the column's own."""
        return self.expression is not _as_is

    @property
    def enums(self) -> type[enum.Enum] | None:
        """The Enum class whose members the stored values are, or hold in arrays."""
        type_: Any = self.stored
        while isinstance(type_, ARRAY):
            type_ = type_.item_type
        return type_.enum_class if isinstance(type_, Enum) else None

    def take(self, value: Any) -> Any:
        """Return the stored form of what an instance holds."""
        if isinstance(value, Mutable):
            value = _untracked(value)
        elif value is JSON.NULL:
            value = None  # both NULL and JSON's null are read as None
        return value if self.bind is None else self.bind(value)


def form_of(declared: TypeEngine[Any], dialect: Dialect, where: str) -> ColumnForm:
    """Return how values of a column type are stored.

    Args:
        declared: The column's type as it was declared.
        dialect: The dialect whose processing applies.
        where: "Class.attribute", for errors.

    Raises:
        ModelError: The type pickles.
    """
    impl = declared.dialect_impl(dialect)
    if isinstance(impl, PickleType) or isinstance(declared, PickleType):
        raise ModelError(
            f"{where} is a PickleType, and reading a pickle from a cache would run whatever code it names; "
            "use JSON for the column, or leave the model out of the cache (undeclared, or its table in `untracked`)"
        )
    computed = impl.column_expression(column("probe", declared))
    if computed is not None and not isinstance(computed.type, type(declared)):
        return _computed_form(declared, impl, form_of(computed.type, dialect, where))
    if isinstance(impl, ARRAY):
        return _array_form(declared, impl, dialect, where)
    if type(impl).__module__.startswith("sqlalchemy."):
        return ColumnForm(declared, impl, _as_is)
    if isinstance(impl, TypeDecorator) and not _overrides(impl, TypeDecorator, "result_processor", "bind_processor"):
        return _decorator_form(declared, impl, dialect, where)
    return _raw_form(declared, impl, dialect, where)


def _as_is(expression: ColumnElement[Any]) -> ColumnElement[Any]:
    return expression


def _computed_form(declared: TypeEngine[Any], impl: TypeEngine[Any], result: ColumnForm) -> ColumnForm:
    """The form of a column that is read through SQL which gives another type; that type's processing applies, as in any SELECT."""

    def expression(source: ColumnElement[Any]) -> ColumnElement[Any]:
        computed: Any = impl.column_expression(source)
        return type_coerce(computed, result.stored)

    return ColumnForm(declared, result.stored, expression if result.is_coerced else _as_is, result.bind, result.restore)


def _overrides(impl: object, base: type[Any], *names: str) -> bool:
    return any(getattr(type(impl), name) is not getattr(base, name) for name in names)


def _untracked(value: Any) -> Any:
    for plain in (dict, list, set):
        if isinstance(value, plain):
            return plain(value)
    return value


def _array_form(declared: TypeEngine[Any], impl: ARRAY[Any], dialect: Dialect, where: str) -> ColumnForm:
    item = form_of(impl.item_type, dialect, where)
    if not item.is_coerced and item.bind is None and item.restore is None:
        return ColumnForm(declared, impl, _as_is)
    stored = type(impl)(item.stored, as_tuple=impl.as_tuple, dimensions=impl.dimensions, zero_indexes=impl.zero_indexes)
    collection = tuple if impl.as_tuple else list

    def each(process: Callable[[Any], Any] | None) -> Callable[[Any], Any] | None:
        if process is None:
            return None
        return lambda value: None if value is None else _map_nested(value, process, impl.dimensions, collection)

    def expression(source: ColumnElement[Any]) -> ColumnElement[Any]:
        return type_coerce(source, stored)

    return ColumnForm(declared, stored, expression, each(item.bind), each(item.restore))


def _map_nested(value: Any, process: Callable[[Any], Any], dimensions: int | None, collection: Callable[[Any], Any]) -> Any:
    """Apply ``process`` to the items of an array, telling items from inner arrays as SQLAlchemy's ARRAY does."""
    value = list(value)
    leaves = dimensions == 1 if dimensions is not None else not value or not isinstance(value[0], (list, tuple))
    if leaves:
        return collection([process(item) for item in value])
    inner = None if dimensions is None else dimensions - 1
    return collection([None if item is None else _map_nested(item, process, inner, collection) for item in value])


def _decorator_form(declared: TypeEngine[Any], impl: TypeDecorator[Any], dialect: Dialect, where: str) -> ColumnForm:
    inner = form_of(impl.impl_instance, dialect, where)

    def bind(value: Any) -> Any:
        bound = impl.process_bind_param(value, dialect)
        return bound if inner.bind is None else inner.bind(bound)

    def restore(value: Any) -> Any:
        return impl.process_result_value(value if inner.restore is None else inner.restore(value), dialect)

    def expression(source: ColumnElement[Any]) -> ColumnElement[Any]:
        own = impl.column_expression(source) if _overrides(impl, TypeDecorator, "column_expression") else None
        return type_coerce(inner.expression(source) if own is None else own, inner.stored)

    binds = _overrides(impl, TypeDecorator, "process_bind_param")
    restores = _overrides(impl, TypeDecorator, "process_result_value")
    return ColumnForm(declared, inner.stored, expression, bind if binds else inner.bind, restore if restores else inner.restore)


def _raw_form(declared: TypeEngine[Any], impl: TypeEngine[Any], dialect: Dialect, where: str) -> ColumnForm:
    """The form of a type with processing of its own that isn't a plain decorator: what the DBAPI gave, and its own processors."""
    to_instance = impl.result_processor(dialect, None)
    to_dbapi = impl.bind_processor(dialect)
    raw: TypeEngine[Any] = NullType()

    def expression(source: ColumnElement[Any]) -> ColumnElement[Any]:
        own = impl.column_expression(source)
        return type_coerce(source if own is None else own, raw)

    def bind(value: Any) -> Any:
        bound = value if to_dbapi is None else to_dbapi(value)
        # what a driver takes and what it gives may differ (WKT and WKB); only a form that leads back may be stored
        back = bound if to_instance is None else to_instance(bound)
        if type(back) is not type(value) or not _same(back, value):
            raise SerializationError(f"{where}: a {type(value).__name__} of {impl!r} can't be stored from an instance, only from a row")
        return bound

    return ColumnForm(declared, raw, expression, None if to_dbapi is None and to_instance is None else bind, to_instance)


def _same(one: Any, other: Any) -> bool:
    try:
        return bool(one == other)
    except ValueError:  # NumPy's arrays compare item by item
        return False
