"""The stored row of one mapped class: which values it has, and its two binary forms.

The *fast* form is one msgpack array, decoded to typed values in one pass. It is possible when each value has exactly its column's
type. The *tagged* form, a map of self-describing values, is for all other rows: SQLite stores anything in any column, and an
instance may have unloaded attributes.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from aa_cache_integration.codecs.tagged import READ_ERRORS, Reader, Writer
from aa_cache_integration.codecs.wires import Unfit, wire_of
from aa_cache_integration.exceptions import SerializationError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy.orm import Mapper

    from aa_cache_integration.codecs.columns import ColumnForm

__all__ = ("LAYOUT_READ_ERRORS", "Cell", "Layout")

_ENCODER = msgspec.msgpack.Encoder(uuid_format="bytes")
_TREE_DECODER = msgspec.msgpack.Decoder(dict[str, Any])
_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")


@dataclass(frozen=True)
class Cell:
    """One attribute of a stored row."""

    key: str
    column: str
    position: int
    """Where the hierarchy's SELECT has it."""
    form: ColumnForm

    def describe(self) -> str:
        """Say all that must be the same for a stored value to be understood; the same in every process."""
        enums = self.form.enums
        names = "" if enums is None else ",".join(enums.__members__)
        text = f"{self.key}|{self.column}|{self.form.declared!r}|{self.form.stored!r}|{names}"
        return _ADDRESS.sub("", text)


class Layout:
    """The stored row of one class, compiled for one dialect."""

    def __init__(self, mapper: Mapper[Any], cells: Sequence[Cell], identity: Sequence[str], dialect_name: str) -> None:
        """Compile it.

        Args:
            mapper: The class's own mapper.
            cells: Its values.
            identity: The attributes of the primary key, all among the cells.
            dialect_name: The dialect of the stored forms.
        """
        self.mapper = mapper
        self.class_name = mapper.class_.__name__
        self.cells = tuple(cells)
        self.keys = tuple(cell.key for cell in cells)
        self.identity_keys = tuple(identity)
        self.positions = tuple(cell.position for cell in cells)
        self.identity_indexes = tuple(self.keys.index(key) for key in identity)
        lines = [mapper.class_.__module__, mapper.class_.__qualname__, repr(mapper.polymorphic_identity), dialect_name]
        lines += [cell.describe() for cell in cells]
        self.digest = hashlib.blake2b("\n".join(lines).encode(), digest_size=8).digest()
        wires = [wire_of(cell.form.stored) for cell in cells]
        self._types = tuple(wire.exact for wire in wires)
        self._packers = tuple((i, wire.pack) for i, wire in enumerate(wires) if wire.pack is not None)
        restores = [cell.form.restore for cell in cells]
        steps = zip(range(len(cells)), (wire.read for wire in wires), restores, strict=True)
        self._openers = tuple(step for step in steps if step[1:] != (None, None))
        self._decoder = msgspec.msgpack.Decoder(tuple[tuple(wire.annotation for wire in wires)])  # type: ignore[misc] # made at run time
        self._writers = tuple(Writer(text=False, enums=cell.form.enums) for cell in cells)
        self._readers = tuple(Reader(enums=cell.form.enums) for cell in cells)

    def write_fast(self, stored: Sequence[Any]) -> bytes | None:
        """Return the fast form of a whole row of stored values; None: some value isn't of its column's type."""
        for value, exact in zip(stored, self._types, strict=True):
            if exact is not None and value is not None and type(value) is not exact:
                return None
        packed = list(stored)
        try:
            for index, pack in self._packers:
                if packed[index] is not None:
                    packed[index] = pack(packed[index])
            return _ENCODER.encode(packed)
        except (Unfit, OverflowError, UnicodeEncodeError, RecursionError):
            return None  # the tagged form has no such limits, or says what is wrong

    def write_tagged(self, stored: Mapping[str, Any]) -> bytes:
        """Return the tagged form of those stored values that there are."""
        trees = {
            cell.key: writer.write(stored[cell.key], f"{self.class_name}.{cell.key}")
            for cell, writer in zip(self.cells, self._writers, strict=True)
            if cell.key in stored
        }
        return _ENCODER.encode(trees)

    def read_fast(self, body: bytes | memoryview) -> dict[str, Any]:
        """Return attribute values from the fast form; raises what `READ_ERRORS` lists, msgspec's errors, `SerializationError`."""
        row = list(self._decoder.decode(body))
        for index, read, restore in self._openers:
            value = row[index]
            if value is not None and read is not None:
                value = read(value)
            row[index] = value if restore is None else self._restore(index, restore, value)
        return dict(zip(self.keys, row, strict=True))

    def read_tagged(self, body: bytes | memoryview) -> dict[str, Any]:
        """Return attribute values from the tagged form; raises as `read_fast`."""
        trees = _TREE_DECODER.decode(body)
        values: dict[str, Any] = {}
        for index, (cell, reader) in enumerate(zip(self.cells, self._readers, strict=True)):
            if cell.key in trees:
                value = reader.read(trees.pop(cell.key))
                values[cell.key] = value if cell.form.restore is None else self._restore(index, cell.form.restore, value)
        if trees:
            raise SerializationError(f"unknown attributes of {self.class_name}: {', '.join(sorted(trees))}")
        return values

    def _restore(self, index: int, restore: Any, value: Any) -> Any:
        try:
            return restore(value)
        except Exception as error:  # code of the application's types
            where = f"{self.class_name}.{self.keys[index]}"
            raise SerializationError(f"{where}: the column type's result processing failed: {error!r}") from error


LAYOUT_READ_ERRORS = (*READ_ERRORS, msgspec.MsgspecError)
"""What reading a damaged body can raise, besides `SerializationError`."""
