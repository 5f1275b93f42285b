"""The models of the random programs of `test_programs`, the rows that each program begins with, and what a database holds.

Between them the database itself deletes, empties and renames rows, over several tables, in a tree, and in parts of primary keys.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import Column, ForeignKey, String, Table, insert, select
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sqlalchemy.engine import Connection

__all__ = (
    "KINDS",
    "TAGGINGS",
    "WHICH",
    "Base",
    "Book",
    "Kind",
    "State",
    "Tag",
    "empty",
    "expected",
    "folded",
    "read_state",
    "seed",
    "shown",
)

NAME = String(20)


class Base(DeclarativeBase):
    pass


class Author(Base):
    __tablename__ = "program_authors"
    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    value: Mapped[int]
    books: Mapped[list[Book]] = relationship(passive_deletes=True, cascade="all, delete")


TAGGINGS = Table(
    "program_taggings",
    Base.metadata,
    Column("book_id", ForeignKey("program_books.id", ondelete="CASCADE", onupdate="CASCADE"), primary_key=True),
    Column("tag_id", ForeignKey("program_tags.id", ondelete="CASCADE", onupdate="CASCADE"), primary_key=True),
)


class Book(Base):
    __tablename__ = "program_books"
    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    value: Mapped[int]
    parent: Mapped[int | None] = mapped_column(ForeignKey("program_authors.id", ondelete="CASCADE"))
    reviews: Mapped[list[Review]] = relationship()
    tags: Mapped[list[Tag]] = relationship(secondary=TAGGINGS, passive_deletes=True)


class Review(Base):
    __tablename__ = "program_reviews"
    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    value: Mapped[int]
    parent: Mapped[int | None] = mapped_column(ForeignKey("program_books.id", ondelete="SET NULL"))


class Tag(Base):
    __tablename__ = "program_tags"
    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    value: Mapped[int]


class Shelf(Base):
    __tablename__ = "program_shelves"
    name: Mapped[str] = mapped_column(NAME, primary_key=True)
    value: Mapped[int]


class Place(Base):
    __tablename__ = "program_places"
    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    value: Mapped[int]
    parent: Mapped[str | None] = mapped_column(NAME, ForeignKey("program_shelves.name", onupdate="CASCADE", ondelete="CASCADE"))


class Slot(Base):
    """A composite key, of which the database changes a part."""

    __tablename__ = "program_slots"
    shelf: Mapped[str] = mapped_column(NAME, ForeignKey("program_shelves.name", onupdate="CASCADE", ondelete="CASCADE"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    value: Mapped[int]


class Node(Base):
    """A tree."""

    __tablename__ = "program_nodes"
    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    value: Mapped[int]
    parent: Mapped[int | None] = mapped_column(ForeignKey("program_nodes.id", ondelete="CASCADE"))


class Person(Base):
    """Joined inheritance."""

    __tablename__ = "program_people"
    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    kind: Mapped[str] = mapped_column(NAME)
    value: Mapped[int] = mapped_column(default=0)
    __mapper_args__ = {"polymorphic_on": "kind", "polymorphic_identity": "person"}  # noqa: RUF012 - SQLAlchemy's form


class Engineer(Person):
    __tablename__ = "program_engineers"
    id: Mapped[int] = mapped_column(ForeignKey("program_people.id", ondelete="CASCADE", onupdate="CASCADE"), primary_key=True)
    skill: Mapped[int | None]
    __mapper_args__ = {"polymorphic_identity": "engineer"}  # noqa: RUF012


WHICH = (0, 1, 2, 3)
"""The places of a kind's identities: programs name rows by these, whatever their keys."""


@dataclass(frozen=True)
class Kind:
    """What the steps of a program must know of a model."""

    model: type[Any]
    idents: tuple[tuple[Any, ...], ...] = ((1,), (2,), (3,), (4,))
    keys: tuple[str, ...] = ("id",)
    value: str = "value"
    """The column that is no key, and of this table."""
    parent: str | None = None
    """The kind whose row the column ``parent`` names."""
    more: tuple[tuple[str, Any], ...] = ()
    """What a row inserted without the ORM needs beside these."""

    @property
    def name(self) -> str:
        """The table's name."""
        return str(self.table.name)

    @property
    def table(self) -> Any:
        """The table, of a subclass its own."""
        return self.model.__table__

    @property
    def tables(self) -> tuple[Any, ...]:
        """The tables that its instances are read from."""
        return (Person.__table__, Engineer.__table__) if issubclass(self.model, Person) else (self.table,)

    def key(self, which: int) -> dict[str, Any]:
        """Return the columns of an identity."""
        return dict(zip(self.keys, self.idents[which], strict=True))

    def refers(self, which: int | None) -> dict[str, Any]:
        """Return the column that names a parent, where there is one."""
        if self.parent is None:
            return {}
        return {"parent": None if which is None else KINDS[self.parent].idents[which][0]}

    def values(self, which: int, value: int, parent: int | None) -> dict[str, Any]:
        """Return the attributes of an instance."""
        return {**self.key(which), self.value: value, **self.refers(parent)}

    def row(self, which: int, value: int, parent: int | None) -> dict[str, Any]:
        """Return the columns of a row of the table."""
        return {**self.values(which, value, parent), **dict(self.more)}


_NAMES = (("s1",), ("s2",), ("s3",), ("S1",))  # to MariaDB, the first and the last are one

KINDS: dict[str, Kind] = {
    "author": Kind(Author),
    "book": Kind(Book, parent="author"),
    "review": Kind(Review, parent="book"),
    "tag": Kind(Tag),
    "shelf": Kind(Shelf, _NAMES, ("name",)),
    "place": Kind(Place, parent="shelf"),
    "slot": Kind(Slot, (("s1", 1), ("s1", 2), ("s2", 1), ("s3", 1)), ("shelf", "number")),
    "node": Kind(Node, parent="node"),
    "person": Kind(Person, more=(("kind", "person"),)),
    "engineer": Kind(Engineer, value="skill"),
}

State = dict[str, list[dict[str, Any]]]
"""What a database holds, or a transaction sees: rows by table."""


def empty(connection: Connection) -> None:
    """Delete all rows."""
    for table in reversed(Base.metadata.sorted_tables):
        connection.execute(table.delete())


def seed(connection: Connection) -> None:
    """Insert the rows with which each program begins: of each kind the first three, some below others."""
    parents = {"book": (0, 0, 1), "review": (0, 1, 2), "place": (0, 0, 1), "node": (None, 0, 1)}
    for name, kind in KINDS.items():
        if name == "engineer":
            continue
        rows = [kind.row(which, which + 1, parents.get(name, (None,) * 3)[which]) for which in WHICH[:3]]
        if name == "person":
            rows = [{**row, "kind": "person" if row["id"] == 1 else "engineer"} for row in rows]
        connection.execute(insert(kind.table), rows)
    connection.execute(insert(KINDS["engineer"].table), [{"id": 2, "skill": 1}, {"id": 3, "skill": 2}])
    connection.execute(insert(TAGGINGS), [{"book_id": 1, "tag_id": 1}, {"book_id": 1, "tag_id": 2}, {"book_id": 2, "tag_id": 1}])


def read_state(connection: Connection, tables: Iterable[Any] = Base.metadata.sorted_tables) -> State:
    """Ask a database for its rows, by plain SELECTs."""
    return {
        table.name: [dict(row) for row in connection.execute(select(table).order_by(*table.primary_key)).mappings()] for table in tables
    }


def expected(kind: Kind, state: State, *, folds: bool) -> dict[tuple[Any, ...], Any]:
    """Return what the instances of a kind must show, by identity.

    Half an engineer, whose row in the table of the subclass somebody has deleted, has nothing of that table.

    Args:
        kind: The kind.
        state: What the database holds.
        folds: Whether its keys know no case: then the identities are in lower case.
    """
    rows = state[kind.name]
    if kind.model in {Person, Engineer}:
        skills = {row["id"]: row["skill"] for row in state["program_engineers"]}
        rows = [{**row, "skill": skills.get(row["id"])} for row in state["program_people"]]
        if kind.model is Engineer:
            rows = [row for row in rows if row["kind"] == "engineer"]
    return {folded(tuple(row[key] for key in kind.keys), folds=folds): _shape(kind, row) for row in rows}


def folded(ident: tuple[Any, ...], *, folds: bool) -> tuple[Any, ...]:
    """Return an identity as the database compares it."""
    return tuple(part.lower() if folds and isinstance(part, str) else part for part in ident)


def _shape(kind: Kind, row: dict[str, Any]) -> Any:
    if row.get("kind") == "person":
        return "Person", {name: value for name, value in row.items() if name != "skill"}
    return "Engineer" if "kind" in row else kind.model.__name__, row


def shown(instance: Any) -> tuple[str, dict[str, Any]] | None:
    """Return what an instance from the cache shows; ``None`` for none."""
    if instance is None:
        return None
    held = {name: value for name, value in vars(instance).items() if not name.startswith("_sa_")}
    return type(instance).__name__, held
