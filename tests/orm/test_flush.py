"""What a flush writes is announced before COMMIT and settled before ``commit()`` returns (DESIGN 5.4, 6)."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from sqlalchemy import event, text, update

from tests.orm.models import Cat, Engineer, Line, Nickname, Person, Pet, Product, Tag, Thing, Versioned
from tests.orm.world import World, on_each_store, pending_tasks


@on_each_store
def test_the_intents_stand_when_commit_runs_and_none_is_left_when_it_has_returned(world: World) -> None:
    world.add(Product(id=1, name="old"))
    with world.session() as session, world.intents_at_commit() as seen:
        session.get_one(Product, 1).name = "new"
        session.flush()
        assert world.intents() == set()
        session.commit()
        assert seen == [{"products:get:1", "~:rows:products"}]
        assert world.intents() == set()
        if world.asynchronous:
            assert not pending_tasks()


@on_each_store
def test_what_a_flush_updates_is_read_anew(world: World) -> None:
    world.add(Product(id=1, name="old"), Product(id=2, name="other"))
    assert [world.read(Product, ident).name for ident in (1, 2)] == ["old", "other"]
    with world.session() as session:
        session.get_one(Product, 1).name = "new"
        session.commit()
    assert world.served(Product, 2), "a row that wasn't written stays"
    assert world.read(Product, 1).name == "new"
    assert world.served(Product, 1)


@on_each_store
def test_what_a_flush_deletes_is_gone(world: World) -> None:
    world.add(Product(id=1, name="old"))
    assert world.read(Product, 1).name == "old"
    with world.session() as session:
        session.delete(session.get_one(Product, 1))
        session.commit()
    assert world.read(Product, 1) is None


@on_each_store
def test_an_insert_removes_a_cached_absence(world: World) -> None:
    assert world.read(Product, 1) is None
    assert world.served(Product, 1)
    world.add(Product(id=1, name="new"))
    assert world.read(Product, 1).name == "new"


def test_an_insert_leaves_the_rows_that_are_cached(world: World) -> None:
    world.add(Product(id=1, name="old"))
    world.read(Product, 1)
    world.add(Product(id=2, name="new"))
    assert world.served(Product, 1)


def test_a_changed_primary_key_empties_the_old_and_the_new(world: World) -> None:
    world.add(Product(id=1, name="it"))
    assert world.read(Product, 1).name == "it"
    assert world.read(Product, 2) is None
    with world.session() as session:
        session.get_one(Product, 1).id = 2
        session.commit()
    assert world.read(Product, 1) is None
    assert world.read(Product, 2).name == "it"


@pytest.mark.parametrize("through", [Person, Engineer])
@pytest.mark.parametrize("attribute", ["name", "language"])
def test_a_row_of_joined_tables_has_one_cell_whichever_class_reads_and_whichever_table_is_written(
    world: World, through: type[Any], attribute: str
) -> None:
    world.add(Engineer(id=1, name="old", language="old"), Engineer(id=2, name="other", language="other"))
    for model in (Person, Engineer):
        assert getattr(world.read(model, 1), attribute) == "old"
    world.read(Person, 2)
    assert world.served(Engineer, 2)
    with world.session() as session, world.intents_at_commit() as seen:
        setattr(session.get_one(through, 1), attribute, "new")
        session.commit()
    table = "people" if attribute == "name" else "engineers"
    assert seen == [{"people:get:1", f"~:rows:{table}"}]
    for model in (Person, Engineer):
        assert getattr(world.read(model, 1), attribute) == "new"
    assert world.served(Person, 2)


def test_a_deleted_row_of_joined_tables_is_gone_for_each_class(world: World) -> None:
    world.add(Engineer(id=1, name="it", language="C"))
    assert world.read(Person, 1)
    with world.session() as session:
        session.delete(session.get_one(Engineer, 1))
        session.commit()
    assert world.read(Engineer, 1) is None
    assert world.read(Person, 1) is None
    world.add(Engineer(id=1, name="it", language="C"))
    assert world.read(Engineer, 1).language == "C"


@pytest.mark.parametrize("through", [Pet, Cat])
def test_a_row_of_a_single_table_hierarchy_has_one_cell(world: World, through: type[Any]) -> None:
    world.add(Cat(id=1, name="old"))
    assert world.read(Pet, 1).name == world.read(Cat, 1).name == "old"
    with world.session() as session, world.intents_at_commit() as seen:
        session.get_one(through, 1).name = "new"
        session.commit()
    assert seen == [{"pets:get:1", "~:rows:pets"}]
    assert world.read(Pet, 1).name == world.read(Cat, 1).name == "new"


def test_a_composite_key_is_known_exactly(world: World) -> None:
    world.add(Line(order_id=1, number="a,b", text="old"), Line(order_id=1, number="c", text="other"))
    assert world.read(Line, (1, "a,b")).text == "old"
    assert world.read(Line, {"number": "c", "order_id": "1"}).text == "other"
    with world.session() as session:
        session.get_one(Line, (1, "a,b")).text = "new"
        session.commit()
    assert world.read(Line, ("1", "a,b")).text == "new"
    assert world.served(Line, (1, "c"))


def test_a_uuid_given_as_text_is_the_same_row(world: World) -> None:
    ident = uuid.uuid4()
    world.add(Thing(id=ident, name="old"))
    assert world.read(Thing, ident).name == "old"
    assert world.served(Thing, str(ident))
    assert world.served(Thing, ident.hex.upper())
    with world.session() as session:
        session.get_one(Thing, ident).name = "new"
        session.commit()
    assert world.read(Thing, str(ident)).name == "new"


def test_a_many_to_many_table_is_announced(world: World) -> None:
    world.add(Product(id=1, name="it", tags=[Tag(id=1, name="x")]))
    world.told()
    with world.session() as session:
        session.get_one(Product, 1).tags = []
        session.commit()
    assert world.told() == ["product_tags"]


def test_a_versioned_row_is_known_exactly(world: World) -> None:
    world.add(Versioned(id=1, name="old"))
    assert world.read(Versioned, 1).version == 1
    with world.session() as session, world.intents_at_commit() as seen:
        session.get_one(Versioned, 1).name = "new"
        session.commit()
    assert seen == [{"versioned:get:1", "~:rows:versioned"}]
    assert world.read(Versioned, 1).version == 2


def test_bulk_update_mappings_and_updates_by_primary_key_are_exact(world: World) -> None:
    world.add(*(Product(id=ident, name="old") for ident in (1, 2, 3)))
    for ident in (1, 2, 3):
        world.read(Product, ident)
    with world.session() as session:
        session.bulk_update_mappings(Product.__mapper__, [{"id": 1, "name": "new"}])
        session.execute(update(Product), [{"id": 2, "name": "new"}])
        session.commit()
    assert [world.read(Product, ident).name for ident in (1, 2)] == ["new", "new"]
    assert world.served(Product, 3)


def test_bulk_inserts_and_saves_are_announced(world: World) -> None:
    assert [world.read(Product, ident) for ident in (1, 2)] == [None, None]
    with world.session() as session:
        session.bulk_insert_mappings(Product.__mapper__, [{"id": 1, "name": "a"}])
        session.bulk_save_objects([Product(id=2, name="b")])
        session.commit()
    assert [world.read(Product, ident).name for ident in (1, 2)] == ["a", "b"]


def test_many_rows_of_one_flush_are_each_emptied(world: World) -> None:
    idents = range(1, 51)
    world.add(*(Product(id=ident, name="old") for ident in idents))
    with world.session() as session:
        world.fetch_all(session, Product, list(idents))
        for ident in idents:
            session.get_one(Product, ident).name = f"new {ident}"
        session.commit()
    with world.session() as session:
        assert [found.name for found in world.fetch_all(session, Product, list(idents))] == [f"new {ident}" for ident in idents]


def test_more_rows_than_the_threshold_are_announced_as_their_table(world: World) -> None:
    world.manager = world.cache(bulk_threshold=2)
    world.add(*(Product(id=ident, name="old") for ident in range(1, 5)))
    world.read(Product, 4)
    with world.session() as session, world.intents_at_commit() as seen:
        for ident in (1, 2, 3):
            session.get_one(Product, ident).name = "new"
        session.commit()
    assert seen == [{"~:bulk:products", "~:rows:products"}]
    assert not world.served(Product, 4)


def test_a_key_that_the_database_spells_otherwise_is_emptied_when_it_is_written(world: World) -> None:
    world.add(Nickname(name="Ann", text="old"))
    assert world.read(Nickname, "ann").text == "old"
    assert world.read(Nickname, "Ann").text == "old"
    assert not world.served(Nickname, "ann"), "nothing is stored under a spelling that writers don't know"
    assert world.served(Nickname, "Ann")
    with world.session() as session:
        session.get_one(Nickname, "ANN").text = "new"
        session.commit()
    assert {world.read(Nickname, name).text for name in ("ann", "Ann", "ANN")} == {"new"}


def test_statements_of_mapper_events_are_not_taken_for_the_flush_of_their_table(world: World) -> None:
    world.add(Product(id=1, name="a"), Product(id=2, name="b"), Product(id=3, name="c"))
    for ident in (1, 2, 3):
        world.read(Product, ident)

    def before_update(_mapper: Any, connection: Any, _target: Any) -> None:
        connection.execute(update(Product.__table__).where(Product.__table__.c.id > 1).values(name="by the event"))

    event.listen(Product, "before_update", before_update)
    try:
        with world.session() as session:
            session.get_one(Product, 1).name = "by the flush"
            session.commit()
    finally:
        event.remove(Product, "before_update", before_update)
    assert [world.read(Product, ident).name for ident in (1, 2, 3)] == ["by the flush", "by the event", "by the event"]


def test_a_transaction_that_only_reads_announces_nothing(world: World) -> None:
    world.add(Product(id=1, name="it"))
    world.told()
    with world.session() as session, world.intents_at_commit() as seen:
        session.get_one(Product, 1)
        session.execute(text("SELECT 1"))
        session.commit()
    assert seen == [set()]
    assert world.told() == []
