"""The public interchange form: whose data it reads, and what it refuses."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Column, ForeignKey, Integer, String, Table
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from aa_cache_integration.codecs.json import default_deserializer, default_serializer
from aa_cache_integration.exceptions import ModelError, SerializationError


class Base(DeclarativeBase):
    pass


class User(Base):
    __tablename__ = "users"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str | None]
    email: Mapped[str | None]
    kind: Mapped[str] = mapped_column(default="user")
    __mapper_args__ = {"polymorphic_on": "kind", "polymorphic_identity": "user"}  # noqa: RUF012 -- SQLAlchemy's own way


class Admin(User):
    __tablename__ = "admins"
    __table_args__ = {"schema": "staff"}  # noqa: RUF012 -- SQLAlchemy's own way
    id: Mapped[int] = mapped_column(ForeignKey("users.id"), primary_key=True)
    level: Mapped[int]
    __mapper_args__ = {"polymorphic_identity": "admin"}  # noqa: RUF012 -- SQLAlchemy's own way


class Other(Base):
    __tablename__ = "others"
    id: Mapped[int] = mapped_column(primary_key=True)


class Colliding(Base):
    __table__ = Table("colliding", Base.metadata, Column("id", Integer, primary_key=True), Column("__aa_model__", String))


class Marked(Base):
    __table__ = Table("marked", Base.metadata, Column("id", Integer, primary_key=True), Column("__type__", String), Column("value", String))


def test_the_reference_example_is_written_as_documented() -> None:
    data = default_serializer(User(id=1, name="John", email="john@example.com"))
    assert isinstance(data, bytes)
    expected = {"__aa_model__": "User", "__aa_table__": "users", "id": 1, "name": "John", "email": "john@example.com", "kind": "user"}
    assert json.loads(data) == expected


def test_the_reference_example_is_read_as_documented() -> None:
    user = default_deserializer(b'{"__aa_model__": "User", "id": 1, "name": "John"}', User)
    assert (type(user), user.id, user.name) == (User, 1, "John")


def test_the_table_is_named_with_its_schema() -> None:
    assert json.loads(default_serializer(Admin(id=1)))["__aa_table__"] == "staff.admins"


def test_a_subclass_read_through_its_base_is_the_subclass() -> None:
    admin = default_deserializer(default_serializer(Admin(id=1, level=3)), User)
    assert type(admin) is Admin
    assert admin.level == 3


@pytest.mark.parametrize("expected", [Other, Admin])
def test_another_model_is_refused_by_both_names(expected: Any) -> None:
    with pytest.raises(ValueError, match=rf"of the model 'User', but .*{expected.__name__} was expected"):
        default_deserializer(default_serializer(User(id=1)), expected)


@pytest.mark.parametrize("data", [b'{"id": 1}', b'{"__aa_model__": null}', b'{"__aa_model__": ["User"]}'])
def test_data_without_a_model_is_refused(data: bytes) -> None:
    with pytest.raises(SerializationError, match="of the model"):
        default_deserializer(data, User)


@pytest.mark.parametrize("data", [b"", b"{", b"[1]", b"null", b"\xff", b'{"__aa_model__": "User"', b"[" * 100_000, "no bytes", None])
def test_what_is_no_json_object_is_refused(data: Any) -> None:
    with pytest.raises(SerializationError):
        default_deserializer(data, User)


@pytest.mark.parametrize(
    "value",
    [
        '{"__type__": "datetime", "value": "yesterday"}',
        '{"__type__": "datetime", "value": 5}',
        '{"__type__": "datetime", "value": "2025-01-01T00:00:00[../../etc/passwd]"}',
        '{"__type__": "os.system", "value": "true"}',
        '{"__type__": ["x"], "value": 1}',
        '{"__type__": "uuid"}',
        '{"__type__": "uuid", "value": "x", "more": 1}',
        '{"__type__": "set", "value": [[1]]}',
        '{"__type__": "dict", "value": [1]}',
        '{"__type__": "enum", "value": "RED"}',
        '{"__type__": "entity", "value": []}',
        '{"__type__": "range", "value": [1, 2, "<>", false]}',
        "[" * 200 + "]" * 200,
    ],
)
def test_a_damaged_value_is_refused_with_the_attribute(value: str) -> None:
    with pytest.raises(SerializationError, match=r"User\.name: damaged value"):
        default_deserializer(f'{{"__aa_model__": "User", "name": {value}}}'.encode(), User)


@settings(deadline=None, max_examples=200)
@given(st.data())
def test_damaged_data_raises_nothing_but_our_error(data: st.DataObject) -> None:
    good = bytearray(default_serializer(Admin(id=1, name="é", level=2)))
    for _ in range(data.draw(st.integers(1, 3))):
        good[data.draw(st.integers(0, len(good) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(SerializationError):
        assert isinstance(default_deserializer(bytes(good), User), User)


@pytest.mark.parametrize("thing", [object(), 5, "text", User, None])
def test_what_is_not_mapped_is_refused(thing: Any) -> None:
    with pytest.raises(ModelError, match="isn't a mapped class"):
        default_serializer(thing)


@pytest.mark.parametrize("model", [object, int, "User", None, User(id=1)])
def test_a_class_that_is_not_mapped_is_refused(model: Any) -> None:
    with pytest.raises(ModelError, match="isn't a mapped class"):
        default_deserializer(b'{"__aa_model__": "User"}', model)


def test_an_attribute_with_the_name_of_a_field_is_refused_by_name() -> None:
    with pytest.raises(ModelError, match=r"Colliding\.__aa_model__ has the name"):
        default_serializer(Colliding(id=1))


def test_attributes_that_look_like_a_tag_are_only_attributes() -> None:
    copy = default_deserializer(default_serializer(Marked(id=1, __type__="uuid", value="x")), Marked)
    assert (copy.__type__, copy.value) == ("uuid", "x")
