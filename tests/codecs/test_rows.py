"""Row → payload → instance gives what SQLAlchemy's own load of that row gives, on a real SQLite."""

from __future__ import annotations

import enum
import uuid
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import (
    JSON,
    Boolean,
    Column,
    Date,
    DateTime,
    Engine,
    Enum,
    Float,
    ForeignKey,
    Integer,
    Interval,
    LargeBinary,
    Select,
    String,
    Time,
    TypeDecorator,
    Uuid,
    create_engine,
    func,
    select,
    text,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, column_property, mapped_column, with_loader_criteria
from sqlalchemy.types import UserDefinedType

from aa_cache_integration.codecs.mapper import EntityCodec, codec_for
from aa_cache_integration.exceptions import SerializationError

if TYPE_CHECKING:
    from collections.abc import Iterator


MOMENT = datetime(9999, 12, 31)  # noqa: DTZ001 -- as columns give it


class Color(enum.Enum):
    RED = "r"
    BLUE = "b"


class Cents(TypeDecorator[Decimal]):
    """An exact decimal in a database that has none."""

    impl = Integer
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Any) -> Any:
        return None if value is None else int(value * 100)

    def process_result_value(self, value: Any, dialect: Any) -> Any:
        return None if value is None else Decimal(value) / 100


class Lowered(TypeDecorator[str]):
    """Reads through an expression of its own."""

    impl = String
    cache_ok = True

    def column_expression(self, column: Any) -> Any:
        return func.lower(column)


class Pair(UserDefinedType[tuple[int, int]]):
    cache_ok = True

    def get_col_spec(self, **_: Any) -> str:
        return "TEXT"

    def bind_processor(self, dialect: Any) -> Any:
        return lambda value: None if value is None else f"{value[0]},{value[1]}"

    def column_expression(self, column: Any) -> Any:
        return func.trim(column, "()", type_=self)

    def result_processor(self, dialect: Any, coltype: Any) -> Any:
        return lambda value: None if value is None else tuple(int(part) for part in value.split(","))


class Base(DeclarativeBase):
    pass


class Visit(Base):
    __tablename__ = "visits"
    id: Mapped[int] = mapped_column(primary_key=True)
    thing_id: Mapped[int] = mapped_column(ForeignKey("things.id"))


class Thing(Base):
    __tablename__ = "things"
    id: Mapped[int] = mapped_column(primary_key=True)
    boolean = mapped_column(Boolean)
    real = mapped_column(Float)
    label = mapped_column("renamed", String)
    data = mapped_column(LargeBinary)
    day = mapped_column(Date)
    moment = mapped_column(DateTime)
    clock = mapped_column(Time)
    span = mapped_column(Interval)
    uid = mapped_column(Uuid)
    uid_text = mapped_column(Uuid(as_uuid=False))
    color = mapped_column(Enum(Color))
    doc = mapped_column(JSON)
    price = mapped_column(Cents)
    lowered = mapped_column(Lowered)
    pair = mapped_column(Pair)
    later = mapped_column(String, deferred=True)
    shout = column_property(label + "!")


Thing.visits = column_property(  # type: ignore[attr-defined]
    select(func.count(Visit.id)).where(Visit.thing_id == Thing.id).correlate_except(Visit).scalar_subquery()
)


class Cell(Base):
    """A key of two columns, one of them decorated."""

    __tablename__ = "cells"
    sheet: Mapped[str] = mapped_column("s", primary_key=True)
    price: Mapped[Decimal] = mapped_column("p", Cents, primary_key=True)
    value: Mapped[str | None]


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    engine = create_engine("sqlite://")
    Base.metadata.create_all(engine)
    yield engine
    engine.dispose()


def through(engine: Engine, session: Session, model: type[Any], identity: tuple[Any, ...]) -> Any:
    codec = codec_for(model, engine.dialect)
    row = session.connection().execute(codec.statement([identity])).one()
    assert codec.row_identity(row) == identity
    return codec.decode(codec.encode_row(row), model)


def columns_of(instance: Any) -> dict[str, Any]:
    return {key: (type(value), repr(value)) for key, value in vars(instance).items() if not key.startswith("_sa_")}


plain_text = st.text(st.characters(codec="utf-8"))
things = st.fixed_dictionaries(
    {},
    optional={
        "boolean": st.booleans(),
        "real": st.floats(allow_nan=False),
        "label": plain_text,
        "data": st.binary(),
        "day": st.dates(),
        "moment": st.datetimes(),
        "clock": st.times(),
        "span": st.timedeltas(timedelta(-9999), timedelta(9999)),
        "uid": st.uuids(),
        "uid_text": st.uuids().map(str),
        "color": st.sampled_from(Color),
        "doc": st.recursive(
            st.none() | st.booleans() | st.integers() | plain_text, lambda inner: st.lists(inner) | st.dictionaries(plain_text, inner)
        ),
        "price": st.integers(-(10**9), 10**9).map(lambda cents: Decimal(cents) / 100),
        "lowered": st.text(st.characters(codec="ascii", exclude_characters="\0")),
        "pair": st.tuples(st.integers(), st.integers()),
    },
)


@settings(deadline=None, max_examples=100)
@given(things)
def test_a_row_is_restored_as_sqlalchemy_loads_it(engine: Engine, values: dict[str, Any]) -> None:
    with Session(engine) as session:  # rolled back at its end
        session.add(Thing(id=1, later="l", **values))
        session.add(Visit(thing_id=1))
        session.flush()
        session.expire_all()
        expected = columns_of(session.get_one(Thing, 1))
        copy = through(engine, session, Thing, (1,))
    assert columns_of(copy) == expected
    assert copy.visits == 1
    assert "later" not in vars(copy)


@pytest.mark.parametrize(
    ("column", "stored"),
    [
        ("boolean", "1"),
        ("real", "'not a number'"),
        ("real", "x'00ff'"),
        ("renamed", "5"),
        ("renamed", "x'00'"),
        ("data", "'text'"),
        ("id", "9223372036854775807"),
        ("doc", '\'{"a": 1e999, "b": 123456789012345678901234567890, "__type__": "uuid"}\''),
        ("doc", "'null'"),
    ],
)
def test_whatever_sqlite_stores_is_neither_lost_nor_changed(column: str, stored: str) -> None:
    engine = create_engine("sqlite://")
    Base.metadata.create_all(engine)
    with Session(engine) as session:
        session.add(Thing(id=1, label="l"))
        session.commit()
        session.connection().execute(text(f"UPDATE things SET {column} = {stored}"))  # noqa: S608 -- the test's own literals
        thing = session.scalars(select(Thing)).one()
        expected = columns_of(thing)
        assert columns_of(through(engine, session, Thing, (thing.id,))) == expected
    engine.dispose()


def test_a_decorated_column_is_kept_in_its_database_form(engine: Engine) -> None:
    codec = codec_for(Cell, engine.dialect)
    with Session(engine) as session:
        session.add(Cell(sheet="form", price=Decimal("1.50")))
        session.flush()
        row = session.connection().execute(codec.statement([("form", Decimal("1.50"))])).one()
    assert 150 in row
    assert codec.row_identity(row) == ("form", Decimal("1.50"))


def test_one_statement_reads_many_rows_of_a_composite_key(engine: Engine) -> None:
    codec = codec_for(Cell, engine.dialect)
    keys = [("many", Decimal(n)) for n in range(5)]
    with Session(engine) as session:
        session.add_all([Cell(sheet=sheet, price=price, value=str(price)) for sheet, price in keys])
        session.flush()
        rows = session.connection().execute(codec.statement([*keys[:3], ("many", Decimal(99))])).all()
        decoded = [codec.decode(codec.encode_row(row), Cell) for row in rows]
    assert sorted(codec.row_identity(row) for row in rows) == keys[:3]
    assert sorted(cell.price for cell in decoded if cell) == [0, 1, 2]


def test_a_database_without_row_values_gets_or_in_place_of_a_tuple_in() -> None:
    from sqlalchemy.dialects import mssql

    dialect = mssql.dialect()
    sql = str(codec_for(Cell, dialect).statement([("a", Decimal(1)), ("b", Decimal(2))]).compile(dialect=dialect))
    assert " OR " in sql


def test_a_partial_key_is_asked_for_with_is_null(engine: Engine) -> None:
    assert "p IS NULL" in str(codec_for(Cell, engine.dialect).statement([("a", None)]))


@pytest.mark.parametrize("model", [Thing, Cell])
def test_the_statement_is_compiled_once_for_all_identities(engine: Engine, model: Any) -> None:
    codec = codec_for(model, engine.dialect)
    one = {"Thing": (1,), "Cell": ("a", Decimal(1))}[model.__name__]
    other = {"Thing": (2,), "Cell": ("b", Decimal(2))}[model.__name__]
    for left, right in [([one], [other]), ([one, other], [other, one, one])]:
        keys = [codec.statement(ids)._generate_cache_key() for ids in (left, right)]
        assert keys[0] is not None
        assert keys[0] == keys[1]


def test_criteria_and_handlers_of_the_session_do_not_touch_the_statement(engine: Engine) -> None:
    codec = codec_for(Thing, engine.dialect)
    statement: Select[Any] = codec.statement([(1,)])
    with Session(engine) as session:
        session.add(Thing(id=77))
        session.flush()
        hidden = statement.options(with_loader_criteria(Thing, Thing.id == -1))
        assert not session.scalars(select(Thing).options(with_loader_criteria(Thing, Thing.id == -1))).all()
        assert session.connection().execute(codec.statement([(77,)])).one()
        assert "-1" not in str(hidden.compile(compile_kwargs={"literal_binds": True}))


def test_no_identities_select_no_rows(engine: Engine) -> None:
    with Session(engine) as session:
        session.add(Thing(id=88))
        session.flush()
        assert not session.connection().execute(codec_for(Thing, engine.dialect).statement([])).all()


def test_the_tables_that_a_column_expression_reads_are_named(engine: Engine) -> None:
    codec = codec_for(Thing, engine.dialect)
    assert (codec.table, codec.tables, codec.read_tables) == ("things", ("things",), ("visits",))


def test_an_instance_encoded_for_the_default_dialect_is_understood_by_any(engine: Engine) -> None:
    data = codec_for(Thing).encode(
        Thing(
            id=1,
            price=Decimal("1.5"),
            color=Color.BLUE,
            pair=(1, 2),
            moment=MOMENT,
            clock=time.max,
            day=date.max,
        )
    )
    copy = codec_for(Thing, engine.dialect).decode(data, Thing)
    assert copy is not None
    assert (copy.price, copy.color, copy.pair) == (Decimal("1.5"), Color.BLUE, (1, 2))
    back = codec_for(Thing).decode(codec_for(Thing, engine.dialect).encode(copy), Thing)
    assert back is not None
    assert columns_of(back) == columns_of(copy)


def test_the_fast_form_is_used_where_it_can_be(engine: Engine) -> None:
    codec = codec_for(Thing, engine.dialect)
    with Session(engine) as session:
        session.add(
            Thing(
                id=500,
                uid=uuid.uuid4(),
                label="l",
                doc={"a": [1.5, None]},
                price=Decimal(1),
                span=timedelta(1),
                moment=MOMENT,
            )
        )
        session.flush()
        data = codec.encode_row(session.connection().execute(codec.statement([(500,)])).one())
    assert data[1] == 0
    assert codec.encode(Thing(id=1))[1] == 1  # not all is loaded


def test_a_failing_result_processing_is_our_error_with_the_attribute(engine: Engine) -> None:
    class Broken(TypeDecorator[int]):
        impl = Integer
        cache_ok = True

        def process_result_value(self, value: Any, dialect: Any) -> Any:
            raise RuntimeError("no key")

    class Local(DeclarativeBase):
        pass

    class Safe(Local):
        __tablename__ = "safes"
        id = Column(Integer, primary_key=True)
        value = Column(Broken)

    codec: EntityCodec = codec_for(Safe, engine.dialect)
    data = codec.encode(Safe(id=1, value=1))
    with pytest.raises(SerializationError, match=r"Safe\.value: .*no key"):
        codec.decode(data, Safe)


def test_a_column_read_through_sql_of_another_type_is_what_that_type_gives() -> None:
    class Decrypted(TypeDecorator[str]):
        impl = String
        cache_ok = True

        def column_expression(self, column: Any) -> Any:
            return func.length(column, type_=Cents)

        def process_result_value(self, value: Any, dialect: Any) -> Any:
            raise AssertionError("SQLAlchemy doesn't call it here")

    class Local(DeclarativeBase):
        pass

    class Letter(Local):
        __tablename__ = "letters"
        id = Column(Integer, primary_key=True)
        value = Column(Decrypted)

    engine = create_engine("sqlite://")
    Local.metadata.create_all(engine)
    with Session(engine) as session:
        session.add(Letter(id=1, value="x" * 150))
        session.commit()
        expected = columns_of(session.get_one(Letter, 1))
        assert columns_of(through(engine, session, Letter, (1,))) == expected
        assert expected["value"] == (Decimal, "Decimal('1.5')")
    engine.dispose()
