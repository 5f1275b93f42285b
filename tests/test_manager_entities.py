"""Rows and lists of a manager: sync and async, in memory and on a real Redis."""

from __future__ import annotations

import json
import uuid
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import ForeignKey, create_engine, event, select
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship
from sqlalchemy.orm.exc import DetachedInstanceError
from sqlalchemy.pool import StaticPool

from aa_cache_integration import IdentityError, ModelError, SerializationError, default_deserializer, default_serializer
from aa_cache_integration.core.drive import drive
from aa_cache_integration.core.plans import Filling, Miss, Request

if TYPE_CHECKING:
    from tests.conftest import RecordedEvents
    from tests.managers import Face, Managers


class Base(DeclarativeBase):
    pass


class Author(Base):
    __tablename__ = "em_authors"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    books: Mapped[list[Book]] = relationship(back_populates="author")


class Book(Base):
    __tablename__ = "em_books"
    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    author_id: Mapped[int | None] = mapped_column(ForeignKey("em_authors.id"))
    author: Mapped[Author | None] = relationship(back_populates="books")


class Line(Base):
    __tablename__ = "em_lines"
    order_id: Mapped[int] = mapped_column(primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    text: Mapped[str]


class Animal(Base):
    __tablename__ = "em_animals"
    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str]
    __mapper_args__ = {"polymorphic_on": "kind", "polymorphic_identity": "animal"}  # noqa: RUF012 - SQLAlchemy's way


class Dog(Animal):
    __tablename__ = "em_dogs"
    id: Mapped[int] = mapped_column(ForeignKey("em_animals.id"), primary_key=True)
    breed: Mapped[str]
    __mapper_args__ = {"polymorphic_identity": "dog"}  # noqa: RUF012 - SQLAlchemy's way


class Plain:
    """Not mapped."""


AUTHORS = "em_authors"


def author(number: int = 1, name: str = "Ursula") -> Author:
    return Author(id=number, name=name)


def settle_write(face: Face, table: str, ident: str | None = None) -> None:
    """Do to the cache what a committed write does."""
    if ident is not None:
        face.manager.invalidate_entity_sync(table, ident)
    face.manager.bump_model_version_sync(table)


# Rows by primary key


async def test_a_row_that_was_set_is_found_until_it_is_invalidated(face: Face) -> None:
    assert await face("get_entity", AUTHORS, 1, Author) is None
    await face("set_entity", AUTHORS, 1, author())
    found = await face("get_entity", AUTHORS, 1, Author)
    assert (type(found), found.id, found.name) == (Author, 1, "Ursula")
    await face("invalidate_entity", AUTHORS, 1)
    assert await face("get_entity", AUTHORS, 1, Author) is None


async def test_what_is_returned_is_detached_and_the_callers_own(face: Face) -> None:
    await face("set_entity", AUTHORS, 1, author())
    first, second = await face("get_entity", AUTHORS, 1, Author), await face("get_entity", AUTHORS, 1, Author)
    assert first is not second
    first.name = "changed"
    assert second.name == (await face("get_entity", AUTHORS, 1, Author)).name == "Ursula"
    with pytest.raises(DetachedInstanceError):
        _ = second.books


async def test_what_is_returned_goes_into_a_session_without_sql(face: Face) -> None:
    engine = create_engine("sqlite://", poolclass=StaticPool)
    Base.metadata.create_all(engine)
    with Session(engine) as session:
        session.add(author())
        session.commit()
        await face("set_entity", AUTHORS, 1, session.scalars(select(Author)).one())
    statements: list[str] = []
    event.listen(engine, "before_cursor_execute", lambda *arguments: statements.append(arguments[2]))
    with Session(engine) as session:
        added = await face("get_entity", AUTHORS, 1, Author)
        session.add(added)
        assert session.get(Author, 1) is added
        session.flush()
    with Session(engine) as session:
        merged = session.merge(await face("get_entity", AUTHORS, 1, Author), load=False)
        assert merged.name == "Ursula"
        assert statements == []
        assert merged.books == []
    engine.dispose()


@pytest.mark.parametrize("spelling", ["12345678-1234-5678-1234-567812345678", "12345678123456781234567812345678"])
async def test_a_key_has_one_spelling_however_it_is_written(face: Face, spelling: str) -> None:
    ident = uuid.UUID("12345678-1234-5678-1234-567812345678")
    await face("set_entity", "em_books", ident, Book(id=ident, author_id=None))
    assert (await face("get_entity", "em_books", spelling, Book)).id == ident
    await face("invalidate_entity", "em_books", spelling)
    assert await face("get_entity", "em_books", ident, Book) is None


async def test_a_composite_key_is_a_tuple_or_a_dict(face: Face) -> None:
    await face("set_entity", "em_lines", (1, 2), Line(order_id=1, number=2, text="x"))
    assert (await face("get_entity", "em_lines", {"number": 2, "order_id": "1"}, Line)).text == "x"
    assert await face("get_entity", "em_lines", (2, 1), Line) is None
    await face("invalidate_entity", "em_lines", {"order_id": 1, "number": 2})
    assert await face("get_entity", "em_lines", (1, 2), Line) is None


@pytest.mark.parametrize(
    ("table", "ident", "model"),
    [
        (AUTHORS, None, Author),
        (AUTHORS, "one", Author),
        (AUTHORS, (1, 2), Author),
        (AUTHORS, {"nothing": 1}, Author),
        (AUTHORS, object(), Author),
        ("em_lines", 1, Line),
        ("em_lines", (1, 2, 3), Line),
        ("em_lines", {"order_id": 1}, Line),
        ("em_books", "not a uuid", Book),
    ],
)
async def test_a_key_of_the_wrong_shape_is_refused(face: Face, table: str, ident: Any, model: type[Any]) -> None:
    for operation, arguments in (
        ("get_entity", (model,)),
        ("get_entities", (model,)),
        ("invalidate_entity", ()),
        ("invalidate_entities", ()),
    ):
        with pytest.raises(IdentityError):
            await face(operation, table, [ident] if operation.endswith("ies") else ident, *arguments)


@pytest.mark.parametrize("model", [Plain, int, "Author", None, Author.__table__])
async def test_a_class_that_is_not_mapped_is_refused(face: Face, model: Any) -> None:
    for operation, arguments in (("get_entity", (AUTHORS, 1)), ("get_list", ("key",)), ("get_list_and_count", ("key",))):
        with pytest.raises(ModelError):
            await face(operation, *arguments, model)
    for operation, arguments in (("set_entity", (AUTHORS, 1, Plain())), ("set_list", ("key", [Plain()]))):
        with pytest.raises(ModelError):
            await face(operation, *arguments)


async def test_an_instance_is_not_put_under_another_key_than_its_own(face: Face) -> None:
    with pytest.raises(IdentityError, match=r"primary key \(1,\), not 2"):
        await face("set_entity", AUTHORS, 2, author(1))
    with pytest.raises(IdentityError, match="flush it"):
        await face("set_entity", AUTHORS, 1, Author(name="new"))


async def test_a_name_of_the_applications_own_is_a_cell_of_its_own(face: Face) -> None:
    await face("set_entity", "Author", 1, author(name="own"))
    assert await face("get_entity", AUTHORS, 1, Author) is None
    assert (await face("get_entity", "Author", "1", Author)).name == "own"
    await face("invalidate_entity", "Author", 1)
    assert await face("get_entity", "Author", 1, Author) is None


async def test_a_row_under_a_name_of_the_applications_own_is_a_miss_after_any_write_to_its_table(face: Face) -> None:
    """Nobody who writes the row knows of that name."""
    await face("set_entity", "Author", 1, author())
    settle_write(face, AUTHORS)
    assert await face("get_entity", "Author", 1, Author) is None


async def test_a_table_name_of_another_class_never_gives_its_rows(face: Face) -> None:
    await face("set_entity", "em_lines", (1, 2), Line(order_id=1, number=2, text="x"))
    assert await face("get_entity", "em_lines", (1, 2), Author) is None


async def test_groups_keep_their_rows_apart(face: Face) -> None:
    await face("set_entity", AUTHORS, 1, author(name="default"))
    await face("set_entity", AUTHORS, 1, author(name="eu"), "eu")
    assert (await face("get_entity", AUTHORS, 1, Author)).name == "default"
    assert (await face("get_entity", AUTHORS, 1, Author, bind_group="eu")).name == "eu"
    await face("invalidate_entity", AUTHORS, 1, "eu")
    assert await face("get_entity", AUTHORS, 1, Author, "eu") is None
    assert await face("get_entity", AUTHORS, 1, Author) is not None


async def test_several_rows_come_in_the_order_asked_for_each_its_own(face: Face) -> None:
    await face("set_entities", AUTHORS, {number: author(number) for number in (1, 2, 3)})
    found = await face("get_entities", AUTHORS, [3, 9, "1", 3], Author)
    assert [one and one.id for one in found] == [3, None, 1, 3]
    assert found[0] is not found[3]
    await face("invalidate_entities", AUTHORS, [1, 1, 2])
    assert [one and one.id for one in await face("get_entities", AUTHORS, [1, 2, 3], Author)] == [None, None, 3]


async def test_no_rows_are_no_work(face: Face) -> None:
    assert await face("get_entities", AUTHORS, [], Author) == []
    await face("set_entities", AUTHORS, {})
    await face("invalidate_entities", AUTHORS, [])


async def test_a_subclass_is_read_through_its_base_and_as_itself(face: Face) -> None:
    await face("set_entity", "em_animals", 1, Dog(id=1, kind="dog", breed="poodle"))
    for model in (Animal, Dog):
        found = await face("get_entity", "em_animals", 1, model)
        assert (type(found), found.breed) == (Dog, "poodle")
    await face("set_entity", "em_animals", 2, Animal(id=2, kind="animal"))
    assert await face("get_entity", "em_animals", 2, Dog) is None


async def test_an_untracked_table_is_never_cached(managers: Managers, face: Face) -> None:
    """Nobody would announce its writes."""
    untracked = face.of(managers(untracked=("em_auth*",)))
    await untracked("set_entity", AUTHORS, 1, author())
    assert await untracked("get_entity", AUTHORS, 1, Author) is None
    await untracked("set_list", "list", [author()])
    assert await untracked("get_list", "list", Author) is None


# Lists


async def test_a_list_comes_back_as_detached_instances(face: Face) -> None:
    assert await face("get_list", "list", Author) is None
    await face("set_list", "list", [author(2), author(1)])
    found = await face("get_list", "list", Author)
    assert [(type(one), one.id) for one in found] == [(Author, 2), (Author, 1)]
    assert found[0] is not (await face("get_list", "list", Author))[0]


async def test_an_empty_list_is_a_hit(face: Face) -> None:
    await face("set_list", "explicit", [])
    assert await face("get_list", "explicit", Author) == []
    assert await face("get_list", "leased", Author) is None
    await face("set_list", "leased", [])
    assert await face("get_list", "leased", Author) == []


@pytest.mark.parametrize("leased", [True, False])
@pytest.mark.parametrize("items", [[], [1, 2]])
async def test_a_list_is_a_miss_after_a_write_to_its_table(face: Face, items: list[int], leased: bool) -> None:
    if leased:
        await face("get_list", "list", Author)
    await face("set_list", "list", [author(number) for number in items])
    assert await face("get_list", "list", Author) is not None
    settle_write(face, "em_lines")
    assert await face("get_list", "list", Author) is not None
    settle_write(face, AUTHORS)
    assert await face("get_list", "list", Author) is None


async def test_a_list_put_after_a_plain_lookup_of_its_key_is_stored_for_nobody(face: Face) -> None:
    """A plain key knows no tables, so its lease isn't one for a list; and what was read since the lookup may be old by now."""
    await face("get", "list")
    await face("set_list", "list", [author()])
    assert await face("get_list", "list", Author) is None
    await face("set_list", "list", [author()])
    assert await face("get_list", "list", Author) is not None


async def test_a_row_put_after_it_was_known_not_to_exist_is_stored_for_nobody(face: Face) -> None:
    """Reader: no such row. Others: insert, update. Reader: puts the row that it read between the two."""
    absent = face.manager.planner.entity(AUTHORS, 1, Author, None)
    protocol = face.manager.operations().protocol
    (missed,) = drive(protocol.read([Request(absent, b"en", lambda value: value.kind)], "test"))
    assert isinstance(missed, Miss)
    drive(protocol.fill([Filling(missed.grant, b"n", b"", 60)], "test"))
    assert await face("get_entity", AUTHORS, 1, Author) is None
    settle_write(face, AUTHORS)
    await face("set_entity", AUTHORS, 1, author())
    assert await face("get_entity", AUTHORS, 1, Author) is None


async def test_a_list_put_without_a_count_is_a_miss_where_one_is_wanted(face: Face) -> None:
    await face("set_list", "page", [author()])
    assert await face("get_list_and_count", "page", Author) is None
    await face("set_list_and_count", "page", [author()], 7)
    assert (await face("get_list_and_count", "page", Author))[1] == 7
    assert await face("get_list", "page", Author) is not None


async def test_a_list_of_subclasses_is_a_miss_after_a_write_to_their_table(face: Face) -> None:
    await face("get_list", "list", Animal)
    await face("set_list", "list", [Dog(id=1, kind="dog", breed="poodle"), Animal(id=2, kind="animal")])
    assert [type(one) for one in await face("get_list", "list", Animal)] == [Dog, Animal]
    settle_write(face, "em_dogs")
    assert await face("get_list", "list", Animal) is None


async def test_a_list_has_its_count(face: Face) -> None:
    await face("set_list_and_count", "page", [author()], 100)
    items, count = await face("get_list_and_count", "page", Author)
    assert ([one.id for one in items], count) == ([1], 100)
    await face("set_list_and_count", "none", [], 0)
    assert await face("get_list_and_count", "none", Author) == ([], 0)
    await face("set_list", "no count", [author()])
    assert await face("get_list_and_count", "no count", Author) is None


async def test_the_newer_names_are_the_same_operations(face: Face) -> None:
    await face("set_many", "list", [author()])
    assert [one.id for one in await face("get_many", "list", Author)] == [1]
    await face("set_many_and_count", "page", [author()], 7)
    assert (await face("get_many_and_count", "page", Author))[1] == 7


async def test_a_list_is_deleted_by_its_key(face: Face) -> None:
    await face("set_list", "list", [author()])
    await face("delete", "list")
    assert await face("get_list", "list", Author) is None


async def test_a_list_of_another_class_is_a_miss(face: Face) -> None:
    await face("set_list", "list", [author()])
    assert await face("get_list", "list", Line) is None
    await face("set_list", "mixed", [author(), Line(order_id=1, number=2, text="x")])
    assert await face("get_list", "mixed", Author) is None


async def test_a_list_and_a_value_under_one_key_are_never_taken_for_each_other(face: Face) -> None:
    await face("set", "key", [1])
    assert await face("get_list", "key", Author) is None
    await face("set_list", "key", [author()])
    assert not await face("get", "key")


async def test_groups_keep_their_lists_apart(face: Face) -> None:
    await face("set_list", "list", [author(1)], "eu")
    await face("set_list", "list", [author(2)])
    assert [one.id for one in await face("get_list", "list", Author, "eu")] == [1]
    await face("bump_model_version", AUTHORS, "eu")
    assert await face("get_list", "list", Author, "eu") is None
    assert [one.id for one in await face("get_list", "list", Author)] == [2]


async def test_invalidate_all_empties_rows_and_lists_of_all_groups(face: Face) -> None:
    for group in (None, "eu"):
        await face("set_entity", AUTHORS, 1, author(), group)
        await face("set_list", "list", [author()], group)
    await face("invalidate_all")
    for group in (None, "eu"):
        assert await face("get_entity", AUTHORS, 1, Author, group) is None
        assert await face("get_list", "list", Author, group) is None


# Declared lives


async def test_a_table_may_live_for_a_time_of_its_own(managers: Managers, face: Face) -> None:
    from aa_cache_integration.config import ModelConfig

    declared = face.of(managers(models={"em_auth*": ModelConfig(expiration_time=0)}))
    await declared("set_entity", AUTHORS, 1, author())
    await declared("set_list", "list", [author()])
    await declared("set_entity", "em_lines", (1, 2), Line(order_id=1, number=2, text="x"))
    assert await declared("get_entity", AUTHORS, 1, Author) is None
    assert await declared("get_list", "list", Author) is None
    assert await declared("get_entity", "em_lines", (1, 2), Line) is not None


# The application's own serializer


def by_hand(entity: Any) -> bytes:
    return json.dumps({"id": entity.id, "shout": entity.name.upper()}).encode()


def from_hand(payload: bytes, model: type[Any]) -> Any:
    values = json.loads(payload)
    return model(id=values["id"], name=values["shout"])


async def test_the_applications_own_form_is_used_both_ways(managers: Managers, face: Face) -> None:
    own = face.of(managers(serializer=by_hand, deserializer=from_hand))
    await own("set_entity", AUTHORS, 1, author())
    assert (await own("get_entity", AUTHORS, 1, Author)).name == "URSULA"
    await own("set_list", "list", [author(2)])
    assert [one.name for one in await own("get_list", "list", Author)] == ["URSULA"]


async def test_the_public_form_serves_as_the_applications_own(managers: Managers, face: Face) -> None:
    own = face.of(managers(serializer=default_serializer, deserializer=default_deserializer))
    await own("set_entity", AUTHORS, 1, author())
    assert (await own("get_entity", AUTHORS, 1, Author)).name == "Ursula"


@pytest.mark.parametrize("fails", [lambda *_: 1 / 0, lambda *_: None])
async def test_a_payload_that_the_deserializer_can_not_read_is_a_miss_and_told(
    managers: Managers, face: Face, fails: Any, recorded_events: RecordedEvents
) -> None:
    own = face.of(managers(serializer=by_hand, deserializer=fails))
    await own("set_entity", AUTHORS, 1, author())
    assert await own("get_entity", AUTHORS, 1, Author) is None
    assert "cache.rejected" in recorded_events.names
    await own("set_list", "list", [author()])
    assert await own("get_list", "list", Author) is None


async def test_a_serializer_that_returns_no_bytes_is_refused(managers: Managers, face: Face) -> None:
    own = face.of(managers(serializer=lambda _: "text", deserializer=from_hand))
    with pytest.raises(SerializationError, match="returned str, not bytes"):
        await own("set_entity", AUTHORS, 1, author())


# Signed payloads


@pytest.mark.parametrize("backend", ["redis"], indirect=True)
async def test_a_payload_that_was_tampered_with_is_a_miss_and_told(
    managers: Managers, face: Face, recorded_events: RecordedEvents, request: pytest.FixtureRequest
) -> None:
    import redis

    signing = face.of(managers(signing_keys=("secret",)))
    prefix = face.manager.config.key_prefix
    for leased in (True, False):
        if leased:
            await signing("get_entity", AUTHORS, 1, Author)
        await signing("set_entity", AUTHORS, 1, author())
        assert (await signing("get_entity", AUTHORS, 1, Author)).name == "Ursula"
    server = request.getfixturevalue("redis_server")
    with redis.Redis(server.host, server.port) as client:
        raw = client.get(f"{prefix}em_authors:get:1")
        assert isinstance(raw, bytes)
        client.set(f"{prefix}em_authors:get:1", raw.replace(b"Ursula", b"Mallor"), px=60_000)
        assert await signing("get_entity", AUTHORS, 1, Author) is None
        assert ("cache.rejected", "bad signature") in [(told.name, told.reason) for told in recorded_events]
        await face("set", "key", "unsigned")
        assert not await signing("get", "key")


@pytest.mark.parametrize("backend", ["redis"], indirect=True)
async def test_keys_are_rotated_without_a_miss(managers: Managers, face: Face) -> None:
    old, both, new = (face.of(managers(signing_keys=keys)) for keys in (("old",), ("new", "old"), ("new",)))
    await old("set", "key", 1)
    assert await both("get", "key") == 1
    assert not await new("get", "key")
