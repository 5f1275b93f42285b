"""Rows of which several classes have parts, and names that a map, a declaration or a key leads elsewhere (DESIGN 6)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import psycopg.sql
import pytest
from sqlalchemy import (
    Column,
    ForeignKey,
    Integer,
    MetaData,
    String,
    Table,
    column,
    delete,
    event,
    insert,
    outerjoin,
    select,
    table,
    text,
    update,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, column_property, mapped_column, registry

from aa_cache_integration import CacheConfig
from aa_cache_integration.config import ModelConfig
from aa_cache_integration.orm import cascades, named
from aa_cache_integration.orm.cascades import also_written, changed_by_the_database
from aa_cache_integration.orm.changes import ChangeSet
from aa_cache_integration.orm.once import forget
from aa_cache_integration.orm.statements import _text_of
from aa_cache_integration.planner import Planner

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.orm.world import World


class Base(DeclarativeBase):
    """The application's."""


class Person(Base):
    __tablename__ = "odd_people"
    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str]
    __mapper_args__ = {"polymorphic_on": "kind", "polymorphic_identity": "person"}  # noqa: RUF012


class Coder(Person):
    __tablename__ = "odd_coders"
    id: Mapped[int] = mapped_column(ForeignKey("odd_people.id"), primary_key=True)
    language: Mapped[str]
    __mapper_args__ = {"polymorphic_identity": "coder"}  # noqa: RUF012


class Left(Base):
    __tablename__ = "odd_lefts"
    id: Mapped[int] = mapped_column(primary_key=True)


class Right(Base):
    __tablename__ = "odd_rights"
    id: Mapped[int] = mapped_column(primary_key=True)
    left_id: Mapped[int] = mapped_column(ForeignKey("odd_lefts.id"))


class Both(Base):
    """What stands on the left, and what is found on the right of it."""

    __table__ = outerjoin(Left.__table__, Right.__table__)
    id = column_property(Left.__table__.c.id)
    right_id = Right.__table__.c.id
    __mapper_args__ = {"primary_key": [Left.__table__.c.id]}  # noqa: RUF012


class Team(Base):
    __tablename__ = "odd_teams"
    __table_args__ = {"schema": "main"}  # noqa: RUF012
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]


class Member(Base):
    __tablename__ = "odd_members"
    id: Mapped[int] = mapped_column(primary_key=True)
    team_id: Mapped[int] = mapped_column(ForeignKey("main.odd_teams.id", ondelete="CASCADE"))


class Others(DeclarativeBase):
    """Another library's."""


class CoderAlone(Others):
    __tablename__ = "odd_coders"
    id: Mapped[int] = mapped_column(primary_key=True)
    language: Mapped[str]


class TenantTeam(Others):
    """A tenant's, by a schema that is mapped to another."""

    __tablename__ = "odd_teams"
    __table_args__ = {"schema": "tenant"}  # noqa: RUF012
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]


@pytest.fixture
def cached(world: World) -> World:
    def prepare() -> None:
        with world.engine.begin() as conn:
            Base.metadata.create_all(conn)
        world.in_the_database("INSERT INTO odd_people VALUES (1, 'coder')")
        world.in_the_database("INSERT INTO odd_lefts VALUES (1)")
        world.in_the_database("INSERT INTO odd_teams VALUES (1, 'old')")
        world.in_the_database("INSERT INTO odd_members VALUES (1, 1)")
        assert world.read(Person, 1).language is None
        assert world.read(Both, 1).right_id is None
        assert world.read(Team, 1).name == "old"
        assert world.read(Member, 1).team_id == 1

    world.preparations.append(prepare)
    return world


INSERTS: dict[str, Callable[[Any], Any]] = {
    "its own table": lambda session: session.execute(insert(Coder.__table__).values(id=1, language="C")),
    "another class's": lambda session: session.add(CoderAlone(id=1, language="C")),
    "another metadata's": lambda session: session.execute(insert(CoderAlone.__table__).values(id=1, language="C")),
    "a lightweight one": lambda session: session.execute(
        insert(table("odd_coders", column("id"), column("language"))).values(id=1, language="C")
    ),
    "text": lambda session: session.execute(text("INSERT INTO odd_coders VALUES (1, 'C')")),
}


@pytest.mark.parametrize("way", INSERTS.values(), ids=INSERTS)
def test_the_part_of_a_subclass_may_be_added_to_a_row_that_is_there(cached: World, way: Any) -> None:
    with cached.session() as session:
        way(session)
        session.commit()
    assert cached.read(Person, 1).language == "C"


def test_a_table_that_an_unrelated_class_maps_too(cached: World) -> None:
    row, mapped = type("Row", (), {}), registry()
    mapped.map_imperatively(row, Coder.__table__)
    try:
        with cached.session() as session:
            session.add(row(id=1, language="C"))  # type: ignore[call-arg]
            session.commit()
        assert cached.read(Person, 1).language == "C"
    finally:
        mapped.dispose()


JOINED: dict[str, Callable[[Any], Any]] = {
    "a flush": lambda session: session.add(Right(id=5, left_id=1)),
    "Core": lambda session: session.execute(insert(Right.__table__).values(id=5, left_id=1)),
    "text": lambda session: session.execute(text("INSERT INTO odd_rights VALUES (5, 1)")),
}


@pytest.mark.parametrize("way", JOINED.values(), ids=JOINED)
def test_what_is_joined_may_be_added_to_a_row_that_is_there(cached: World, way: Any) -> None:
    with cached.session() as session:
        way(session)
        session.commit()
    assert cached.read(Both, 1).right_id == 5


@pytest.mark.parametrize("schema", [None, "main", "MAIN"])
@pytest.mark.parametrize("flush", [True, False])
def test_a_translated_schema_leads_to_a_table_that_is_mapped_by_another_name(cached: World, schema: str | None, flush: bool) -> None:
    with cached.session(cached.engine.execution_options(schema_translate_map={"tenant": schema})) as session:
        if flush:
            session.get_one(TenantTeam, 1).name = "new"
            session.flush()
        else:
            session.execute(update(TenantTeam).where(TenantTeam.id == 1).values(name="new"))
        assert cached.fetch(session, Team, 1).name == "new"
        session.rollback()
    assert cached.read(Team, 1).name == "old"
    with cached.session(cached.engine.execution_options(schema_translate_map={"tenant": schema})) as session:
        session.execute(update(TenantTeam).where(TenantTeam.id == 1).values(name="new"))
        session.commit()
    assert cached.read(Team, 1).name == "new"


@pytest.mark.parametrize("schema", [None, "main"])
def test_what_the_database_deletes_with_a_translated_table(cached: World, schema: str | None) -> None:
    with (
        cached.session(cached.engine.execution_options(schema_translate_map={"tenant": schema})) as session,
        cached.intents_at_commit() as seen,
    ):
        session.execute(delete(TenantTeam).where(TenantTeam.id == 1))
        session.commit()
    assert "~:bulk:odd_members" in seen[0]


@pytest.mark.parametrize("refers", ["odd_keyed.code", "odd_keyed.CODE", "ODD_KEYED.code"])
@pytest.mark.parametrize("changed", ["code", "c", "CODE"])
def test_columns_are_known_by_each_of_their_names(refers: str, changed: str) -> None:
    keyed = Table("odd_keyed", MetaData(), Column("id", Integer, primary_key=True), Column("code", String, key="c"))
    mapped, child = registry(), type("OfKeyed", (), {})
    columns = Column("id", Integer, primary_key=True), Column("code", String, ForeignKey(refers, onupdate="CASCADE"))
    mapped.map_imperatively(child, Table("odd_of_keyed", mapped.metadata, *columns))
    forget()
    assert [found.name for found in changed_by_the_database(keyed, frozenset({changed}))] == ["odd_of_keyed"]
    assert not changed_by_the_database(keyed, frozenset({"id"}))
    mapped.dispose()


def test_what_is_declared_to_change_changes_what_refers_to_it() -> None:
    models = {
        "odd_view": ModelConfig(depends_on=("odd_teams",)),
        "odd_triggers": ModelConfig(also_changes=("odd_view", "nowhere")),
        "odd_members": ModelConfig(also_changes=("odd_lefts",)),
    }
    planner = Planner(CacheConfig(models=models))
    every = {"odd_teams", "main.odd_teams", "tenant.odd_teams", "odd_members", "odd_lefts", "odd_rights"}
    assert also_written({"odd_view"}, planner) >= every - {"odd_rights"}
    assert also_written({"odd_triggers"}, planner) >= {"odd_view", "nowhere", *every} - {"odd_rights"}
    assert also_written({"odd_people"}, planner) == set()
    changes = ChangeSet()
    changes.add(named.written_as_declared("ODD_VIEW"))
    assert changes.touches(["odd_members"], planner)
    assert not changes.touches(["odd_people"], planner)


def test_what_the_database_changes_is_looked_up_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not at each read after a write, nor at each statement that is translated."""
    planner = Planner(CacheConfig(models={"odd_triggers": ModelConfig(also_changes=("odd_teams",))}))
    forget()
    looked: list[str] = []

    def look_up(changed: Table, *arguments: Any, **options: Any) -> Any:
        looked.append(changed.name)
        return changed_by_the_database(changed, *arguments, **options)

    monkeypatch.setattr(cascades, "changed_by_the_database", look_up)
    first = also_written({"odd_triggers"}, planner), cascades.known_as(None, "odd_teams")
    count = len(looked)
    assert count > 0
    assert (also_written({"odd_triggers"}, planner), cascades.known_as(None, "odd_teams")) == first
    assert len(looked) == count


def test_a_column_that_is_added_later_is_looked_at(world: World) -> None:
    late = Table("odd_late", Base.metadata, Column("id", Integer, primary_key=True), Column("n", Integer))
    of_late = Table("odd_of_late", Base.metadata, Column("id", Integer, primary_key=True))
    statement = update(late).where(late.c.id == 1).values(n=1)
    world.in_the_database("CREATE TABLE odd_late (id INTEGER PRIMARY KEY, n INTEGER)")
    try:
        for expected in (False, True):
            with world.session() as session, world.intents_at_commit() as seen:
                session.execute(statement)
                session.commit()
            assert ("~:bulk:odd_of_late" in seen[0]) is expected
            if not expected:
                of_late.append_column(Column("m", Integer, ForeignKey(late.c.n, onupdate="CASCADE")))
    finally:
        Base.metadata.remove(late)
        Base.metadata.remove(of_late)


def test_cursors_that_nobody_holds_any_more_are_forgotten(cached: World) -> None:
    kept: list[int] = []

    @event.listens_for(cached.engine, "after_cursor_execute")
    def after_cursor_execute(conn: Any, *_: Any) -> None:
        kept.append(len(conn.info["aa_cache_integration"].cursors))

    with cached.session() as session:
        for _ in range(50):
            result = session.execute(select(Team))
            result.all()
    assert max(kept) < 5


def test_names_that_are_told_once_are_not_kept_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aa_cache_integration.planner._MOST_NAMES", 10)
    planner = Planner(CacheConfig(models={"odd_*": ModelConfig(also_changes=("log",))}))
    for number in range(100):
        assert planner.caused([f"odd_{number}"]) == {"log"}
        assert not planner.untracked(f"odd_{number}")
    assert max(len(planner._models), len(planner._untracked)) < 20


def test_a_statement_that_is_no_text_is_read_if_it_can_be() -> None:
    composed = psycopg.sql.SQL("UPDATE {} SET name = 'x'").format(psycopg.sql.Identifier("odd_teams"))
    assert _text_of(composed) == "UPDATE \"odd_teams\" SET name = 'x'"
    assert _text_of(b"SELECT 1") == "SELECT 1"
    assert named.written_by_any_text(_text_of(object()), "postgresql").unknown
