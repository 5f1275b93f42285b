"""The rows that are written and read, and the database's own account of what was committed.

A *unit* is what is written as a whole: a pair of rows, a single row, or a *transient* row that its odd versions insert and its even ones
delete. Each write of a unit has a version, one more than the last, and a token that no other write has; the row's token shows which
version a reader was given, and the table ``history``, written in the same transaction, which versions were committed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sqlalchemy import String, create_engine, event, insert, select
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy.engine import URL, Engine

__all__ = ("Gate", "History", "Item", "Note", "Unit", "World", "committed", "make", "spare_the_disk")

SHELVES: Final = 4
"""Lists that there are."""
_NOTES: Final = 24
"""Units that are seldom written: 8 pairs, 8 single rows and 8 transient ones."""


class Base(DeclarativeBase):
    """All tables."""


class Row:
    """What the two tables have in common."""

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    shelf: Mapped[int]
    version: Mapped[int]
    token: Mapped[str] = mapped_column(String(60))


class Item(Row, Base):
    """A row that is written all the time."""

    __tablename__ = "items"


class Note(Row, Base):
    """A row that is seldom written, so that lists and the knowledge of absent rows last a while."""

    __tablename__ = "notes"


class Gate(Base):
    """What the writers of a transient row lock, and where its version is kept."""

    __tablename__ = "gates"
    unit: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    version: Mapped[int]


class History(Base):
    """A write that was committed."""

    __tablename__ = "history"
    token: Mapped[str] = mapped_column(String(60), primary_key=True)
    unit: Mapped[int]
    version: Mapped[int]


@dataclass(frozen=True)
class Unit:
    """What is written as a whole."""

    number: int
    model: type[Item | Note]
    rows: tuple[int, ...]
    """Primary keys; no two rows of either table have the same."""
    shelf: int
    transient: bool = False

    @property
    def first(self) -> str | None:
        """The token of the version 0, which is there from the start."""
        return None if self.transient else f"first {self.number}"


@dataclass(frozen=True)
class World:
    """All units."""

    units: tuple[Unit, ...]
    of_row: Mapping[int, Unit]

    @classmethod
    def of(cls, rows: int) -> World:
        """Lay out so many rows that are written all the time, half of them in pairs, and the others."""
        units: list[Unit] = []
        row = 0
        sizes = [(Item, 2 if number % 3 == 0 else 1, False) for number in range(3 * rows // 4)]
        sizes += [(Note, 2 if number % 3 == 0 else 1, number % 3 == 2) for number in range(_NOTES)]
        for number, (model, size, transient) in enumerate(sizes):
            units.append(Unit(number, model, tuple(range(row + 1, row + size + 1)), number % SHELVES, transient))
            row += size
        return cls(tuple(units), {row: unit for unit in units for row in unit.rows})

    def on_shelf(self, shelf: int) -> tuple[Unit, ...]:
        """Return the units of a list."""
        return tuple(unit for unit in self.units if unit.model is Note and unit.shelf == shelf)


def make(url: URL | str, world: World) -> None:
    """Make the tables and the version 0 of each unit."""
    engine = create_engine(url)
    try:
        if engine.dialect.name == "sqlite":
            with engine.connect() as connection:
                connection.exec_driver_sql("PRAGMA journal_mode=WAL")  # kept in the file
        Base.metadata.create_all(engine)
        with engine.begin() as connection:
            for model in (Item, Note):
                units = [unit for unit in world.units if unit.model is model and not unit.transient]
                rows = [{"id": row, "shelf": unit.shelf, "version": 0, "token": unit.first} for unit in units for row in unit.rows]
                connection.execute(insert(model), rows)
            connection.execute(insert(Gate), [{"unit": unit.number, "version": 0} for unit in world.units])
    finally:
        engine.dispose()


def committed(url: URL | str) -> dict[str, tuple[int, int]]:
    """Return unit and version of each token that was committed."""
    engine = create_engine(url)
    try:
        with engine.connect() as connection:
            rows = connection.execute(select(History.token, History.unit, History.version))
            return {token: (unit, version) for token, unit, version in rows}
    finally:
        engine.dispose()


def spare_the_disk(engine: Engine) -> None:
    """Let SQLite not wait for the disk: a process is killed here, the machine isn't."""

    @event.listens_for(engine, "connect")
    def connect(dbapi_connection: object, _: object) -> None:
        cursor = dbapi_connection.cursor()  # type: ignore[attr-defined]
        cursor.execute("PRAGMA synchronous = OFF")
        cursor.close()
