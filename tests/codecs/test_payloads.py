"""What a codec accepts: its own payloads, whole, of these very models."""

from __future__ import annotations

import gc
import subprocess
import sys
import weakref
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import BigInteger, Column, Integer, String
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import DeclarativeBase, column_property, declarative_base

from aa_cache_integration.codecs import plain
from aa_cache_integration.codecs.json import default_serializer
from aa_cache_integration.codecs.mapper import codec_for
from aa_cache_integration.exceptions import ModelError, SerializationError


class Base(DeclarativeBase):
    pass


class User(Base):
    __tablename__ = "users"
    id = Column(Integer, primary_key=True)
    name = Column(String)


def users(**columns: Any) -> Any:
    """Another version of a model of one name."""
    attributes = {"__tablename__": "users", "id": Column(Integer, primary_key=True), "__module__": __name__, "__qualname__": "User"}
    return type("User", (declarative_base(),), attributes | columns)


CODEC = codec_for(User)
WHOLE = CODEC.encode(User(id=1, name="é"))
PARTIAL = CODEC.encode(User(id=1))


@settings(deadline=None, max_examples=300)
@given(st.sampled_from([WHOLE, PARTIAL]), st.data())
def test_any_changed_byte_is_noticed(payload: bytes, data: st.DataObject) -> None:
    index = data.draw(st.integers(0, len(payload) - 1))
    value = data.draw(st.integers(0, 255).filter(lambda byte: byte != payload[index]))
    with pytest.raises(SerializationError):
        CODEC.decode(payload[:index] + bytes([value]) + payload[index + 1 :], User)


@pytest.mark.parametrize("payload", [WHOLE, PARTIAL])
def test_any_cut_is_noticed(payload: bytes) -> None:
    for length in range(len(payload)):
        with pytest.raises(SerializationError):
            CODEC.decode(payload[:length], User)
    with pytest.raises(SerializationError):
        CODEC.decode(payload + b"\0", User)


@settings(deadline=None, max_examples=200)
@given(st.binary())
def test_foreign_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(SerializationError):
        CODEC.decode(data, User)


def test_the_other_forms_of_this_package_are_refused() -> None:
    for data in (default_serializer(User(id=1)), plain.dumps({"id": 1}), plain.dumps(User(id=1))):
        with pytest.raises(SerializationError):
            CODEC.decode(data, User)


def test_a_forged_body_with_a_right_checksum_is_refused() -> None:
    layout = CODEC._root_layout
    for form in (0, 1):
        for body in (
            b"",
            b"\xc1",
            b"\x91\x01",
            b"\x93\x01\xa1a\x01",
            b"\x81\xa1x\x01",
            b"\x80",
            b"\x81\xa2id\x81\xa8__type__\x01",
            b"\x91" * 9999,
        ):
            with pytest.raises(SerializationError):
                CODEC.decode(CODEC._seal(form, layout, body), User)


@pytest.mark.parametrize(
    "other",
    [
        {"name": Column(String), "email": Column(String)},
        {},
        {"name": Column(Integer)},
        {"name": Column("full_name", String)},
        {"name": Column(String), "__tablename__": "people"},
    ],
    ids=["a column added", "a column removed", "a column retyped", "a column renamed", "another table"],
)
def test_a_payload_of_another_version_of_the_model_is_refused(other: Any) -> None:
    changed, original = users(**other), users(name=Column(String))
    assert codec_for(changed).fingerprint != codec_for(original).fingerprint
    with pytest.raises(SerializationError, match="another version"):
        codec_for(changed).decode(codec_for(original).encode(original(id=1)), changed)


def test_a_payload_of_the_same_model_in_another_process_is_understood() -> None:
    one, other = users(name=Column(String)), users(name=Column(String))
    copy = codec_for(other).decode(codec_for(one).encode(one(id=1, name="n")), other)
    assert copy is not None
    assert (type(copy), copy.name) == (other, "n")


def test_the_fingerprint_is_the_same_in_every_process() -> None:
    code = (
        "from sqlalchemy import *; from sqlalchemy.orm import declarative_base; from enum import Enum as E\n"
        "from aa_cache_integration.codecs.mapper import codec_for\n"
        "C = E('C', 'A B')\n"
        "class U(declarative_base()):\n"
        "    __tablename__ = 'u'; id = Column(Integer, primary_key=True); c = Column(Enum(C, values_callable=lambda c: ['a', 'b']))\n"
        "print(codec_for(U).fingerprint)"
    )
    processes = [subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) for _ in range(2)]  # noqa: S603 -- ours
    prints = [process.communicate()[0] for process in processes]
    assert prints[0] == prints[1] != ""


def test_a_payload_names_its_dialect_and_is_read_with_it() -> None:
    data = codec_for(User, postgresql.dialect()).encode(User(id=1, name="n"))
    assert b"postgresql+" in data
    for reader in (codec_for(User), codec_for(User, sqlite.dialect())):
        copy = reader.decode(data, User)
        assert copy is not None
        assert copy.name == "n"


@pytest.mark.parametrize("name", ["nodb+nodriver", "../x", "postgresql+nodriver", "os"])
def test_a_dialect_that_is_not_here_is_refused(name: str) -> None:
    codec = codec_for(User)
    honest = codec.dialect_name
    try:
        codec.dialect_name = name
        data = codec._seal(0, codec._root_layout, b"\x92\x01\xa1n")
    finally:
        codec.dialect_name = honest
    with pytest.raises(SerializationError, match="dialect"):
        codec.decode(data, User)


def test_an_instance_of_another_class_is_refused() -> None:
    class Other(Base):
        __tablename__ = "others"
        id = Column(BigInteger, primary_key=True)

    with pytest.raises(SerializationError, match="doesn't belong to the classes of the table users"):
        CODEC.encode(Other(id=1))
    with pytest.raises(ModelError, match="isn't a mapped class"):
        CODEC.encode(object())


def test_an_instance_without_a_primary_key_is_refused() -> None:
    with pytest.raises(SerializationError, match="no primary key yet"):
        CODEC.encode(User(name="n"))
    with pytest.raises(SerializationError, match="no primary key yet"):
        CODEC.encode(User(id=None))


@pytest.mark.parametrize("thing", [object, 5, None, "users", User(id=1)])
def test_what_is_not_mapped_has_no_codec(thing: Any) -> None:
    with pytest.raises(ModelError, match="isn't a mapped class"):
        codec_for(thing)


def test_codecs_are_made_once_for_each_dialect() -> None:
    assert codec_for(User) is CODEC
    assert codec_for(User, sqlite.dialect()) is codec_for(User, sqlite.dialect())
    assert codec_for(User, sqlite.dialect()) is not CODEC
    assert codec_for(User.__mapper__) is CODEC


def test_a_column_mapped_later_makes_a_new_codec() -> None:
    model = users(name=Column(String))
    before = codec_for(model)
    model.shout = column_property(model.name + "!")
    assert codec_for(model).fingerprint != before.fingerprint


def test_a_codec_goes_with_its_class() -> None:
    model = users(name=Column(String))
    model.shout = column_property(model.name + "!")
    data = codec_for(model).encode(model(id=1))
    plain.loads(plain.dumps(model(id=1)))
    assert codec_for(model).decode(data, model) is not None
    gone = weakref.ref(model)
    codec = weakref.ref(codec_for(model))
    del model
    gc.collect()
    assert gone() is None
    assert codec() is None
