"""Plain values: exact types, no pickle, and a clear error for everything else."""

from __future__ import annotations

import collections
import dataclasses
import enum
import ipaddress
import math
import pickle
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, time, timedelta, timezone, tzinfo
from decimal import Decimal
from fractions import Fraction
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Column, ForeignKey, Integer, PickleType, String, inspect
from sqlalchemy.dialects.postgresql import Range
from sqlalchemy.orm import DeclarativeBase, relationship
from sqlalchemy.orm.exc import DetachedInstanceError

from aa_cache_integration.codecs import plain
from aa_cache_integration.codecs.plain import dumps, loads
from aa_cache_integration.codecs.tagged import Writer
from aa_cache_integration.exceptions import ModelError, SerializationError


class Base(DeclarativeBase):
    pass


class User(Base):
    __tablename__ = "users"
    id = Column(Integer, primary_key=True)
    name = Column(String)
    boss_id = Column(ForeignKey("users.id"))
    boss = relationship("User")


class Pickled(Base):
    __tablename__ = "pickled"
    id = Column(Integer, primary_key=True)
    value = Column(PickleType)


zones = st.none() | st.sampled_from([timezone.utc, timezone(timedelta(seconds=561)), ZoneInfo("Europe/Paris")])
hashable = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(-(2**200), 2**200)
    | st.floats()
    | st.text()
    | st.binary()
    | st.datetimes(timezones=zones)
    | st.dates()
    | st.times(timezones=zones)
    | st.timedeltas()
    | st.decimals()
    | st.fractions()
    | st.uuids()
    | st.complex_numbers()
    | st.ip_addresses()
    | st.just(ipaddress.ip_network("10.0.0.0/8"))
    | st.just(ipaddress.ip_interface("::1/64"))
)
keys = st.recursive(
    hashable.filter(lambda value: "nan" not in repr(value).lower()),
    lambda inner: st.lists(inner, max_size=3).map(tuple),
    max_leaves=3,
)
values = st.recursive(
    hashable | st.binary().map(bytearray) | st.builds(Range, st.integers(0, 5), st.integers(5, 9)),
    lambda inner: (
        st.lists(inner)
        | st.lists(inner).map(tuple)
        | st.sets(keys, max_size=3)
        | st.frozensets(keys, max_size=3)
        | st.dictionaries(keys | st.sampled_from(["__type__", "value"]), inner, max_size=4)
    ),
    max_leaves=8,
)


def same(one: Any, other: Any) -> bool:
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return same(list(one.items()), list(other.items()))
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, (datetime, time)):
        return one == other and one.tzinfo == other.tzinfo and one.fold == other.fold
    return repr(one) == repr(other) or one == other


@settings(deadline=None, max_examples=200)
@given(values)
def test_a_value_comes_back_with_its_types(value: Any) -> None:
    assert same(loads(dumps(value)), value)


@pytest.mark.parametrize(
    "value",
    [
        -(2**63) - 1,
        2**64,
        math.nan,
        -math.inf,
        "\ud800",
        {"\ud800": 1},
        {1: "a", "1": "b"},
        {"__type__": "uuid", "value": "x"},
        {(1, 2): {3}},
        Decimal("sNaN"),
        Fraction(10**40, 3),
        datetime(2025, 10, 26, 2, 30, fold=1, tzinfo=ZoneInfo("Europe/Paris")),
        datetime(2025, 10, 26, 2, 30, fold=1),  # noqa: DTZ001
        time(1, 2, fold=1, tzinfo=ZoneInfo("Europe/Paris")),
        [[[[]]], (), set(), frozenset(), {}],
    ],
)
def test_odd_values_come_back_too(value: Any) -> None:
    assert same(loads(dumps(value)), value)


def test_a_number_of_any_size_comes_back() -> None:
    assert loads(dumps(10**5000)) == 10**5000  # more decimal digits than Python converts by default


def test_true_and_one_are_told_apart() -> None:
    assert [type(item) for item in loads(dumps([True, 1, 1.0, Decimal(1)]))] == [bool, int, float, Decimal]


class Number(enum.IntEnum):
    ONE = 1


class Text(str):  # noqa: SLOT000 -- any subclass
    pass


Named = collections.namedtuple("Named", "a")  # noqa: PYI024 -- any subclass


@dataclasses.dataclass
class Data:
    a: int


class Odd(tzinfo):
    def utcoffset(self, _: Any) -> None:
        return None


@pytest.mark.parametrize(
    ("value", "name"),
    [
        (object(), "object"),
        (Number.ONE, "Number"),
        (Text("x"), "Text"),
        (Named(1), "Named"),
        (Data(1), "Data"),
        (collections.OrderedDict(), "OrderedDict"),
        (collections.defaultdict(list), "defaultdict"),
        (len, "builtin_function_or_method"),
        (User, "DeclarativeAttributeIntercept"),
        (time(1, tzinfo=Odd()), "Odd"),
        (inspect(User), "Mapper"),
    ],
)
def test_what_has_no_safe_form_is_refused_with_its_type_and_path(value: Any, name: str) -> None:
    with pytest.raises(SerializationError, match=rf"(?s){name}.* - at `\$\.users\[3\]\.avatar`"):
        dumps({"users": [1, 2, 3, {"avatar": value}]})


def test_the_path_of_a_key_is_told() -> None:
    with pytest.raises(SerializationError, match=r"at `\$\[\(1, <object"):
        dumps({(1, object()): 1})


def test_a_value_that_contains_itself_is_refused() -> None:
    cycle: list[Any] = []
    cycle.append({"again": cycle})
    with pytest.raises(SerializationError, match="contains itself"):
        dumps(cycle)


@pytest.mark.parametrize("wrap", [lambda value: [value], lambda value: (value,), lambda value: {"k": value}, lambda value: {1: value}])
def test_nesting_is_bounded_and_everything_within_the_bound_comes_back(wrap: Any) -> None:
    value: Any = 1
    for _ in range(100):
        value = wrap(value)
    assert loads(dumps(value)) == value
    with pytest.raises(SerializationError, match="nested deeper than 100"):
        dumps(wrap(value))


def test_values_too_deep_for_the_stack_are_our_error() -> None:
    value: Any = 1
    for _ in range(90):
        value = [value]

    def deep(levels: int) -> bytes:
        return deep(levels - 1) if levels else dumps(value)

    frames, frame = 0, sys._getframe()
    while frame is not None:
        frames, frame = frames + 1, frame.f_back  # type: ignore[assignment]
    with pytest.raises(SerializationError):
        deep(sys.getrecursionlimit() - frames - 60)


def test_mapped_instances_come_back_detached_wherever_they_stand() -> None:
    found = loads(dumps({"users": [User(id=1, name="Ann"), (User(id=2, name="Bob"),)], "n": 2}))
    ann, (bob,) = found["users"]
    assert (type(ann), ann.id, ann.name, bob.name) == (User, 1, "Ann", "Bob")
    assert inspect(ann).detached
    with pytest.raises(DetachedInstanceError):
        _ = ann.boss


def test_an_instance_with_a_pickle_column_is_refused() -> None:
    with pytest.raises(ModelError, match="PickleType"):
        dumps([Pickled(id=1)])


def forged(tree: Any) -> bytes:
    body = msgspec.msgpack.encode(tree)
    return bytes([plain.FORMAT]) + plain.zlib.crc32(body).to_bytes(4, "big") + body


@pytest.mark.parametrize("name", ["os:system", "nowhere:User", f"{__name__}:Data", f"{__name__}:Base", "antigravity:User", 5, ["x"]])
def test_only_mapped_classes_of_this_process_are_read(name: Any) -> None:
    before = set(sys.modules)
    payload = plain.codec_for(User).encode(User(id=1))
    with pytest.raises(SerializationError):
        loads(forged({"__type__": "entity", "value": [name, payload]}))
    assert "antigravity" not in set(sys.modules) - before


def test_a_class_that_was_only_read_here_is_found_among_the_mapped_ones() -> None:
    payload = plain.codec_for(User).encode(User(id=1))
    plain.registered._by_name.clear()
    assert loads(forged({"__type__": "entity", "value": [f"{__name__}:User", payload]})).id == 1


def test_an_instance_that_names_another_class_than_its_payload_is_refused() -> None:
    payload = plain.codec_for(User).encode(User(id=1))
    for name in (f"{__name__}:Pickled",):
        with pytest.raises(SerializationError):
            loads(forged({"__type__": "entity", "value": [name, payload]}))


@pytest.mark.parametrize(
    "tree",
    [
        {"__type__": "tuple"},
        {"__type__": "tuple", "value": 1},
        {"__type__": "set", "value": [[1]]},
        {"__type__": "nothing", "value": 1},
        {"__type__": "int", "value": 1},
        {"__type__": "float", "value": "1.5"},
        {"__type__": "decimal", "value": "x"},
        {"__type__": "dict", "value": [[[1], 1]]},
        {"__type__": "datetime", "value": "2025-01-01T00:00:00[no/zone]"},
        {"__type__": "range", "value": [1]},
        {"__type__": "timedelta", "value": [10**10, 0, 0]},
        {"__type__": "fraction", "value": ["1", "0"]},
        {"__type__": "enum", "value": "RED"},
        {1: 2},
        msgspec.msgpack.Ext(5, b"x"),
        datetime(2025, 1, 1, tzinfo=timezone.utc),
    ],
)
def test_a_forged_tree_is_our_error(tree: Any) -> None:
    with pytest.raises(SerializationError, match="damaged plain value"):
        loads(forged(tree))


def test_a_forged_bomb_of_brackets_is_our_error() -> None:
    body = b"\x91" * 5000
    with pytest.raises(SerializationError):
        loads(bytes([plain.FORMAT]) + plain.zlib.crc32(body).to_bytes(4, "big") + body)


@settings(deadline=None, max_examples=200)
@given(st.binary() | st.binary().map(lambda data: bytes([plain.FORMAT]) + data))
def test_foreign_bytes_are_our_error(data: bytes) -> None:
    with pytest.raises(SerializationError):
        loads(data)


def test_threads_share_a_writer_without_mixing_their_paths() -> None:
    writer = Writer(text=False)
    nested: Any = {"a": [{"b": [1] * 50}] * 50}

    def refuse(number: int) -> str:
        with pytest.raises(SerializationError) as refusal:
            writer.write([nested, {f"key{number}": object()}])
        return str(refusal.value)

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(8) as threads:
            messages = list(threads.map(refuse, range(40)))
    finally:
        sys.setswitchinterval(interval)
    assert all(f"$[1].key{number}`" in message for number, message in enumerate(messages))


def test_the_stored_form_is_the_one_of_its_version() -> None:
    stored = "018c8ed01282a16191c0a16282a85f5f747970655f5fa57475706c65a576616c75659201c40100"
    assert stored == dumps({"a": [None], "b": (1, b"\x00")}).hex(), "the stored form changed: raise plain.FORMAT"


def test_a_pickle_is_foreign() -> None:
    with pytest.raises(SerializationError):
        loads(pickle.dumps({"a": 1}))


@settings(deadline=None, max_examples=200)
@given(st.data())
def test_any_changed_byte_is_noticed(data: st.DataObject) -> None:
    good = dumps({"name": "Ann", "user": User(id=1, name="x")})
    index = data.draw(st.integers(0, len(good) - 1))
    value = data.draw(st.integers(0, 255).filter(lambda byte: byte != good[index]))
    with pytest.raises(SerializationError):
        loads(good[:index] + bytes([value]) + good[index + 1 :])
