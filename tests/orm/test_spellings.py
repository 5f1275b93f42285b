"""Keys that the database spells otherwise than the application: what isn't surely the same row is told as its table (DESIGN 6)."""

from __future__ import annotations

import datetime as dt
import decimal
import enum
import uuid
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import (
    CHAR,
    DDL,
    Date,
    DateTime,
    Enum,
    Integer,
    LargeBinary,
    Numeric,
    String,
    TypeDecorator,
    Uuid,
    bindparam,
    event,
    func,
    update,
)
from sqlalchemy.dialects import mysql, postgresql, sqlite
from sqlalchemy.orm import DeclarativeBase, Mapped, make_transient_to_detached, mapped_column
from sqlalchemy.orm.attributes import set_committed_value

from aa_cache_integration.orm.spellings import Believed

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.orm.world import World


class Base(DeclarativeBase):
    """Tables with keys of many kinds."""


class Nick(Base):
    __tablename__ = "spelt_nicks"
    name: Mapped[str] = mapped_column(String(50, collation="NOCASE"), primary_key=True)
    what: Mapped[str]


class Word(Base):
    __tablename__ = "spelt_words"
    name: Mapped[str] = mapped_column(String(50), primary_key=True)
    what: Mapped[str]


class Alias(Base):
    """A migration has made its key to know no case, and nobody has told the class."""

    __tablename__ = "spelt_aliases"
    name: Mapped[str] = mapped_column(String(50), primary_key=True)
    what: Mapped[str]


for _statement in ("DROP TABLE spelt_aliases", "CREATE TABLE spelt_aliases (name VARCHAR(50) COLLATE NOCASE PRIMARY KEY, what VARCHAR)"):
    event.listen(Alias.__table__, "after_create", DDL(_statement))


class Code(Base):
    __tablename__ = "spelt_codes"
    code: Mapped[str] = mapped_column(CHAR(10), primary_key=True)
    what: Mapped[str]


class Moment(Base):
    __tablename__ = "spelt_moments"
    at: Mapped[dt.datetime] = mapped_column(DateTime, primary_key=True)
    what: Mapped[str]


class Day(Base):
    __tablename__ = "spelt_days"
    day: Mapped[dt.date] = mapped_column(primary_key=True)
    what: Mapped[str]


class Amount(Base):
    __tablename__ = "spelt_amounts"
    amount: Mapped[decimal.Decimal] = mapped_column(Numeric(10, 2), primary_key=True)
    what: Mapped[str]


class Colour(enum.Enum):
    RED = 1
    BLUE = 2


class Paint(Base):
    __tablename__ = "spelt_paints"
    colour: Mapped[Colour] = mapped_column(Enum(Colour), primary_key=True)
    what: Mapped[str]


class Negative(Integer):
    """An integer that is stored otherwise."""

    def bind_processor(self, _dialect: Any) -> Callable[[Any], Any]:
        return lambda value: None if value is None else -value


class Doubled(TypeDecorator[int]):
    impl = Integer
    cache_ok = True

    def process_bind_param(self, value: Any, _dialect: Any) -> Any:
        return None if value is None else value * 2

    def process_result_value(self, value: Any, _dialect: Any) -> Any:
        return None if value is None else value // 2


class Twice(Base):
    __tablename__ = "spelt_twice"
    id: Mapped[int] = mapped_column(Doubled, primary_key=True)
    what: Mapped[str]


class Number(Base):
    __tablename__ = "spelt_numbers"
    id: Mapped[int] = mapped_column(primary_key=True)
    what: Mapped[str]


KEYS: list[tuple[type[Any], Any]] = [
    (Nick, "Bob"),
    (Alias, "Bob"),
    (Word, "Bob"),
    (Word, "5"),
    (Code, "ab"),
    (Moment, dt.datetime(2026, 1, 2, 3, 4)),  # noqa: DTZ001 - that is the point
    (Day, dt.date(2026, 1, 2)),
    (Amount, decimal.Decimal("1.10")),
    (Paint, Colour.RED),
    (Twice, 4),
    (Number, 1),
]


@pytest.fixture
def cached(world: World) -> World:
    def prepare() -> None:
        with world.engine.begin() as conn:
            Base.metadata.create_all(conn)
        for model, ident in KEYS:
            world.add(model(**{key_of(model): ident, "what": "old"}))
            world.read(model, ident)

    world.preparations.append(prepare)
    return world


def key_of(model: type[Any]) -> str:
    (column,) = model.__mapper__.primary_key
    return str(column.key)


def assert_right(world: World, model: type[Any], ident: Any) -> None:
    with world.session() as session:
        there = session.get(model, ident)
        found = world.read(model, ident)
        assert (None if there is None else there.what) == (None if found is None else found.what)


@pytest.mark.parametrize(("model", "ident"), KEYS, ids=lambda value: getattr(value, "__name__", ""))
def test_a_flush_of_what_was_loaded_added_or_made_anew(cached: World, model: Any, ident: Any) -> None:
    with cached.session(expire_on_commit=False) as session:
        session.get_one(model, ident).what = "loaded"
        session.commit()
        assert_right(cached, model, ident)
        session.delete(session.get_one(model, ident))
        session.commit()
        made = model(**{key_of(model): ident, "what": "added"})
        session.add(made)
        session.commit()
        assert_right(cached, model, ident)
        made.what = "changed"
        session.commit()
        assert_right(cached, model, ident)


@pytest.mark.parametrize("ends", ["change", "delete"])
def test_a_flush_of_an_instance_that_the_application_made_persistent_itself(cached: World, ends: str) -> None:
    with cached.session() as session:
        nick = Nick(name="BOB", what="?")
        make_transient_to_detached(nick)
        session.add(nick)
        if ends == "change":
            nick.what = "new"
        else:
            session.delete(nick)
        session.commit()
    assert_right(cached, Nick, "Bob")


def test_an_aware_moment_for_a_naive_column(cached: World) -> None:
    """SQLite stores it without its zone."""
    moment = Moment(at=dt.datetime(2027, 1, 1, tzinfo=dt.timezone.utc), what="old")
    with cached.session(expire_on_commit=False) as session:
        session.add(moment)
        session.commit()
        naive = dt.datetime(2027, 1, 1)  # noqa: DTZ001 - that is the point
        assert cached.read(Moment, naive).what == "old"
        moment.what = "new"
        session.commit()
    assert cached.read(Moment, naive).what == "new"


BULK: dict[str, Callable[[Any, Any, Any], Any]] = {
    "update by primary key": lambda session, model, ident: session.execute(update(model), [{key_of(model): ident, "what": "new"}]),
    "bulk_update_mappings": lambda session, model, ident: session.bulk_update_mappings(
        model.__mapper__, [{key_of(model): ident, "what": "new"}]
    ),
    "DML": lambda session, model, ident: session.execute(
        update(model.__table__).where(model.__table__.c[key_of(model)] == ident).values(what="new")
    ),
}
RESPELT: list[tuple[type[Any], Any, Any]] = [
    (Nick, "Bob", "BOB"),
    (Alias, "Bob", "BOB"),
    (Moment, dt.datetime(2026, 1, 2, 3, 4), dt.datetime(2026, 1, 2, 3, 4, tzinfo=dt.timezone.utc)),  # noqa: DTZ001
    (Amount, decimal.Decimal("1.10"), decimal.Decimal("1.1000000000000000001")),
    (Number, 1, 1.0),
    (Number, 1, True),
    (Word, "5", 5),
]


@pytest.mark.parametrize(("model", "ident", "spelt"), RESPELT, ids=lambda value: getattr(value, "__name__", ""))
@pytest.mark.parametrize("way", BULK.values(), ids=BULK)
def test_dml_by_a_key_that_is_spelled_otherwise(cached: World, model: Any, ident: Any, spelt: Any, way: Any) -> None:
    with cached.session() as session:
        way(session, model, spelt)
        session.commit()
    assert_right(cached, model, ident)


@pytest.mark.parametrize("way", BULK.values(), ids=BULK)
@pytest.mark.parametrize("when", ["before_flush", "before_insert", "after_insert", "after_flush"])
def test_bulk_updates_within_a_listener_of_the_flush(cached: World, way: Any, when: str) -> None:
    with cached.session() as session:
        target = Number if when.endswith("insert") else session
        event.listen(target, when, lambda *_: way(session, Alias, "BOB"), once=True)
        session.add(Number(id=9, what="x"))
        session.commit()
    assert_right(cached, Alias, "Bob")


@pytest.mark.parametrize("way", BULK.values(), ids=BULK)
def test_bulk_updates_after_a_flush(cached: World, way: Any) -> None:
    with cached.session() as session:
        session.add(Number(id=9, what="x"))
        session.flush()
        way(session, Alias, "BOB")
        session.commit()
    assert_right(cached, Alias, "Bob")


def test_a_flush_that_failed_before_it_began_is_over(cached: World) -> None:
    with cached.session() as session:

        @event.listens_for(session, "before_flush", once=True)
        def before_flush(*_: Any) -> None:
            raise RuntimeError("refused")

        session.add(Number(id=9, what="x"))
        with pytest.raises(RuntimeError, match="refused"):
            session.flush()
        session.expunge_all()
        session.bulk_update_mappings(Alias.__mapper__, [{"name": "BOB", "what": "new"}])
        session.commit()
    assert_right(cached, Alias, "Bob")


def test_a_parameter_of_a_type_that_converts_is_no_key(cached: World) -> None:
    cached.add(Number(id=-1, what="old"))
    cached.read(Number, -1)
    numbers = Number.__table__
    with cached.session() as session:
        session.execute(update(numbers).where(numbers.c.id == bindparam("it", 1, type_=Negative())).values(what="new"))
        session.commit()
    assert_right(cached, Number, -1)
    assert_right(cached, Number, 1)


def test_a_type_of_the_applications_own_is_known_by_its_flush_and_not_by_dml(cached: World) -> None:
    cached.add(Twice(id=8, what="old"))
    cached.read(Twice, 8)
    with cached.session() as session:
        session.get_one(Twice, 4).what = "new"
        session.commit()
    assert cached.served(Twice, 8)
    with cached.session() as session:
        session.execute(update(Twice).where(Twice.id == 4).values(what="newer"))
        session.commit()
    assert cached.read(Twice, 4).what == "newer"


@pytest.mark.parametrize(("model", "ident"), [(Word, "Bob"), (Day, dt.date(2026, 1, 2)), (Paint, Colour.RED)])
def test_what_was_loaded_is_known_by_row_where_one_spelling_is_one_key(cached: World, model: Any, ident: Any) -> None:
    with cached.session() as session, cached.intents_at_commit() as seen:
        session.get_one(model, ident).what = "new"
        session.commit()
    assert not any("bulk" in key for key in seen[0])


def test_a_number_for_a_text_is_no_key(cached: World) -> None:
    """MariaDB compares the two as numbers, so that ``5`` is ``'05'`` too."""
    with cached.session() as session, cached.intents_at_commit() as seen:
        session.execute(update(Word), [{"name": 5, "what": "new"}])
        session.commit()
    assert "~:bulk:spelt_words" in seen[0]


@pytest.mark.parametrize("ends", ["change", "delete"])
def test_a_key_that_another_spelled_anew_since_it_was_loaded(cached: World, ends: str) -> None:
    """The flush names the row by the spelling that it knows, and the database takes it for the new one."""
    with cached.session() as session:
        nick = session.get_one(Nick, "Bob")
        session.commit()
        cached.in_the_database("UPDATE spelt_nicks SET name = 'BOB'")
        cached.registry.invalidate(Nick, "Bob")
        assert cached.read(Nick, "BOB").what == "old"
        session.expire_on_commit = False
        set_committed_value(nick, "name", "Bob")
        set_committed_value(nick, "what", "old")
        if ends == "change":
            nick.what = "new"
        else:
            session.delete(nick)
        session.commit()
    assert_right(cached, Nick, "BOB")


@pytest.mark.parametrize(("model", "ident", "spelt"), [(Nick, "Bob", "BOB"), (Amount, decimal.Decimal("1.10"), "1.1")])
def test_a_row_that_is_told_in_another_spelling(cached: World, model: Any, ident: Any, spelt: Any) -> None:
    cached.in_the_database(f"UPDATE {model.__tablename__} SET what = 'new'")  # noqa: S608 - of two names
    cached.registry.invalidate(model, spelt)
    assert cached.read(model, ident).what == "new"


def test_a_row_that_is_told_by_a_key_of_one_spelling_leaves_others_cached(cached: World) -> None:
    cached.registry.invalidate(Word, "Bob")
    assert not cached.served(Word, "Bob")
    assert cached.served(Word, "5")


MYSQL, POSTGRESQL, SQLITE = mysql.dialect(), postgresql.dialect(), sqlite.dialect()


class Chosen(TypeDecorator[str]):
    """A text that is of another type in some databases."""

    impl = String
    cache_ok = True

    def load_dialect_impl(self, dialect: Any) -> Any:
        return dialect.type_descriptor(postgresql.CITEXT() if dialect.name == "postgresql" else CHAR(5))


class Lower(TypeDecorator[str]):
    impl = String(5)
    cache_ok = True


@pytest.mark.parametrize(
    ("column", "dialect", "kinds"),
    [
        (Integer(), MYSQL, {int}),
        (Date(), SQLITE, {dt.date}),
        (Uuid(), MYSQL, {uuid.UUID}),
        (Enum(Colour), MYSQL, {enum.Enum}),
        (String(5), SQLITE, {str}),
        (String(5), POSTGRESQL, {str}),
        (String(5), MYSQL, set()),
        (String(5, collation="utf8mb4_bin"), MYSQL, set()),  # 'bob' = 'bob '
        (String(5, collation="utf8mb4_nopad_bin"), MYSQL, {str}),
        (String(5, collation="NOCASE"), SQLITE, set()),
        (String(5, collation="C"), POSTGRESQL, {str}),
        (CHAR(5), POSTGRESQL, set()),
        (postgresql.CITEXT(), POSTGRESQL, set()),
        (postgresql.INET(), POSTGRESQL, set()),
        (String(5).with_variant(postgresql.CITEXT(), "postgresql"), POSTGRESQL, set()),
        (String(5).with_variant(postgresql.CITEXT(), "postgresql"), SQLITE, {str}),
        (Chosen(), POSTGRESQL, {uuid.UUID}),
        (Chosen(), SQLITE, {uuid.UUID}),
        (Lower(), SQLITE, {uuid.UUID, str}),
        (Doubled(), SQLITE, {uuid.UUID, int}),
        (Numeric(10, 2), MYSQL, set()),
        (DateTime(), POSTGRESQL, set()),
        (LargeBinary(), POSTGRESQL, set()),
    ],
)
def test_what_is_believed_of_a_column_goes_by_its_type_in_the_database(column: Any, dialect: Any, kinds: set[type]) -> None:
    assert Believed.of(column, dialect).kinds == kinds


class Loud(TypeDecorator[str]):
    """A text in capitals, but not in SQLite."""

    impl = String(5)
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Any) -> Any:
        return value if dialect.name == "sqlite" else value.upper()


class Tagged(TypeDecorator[str]):
    """As SQLModel's: a text whose length goes by the database."""

    impl = String
    cache_ok = True

    def load_dialect_impl(self, dialect: Any) -> Any:
        return dialect.type_descriptor(String(255)) if dialect.name == "mysql" else super().load_dialect_impl(dialect)


class Folded(String):
    """Compiled with a collation of its own."""


class Lowered(String):
    def bind_expression(self, bindvalue: Any) -> Any:
        return func.lower(bindvalue)


Narrow = Enum(Colour, native_enum=False)


@pytest.mark.parametrize(
    ("value", "column", "dialect", "is_believed"),
    [
        (5, Integer(), SQLITE, True),
        (True, Integer(), SQLITE, False),
        (5, String(5), SQLITE, False),
        ("5", Integer(), SQLITE, False),
        ("5", String(5), SQLITE, True),
        (Colour.RED, Enum(Colour), MYSQL, True),
        (Colour.RED, Narrow, SQLITE, True),
        (Colour.RED, Narrow, MYSQL, False),
        (uuid.UUID(int=1), Uuid(), SQLITE, True),
        (5, Doubled(), SQLITE, True),
        (5, Integer().with_variant(Negative(), "sqlite"), SQLITE, False),
        (5, Integer().with_variant(Negative(), "sqlite"), POSTGRESQL, True),
        ("a", Loud(), POSTGRESQL, True),
        ("a", Loud(), SQLITE, False),
        ("A", Loud(), SQLITE, True),
        (5, Loud(), SQLITE, False),
        ("a", String(5).with_variant(Lowered(5), "sqlite"), SQLITE, False),
        ("a", Tagged(), SQLITE, True),
        ("a", Tagged(), MYSQL, False),
        ("a", Folded(5), SQLITE, False),
        ("a", Lowered(5), POSTGRESQL, False),
    ],
)
def test_a_value_is_believed_by_its_own_type(value: Any, column: Any, dialect: Any, is_believed: bool) -> None:
    assert Believed.of(column, dialect).holds(value) is is_believed
