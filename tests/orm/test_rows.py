"""DML whose WHERE fixes the primary key empties just those rows, and only where equal values are surely equal keys (DESIGN 6)."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import (
    ForeignKey,
    String,
    and_,
    bindparam,
    delete,
    insert,
    literal,
    literal_column,
    or_,
    select,
    tuple_,
    type_coerce,
    update,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from aa_cache_integration.orm.cascades import changed_by_the_database
from tests.orm.models import Engineer, Everything, Folder, Label, Line, Person, Product, Tag, Thing
from tests.orm.world import World, begin_recipe, only_sync

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy.orm import Session

products = Product.__table__
IDENTS = (1, 2, 3)

EXACT: dict[str, Callable[[Any], Any]] = {
    "equals": lambda s: s.execute(update(products).where(products.c.id == 1).values(name="new")),
    "equals, turned round": lambda s: s.execute(update(products).where(1 == products.c.id).values(name="new")),  # noqa: SIM300 - on purpose
    "equals, the parameter first": lambda s: s.execute(update(products).where(literal(1) == products.c.id).values(name="new")),
    "equals, and more": lambda s: s.execute(update(products).where(products.c.id == 1, products.c.stock == 0).values(name="new")),
    "equals within and_": lambda s: s.execute(update(products).where(and_(products.c.id == 1, products.c.stock == 0)).values(name="new")),
    "equals, in the ORM": lambda s: s.execute(update(Product).where(Product.id == 1).values(name="new")),
    "equals, unsynchronised": lambda s: s.execute(
        update(Product).where(Product.id == 1).values(name="new"), execution_options={"synchronize_session": False}
    ),
    "equals, fetched": lambda s: s.execute(
        update(Product).where(Product.id == 1).values(name="new"), execution_options={"synchronize_session": "fetch"}
    ),
    "equals, returning": lambda s: s.scalars(update(Product).where(Product.id == 1).values(name="new").returning(Product.id)).all(),
    "equals, with a CTE": lambda s: s.execute(
        update(products).where(products.c.id == 1).values(name="new").add_cte(select(products.c.id).cte("unused"))
    ),
    "in": lambda s: s.execute(update(products).where(products.c.id.in_([1])).values(name="new")),
    "in, in the ORM": lambda s: s.execute(update(Product).where(Product.id.in_((1,))).values(name="new")),
    "executemany": lambda s: s.connection().execute(
        update(products).where(products.c.id == bindparam("it")).values(name=bindparam("to")),
        [{"it": 1, "to": "new"}, {"it": 9, "to": "x"}],
    ),
    "Query.update": lambda s: s.query(Product).filter_by(id=1).update({"name": "new"}),
    "Query.update by a list": lambda s: s.query(Product).filter(Product.id.in_([1])).update({"name": "new"}),
    "delete": lambda s: s.execute(delete(products).where(products.c.id == 1)),
    "delete, in the ORM": lambda s: s.execute(delete(Product).where(Product.id == 1)),
    "Query.delete": lambda s: s.query(Product).filter(Product.id == 1).delete(),
}
NOT_EXACT: dict[str, Callable[[Any], Any]] = {
    "no criterion": lambda s: s.execute(update(products).values(name="new")),
    "another column": lambda s: s.execute(update(products).where(products.c.name == "old").values(name="new")),
    "or_": lambda s: s.execute(update(products).where(or_(products.c.id == 1, products.c.stock == 0)).values(name="new")),
    "greater": lambda s: s.execute(update(products).where(products.c.id >= 1).values(name="new")),
    "not in": lambda s: s.execute(update(products).where(products.c.id.not_in([9])).values(name="new")),
    "not equal": lambda s: s.execute(update(products).where(products.c.id != 9).values(name="new")),
    "not": lambda s: s.execute(update(products).where(~(products.c.id == 9)).values(name="new")),
    "a subquery": lambda s: s.execute(update(products).where(products.c.id.in_(select(products.c.id))).values(name="new")),
    "a subquery, equals": lambda s: s.execute(
        update(products).where(products.c.id == select(products.c.id).where(products.c.id == 1).scalar_subquery()).values(name="new")
    ),
    "a literal of text": lambda s: s.execute(update(products).where(products.c.id == literal_column("1")).values(name="new")),
    "an expression of it": lambda s: s.execute(update(products).where(products.c.id + 0 == 1).values(name="new")),
    "another table's column": lambda s: s.execute(
        update(products).where(Tag.__table__.c.id == 1, products.c.stock < Tag.__table__.c.id).values(name="new")
    ),
    "a string for a number": lambda s: s.execute(update(products).where(products.c.id == type_coerce("1", String)).values(name="new")),
    "a fraction": lambda s: s.execute(update(products).where(products.c.id == 1.0).values(name="new")),
    "a truth value": lambda s: s.connection().execute(
        update(products).where(products.c.id == bindparam("it", True)).values(name="new")  # noqa: FBT003 - SQLAlchemy's signature
    ),
    "OR REPLACE": lambda s: s.execute(
        update(products).prefix_with("OR REPLACE", dialect="sqlite").where(products.c.id == 1).values(id=2, name="new")
    ),
}


@pytest.fixture
def cached(world: World) -> World:
    """Three rows, and all are cached; transactions begin with BEGIN, for Python's sqlite3 begins none before WITH."""
    begin_recipe(world.engine)

    def prepare() -> None:
        world.add(*(Product(id=ident, name="old") for ident in IDENTS))
        for ident in IDENTS:
            world.read(Product, ident)

    world.preparations.append(prepare)
    return world


def same_as_the_database(world: World, ident: int) -> bool:
    with world.session() as session:
        there = session.scalar(select(products.c.name).where(products.c.id == ident))
    found = world.read(Product, ident)
    return (None if found is None else found.name) == there


def write(world: World, way: Callable[[Session], Any]) -> list[set[str]]:
    """Write and commit; return the intents that stood then."""
    with world.session() as session, world.intents_at_commit() as seen:
        way(session)
        session.commit()
    return seen


@pytest.mark.parametrize("way", EXACT.values(), ids=EXACT)
def test_dml_by_primary_key_empties_that_row_alone(cached: World, way: Callable[[Session], Any]) -> None:
    (seen,) = write(cached, way)
    assert "~:bulk:products" not in seen
    assert "products:get:1" in seen
    assert all(cached.served(Product, ident) for ident in (2, 3))
    assert same_as_the_database(cached, 1)


@pytest.mark.parametrize("way", NOT_EXACT.values(), ids=NOT_EXACT)
def test_dml_by_anything_else_empties_the_table(cached: World, way: Callable[[Session], Any]) -> None:
    (seen,) = write(cached, way)
    assert "~:bulk:products" in seen
    assert all(same_as_the_database(cached, ident) for ident in IDENTS)


def test_the_list_of_in_may_be_of_any_length_and_the_form_is_looked_at_once(cached: World) -> None:
    def statement(*idents: int) -> Any:
        return update(products).where(products.c.id.in_(idents)).values(name="new")

    for idents in ((), (1,), (2, 3), tuple(range(1, 900))):
        (seen,) = write(cached, lambda session, idents=idents: session.execute(statement(*idents)))  # type: ignore[misc]
        assert {key for key in seen if ":get:" in key} == {f"products:get:{ident}" for ident in idents}
        assert all(same_as_the_database(cached, ident) for ident in IDENTS)


def test_a_key_that_is_changed_by_dml_empties_the_old_and_the_new(cached: World) -> None:
    assert cached.read(Product, 7) is None
    write(cached, lambda session: session.execute(update(products).where(products.c.id == 1).values(id=7)))
    assert cached.read(Product, 1) is None
    assert cached.read(Product, 7).name == "old"


def test_a_composite_key_is_fixed_column_by_column_or_as_a_tuple(world: World) -> None:
    """Its text column isn't: a collation may take one spelling for another."""
    world.add(Line(order_id=1, number="a", text="old"))
    for criteria in ([Line.order_id == 1, Line.number == "a"], [tuple_(Line.order_id, Line.number).in_([(1, "a")])], [Line.order_id == 1]):
        (seen,) = write(world, lambda session, criteria=criteria: session.execute(update(Line).where(*criteria).values(text="new")))  # type: ignore[misc]
        assert seen == [{"~:bulk:lines", "~:rows:lines"}][0]


def test_a_uuid_key_is_known_exactly(world: World) -> None:
    one, other = uuid.uuid4(), uuid.uuid4()
    world.add(Thing(id=one, name="old"), Thing(id=other, name="old"))
    for ident in (one, other):
        world.read(Thing, ident)
    write(world, lambda session: session.execute(update(Thing).where(Thing.id.in_([one])).values(name="new")))
    assert world.served(Thing, other)
    assert world.read(Thing, one).name == "new"


def test_a_row_of_joined_tables_is_known_by_either_of_its_tables(world: World) -> None:
    world.add(Engineer(id=1, name="a", language="C"), Engineer(id=2, name="b", language="C"))
    for change in (
        update(Engineer.__table__).where(Engineer.__table__.c.id == 1).values(language="D"),
        update(Person.__table__).where(Person.__table__.c.id == 1).values(name="new"),
    ):
        for ident in (1, 2):
            world.read(Person, ident)
        (seen,) = write(world, lambda session, change=change: session.execute(change))  # type: ignore[misc]
        assert "people:get:1" in seen
        assert not any("bulk" in key for key in seen)
        assert world.served(Person, 2)
    found = world.read(Engineer, 1)
    assert (found.name, found.language) == ("new", "D")


def test_a_delete_by_key_follows_the_rules_of_foreign_keys(world: World) -> None:
    """Its own table is known by row, the others aren't."""
    world.add(Folder(name="a"))
    (seen,) = write(world, lambda session: session.execute(delete(Folder).where(Folder.name == "a")))
    assert {"~:bulk:folders", "~:bulk:boxes", "~:bulk:labels"} <= seen, "a text key isn't exact"
    assert not any("bulk" in key for key in write(world, lambda session: session.execute(delete(Label).where(Label.id == 1)))[0])


def test_more_rows_than_anybody_would_list_are_told_as_their_table(cached: World) -> None:
    many = update(products).where(products.c.id == bindparam("it")).values(name="new")
    (seen,) = write(cached, lambda session: session.connection().execute(many, [{"it": ident} for ident in range(10_100)]))
    assert seen == {"~:bulk:products", "~:rows:products"}


@only_sync
def test_a_table_that_is_made_later_is_followed_by_a_statement_that_was_looked_at_before(world: World) -> None:
    from sqlalchemy import Column, ForeignKey, Integer, Table

    statement = delete(Everything).where(Everything.id == 1)
    assert "~:bulk:late" not in write(world, lambda session: session.execute(statement))[0]
    late = Table("late", Everything.metadata, Column("id", Integer, ForeignKey("everything.id", ondelete="CASCADE"), primary_key=True))
    try:
        assert "~:bulk:late" in write(world, lambda session: session.execute(statement))[0]
    finally:
        Everything.metadata.remove(late)


def test_an_insert_by_dml_leaves_every_row(cached: World) -> None:
    write(cached, lambda session: session.execute(insert(products).values(id=8, name="x", stock=0)))
    assert all(cached.served(Product, ident) for ident in IDENTS)


class Cascading(DeclarativeBase):
    """Joined tables whose parts the database deletes together."""


class Vehicle(Cascading):
    __tablename__ = "vehicles"
    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str]
    towed_by: Mapped[int | None] = mapped_column(ForeignKey("vehicles.id", ondelete="SET NULL"))
    __mapper_args__ = {"polymorphic_on": "kind", "polymorphic_identity": "vehicle"}  # noqa: RUF012 - SQLAlchemy's form


class Truck(Vehicle):
    __tablename__ = "trucks"
    id: Mapped[int] = mapped_column(ForeignKey("vehicles.id", ondelete="CASCADE"), primary_key=True)
    load: Mapped[int]
    __mapper_args__ = {"polymorphic_identity": "truck"}  # noqa: RUF012


class Crate(Cascading):
    __tablename__ = "crates"
    id: Mapped[int] = mapped_column(primary_key=True)
    truck_id: Mapped[int] = mapped_column(ForeignKey("trucks.id", ondelete="CASCADE"))


def test_the_parts_of_an_instance_that_the_database_deletes_with_it_are_its_own_rows() -> None:
    assert set(changed_by_the_database(Vehicle.__table__, None)) == {Vehicle.__table__, Truck.__table__, Crate.__table__}
    assert set(changed_by_the_database(Vehicle.__table__, None, other_rows=True)) == {Vehicle.__table__, Crate.__table__}
    assert set(changed_by_the_database(Truck.__table__, None, other_rows=True)) == {Crate.__table__}
