"""What a text statement writes, by the tables that it names: as the metadata knows them, with what the database changes then (DESIGN 6)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from sqlalchemy import Column, ForeignKey, Integer, String, Table, delete
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from aa_cache_integration import CacheConfig
from aa_cache_integration.config import ModelConfig
from aa_cache_integration.orm import named, tables
from aa_cache_integration.orm.cascades import changed_by_the_database, without_transactions
from aa_cache_integration.orm.changes import ChangeSet, Write
from aa_cache_integration.planner import Planner

if TYPE_CHECKING:
    from collections.abc import Iterator


class Base(DeclarativeBase):
    """Of this file alone; the names are found among those of all other tests too."""


class Shelf(Base):
    __tablename__ = "NamedShelves"
    id: Mapped[int] = mapped_column(primary_key=True)
    code: Mapped[str] = mapped_column(String, unique=True, sqlite_on_conflict_unique="REPLACE")


class Jar(Base):
    __tablename__ = "named_jars"
    id: Mapped[int] = mapped_column(primary_key=True)
    shelf_id: Mapped[int] = mapped_column(ForeignKey("NamedShelves.id", ondelete="CASCADE"))
    shelf_code: Mapped[str] = mapped_column(ForeignKey("NamedShelves.code", onupdate="CASCADE"))


class Elsewhere(Base):
    __tablename__ = "named_jars"
    __table_args__ = {"schema": "far"}  # noqa: RUF012 - SQLAlchemy's form
    id: Mapped[int] = mapped_column(primary_key=True)


class Old(Base):
    __tablename__ = "named_old"
    __table_args__ = {"mysql_engine": "MyISAM"}  # noqa: RUF012
    id: Mapped[int] = mapped_column(primary_key=True)


JARS = {"named_jars", "far.named_jars"}


def written(statement: str, dialect: str = "sqlite") -> Write:
    return named.written_by_any_text(statement, dialect)


@pytest.mark.parametrize("name", ["named_jars", "NAMED_JARS", '"named_jars"', "far.named_jars", "main.named_jars"])
def test_a_name_counts_for_every_table_that_the_database_may_mean(name: str) -> None:
    found = written(f"UPDATE {name} SET id = 1")  # noqa: S608 - it isn't run
    assert found.tables == found.bulk == JARS
    assert not found.unknown
    assert not found.strangers


def test_an_insert_changes_no_row_that_is_there() -> None:
    found = written("INSERT INTO named_jars (id) VALUES (1)")
    assert (found.tables, found.bulk) == (JARS, set())
    assert written("INSERT INTO named_jars (id) VALUES (1) ON CONFLICT (id) DO UPDATE SET id = 2").bulk == JARS


def test_what_the_database_changes_with_it_is_followed() -> None:
    assert written('DELETE FROM "NamedShelves"').bulk == {"NamedShelves", "named_jars"}
    assert written("UPDATE \"NamedShelves\" SET code = 'x'").bulk >= {"NamedShelves", "named_jars"}


def test_a_conflict_clause_of_the_table_deletes_rows_of_others() -> None:
    """An INSERT that takes the place of a row removes what refers to it."""
    assert "named_jars" in written("INSERT INTO NamedShelves (id) VALUES (1)").bulk
    assert "named_jars" in written("UPDATE NamedShelves SET id = 1").bulk


def test_only_the_columns_that_are_set_are_followed() -> None:
    assert written("UPDATE named_jars SET shelf_id = 1").bulk == JARS


def test_several_statements_are_told_together() -> None:
    found = written("DELETE FROM named_jars; INSERT INTO named_old VALUES (1)")
    assert found.tables == {*JARS, "named_old"}


def test_a_name_that_no_metadata_has_may_be_a_view_and_counts_for_everything_unless_it_is_untracked() -> None:
    found = written("DELETE FROM named_audit; DELETE FROM named_jars")
    assert found.strangers == {"named_audit"}
    changes = ChangeSet()
    changes.add(found)
    assert changes.is_unknown(Planner(CacheConfig()))
    assert not changes.is_unknown(Planner(CacheConfig(untracked=("*_audit",))))


@pytest.mark.parametrize(
    "statement", ["CALL p()", "REINDEX", "DELETE FROM", "EXPLAIN ANALYZE DELETE FROM named_jars", "SELECT 1; CALL p()"]
)
def test_what_cannot_be_read_may_write_anything(statement: str) -> None:
    assert written(statement, "postgresql").unknown


@pytest.mark.parametrize("statement", ["WITH x AS (SELECT 1) SELECT * FROM x", "SELECT 1; SELECT 2", "TABLE named_jars"])
def test_what_only_reads_writes_nothing(statement: str) -> None:
    assert written(statement, "postgresql") == Write()


def test_a_setting_within_a_statement_that_writes_is_noticed() -> None:
    assert written("UPDATE named_jars SET id = set_config('role', 'x', false)::int", "postgresql").session_state == "connection"
    assert written("WITH x AS (SELECT set_config('role', 'x', false)) SELECT * FROM x", "postgresql").session_state == "connection"


def test_a_storage_engine_without_transactions_is_known_by_the_metadata() -> None:
    assert "named_old" in without_transactions()
    assert not JARS & without_transactions()


def test_a_view_that_is_written_writes_what_it_reads() -> None:
    planner = Planner(CacheConfig(models={"totals": ModelConfig(depends_on=("orders",)), "orders": ModelConfig(also_changes=("log",))}))
    assert planner.caused({"totals"}) == planner.caused({"TOTALS"}) == {"orders", "log"}
    assert planner.caused({"orders"}) == {"log"}


@pytest.fixture
def late() -> Iterator[Table]:
    """A table that is made after others were looked at."""
    assert written("DELETE FROM named_late").strangers
    table = Table("named_late", Base.metadata, Column("id", Integer, ForeignKey("named_old.id", ondelete="CASCADE"), primary_key=True))
    yield table
    Base.metadata.remove(table)


def test_a_table_that_is_made_later_is_known(late: Table) -> None:
    tables.forget_forms()  # the listener, where the process is wired
    assert written("DELETE FROM named_late").tables == {"named_late"}
    assert late in changed_by_the_database(Old.__table__, None)
    assert delete(late) is not None
