"""The models that `test_every_write.py` writes: one for each manner in which a row has a key, hangs together with others, or is kept."""

from __future__ import annotations

import uuid

from sqlalchemy import Column, ForeignKey, Integer, String, Table, Uuid
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

__all__ = (
    "Archive",
    "Base",
    "Book",
    "BookGenre",
    "City",
    "Copy",
    "Counter",
    "Country",
    "Draft",
    "Film",
    "Genre",
    "Hall",
    "House",
    "Lamp",
    "Leaf",
    "Loan",
    "Medium",
    "Member",
    "Parcel",
    "Player",
    "Reader",
    "Remark",
    "Room",
    "Root",
    "Scrap",
    "Staff",
    "Stem",
    "Street",
    "Stub",
    "Tally",
    "Team",
    "Title",
    "Visitor",
    "Word",
)


class Base(DeclarativeBase):
    """All of them."""

    type_annotation_map = {  # noqa: RUF012 - SQLAlchemy's form
        str: String(80),
        uuid.UUID: Uuid(native_uuid=False).with_variant(Uuid(), "postgresql"),
    }


class Remark(Base):
    """The table that no way of writing concerns."""

    __tablename__ = "remarks"
    id: Mapped[int] = mapped_column(primary_key=True)
    text: Mapped[str]


class Book(Base):
    __tablename__ = "books"
    id: Mapped[int] = mapped_column(primary_key=True)
    title: Mapped[str]
    stock: Mapped[int] = mapped_column(default=0)
    genres: Mapped[list[Genre]] = relationship(secondary="book_genres")


class Genre(Base):
    __tablename__ = "genres"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]


class BookGenre(Base):
    """The rows of an association, that a relationship writes."""

    __tablename__ = "book_genres"
    book_id: Mapped[int] = mapped_column(ForeignKey("books.id", ondelete="CASCADE", onupdate="CASCADE"), primary_key=True)
    genre_id: Mapped[int] = mapped_column(ForeignKey("genres.id"), primary_key=True)


class Archive(Base):
    __tablename__ = "archives"
    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    title: Mapped[str]


class Copy(Base):
    """A composite key."""

    __tablename__ = "copies"
    book: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    place: Mapped[str]


class Parcel(Base):
    """A key that isn't a number."""

    __tablename__ = "parcels"
    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    place: Mapped[str]


class Word(Base):
    """A key of text."""

    __tablename__ = "words"
    word: Mapped[str] = mapped_column(primary_key=True)
    meaning: Mapped[str]


class Stub(Base):
    """A key that the database makes."""

    __tablename__ = "stubs"
    id: Mapped[int] = mapped_column(primary_key=True)
    text: Mapped[str]


class Draft(Base):
    """Each UPDATE counts."""

    __tablename__ = "drafts"
    id: Mapped[int] = mapped_column(primary_key=True)
    text: Mapped[str]
    version: Mapped[int] = mapped_column()
    __mapper_args__ = {"version_id_col": version}  # noqa: RUF012


class Scrap(Base):
    """A table that is made anew."""

    __tablename__ = "scraps"
    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    text: Mapped[str]


# Inheritance: joined, of a single table, concrete


class Medium(Base):
    __tablename__ = "media"
    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str]
    name: Mapped[str]
    __mapper_args__ = {"polymorphic_on": "kind", "polymorphic_identity": "medium"}  # noqa: RUF012


class Film(Medium):
    __tablename__ = "films"
    id: Mapped[int] = mapped_column(ForeignKey("media.id", ondelete="CASCADE"), primary_key=True)
    minutes: Mapped[int]
    __mapper_args__ = {"polymorphic_identity": "film"}  # noqa: RUF012


class Visitor(Base):
    __tablename__ = "visitors"
    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str]
    name: Mapped[str]
    __mapper_args__ = {"polymorphic_on": "kind", "polymorphic_identity": "visitor"}  # noqa: RUF012


class Member(Visitor):
    card: Mapped[str | None]
    __mapper_args__ = {"polymorphic_identity": "member"}  # noqa: RUF012


class Room(Base):
    __tablename__ = "rooms"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]


class Hall(Room):
    __tablename__ = "halls"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    seats: Mapped[int]
    __mapper_args__ = {"concrete": True}  # noqa: RUF012


# Foreign keys whose rules the database follows


class Country(Base):
    __tablename__ = "countries"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    cities: Mapped[list[City]] = relationship(passive_deletes=True, cascade="all, delete-orphan")


class City(Base):
    __tablename__ = "cities"
    id: Mapped[int] = mapped_column(primary_key=True)
    country_id: Mapped[int] = mapped_column(ForeignKey("countries.id", ondelete="CASCADE", onupdate="CASCADE"))


class Street(Base):
    __tablename__ = "streets"
    id: Mapped[int] = mapped_column(primary_key=True)
    city_id: Mapped[int] = mapped_column(ForeignKey("cities.id", ondelete="CASCADE"))


class House(Base):
    __tablename__ = "houses"
    id: Mapped[int] = mapped_column(primary_key=True)
    street_id: Mapped[int | None] = mapped_column(ForeignKey("streets.id", ondelete="SET NULL"))


class Lamp(Base):
    """MariaDB has no SET DEFAULT."""

    __tablename__ = "lamps"
    id: Mapped[int] = mapped_column(primary_key=True)
    street_id: Mapped[int] = mapped_column(ForeignKey("streets.id", ondelete="SET DEFAULT"), server_default="2")


class Root(Base):
    __tablename__ = "roots"
    code: Mapped[str] = mapped_column(primary_key=True)
    size: Mapped[int] = mapped_column(default=0)


class Stem(Base):
    __tablename__ = "stems"
    code: Mapped[str] = mapped_column(ForeignKey("roots.code", onupdate="CASCADE", ondelete="CASCADE"), primary_key=True)


class Leaf(Base):
    __tablename__ = "leaves"
    id: Mapped[int] = mapped_column(primary_key=True)
    code: Mapped[str | None] = mapped_column(ForeignKey("stems.code", onupdate="CASCADE", ondelete="SET NULL"))


class Staff(Base):
    """Refers to itself."""

    __tablename__ = "staff"
    id: Mapped[int] = mapped_column(primary_key=True)
    boss_id: Mapped[int | None] = mapped_column(ForeignKey("staff.id", ondelete="CASCADE"))


class Team(Base):
    """Refers to who refers to it."""

    __tablename__ = "teams"
    id: Mapped[int] = mapped_column(primary_key=True)
    captain_id: Mapped[int | None] = mapped_column(ForeignKey("players.id", ondelete="SET NULL", use_alter=True, name="captain"))


class Player(Base):
    __tablename__ = "players"
    id: Mapped[int] = mapped_column(primary_key=True)
    team_id: Mapped[int] = mapped_column(ForeignKey("teams.id", ondelete="CASCADE"))


# What is declared: a trigger, a view


class Loan(Base):
    """A trigger counts what is inserted."""

    __tablename__ = "loans"
    id: Mapped[int] = mapped_column(primary_key=True)
    reader_id: Mapped[int]


class Reader(Base):
    __tablename__ = "readers"
    id: Mapped[int] = mapped_column(primary_key=True)
    loans: Mapped[int]


class Title(Base):
    """A view."""

    __table__ = Table(
        "titles", Base.metadata, Column("id", Integer, primary_key=True), Column("title", String(80)), Column("stock", Integer)
    )


# Storage engines without transactions


class Counter(Base):
    __tablename__ = "counters"
    id: Mapped[int] = mapped_column(primary_key=True)
    value: Mapped[int]
    __table_args__ = {"mysql_engine": "MyISAM", "mariadb_engine": "MyISAM"}  # noqa: RUF012


class Tally(Base):
    __tablename__ = "tallies"
    id: Mapped[int] = mapped_column(primary_key=True)
    value: Mapped[int]
    __table_args__ = {  # noqa: RUF012
        **{f"{dialect}_engine": "Aria" for dialect in ("mysql", "mariadb")},
        **{f"{dialect}_transactional": "0" for dialect in ("mysql", "mariadb")},
    }
