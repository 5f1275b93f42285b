"""One table of the database under several names, in several metadata, mapped by several classes; and foreign keys between such."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import (
    Column,
    Computed,
    ForeignKey,
    ForeignKeyConstraint,
    Integer,
    MetaData,
    String,
    Table,
    UniqueConstraint,
    func,
    text,
    update,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, registry

from aa_cache_integration.codecs.registered import are_one, known_tables, only_mapper_of
from aa_cache_integration.orm import named, tables
from aa_cache_integration.orm.cascades import changed_by_the_database, namesakes
from aa_cache_integration.orm.once import forget

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.orm.world import World


class Base(DeclarativeBase):
    """The first."""


class Plain(Base):
    __tablename__ = "named_twice"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]


class InMain(Base):
    """The same table by the name of its schema."""

    __tablename__ = "named_twice"
    __table_args__ = {"schema": "main"}  # noqa: RUF012 - SQLAlchemy's form
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]


class Capital(DeclarativeBase):
    """Another metadata."""


class InCapitals(Capital):
    """The same table in capitals."""

    __tablename__ = "NAMED_TWICE"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]


class Staff(Base):
    """Joined tables here, of which another metadata maps one as a table of its own."""

    __tablename__ = "staff_twice"
    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str]
    __mapper_args__ = {"polymorphic_on": "kind", "polymorphic_identity": "staff"}  # noqa: RUF012


class Pilot(Staff):
    __tablename__ = "pilots_twice"
    id: Mapped[int] = mapped_column(ForeignKey("staff_twice.id", ondelete="CASCADE"), primary_key=True)
    hours: Mapped[int]
    __mapper_args__ = {"polymorphic_identity": "pilot"}  # noqa: RUF012


class PilotAlone(Capital):
    __tablename__ = "pilots_twice"
    id: Mapped[int] = mapped_column(primary_key=True)
    hours: Mapped[int]


MODELS = (Plain, InMain, InCapitals)


@pytest.fixture
def cached(world: World) -> World:
    def prepare() -> None:
        world.in_the_database("CREATE TABLE named_twice (id INTEGER PRIMARY KEY, name TEXT)")
        world.in_the_database("CREATE TABLE staff_twice (id INTEGER PRIMARY KEY, kind TEXT)")
        world.in_the_database("CREATE TABLE pilots_twice (id INTEGER PRIMARY KEY, hours INTEGER)")
        for ident in (1, 2):
            world.in_the_database(f"INSERT INTO named_twice VALUES ({ident}, 'old')")  # noqa: S608 - of two numbers
        world.in_the_database("INSERT INTO staff_twice VALUES (1, 'pilot')")
        world.in_the_database("INSERT INTO pilots_twice VALUES (1, 0)")
        fill(world)

    world.preparations.append(prepare)
    return world


def fill(world: World) -> None:
    for model in MODELS:
        for ident in (1, 2):
            world.read(model, ident)
    world.read(Staff, 1)
    world.read(PilotAlone, 1)


WAYS: dict[str, Callable[[Any, Any], Any]] = {
    "a flush": lambda session, model: setattr(session.get_one(model, 1), "name", "new"),
    "DML by key": lambda session, model: session.execute(update(model.__table__).where(model.__table__.c.id == 1).values(name="new")),
    "text": lambda session, model: session.execute(text(f"UPDATE {model.__table__.fullname} SET name = 'new' WHERE id = 1")),  # noqa: S608
    "a declared text": lambda session, model: session.execute(
        text("UPDATE named_twice SET name = 'new'"), execution_options={"aa_cache_tables": [model.__table__.fullname]}
    ),
}


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
@pytest.mark.parametrize("model", MODELS)
def test_a_write_under_one_name_is_seen_under_each(cached: World, model: Any, way: Any) -> None:
    with cached.session() as session:
        way(session, model)
        session.commit()
    assert {cached.read(other, 1).name for other in MODELS} == {"new"}


def test_tables_told_by_the_application_are_meant_under_each_name(cached: World) -> None:
    cached.in_the_database("UPDATE named_twice SET name = 'new'")
    cached.registry.invalidate_table("main.Named_Twice")
    assert {cached.read(other, 1).name for other in MODELS} == {"new"}
    fill(cached)
    cached.in_the_database("UPDATE named_twice SET name = 'newer'")
    cached.registry.invalidate(Plain, 1)
    assert {cached.read(other, 1).name for other in MODELS} == {"newer"}


@pytest.mark.parametrize("model", [Pilot, PilotAlone])
@pytest.mark.parametrize("flush", [True, False])
def test_a_table_that_two_metadata_map_by_other_cells_is_known_as_a_whole(cached: World, model: Any, flush: bool) -> None:
    with cached.session() as session:
        if flush:
            session.get_one(model, 1).hours = 9
        else:
            session.execute(update(model.__table__).where(model.__table__.c.id == 1).values(hours=9))
        session.commit()
    assert cached.read(Staff, 1).hours == 9
    assert cached.read(PilotAlone, 1).hours == 9


def test_classes_of_one_table_name_and_key_have_one_cell() -> None:
    assert only_mapper_of(Plain.__table__) is not None
    assert only_mapper_of(Pilot.__table__) is None
    assert only_mapper_of(Staff.__table__) is not None


def test_the_parts_of_an_instance_that_is_mapped_otherwise_too_are_others_rows() -> None:
    assert Pilot.__table__ in changed_by_the_database(Staff.__table__, None, other_rows=True)


def table(name: str, metadata: MetaData, *parts: Any, **options: Any) -> Table:
    return Table(name, metadata, *parts, **options)


def test_two_names_may_mean_one_table_unless_both_have_a_schema() -> None:
    base = MetaData()
    plain, one, other = (table("of_many", base, schema=schema) for schema in (None, "one", "other"))
    assert are_one(plain, one)
    assert are_one(one, plain)
    assert not are_one(one, other)
    assert are_one(one, table("OF_MANY", MetaData(), schema="One"))
    assert not are_one(plain, table("of_more", MetaData()))


def test_each_name_that_may_mean_the_table_is_told_with_it() -> None:
    assert namesakes([Plain.__table__]) == {"main.named_twice", "removed.named_twice", "NAMED_TWICE"}
    assert namesakes([InMain.__table__]) == {"named_twice", "NAMED_TWICE"}, "another schema is another table"


class Removed(Base):
    """A table that its metadata doesn't have any more, so that ``create_all`` leaves it alone."""

    __tablename__ = "named_twice"
    __table_args__ = {"schema": "removed"}  # noqa: RUF012
    id: Mapped[int] = mapped_column(primary_key=True)
    parent_id: Mapped[int] = mapped_column(ForeignKey("staff_twice.id", ondelete="CASCADE"))


Base.metadata.remove(Removed.__table__)  # type: ignore[arg-type]


def test_a_mapped_table_that_was_taken_out_of_its_metadata_is_known() -> None:
    assert Removed.__table__ in known_tables()
    assert "removed.named_twice" in namesakes([Plain.__table__])
    assert Removed.__table__ in changed_by_the_database(Staff.__table__, None)
    assert "removed.named_twice" in named.written_by_any_text("DELETE FROM named_twice", "sqlite").bulk
    assert "removed.named_twice" in named.written_as_declared("named_twice").bulk


# Foreign keys


def caused(changed: Table, columns: set[str] | None) -> set[str]:
    found = changed_by_the_database(changed, None if columns is None else frozenset(columns))
    return {one.fullname for one in found}


def test_foreign_keys_are_followed_into_other_metadata_and_through_those_that_map_nothing() -> None:
    first, between, last = MetaData(), MetaData(), registry()
    parent = table("far_parents", first, Column("id", Integer, primary_key=True))
    middle = table("far_middle", between, Column("id", Integer, ForeignKey(parent.c.id, ondelete="CASCADE"), primary_key=True))
    child = table("far_children", last.metadata, Column("id", Integer, ForeignKey(middle.c.id, ondelete="CASCADE"), primary_key=True))
    far_child = type("FarChild", (), {})
    last.map_imperatively(far_child, child)
    forget()
    assert middle in known_tables()
    assert caused(parent, None) == {"far_middle", "far_children"}
    last.dispose()


@pytest.mark.parametrize(
    ("refers", "follows"), [("by_name.id", True), ("other.by_name.id", True), ("by_name", True), ("by_names.id", False)]
)
def test_a_foreign_key_by_name_is_followed_into_another_metadata(refers: str, follows: bool) -> None:
    """Its own doesn't have the table, so SQLAlchemy can't tell what it leads to; the database can."""
    parent = table("by_name", MetaData(), Column("id", Integer, primary_key=True))
    mapped = registry()
    key = Column("id", Integer, ForeignKey(refers, ondelete="CASCADE", onupdate="CASCADE"), primary_key=True)
    child = table("refers_by_name", mapped.metadata, key)
    refers_by_name = type("RefersByName", (), {})
    mapped.map_imperatively(refers_by_name, child)
    forget()
    assert caused(parent, None) == caused(parent, {"id"}) == ({"refers_by_name"} if follows else set())
    assert caused(parent, {"name"}) == set()
    mapped.dispose()


def test_a_foreign_key_leads_to_the_table_of_its_name_in_whichever_metadata() -> None:
    one, other = MetaData(), MetaData()
    folder = table("near_folders", one, Column("id", Integer, primary_key=True))
    table("near_folders", other, Column("id", Integer, primary_key=True))
    mapped = registry(metadata=other)
    box = table(
        "near_boxes", other, Column("id", Integer, primary_key=True), Column("f", ForeignKey("near_folders.id", ondelete="SET NULL"))
    )
    near_box = type("NearBox", (), {})
    mapped.map_imperatively(near_box, box)
    forget()
    assert caused(folder, None) == {"near_boxes"}
    mapped.dispose()


def test_columns_that_the_database_computes_are_set_with_any_other() -> None:
    base = MetaData()
    parent = table(
        "sums",
        base,
        Column("a", Integer, primary_key=True),
        Column("twice", Integer, Computed("a * 2"), unique=True),
        Column("at", String, onupdate=func.now(), unique=True),
        Column("other", Integer),
    )
    table("of_twice", base, Column("id", Integer, primary_key=True), Column("t", ForeignKey(parent.c.twice, onupdate="CASCADE")))
    table("of_at", base, Column("id", Integer, primary_key=True), Column("t", ForeignKey(parent.c.at, onupdate="CASCADE")))
    assert caused(parent, {"other"}) == {"of_twice", "of_at"}


def test_set_null_of_a_key_of_several_columns_sets_all_of_them() -> None:
    base = MetaData()
    root = table("set_roots", base, Column("a", Integer, primary_key=True), Column("b", Integer, primary_key=True))
    middle = table(
        "set_middle",
        base,
        Column("ra", Integer),
        Column("rb", Integer, unique=True),
        ForeignKeyConstraint(["ra", "rb"], ["set_roots.a", "set_roots.b"], onupdate="SET NULL"),
    )
    table("set_leaves", base, Column("rb", Integer, ForeignKey(middle.c.rb, onupdate="CASCADE")))
    assert caused(root, {"a"}) == {"set_middle", "set_leaves"}


def test_a_constraint_that_is_appended_later_is_looked_at(world: World) -> None:
    late = table("appended", Base.metadata, Column("id", Integer, primary_key=True), Column("n", Integer))
    statement = late.insert().values(id=1, n=1)
    world.in_the_database("CREATE TABLE appended (id INTEGER PRIMARY KEY, n INTEGER)")
    try:
        for expected in (False, True):
            with world.session() as session, world.intents_at_commit() as seen:
                session.execute(statement)
                session.commit()
            assert ("~:bulk:appended" in seen[0]) is expected
            world.in_the_database("DELETE FROM appended")
            late.append_constraint(UniqueConstraint(late.c.n, sqlite_on_conflict="REPLACE"))
    finally:
        Base.metadata.remove(late)


def test_a_statement_of_a_metadata_of_many_tables_is_looked_at_in_few_steps() -> None:
    """Counted, not timed: twice the tables cost twice the calls, not four times."""

    def calls(count: int) -> int:
        base = MetaData()
        tables = [table("many_0", base, Column("id", Integer, primary_key=True))]
        for number in range(1, count):
            refers = Column("p", ForeignKey(tables[number // 3].c.id, ondelete="CASCADE"))
            tables.append(table(f"many_{number}", base, Column("id", Integer, primary_key=True), refers))
        made = 0

        def profile(_frame: Any, what: str, _argument: Any) -> None:
            nonlocal made
            made += what == "call"

        sys.setprofile(profile)
        try:
            assert len(changed_by_the_database(tables[0], None)) == count - 1
            namesakes(tables)
        finally:
            sys.setprofile(None)
        return made

    calls(10)
    assert calls(400) < 3 * calls(200)


def test_a_table_that_another_thread_is_making_is_passed_over() -> None:
    """SQLAlchemy has it in the metadata before it has a name; a reflection takes round trips meanwhile."""
    half = Table.__new__(Table)
    whole = dict(Base.metadata.tables)
    seen: list[tuple[Table, ...]] = []
    try:
        dict.__setitem__(Base.metadata.tables, "half_made", half)  # type: ignore[arg-type]
        seen.append(known_tables())
        assert namesakes([Plain.__table__]) == {"main.named_twice", "removed.named_twice", "NAMED_TWICE"}
        forget()
        assert set(changed_by_the_database(Staff.__table__, None)) == {Pilot.__table__, Removed.__table__}
    finally:
        dict.pop(Base.metadata.tables, "half_made")  # type: ignore[arg-type]
    assert not any(one is half for one in seen[0])
    assert dict(Base.metadata.tables) == whole


@pytest.mark.parametrize("missing", ["tables", "primary_key"])
def test_a_class_that_another_thread_is_declaring_is_passed_over(monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
    """It is mapped before it has its tables, and these are known before its key is."""
    monkeypatch.delitem(vars(Removed.__mapper__), missing)
    assert Removed.__table__ not in known_tables()
    assert only_mapper_of(Plain.__table__) is not None
    monkeypatch.undo()
    assert Removed.__table__ in known_tables()


def test_names_are_forgotten_before_the_forms_that_are_made_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thread in between would keep for good what it made of the old names."""
    before = tables._forms
    seen: list[bool] = []
    monkeypatch.setattr(tables, "forget", lambda *_: seen.append(tables._forms is before))
    tables.forget_forms()
    assert seen == [True]
    assert tables._forms is not before
