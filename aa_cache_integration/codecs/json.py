"""The public interchange form: self-describing JSON of one mapped instance."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from aa_cache_integration.codecs import dialects
from aa_cache_integration.codecs.build import describe, detached, key_attributes, mapper_of, state_of
from aa_cache_integration.codecs.columns import form_of
from aa_cache_integration.codecs.tagged import READ_ERRORS, Reader, Writer
from aa_cache_integration.exceptions import ModelError, SerializationError

if TYPE_CHECKING:
    from sqlalchemy.orm import Mapper

    from aa_cache_integration.codecs.columns import ColumnForm

__all__ = ("default_deserializer", "default_serializer")

T = TypeVar("T")

_MODEL, _TABLE = "__aa_model__", "__aa_table__"
_DECODER = msgspec.json.Decoder(dict[str, Any])


def default_serializer(model: Any) -> bytes:
    """Serialise a mapped instance to JSON.

    Every loaded column attribute is written under its key; types that JSON lacks as ``{"__type__": …, "value": …}``. Relationships
    and unloaded attributes are left out. A ``TypeDecorator``'s value is written in its bound form for the default dialect.

    Args:
        model: An instance of a mapped class.

    Returns:
        JSON with the class's name as ``__aa_model__`` and its table's as ``__aa_table__``.

    Raises:
        ModelError: It isn't a mapped instance, or has a column that can't be written safely (``PickleType``).
        SerializationError: A value has no safe form; the message has its path.

    Example:
        ::

            default_serializer(User(id=1, name="John"))
            # b'{"__aa_model__":"User","__aa_table__":"users","id":1,"name":"John"}'
    """
    state = state_of(model)
    mapper = state.mapper
    held = dict(zip(key_attributes(mapper), state.identity or (), strict=False))  # known even where it is expired
    held.update(state.dict)
    tree = {_MODEL: mapper.class_.__name__, _TABLE: str(getattr(mapper.local_table, "fullname", mapper.local_table.description))}
    for key, form, where in _columns(mapper):
        if key in held:
            tree[key] = Writer(text=True, enums=form.enums).write(_take(form, held[key], where), where)
    return msgspec.json.encode(tree)


def default_deserializer(data: bytes, model_class: type[T]) -> T:
    """Make a detached instance from what `default_serializer` wrote.

    No ``__init__``, validator or property setter runs. With its primary key in the data the instance has identity, so it can be
    added or merged (``load=False``) into a session without SQL. Attributes that the data lacks, and all relationships, are
    unloaded: touching one raises SQLAlchemy's ``DetachedInstanceError``.

    Args:
        data: JSON; ``__aa_model__`` is the only key that must be there.
        model_class: The mapped class expected, or a base of it.

    Returns:
        An instance of the data's class, which is ``model_class`` or a mapped subclass.

    Raises:
        ModelError: ``model_class`` isn't mapped.
        SerializationError: (a ``ValueError``) The data is of another model, or damaged.
    """
    mapper = mapper_of(model_class)
    try:
        trees = _DECODER.decode(data)
    except (msgspec.MsgspecError, *READ_ERRORS) as error:
        raise SerializationError(f"not a JSON object: {error}") from error
    mapper = _mapper_named(trees.get(_MODEL), mapper)
    values = {key: _read(form, trees[key], where) for key, form, where in _columns(mapper) if key in trees}
    keys = key_attributes(mapper)
    identity = tuple([values[key] for key in keys]) if all(values.get(key) is not None for key in keys) else None
    instance: T = detached(mapper, values, identity)
    return instance


# Compiled once per class, where SQLAlchemy keeps what belongs to one mapped class.
_INFO_KEY = "aa_cache_integration.codecs.json"


def _columns(mapper: Mapper[Any]) -> list[tuple[str, ColumnForm, str]]:
    """Return key, form and name-in-errors of every column attribute."""
    known: list[tuple[str, ColumnForm, str]] | None = mapper.class_manager.info.get(_INFO_KEY)
    if known is not None and len(known) == len(mapper.column_attrs):
        return known
    dialect = dialects.named(dialects.DEFAULT)
    columns = []
    for prop in mapper.column_attrs:
        where = f"{mapper.class_.__name__}.{prop.key}"
        if prop.key in (_MODEL, _TABLE):
            raise ModelError(f"{where} has the name of the form's own field {prop.key!r}; map the column under another attribute")
        columns.append((prop.key, form_of(prop.columns[0].type, dialect, where), where))
    mapper.class_manager.info[_INFO_KEY] = columns
    return columns


def _mapper_named(name: Any, expected: Mapper[Any]) -> Mapper[Any]:
    found = [mapper for mapper in expected.self_and_descendants if mapper.class_.__name__ == name]
    if not found:
        raise SerializationError(f"the data is of the model {name!r}, but {describe(expected.class_)} was expected")
    if len(found) > 1:
        raise SerializationError(f"the data is of the model {name!r}, which may be {' or '.join(describe(m.class_) for m in found)}")
    return found[0]


def _take(form: ColumnForm, value: Any, where: str) -> Any:
    try:
        return form.take(value)
    except SerializationError:
        raise
    except Exception as error:  # code of the application's types
        raise SerializationError(f"{where}: the column type's bind processing failed: {error!r}") from error


def _read(form: ColumnForm, tree: Any, where: str) -> Any:
    try:
        value = Reader(enums=form.enums).read(tree)
    except READ_ERRORS as error:
        raise SerializationError(f"{where}: damaged value: {error}") from error
    try:
        return value if form.restore is None else form.restore(value)
    except Exception as error:  # code of the application's types
        raise SerializationError(f"{where}: the column type's result processing failed: {error!r}") from error
