"""What comes out of a codec is what a session would have loaded and then released."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from sqlalchemy import JSON, Column, ForeignKey, Integer, MetaData, String, Table, create_engine, event, select
from sqlalchemy.ext.hybrid import hybrid_property
from sqlalchemy.ext.mutable import MutableDict
from sqlalchemy.orm import (
    DeclarativeBase,
    Mapped,
    MappedAsDataclass,
    Session,
    column_property,
    composite,
    mapped_column,
    query_expression,
    reconstructor,
    registry,
    relationship,
    synonym,
    validates,
    with_expression,
)
from sqlalchemy.orm.exc import DetachedInstanceError

from aa_cache_integration.codecs.json import default_deserializer, default_serializer
from aa_cache_integration.codecs.mapper import codec_for
from aa_cache_integration.exceptions import SerializationError


class Base(DeclarativeBase):
    pass


class Address(Base):
    __tablename__ = "addresses"
    id: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[int] = mapped_column("user", ForeignKey("users.id"))
    user: Mapped[User] = relationship(back_populates="addresses")


class User(Base):
    __tablename__ = "users"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column("user_name")
    password: Mapped[str | None] = mapped_column(deferred=True)
    settings: Mapped[dict[str, Any] | None] = mapped_column(MutableDict.as_mutable(JSON))
    shout = column_property(name + "!")
    asked: Mapped[int | None] = query_expression()
    nick = synonym("name")
    addresses: Mapped[list[Address]] = relationship(back_populates="user")

    def __init__(self, **values: Any) -> None:
        if "name" not in values:
            raise AssertionError("__init__ was run")
        super().__init__(**values)

    @validates("name")
    def _check(self, _: str, name: str) -> str:
        if name.startswith("invalid"):
            raise AssertionError("a validator was run")
        return name

    @reconstructor
    def _wake(self) -> None:
        self.awake = True

    @hybrid_property
    def initial(self) -> str:
        return self.name[0]


@dataclasses.dataclass
class Point:
    x: int
    y: int


class Vertex(Base):
    __tablename__ = "vertices"
    graph: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    start: Mapped[Point] = composite(mapped_column("x1"), mapped_column("y1"))


class Plain(MappedAsDataclass, DeclarativeBase):
    pass


class Item(Plain):
    __tablename__ = "items"
    id: Mapped[int] = mapped_column(init=False, primary_key=True)
    name: Mapped[str] = mapped_column(repr=False)
    secret: dataclasses.InitVar[str]
    size: Mapped[int] = mapped_column(default=1)

    def __post_init__(self, secret: str) -> None:
        if secret != "right":  # noqa: S105 -- no secret
            raise AssertionError("__post_init__ was run")


class Setter(Base):
    """A property stands before the column."""

    __tablename__ = "setters"
    id: Mapped[int] = mapped_column(primary_key=True)
    _value: Mapped[str] = mapped_column("value")

    @property
    def value(self) -> str:
        return self._value

    @value.setter
    def value(self, value: str) -> None:
        raise AssertionError("a setter was run")


class ByTable(Base):
    __table__ = Table("by_table", Base.metadata, Column("pk", Integer, primary_key=True), Column("label", String))
    id = __table__.c.pk


class Imperative:
    pass


imperative = registry(metadata=MetaData(schema="main"))
imperative.map_imperatively(
    Imperative, Table("imperatives", imperative.metadata, Column("id", Integer, primary_key=True), Column("a", String))
)


@pytest.fixture(scope="module")
def engine() -> Any:
    engine = create_engine("sqlite://")
    for metadata in (Base.metadata, Plain.metadata, imperative.metadata):
        metadata.create_all(engine)
    imp = Imperative()
    imp.a = "a"  # type: ignore[attr-defined]
    with Session(engine) as session:
        session.add(User(id=1, name="Ann", password="pw", settings={"a": 1}, addresses=[Address(id=1)]))  # noqa: S106 -- no secret
        session.add_all([Vertex(graph=1, number=2, start=Point(3, 4)), Item(name="i", secret="right"), ByTable(id=7, label="l"), imp])  # noqa: S106
        session.add(Setter(id=1, _value="v"))
        session.commit()
        session.connection().exec_driver_sql("UPDATE users SET user_name = 'invalid Ann'")
        session.commit()
    yield engine
    engine.dispose()


def from_row(engine: Any, model: type[Any], identity: tuple[Any, ...]) -> Any:
    codec = codec_for(model, engine.dialect)
    with engine.connect() as connection:
        return codec.decode(codec.encode_row(connection.execute(codec.statement([identity])).one()), model)


def from_instance(engine: Any, model: type[Any], identity: tuple[Any, ...]) -> Any:
    codec = codec_for(model)
    with Session(engine) as session:
        return codec.decode(codec.encode(session.get_one(model, identity)), model)


def from_json(engine: Any, model: type[Any], identity: tuple[Any, ...]) -> Any:
    with Session(engine) as session:
        return default_deserializer(default_serializer(session.get_one(model, identity)), model)


WAYS = [from_row, from_instance, from_json]
IDENTITIES: list[tuple[type[Any], tuple[Any, ...]]] = [
    (User, (1,)),
    (Address, (1,)),
    (Vertex, (1, 2)),
    (Item, (1,)),
    (Setter, (1,)),
    (ByTable, (7,)),
    (Imperative, (1,)),
]


@pytest.fixture
def statements(engine: Any) -> Any:
    seen: list[str] = []

    def record(_conn: Any, _cursor: Any, statement: str, *_: Any) -> None:
        seen.append(statement)

    event.listen(engine, "before_cursor_execute", record)
    yield seen
    event.remove(engine, "before_cursor_execute", record)


def loaded_columns(instance: Any) -> dict[str, Any]:
    return {key: value for key, value in vars(instance).items() if not key.startswith("_sa_")}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("model", "identity"), IDENTITIES)
def test_the_values_are_those_that_sqlalchemy_loads(engine: Any, way: Any, model: Any, identity: Any) -> None:
    with Session(engine) as session:
        expected = loaded_columns(session.get_one(model, identity))
    got = loaded_columns(way(engine, model, identity))
    assert got == expected
    assert {key: type(value) for key, value in got.items()} == {key: type(value) for key, value in expected.items()}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("model", "identity"), IDENTITIES)
def test_an_instance_can_be_added_to_a_session_without_sql(engine: Any, statements: Any, way: Any, model: Any, identity: Any) -> None:
    instance = way(engine, model, identity)
    statements.clear()
    with Session(engine) as session:
        session.add(instance)
        assert session.get(model, identity) is instance
        session.flush()
        assert not session.dirty
    assert statements == []


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("model", "identity"), IDENTITIES)
def test_an_instance_can_be_merged_without_sql(engine: Any, statements: Any, way: Any, model: Any, identity: Any) -> None:
    instance = way(engine, model, identity)
    statements.clear()
    with Session(engine) as session:
        merged = session.merge(instance, load=False)
        assert session.get(model, identity) is merged
    assert statements == []


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("attribute", ["addresses", "password"])
def test_what_is_unloaded_raises_when_touched_and_is_loaded_in_a_session(engine: Any, way: Any, attribute: str) -> None:
    user = way(engine, User, (1,))
    with pytest.raises(DetachedInstanceError):
        getattr(user, attribute)
    with Session(engine) as session:
        session.add(user)
        value = getattr(user, attribute)
        assert value == ("pw" if attribute == "password" else [session.get(Address, 1)])


def test_a_column_that_the_payload_lacks_raises_when_touched_and_is_loaded_in_a_session(engine: Any) -> None:
    user = default_deserializer(b'{"__aa_model__": "User", "id": 1}', User)
    for attribute in ("name", "shout", "password", "addresses"):
        with pytest.raises(DetachedInstanceError):
            getattr(user, attribute)
    with Session(engine) as session:
        session.add(user)
        assert user.name == "invalid Ann"
        assert user.shout == "invalid Ann!"


def test_without_a_primary_key_in_the_data_the_instance_has_no_identity_and_no_false_nones() -> None:
    user = default_deserializer(b'{"__aa_model__": "User", "name": "invalid"}', User)
    assert user.name == "invalid"
    with pytest.raises(DetachedInstanceError):
        _ = user.id


@pytest.mark.parametrize("way", WAYS)
def test_no_code_of_the_class_runs_but_its_reconstructor(engine: Any, way: Any) -> None:
    assert way(engine, User, (1,)).awake is True  # its __init__ and its validator would have raised
    assert way(engine, Item, (1,)).size == 1  # its __post_init__ would have raised
    assert way(engine, Setter, (1,)).value == "v"  # its setter would have raised


@pytest.mark.parametrize("way", WAYS)
def test_mutable_values_are_tracked(engine: Any, way: Any) -> None:
    user = way(engine, User, (1,))
    assert isinstance(user.settings, MutableDict)
    with Session(engine) as session:
        session.add(user)
        user.settings["b"] = 2
        assert user in session.dirty


@pytest.mark.parametrize("way", WAYS)
def test_composites_synonyms_and_hybrids_work(engine: Any, way: Any) -> None:
    assert way(engine, Vertex, (1, 2)).start == Point(3, 4)
    user = way(engine, User, (1,))
    assert user.nick == "invalid Ann"
    assert user.initial == "i"


def test_each_read_gives_an_instance_and_values_of_its_own(engine: Any) -> None:
    codec = codec_for(User, engine.dialect)
    with engine.connect() as connection:
        data = codec.encode_row(connection.execute(codec.statement([(1,)])).one())
    one, other = codec.decode(data, User), codec.decode(data, User)
    assert one is not None
    assert other is not None
    one.settings["b"] = 2  # type: ignore[index]
    assert other.settings == {"a": 1}


def test_the_value_of_a_query_expression_stays_with_its_query(engine: Any) -> None:
    with Session(engine) as session:
        user = session.scalars(select(User).options(with_expression(User.asked, User.id + 41))).one()
        assert user.asked == 42
        copy = codec_for(User).decode(codec_for(User).encode(user), User)
    assert copy is not None
    assert "asked" not in vars(copy)


def test_only_loaded_attributes_are_encoded_and_the_identity_always_is(engine: Any) -> None:
    with Session(engine) as session:
        user = session.get_one(User, 1)
        session.expire(user)
        with pytest.raises(SerializationError, match="expired, nothing of it is loaded"):
            codec_for(User).encode(user)
        interchange = default_serializer(user)
        session.expire(user, ["name"])
        _ = user.settings
        session.expire(user, ["name"])
        partial = codec_for(User).decode(codec_for(User).encode(user), User)
    for copy in (default_deserializer(interchange, User), partial):
        assert copy is not None
        assert copy.id == 1
        with pytest.raises(DetachedInstanceError):
            _ = copy.name
    assert partial is not None
    assert partial.settings == {"a": 1}


def test_a_modified_instance_is_encoded_as_it_is_now(engine: Any) -> None:
    with Session(engine) as session:
        user = session.get_one(User, 1)
        user.name = "Bob"
        copy = codec_for(User).decode(codec_for(User).encode(user), User)
        assert copy is not None
        assert copy.name == "Bob"
        assert default_deserializer(default_serializer(user), User).name == "Bob"
