"""The internal codec: compiled once per inheritance hierarchy and dialect.

A payload is ``format | form | length and name of the dialect | class digest | CRC-32 | body``. The digest stands for the class and
for its mapped columns and types, so a payload of another class or of an older version of the models isn't understood by mistake.
"""

from __future__ import annotations

import hashlib
import threading
import zlib
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from sqlalchemy import Table

from aa_cache_integration.codecs import dialects
from aa_cache_integration.codecs.build import describe, detached, is_query_expression, key_attributes, mapper_of, state_of
from aa_cache_integration.codecs.columns import ColumnForm, form_of
from aa_cache_integration.codecs.family import (
    discriminator_of,
    members_of,
    root_of,
    select_rows,
    table_names,
    tables_read,
    where_identities,
)
from aa_cache_integration.codecs.layout import LAYOUT_READ_ERRORS, Cell, Layout
from aa_cache_integration.codecs.volatile import is_volatile
from aa_cache_integration.exceptions import SerializationError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import ColumnElement, Dialect, Row, Select
    from sqlalchemy.orm import ColumnProperty, Mapper

__all__ = ("FORMAT", "EntityCodec", "Loaded", "codec_for")

T = TypeVar("T")

FORMAT = 1
"""The version of the payload's format."""
_FAST, _TAGGED = 0, 1
_DIGEST, _CRC = 8, 4


class Loaded(NamedTuple):
    """A decoded row, before an instance is made of it."""

    mapper: Mapper[Any]
    identity: tuple[Any, ...]
    values: dict[str, Any]
    """Attribute values by attribute key; absent: unloaded."""
    complete: bool
    """Every attribute that isn't deferred is there."""


class _Plan:
    """The columns of a hierarchy's SELECT, each once, and where they stand."""

    def __init__(self, dialect: Dialect) -> None:
        self.dialect = dialect
        self.columns: list[tuple[ColumnElement[Any], ColumnForm]] = []
        self._positions: dict[int, int] = {}

    def add(self, column: ColumnElement[Any], where: str) -> int:
        position = self._positions.get(id(column))
        if position is None:
            position = self._positions[id(column)] = len(self.columns)
            self.columns.append((column, form_of(column.type, self.dialect, where)))
        return position

    def cell(self, prop: ColumnProperty[Any], where: str) -> Cell:
        column = prop.columns[0]
        position = self.add(column, where)
        name = f"{getattr(column.table, 'fullname', '')}.{column.name}" if isinstance(getattr(column, "table", None), Table) else ""
        return Cell(prop.key, name, position, self.columns[position][1])


class EntityCodec:
    """Rows and instances of one inheritance hierarchy ↔ bytes, for one dialect. Made by `codec_for`; safe to share between threads."""

    table: str
    """The base table, with its schema when it has one."""
    tables: tuple[str, ...]
    """All tables of the hierarchy."""
    read_tables: tuple[str, ...]
    """Tables that column expressions read: others, and those of the hierarchy of which they read other rows."""
    volatile: bool
    """Whether a column expression's value isn't the rows' alone (``now()``, ``random()``): such rows can't be cached."""
    fingerprint: str
    """Digest of the mapped columns and types of the whole hierarchy."""

    def __init__(self, root: Mapper[Any], dialect: Dialect) -> None:
        """Compile.

        Args:
            root: The mapper at the top of the hierarchy.
            dialect: Whose type processing applies.

        Raises:
            ModelError: The hierarchy can't be cached; the message says what to do.
        """
        self.dialect = dialect
        self.dialect_name = dialects.name_of(dialect)
        self._root = root
        self._shape = _shape_of(root)
        self.tables = table_names(root)
        self.table = self.tables[0]
        plan = _Plan(dialect)
        members = members_of(root)
        self._identity_columns = tuple(root.primary_key)
        self._identity = tuple(self._place(plan, column, root) for column in root.primary_key)
        discriminator = discriminator_of(root)
        self._discriminator = None if discriminator is None else self._place(plan, discriminator, root)
        layouts = {mapper: _layout_of(mapper, plan, self.dialect_name) for mapper in members}
        self._statement = select_rows(root, plan.columns)
        self.read_tables = tables_read(self._statement, self.tables, dialect)
        self.volatile = is_volatile([column for column, _ in plan.columns])
        self._by_mapper = layouts
        self._by_digest = {layout.digest: layout for layout in layouts.values()}
        self._by_discriminator = {value: layouts[mapper] for value, mapper in root.polymorphic_map.items() if mapper in layouts}
        self._root_layout = layouts[root]
        self.fingerprint = hashlib.blake2b(b"".join(sorted(self._by_digest)), digest_size=16).hexdigest()

    @staticmethod
    def _place(plan: _Plan, column: ColumnElement[Any], root: Mapper[Any]) -> tuple[int, Any]:
        position = plan.add(column, f"{root.class_.__name__}.{getattr(column, 'key', column)}")
        return position, plan.columns[position][1].restore

    @property
    def mapper(self) -> Mapper[Any]:
        """The mapper at the top of the hierarchy."""
        return self._root

    def is_current(self) -> bool:
        """Whether no class or attribute has been added to the hierarchy since this was compiled."""
        return _shape_of(self._root) == self._shape

    @property
    def all_rows(self) -> Select[Any]:
        """The Core SELECT of all rows, which tells a session which of its engines to ask."""
        return self._statement

    def statement(self, identities: Sequence[tuple[Any, ...]]) -> Select[Any]:
        """Return the Core SELECT of the whole rows with these primary keys.

        Args:
            identities: Tuples of Python values in the order of ``mapper.primary_key`` (as `identity.normalize` gives).
        """
        return self._statement.where(where_identities(self._identity_columns, identities, self.dialect))

    def row_identity(self, row: Row[Any]) -> tuple[Any, ...]:
        """Return the primary key of a row of `statement`."""
        return tuple(row[position] if restore is None else restore(row[position]) for position, restore in self._identity)

    def encode_row(self, row: Row[Any]) -> bytes:
        """Return the payload of a row of `statement`.

        Raises:
            SerializationError: The row's class is unknown, or a value has no safe form.
        """
        layout = self._layout_of_row(row)
        stored = [row[position] for position in layout.positions]
        for index, (position, _) in zip(layout.identity_indexes, self._identity, strict=True):
            if stored[index] is None:  # of a subclass whose own table has no row for it
                stored[index] = row[position]
        fast = layout.write_fast(stored)
        if fast is not None:
            return self._seal(_FAST, layout, fast)
        return self._seal(_TAGGED, layout, layout.write_tagged(dict(zip(layout.keys, stored, strict=True))))

    def _layout_of_row(self, row: Row[Any]) -> Layout:
        if self._discriminator is None:
            return self._root_layout
        position, restore = self._discriminator
        value = row[position] if restore is None else restore(row[position])
        layout = self._by_discriminator.get(value)
        if layout is None:
            raise SerializationError(f"a row of {self.table} has the discriminator {value!r}, which belongs to no mapped class")
        return layout

    def encode(self, obj: Any) -> bytes:
        """Return the payload of an instance as it is now; attributes that aren't loaded are left out.

        Raises:
            ModelError: It isn't an instance of a mapped class.
            SerializationError: It has no primary key, is of another hierarchy, or a value has no safe form.
        """
        state = state_of(obj)
        layout = self._by_mapper.get(state.mapper)
        if layout is None:
            raise SerializationError(f"{describe(type(obj))} doesn't belong to the classes of the table {self.table}")
        held = dict(zip(layout.identity_keys, state.identity or (), strict=False))
        held.update(state.dict)
        absent = [key for key in layout.identity_keys if held.get(key) is None]
        if len(absent) == len(layout.identity_keys) or any(key not in held for key in absent):
            raise SerializationError(f"this {layout.class_name} has no primary key yet ({', '.join(absent)}); flush it first")
        if state.expired_attributes and all(cell.key in layout.identity_keys for cell in layout.cells if cell.key in held):
            raise SerializationError(f"this {layout.class_name} is expired, nothing of it is loaded; refresh it first")
        stored = {cell.key: _take(layout, cell, held[cell.key]) for cell in layout.cells if cell.key in held}
        fast = layout.write_fast(list(stored.values())) if len(stored) == len(layout.cells) else None
        if fast is not None:
            return self._seal(_FAST, layout, fast)
        return self._seal(_TAGGED, layout, layout.write_tagged(stored))

    def decode(self, data: bytes, model_class: type[T], *, whole: bool = False) -> T | None:
        """Return a detached instance with identity; None: the row isn't a ``model_class``.

        Args:
            data: The payload.
            model_class: The class that is asked for.
            whole: Refuse the payload of an instance that wasn't loaded as a whole.

        Raises:
            SerializationError: The payload is foreign, damaged, or of another version of the models.
        """
        layout, body, form = self._open(data)
        if not issubclass(layout.mapper.class_, model_class):
            return None
        loaded = self._load(layout, body, form)
        if whole and len(loaded.values) < len(layout.cells):
            raise SerializationError(f"only a part of this {layout.class_name} was cached")
        instance: T = detached(loaded.mapper, loaded.values, loaded.identity, complete=loaded.complete)
        return instance

    def read(self, data: bytes) -> Loaded:
        """Return a payload's values without making an instance; raises as `decode`."""
        layout, body, form = self._open(data)
        return self._load(layout, body, form)

    def _load(self, layout: Layout, body: memoryview, form: int) -> Loaded:
        try:
            values = layout.read_fast(body) if form == _FAST else layout.read_tagged(body)
            identity = tuple([values[key] for key in layout.identity_keys])
        except SerializationError:
            raise
        except LAYOUT_READ_ERRORS as error:
            raise SerializationError(f"damaged payload of {layout.class_name}: {error}") from error
        return Loaded(layout.mapper, identity, values, form == _FAST)

    def _seal(self, form: int, layout: Layout, body: bytes) -> bytes:
        dialect = self.dialect_name.encode()
        head = bytes((FORMAT, form, len(dialect))) + dialect + layout.digest
        return head + zlib.crc32(body, zlib.crc32(head)).to_bytes(_CRC, "big") + body

    def _open(self, data: bytes) -> tuple[Layout, memoryview, int]:
        if len(data) < 3 or data[0] != FORMAT or data[1] not in (_FAST, _TAGGED):  # noqa: PLR2004 -- the fixed fields
            raise SerializationError(f"not a payload of this codec (format {FORMAT})")
        start = 3 + data[2]
        head, crc = start + _DIGEST, start + _DIGEST + _CRC
        body = memoryview(data)[crc:]
        if data[head:crc] != zlib.crc32(body, zlib.crc32(data[:head])).to_bytes(_CRC, "big"):
            raise SerializationError("damaged payload: the checksum is wrong")
        codec = self._codec_of(data[3:start].decode("ascii", "replace"))
        layout = codec._by_digest.get(data[start:head])  # noqa: SLF001 -- of this class
        if layout is None:
            raise SerializationError(f"payload of another model, or of another version of the models of {self.table}")
        return layout, body, data[1]

    def _codec_of(self, dialect_name: str) -> EntityCodec:
        if dialect_name == self.dialect_name:
            return self
        return codec_for(self._root, dialects.named(dialect_name))


def _shape_of(root: Mapper[Any]) -> tuple[int, ...]:
    return tuple([len(mapper.column_attrs) for mapper in root.self_and_descendants])


def _layout_of(mapper: Mapper[Any], plan: _Plan, dialect_name: str) -> Layout:
    identity = key_attributes(mapper)
    cells = []
    for prop in mapper.column_attrs:
        where = f"{mapper.class_.__name__}.{prop.key}"
        if prop.key in identity or not (prop.deferred or is_query_expression(prop)):
            cells.append(plan.cell(prop, where))
        elif not is_query_expression(prop):
            form_of(prop.columns[0].type, plan.dialect, where)  # a deferred pickle is a pickle too
    return Layout(mapper, cells, identity, dialect_name)


def _take(layout: Layout, cell: Cell, value: Any) -> Any:
    try:
        return cell.form.take(value)
    except SerializationError:
        raise
    except Exception as error:  # code of the application's types
        raise SerializationError(f"{layout.class_name}.{cell.key}: the column type's bind processing failed: {error!r}") from error


# Codecs live where SQLAlchemy keeps what belongs to one mapped class, so that they go when the class goes.
_INFO_KEY = "aa_cache_integration.codecs"
_lock = threading.RLock()


def codec_for(model_class: Any, dialect: Dialect | None = None) -> EntityCodec:
    """Return the codec of a class's inheritance hierarchy.

    Args:
        model_class: A mapped class or its mapper.
        dialect: The dialect of the engine whose rows are read; None: SQLAlchemy's default one.

    Raises:
        ModelError: The class isn't mapped, or can't be cached; the message says why and what to do.
    """
    name = dialects.DEFAULT if dialect is None else dialects.name_of(dialect)
    mapper = mapper_of(model_class)
    codec: EntityCodec | None = mapper.class_manager.info.get(_INFO_KEY, {}).get(name)
    if codec is not None and codec.is_current():
        return codec
    root = root_of(mapper)
    with _lock:
        of_root = root.class_manager.info.setdefault(_INFO_KEY, {})
        codec = of_root.get(name)
        if codec is None or not codec.is_current():
            codec = of_root[name] = EntityCodec(root, dialects.named(name) if dialect is None else dialect)
        mapper.class_manager.info.setdefault(_INFO_KEY, {})[name] = codec
    return codec
