"""Every value of every column type comes back with its value and its type, from the codec and from the JSON form."""

from __future__ import annotations

import enum
import ipaddress
import json
import math
import uuid
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import (
    ARRAY,
    JSON,
    BigInteger,
    Boolean,
    Date,
    DateTime,
    Enum,
    Float,
    Integer,
    Interval,
    LargeBinary,
    Numeric,
    PickleType,
    String,
    Time,
    TypeDecorator,
    Uuid,
)
from sqlalchemy.dialects import postgresql
from sqlalchemy.dialects.postgresql import CIDR, HSTORE, INET, INT4MULTIRANGE, INT4RANGE, JSONB, MACADDR, TSTZRANGE, Range
from sqlalchemy.orm import DeclarativeBase, mapped_column
from sqlalchemy.types import TypeEngine, UserDefinedType

from aa_cache_integration.codecs.json import default_deserializer, default_serializer
from aa_cache_integration.codecs.mapper import codec_for
from aa_cache_integration.exceptions import ModelError, SerializationError

quick = settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.too_slow])


class Color(enum.Enum):
    RED = 1
    BLUE = "blue"
    CRIMSON = 1  # noqa: PIE796 -- an alias


class Reversed(TypeDecorator[str]):
    """Stands for encryption: the database never sees the text."""

    impl = String
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Any) -> Any:
        return None if value is None else value[::-1]

    def process_result_value(self, value: Any, dialect: Any) -> Any:
        return None if value is None else value[::-1]


class Twice(TypeDecorator[str]):
    """A decorator of a decorator."""

    impl = Reversed
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Any) -> Any:
        return None if value is None else f"<{value}>"

    def process_result_value(self, value: Any, dialect: Any) -> Any:
        return None if value is None else value[1:-1]


class Zero(TypeDecorator[int]):
    """Reads NULL as 0."""

    impl = Integer
    cache_ok = True

    def process_result_value(self, value: Any, dialect: Any) -> Any:
        return value or 0


class Point(UserDefinedType[tuple[int, int]]):
    """A type with processing of its own that isn't a decorator."""

    cache_ok = True

    def get_col_spec(self, **_: Any) -> str:
        return "POINT"

    def bind_processor(self, dialect: Any) -> Any:
        return lambda value: None if value is None else f"{value[0]},{value[1]}"

    def result_processor(self, dialect: Any, coltype: Any) -> Any:
        return lambda value: None if value is None else tuple(int(part) for part in value.split(","))


class OneWay(Point):
    """Gives another form than it takes, as geometry types do."""

    def result_processor(self, dialect: Any, coltype: Any) -> Any:
        return lambda value: None if value is None else value.encode()


def model_of(type_: TypeEngine[Any]) -> type[Any]:
    class Base(DeclarativeBase):
        pass

    class Thing(Base):
        __tablename__ = "things"
        id = mapped_column(Integer, primary_key=True)
        value = mapped_column(type_)

    return Thing


def same(one: Any, other: Any) -> bool:
    if type(one) is not type(other):
        return False
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict):
        return list(one) == list(other) and all(same(one[key], other[key]) for key in one)
    if isinstance(one, (datetime, time)):
        # not `==`: no time that a change of clocks skips or repeats equals one of another zone object
        return one.replace(tzinfo=None) == other.replace(tzinfo=None) and one.utcoffset() == other.utcoffset()
    return repr(one) == repr(other) if isinstance(one, (float, Decimal)) else one == other


def through_codec(model: type[Any], value: Any) -> Any:
    codec = codec_for(model, postgresql.dialect())
    thing = codec.decode(codec.encode(model(id=1, value=value)), model)
    assert thing is not None
    return thing.value


def through_json(model: type[Any], value: Any) -> Any:
    return default_deserializer(default_serializer(model(id=1, value=value)), model).value


zoned = st.datetimes(
    timezones=st.sampled_from([timezone.utc, timezone(timedelta(hours=-3)), timezone(timedelta(seconds=561)), ZoneInfo("Europe/Paris")])
)
text = st.text(st.characters(codec="utf-8"))
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | text,
    lambda inner: st.lists(inner) | st.dictionaries(text | st.sampled_from(["__type__", "value", "1"]), inner),
    max_leaves=12,
)
int_ranges = st.builds(
    Range, st.none() | st.integers(0, 9), st.none() | st.integers(9, 99), bounds=st.sampled_from(["()", "[)", "(]", "[]"])
)

CASES: dict[str, tuple[TypeEngine[Any], st.SearchStrategy[Any]]] = {
    "Integer": (Integer(), st.integers()),
    "BigInteger": (BigInteger(), st.integers(-(2**70), 2**70)),
    "Boolean": (Boolean(), st.booleans()),
    "String": (String(), text),
    "a string that is no Unicode": (String(), st.just("\udcff")),
    "Float": (Float(), st.floats()),
    "Float as Decimal": (Float(asdecimal=True), st.decimals()),
    "Numeric": (Numeric(), st.decimals()),
    "Numeric as float": (Numeric(asdecimal=False), st.floats()),
    "LargeBinary": (LargeBinary(), st.binary()),
    "Date": (Date(), st.dates()),
    "naive DateTime": (DateTime(), st.datetimes()),
    "aware DateTime": (DateTime(timezone=True), zoned),
    "aware DateTime in a naive column": (DateTime(), zoned),
    "naive DateTime in an aware column": (DateTime(timezone=True), st.datetimes()),
    "Time": (Time(), st.times()),
    "aware Time": (Time(timezone=True), st.times(timezones=st.just(timezone(timedelta(hours=2))))),
    "Interval": (Interval(), st.timedeltas()),
    "native Interval": (postgresql.INTERVAL(), st.timedeltas()),
    "Uuid": (Uuid(), st.uuids()),
    "Uuid as text": (Uuid(as_uuid=False), st.uuids().map(str)),
    "Enum": (Enum(Color), st.sampled_from(Color)),
    "Enum of strings": (Enum("red", "blue", name="plain"), st.sampled_from(["red", "blue"])),
    "Enum by value": (Enum(Color, values_callable=lambda cls: [str(m.value) for m in cls]), st.sampled_from(Color)),
    "JSON": (JSON(), json_values),
    "JSONB": (JSONB(), json_values),
    "JSON with keys that aren't strings": (JSON(), st.dictionaries(st.integers() | st.booleans(), st.integers())),
    "ARRAY(Integer)": (ARRAY(Integer), st.lists(st.none() | st.integers())),
    "ARRAY(ARRAY)": (ARRAY(Integer, dimensions=2), st.lists(st.lists(st.integers(), min_size=2, max_size=2))),
    "ARRAY as tuple": (ARRAY(String, as_tuple=True), st.lists(text).map(tuple)),
    "ARRAY(Enum)": (ARRAY(Enum(Color)), st.lists(st.sampled_from(Color))),
    "ARRAY(Uuid)": (ARRAY(Uuid), st.lists(st.uuids())),
    "ARRAY(Numeric)": (ARRAY(Numeric), st.lists(st.decimals())),
    "ARRAY(DateTime)": (ARRAY(DateTime), st.lists(st.datetimes())),
    "ARRAY(LargeBinary)": (ARRAY(LargeBinary), st.lists(st.binary())),
    "ARRAY(TypeDecorator)": (ARRAY(Reversed), st.lists(st.none() | text)),
    "INET": (INET(), st.ip_addresses().map(str)),
    "INET object": (INET(), st.ip_addresses()),
    "INET interface": (INET(), st.just(ipaddress.ip_interface("10.0.0.1/8"))),
    "CIDR object": (CIDR(), st.just(ipaddress.ip_network("10.0.0.0/8"))),
    "MACADDR": (MACADDR(), st.just("08:00:2b:01:02:03")),
    "range": (INT4RANGE(), int_ranges),
    "empty range": (INT4RANGE(), st.just(Range(empty=True))),
    "range of datetimes": (TSTZRANGE(), st.builds(Range, zoned.map(lambda moment: moment.astimezone(timezone.utc)), st.none())),
    "multirange": (INT4MULTIRANGE(), st.lists(int_ranges)),
    "MultiRange": (INT4MULTIRANGE(), st.lists(int_ranges).map(postgresql.ranges.MultiRange)),
    "HSTORE": (HSTORE(), st.dictionaries(text, st.none() | text)),
    "TypeDecorator": (Reversed(), text),
    "TypeDecorator of a TypeDecorator": (Twice(), text),
    "own processing": (Point(), st.tuples(st.integers(), st.integers())),
}
MODELS = {name: model_of(type_) for name, (type_, _) in CASES.items()}


@pytest.mark.parametrize("through", [through_codec, through_json])
@pytest.mark.parametrize("name", CASES)
def test_a_value_keeps_its_type_and_value(name: str, through: Any) -> None:
    @quick
    @given(CASES[name][1])
    def holds(value: Any) -> None:
        assert same(through(MODELS[name], value), value)

    holds()


@pytest.mark.parametrize("through", [through_codec, through_json])
@pytest.mark.parametrize("name", CASES)
def test_null_stays_null(name: str, through: Any) -> None:
    assert through(MODELS[name], None) is None


@pytest.mark.parametrize("through", [through_codec, through_json])
def test_json_null_is_read_as_none_as_the_database_gives_it(through: Any) -> None:
    assert through(MODELS["JSON"], JSON.NULL) is None


@pytest.mark.parametrize("through", [through_codec, through_json])
def test_a_type_decorator_is_asked_what_null_means(through: Any) -> None:
    assert through(model_of(Zero()), None) == 0


@pytest.mark.parametrize("write", [default_serializer, lambda thing: codec_for(type(thing)).encode(thing)])
@pytest.mark.parametrize("type_", [Reversed(), ARRAY(Reversed)])
def test_what_a_type_decorator_hides_from_the_database_is_hidden_from_the_cache(type_: Any, write: Any) -> None:
    value = "secret" if isinstance(type_, Reversed) else ["secret"]
    data = write(model_of(type_)(id=1, value=value))
    assert b"terces" in data
    assert b"secret" not in data


@pytest.mark.parametrize("write", [default_serializer, lambda thing: codec_for(type(thing)).encode(thing)])
@pytest.mark.parametrize("type_", [PickleType(), ARRAY(PickleType)])
def test_a_pickle_column_is_refused_with_its_name_and_what_to_do(type_: Any, write: Any) -> None:
    with pytest.raises(ModelError, match=r"Thing\.value is a PickleType.*use JSON.*untracked"):
        write(model_of(type_)(id=1))


def test_a_deferred_pickle_column_is_refused_too() -> None:
    class Base(DeclarativeBase):
        pass

    class Thing(Base):
        __tablename__ = "things"
        id = mapped_column(Integer, primary_key=True)
        value = mapped_column(PickleType, deferred=True)

    with pytest.raises(ModelError, match=r"Thing\.value is a PickleType"):
        codec_for(Thing)


@pytest.mark.parametrize("write", [default_serializer, lambda thing: codec_for(type(thing)).encode(thing)])
def test_a_type_that_gives_another_form_than_it_takes_is_refused_rather_than_changed(write: Any) -> None:
    with pytest.raises(SerializationError, match=r"Thing\.value: a tuple of OneWay\(\) can't be stored from an instance"):
        write(model_of(OneWay())(id=1, value=(1, 2)))


@pytest.mark.parametrize("write", [default_serializer, lambda thing: codec_for(type(thing)).encode(thing)])
@pytest.mark.parametrize(
    ("value", "path"),
    [(object(), r"Thing\.value"), ({"a": [1, {2}, object()]}, r"Thing\.value\.a\[2\]"), ({"a": Color.RED}, r"Thing\.value\.a")],
)
def test_a_value_without_a_safe_form_is_refused_with_its_path(value: Any, path: str, write: Any) -> None:
    with pytest.raises(SerializationError, match=rf"has no safe serialised form - at `{path}`"):
        write(model_of(JSON())(id=1, value=value))


@pytest.mark.parametrize(
    ("type_", "value", "written"),
    [
        (DateTime(), datetime(2025, 12, 14, 10, 30), {"__type__": "datetime", "value": "2025-12-14T10:30:00"}),  # noqa: DTZ001
        (Date(), date(2025, 12, 14), {"__type__": "date", "value": "2025-12-14"}),
        (LargeBinary(), b"\x00\xff", {"__type__": "bytes", "value": "00ff"}),
        (Numeric(), Decimal("1.10"), {"__type__": "decimal", "value": "1.10"}),
        (Uuid(), uuid.UUID(int=1), {"__type__": "uuid", "value": "00000000-0000-0000-0000-000000000001"}),
        (Enum(Color), Color.CRIMSON, {"__type__": "enum", "value": "RED"}),
        (Float(), math.inf, {"__type__": "float", "value": "inf"}),
        (JSON(), {"a": [1, None]}, {"a": [1, None]}),
        (JSON(), {1: "a"}, {"__type__": "dict", "value": [[1, "a"]]}),
        (String(), "text", "text"),
    ],
)
def test_the_json_form_is_plain_to_read(type_: Any, value: Any, written: Any) -> None:
    assert json.loads(default_serializer(model_of(type_)(id=1, value=value)))["value"] == written
