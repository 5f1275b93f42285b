"""However a primary key is spelled, it is one key."""

from __future__ import annotations

import enum
import uuid
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import (
    Boolean,
    Column,
    Date,
    DateTime,
    Enum,
    Float,
    ForeignKey,
    Integer,
    Interval,
    LargeBinary,
    Numeric,
    String,
    Table,
    Time,
    TypeDecorator,
    Uuid,
)
from sqlalchemy.orm import DeclarativeBase, registry

from aa_cache_integration.codecs.identity import base_table_name, find_mapper, identity_text, normalize
from aa_cache_integration.exceptions import IdentityError, ModelError


class Color(enum.Enum):
    RED = "r"
    BLUE = "b"


class Hex(TypeDecorator[uuid.UUID]):
    """The usual recipe of a UUID kept as text."""

    impl = String(32)
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Any) -> Any:
        return None if value is None else (value if isinstance(value, uuid.UUID) else uuid.UUID(value)).hex

    def process_result_value(self, value: Any, dialect: Any) -> Any:
        return None if value is None else uuid.UUID(value)


class Token:
    """A value object that only its column type understands."""

    def __init__(self, text: str) -> None:
        self.text = text


class TokenType(TypeDecorator[Token]):
    impl = String
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Any) -> Any:
        return value.text

    def process_result_value(self, value: Any, dialect: Any) -> Any:
        return Token(value)


def keyed(*types: Any) -> Any:
    class Local(DeclarativeBase):
        pass

    columns = {f"k{i}": Column(f"column_{i}", type_, primary_key=True) for i, type_ in enumerate(types)}
    return type("Thing", (Local,), {"__tablename__": "keyed_things", **columns})


UID = uuid.UUID("12345678-1234-5678-1234-567812345678")


@pytest.mark.parametrize(
    ("type_", "spellings", "value"),
    [
        (Integer, [5, "5", "05", "+5", 5.0, Decimal(5)], 5),
        (Integer, [-1, "-1"], -1),
        (Boolean, [True, 1, "true", "1"], True),
        (String, ["5", 5], "5"),
        (Uuid, [UID, str(UID), UID.hex, f"{{{UID}}}", UID.urn, str(UID).upper(), UID.bytes], UID),
        (Uuid(as_uuid=False), [UID, str(UID), UID.hex], str(UID)),
        (Hex, [UID, str(UID), UID.hex], UID),
        (Date, [date(2025, 1, 2), "2025-01-02"], date(2025, 1, 2)),
        (DateTime, [datetime(2025, 1, 2), "2025-01-02", "2025-01-02T00:00:00", date(2025, 1, 2)], datetime(2025, 1, 2)),  # noqa: DTZ001
        (DateTime(timezone=True), ["2025-01-02T00:00:00Z", "2025-01-02T00:00:00+00:00"], datetime(2025, 1, 2, tzinfo=timezone.utc)),
        (Time, [time(1, 2), "01:02", "01:02:00"], time(1, 2)),
        (Interval, [timedelta(1)], timedelta(1)),
        (Numeric, [Decimal("1.5"), "1.50", 1.5], Decimal("1.5")),
        (Float, [1.5, "1.5", Decimal("1.5")], 1.5),
        (LargeBinary, [b"x", bytearray(b"x"), memoryview(b"x")], b"x"),
        (Enum(Color), [Color.RED, "RED"], Color.RED),
        (Enum(Color, values_callable=lambda members: [member.value for member in members]), [Color.BLUE, "BLUE", "b"], Color.BLUE),
        (Enum("a", "b", name="ab"), ["a"], "a"),
    ],
)
def test_all_spellings_are_one_key(type_: Any, spellings: list[Any], value: Any) -> None:
    model = keyed(type_)
    texts = set()
    for spelling in spellings:
        for shape in (spelling, (spelling,), [spelling], {"k0": spelling}, {"column_0": spelling}):
            assert normalize(model, shape) == (value,)
            assert type(normalize(model, shape)[0]) is type(value)
        texts |= {identity_text(normalize(model, spelling)), identity_text(normalize(model, spelling), model)}
    assert len({text for text in texts if type_ is not Hex}) <= 1


def test_a_composite_key_may_be_a_tuple_a_list_or_a_dict_in_any_order() -> None:
    model = keyed(Integer, String)
    for ident in ((1, "a"), ["1", "a"], {"k1": "a", "k0": 1}, {"column_1": "a", "k0": "1"}):
        assert normalize(model, ident) == (1, "a")
        assert normalize(model.__mapper__, ident) == (1, "a")


def test_a_part_of_a_composite_key_may_be_null() -> None:
    assert normalize(keyed(Integer, String), (1, None)) == (1, None)


@pytest.mark.parametrize(
    ("types", "ident"),
    [
        ((Integer,), None),
        ((Integer,), ()),
        ((Integer,), (1, 2)),
        ((Integer,), {"id": 1}),
        ((Integer,), {}),
        ((Integer,), {"k0": 1, "k1": 2}),
        ((Integer,), {"k0": 1, "column_0": 1}),
        ((Integer, Integer), 5),
        ((Integer, Integer), "12"),
        ((Integer, Integer), (1,)),
        ((Integer, Integer), (None, None)),
        ((Integer, Integer), {"k0": 1, "column_0": 1}),
    ],
)
def test_a_wrong_shape_is_refused_with_the_model_the_key_and_what_was_found(types: Any, ident: Any) -> None:
    with pytest.raises(IdentityError, match=r"Thing: expected the primary key \(k0.*\), got .* - in "):
        normalize(keyed(*types), ident)


@pytest.mark.parametrize(
    ("type_", "value", "wanted"),
    [
        (Integer, "five", "int"),
        (Integer, "5.5", "int"),
        (Integer, "1_0", "int"),
        (Integer, "", "int"),
        (Integer, "\u0665", "int"),
        (Integer, 5.5, "int"),
        (Integer, float("nan"), "int"),
        (Integer, float("inf"), "int"),
        (Integer, object(), "int"),
        (Boolean, "yes", "bool"),
        (Boolean, 2, "bool"),
        (Uuid, "no uuid", "UUID"),
        (Uuid, 5, "UUID"),
        (Date, "yesterday", "date"),
        (Date, datetime(2025, 1, 2), "date"),  # noqa: DTZ001
        (DateTime, 5, "datetime"),
        (Time, "25:00", "time"),
        (Interval, 5, "timedelta"),
        (Numeric, "x", "Decimal"),
        (Numeric, object(), "Decimal"),
        (Float, "x", "float"),
        (Float, object(), "float"),
        (LargeBinary, "x", "bytes"),
        (String, 1.5, "str"),
        (String, True, "str"),
        (Enum(Color), "green", "Color"),
        (Enum("a", "b", name="ab"), "c", "str"),
    ],
)
def test_a_value_of_another_type_is_refused_with_what_was_expected(type_: Any, value: Any, wanted: str) -> None:
    with pytest.raises(IdentityError, match=rf"Thing: expected {wanted} in the primary key \(k0\), got k0="):
        normalize(keyed(type_), value)


def test_a_value_that_its_decorated_type_refuses_is_refused_with_the_reason() -> None:
    with pytest.raises(IdentityError, match=r"Thing: expected the primary key \(k0\), got k0='no uuid' \(str\): badly formed"):
        normalize(keyed(Hex), "no uuid")


@pytest.mark.parametrize("model", [object, None, "things"])
def test_what_is_not_mapped_is_refused(model: Any) -> None:
    with pytest.raises(ModelError):
        normalize(model, 1)


moments = st.datetimes(timezones=st.sampled_from([timezone.utc, timezone(timedelta(hours=5))]))
ONE_TYPE = [
    st.integers(),
    st.text() | st.none() | st.sampled_from(["\\N", "\\\\N", "None"]),
    st.decimals(allow_nan=False)
    | st.sampled_from([Decimal("1.0"), Decimal("1.00"), Decimal("-0"), Decimal(0), Decimal("1E+5"), Decimal(100000)]),
    st.decimals(min_value=10**30, max_value=10**31),
    st.floats(allow_nan=False),
    st.binary(),
    st.uuids(),
    st.booleans(),
    st.dates(),
    st.datetimes(),
    moments,
    st.timedeltas(),
    st.sampled_from(Color),
    st.ip_addresses(),
]


@settings(deadline=None, max_examples=300)
@given(st.sampled_from(ONE_TYPE).flatmap(lambda values: st.tuples(values, values)))
def test_keys_have_one_text_exactly_when_they_are_equal(pair: tuple[Any, Any]) -> None:
    one, other = pair
    assert (identity_text((one,)) == identity_text((other,))) == (one == other)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (5, "5"),
        (True, "1"),
        (UID, str(UID)),
        ("x", "x"),
        (b"\xff", "ff"),
        (Decimal("1.50"), "15E-1"),
        (Decimal(100), "100"),
        (Color.RED, "RED"),
        (date(2025, 1, 2), "2025-01-02"),
    ],
)
def test_texts_are_readable(value: Any, text: str) -> None:
    assert identity_text((value, value)) == (text, text)


def test_a_decorated_key_has_the_text_of_its_bound_form() -> None:
    model = keyed(TokenType)
    (token,) = normalize(model, Token("t"))
    assert token.text == "t"
    assert identity_text((token,), model) == ("t",)
    with pytest.raises(IdentityError, match=r"Token.* has no canonical text"):
        identity_text((token,))


class Base(DeclarativeBase):
    pass


class Animal(Base):
    __tablename__ = "identity_animals"
    __table_args__ = {"schema": "zoo"}  # noqa: RUF012 -- SQLAlchemy's own way
    id = Column(Integer, primary_key=True)
    kind = Column(String)
    __mapper_args__ = {"polymorphic_on": "kind", "polymorphic_identity": "animal"}  # noqa: RUF012 -- SQLAlchemy's own way


class Cat(Animal):
    __tablename__ = "identity_cats"
    id = Column(ForeignKey("zoo.identity_animals.id"), primary_key=True)
    __mapper_args__ = {"polymorphic_identity": "cat"}  # noqa: RUF012 -- SQLAlchemy's own way


class Ghost(Animal):
    __mapper_args__ = {"polymorphic_identity": "ghost"}  # noqa: RUF012 -- SQLAlchemy's own way


def test_a_mapper_is_found_by_the_name_of_its_table() -> None:
    assert find_mapper("zoo.identity_animals") is Animal.__mapper__
    assert find_mapper("zoo.identity_cats") is None
    assert find_mapper("identity_cats") is Cat.__mapper__
    assert find_mapper("identity_animals") is None
    assert base_table_name(Cat.__mapper__) == "zoo.identity_animals"
    assert base_table_name(Ghost.__mapper__) == "zoo.identity_animals"


def test_a_mapper_that_is_no_more_is_not_found() -> None:
    mappers = registry()

    class Thing:
        pass

    mappers.map_imperatively(Thing, Table("identity_gone", mappers.metadata, Column("id", Integer, primary_key=True)))
    assert find_mapper("identity_gone") is not None
    mappers.dispose()
    assert find_mapper("identity_gone") is None


def test_a_class_mapped_later_is_found() -> None:
    assert find_mapper("identity_late") is None

    class Late(Base):
        __tablename__ = "identity_late"
        id = Column(Integer, primary_key=True)

    assert find_mapper("identity_late") is Late.__mapper__


def test_unrelated_classes_with_keys_of_other_types_on_tables_of_one_name_are_ambiguous() -> None:
    made = []
    for type_ in (Integer, String):
        mappers = registry()
        cls = type("Thing", (), {})
        mappers.map_imperatively(cls, Table("identity_twice", mappers.metadata, Column("id", type_, primary_key=True)))
        made.append((mappers, cls))
    assert find_mapper("identity_twice") is None
    for mappers, _ in made:
        mappers.dispose()
