"""The models that the tests of this room write and read."""

from __future__ import annotations

import datetime as dt
import decimal
import enum
import uuid
from typing import Any

from sqlalchemy import JSON, Column, Enum, ForeignKey, Interval, LargeBinary, Numeric, String, Table, func, select
from sqlalchemy.orm import DeclarativeBase, Mapped, column_property, deferred, mapped_column, relationship

__all__ = (
    "Base",
    "Box",
    "Cat",
    "Circle",
    "Dog",
    "Engineer",
    "Everything",
    "Folder",
    "Label",
    "Line",
    "Nickname",
    "Order",
    "Person",
    "Pet",
    "Price",
    "Product",
    "Shape",
    "Tag",
    "Thing",
    "Versioned",
    "product_tags",
)


class Base(DeclarativeBase):
    """All of them."""

    type_annotation_map = {str: String(200)}  # noqa: RUF012 - MariaDB wants a length


class Product(Base):
    __tablename__ = "products"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    stock: Mapped[int] = mapped_column(default=0)
    tags: Mapped[list[Tag]] = relationship(secondary="product_tags")


class Tag(Base):
    __tablename__ = "tags"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]


product_tags = Table(
    "product_tags",
    Base.metadata,
    Column("product_id", ForeignKey("products.id"), primary_key=True),
    Column("tag_id", ForeignKey("tags.id"), primary_key=True),
)


class Person(Base):
    """Joined inheritance."""

    __tablename__ = "people"
    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str]
    name: Mapped[str]
    __mapper_args__ = {"polymorphic_on": "kind", "polymorphic_identity": "person"}  # noqa: RUF012 - SQLAlchemy's form


class Engineer(Person):
    __tablename__ = "engineers"
    id: Mapped[int] = mapped_column(ForeignKey("people.id"), primary_key=True)
    language: Mapped[str | None]
    __mapper_args__ = {"polymorphic_identity": "engineer"}  # noqa: RUF012


class Pet(Base):
    """Single-table inheritance."""

    __tablename__ = "pets"
    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str]
    name: Mapped[str]
    __mapper_args__ = {"polymorphic_on": "kind", "polymorphic_identity": "pet"}  # noqa: RUF012


class Cat(Pet):
    __mapper_args__ = {"polymorphic_identity": "cat"}  # noqa: RUF012


class Dog(Pet):
    __mapper_args__ = {"polymorphic_identity": "dog"}  # noqa: RUF012


class Line(Base):
    """A composite key."""

    __tablename__ = "lines"
    order_id: Mapped[int] = mapped_column(primary_key=True)
    number: Mapped[str] = mapped_column(primary_key=True)
    text: Mapped[str]


class Thing(Base):
    __tablename__ = "uuid_things"
    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    name: Mapped[str]


class Versioned(Base):
    __tablename__ = "versioned"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    version: Mapped[int] = mapped_column()
    __mapper_args__ = {"version_id_col": version}  # noqa: RUF012


class Nickname(Base):
    """Found by the database under any spelling of its key."""

    __tablename__ = "nicknames"
    name: Mapped[str] = mapped_column(String(collation="NOCASE"), primary_key=True)
    text: Mapped[str]


class Order(Base):
    """Reads another table in a column of its own."""

    __tablename__ = "orders"
    id: Mapped[int] = mapped_column(primary_key=True)
    note: Mapped[str]


class Price(Base):
    __tablename__ = "prices"
    id: Mapped[int] = mapped_column(primary_key=True)
    order_id: Mapped[int]
    amount: Mapped[int]


Order.total = column_property(  # type: ignore[attr-defined]
    select(func.coalesce(func.sum(Price.amount), 0)).where(Price.order_id == Order.id).correlate_except(Price).scalar_subquery()
)


class Folder(Base):
    """The database deletes and renames what is in it."""

    __tablename__ = "folders"
    name: Mapped[str] = mapped_column(primary_key=True)
    size: Mapped[int] = mapped_column(default=0)


class Box(Base):
    __tablename__ = "boxes"
    id: Mapped[int] = mapped_column(primary_key=True)
    folder: Mapped[str | None] = mapped_column(ForeignKey("folders.name", ondelete="CASCADE", onupdate="CASCADE"))
    labels: Mapped[list[Label]] = relationship(passive_deletes="all")


class Label(Base):
    __tablename__ = "labels"
    id: Mapped[int] = mapped_column(primary_key=True)
    box_id: Mapped[int | None] = mapped_column(ForeignKey("boxes.id", ondelete="SET NULL"))


class Shape(Base):
    """Whose rows an INSERT may replace."""

    __tablename__ = "shapes"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(unique=True, sqlite_on_conflict_unique="REPLACE")


class Circle(Base):
    __tablename__ = "circles"
    id: Mapped[int] = mapped_column(primary_key=True)
    radius: Mapped[int]


class Colour(enum.Enum):
    RED = 1
    BLUE = 2


class Everything(Base):
    """A column of each type."""

    __tablename__ = "everything"
    id: Mapped[int] = mapped_column(primary_key=True)
    text: Mapped[str | None]
    real: Mapped[float | None]
    yes: Mapped[bool | None]
    day: Mapped[dt.date | None]
    moment: Mapped[dt.datetime | None]
    hour: Mapped[dt.time | None]
    span: Mapped[dt.timedelta | None] = mapped_column(Interval)
    amount: Mapped[decimal.Decimal | None] = mapped_column(Numeric(12, 4))
    raw: Mapped[bytes | None] = mapped_column(LargeBinary)
    unique: Mapped[uuid.UUID | None]
    document: Mapped[Any | None] = mapped_column(JSON)
    colour: Mapped[Colour | None] = mapped_column(Enum(Colour))
    long: Mapped[str | None] = deferred(mapped_column(String))
