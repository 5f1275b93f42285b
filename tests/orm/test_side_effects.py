"""What statements change beyond the rows they name: by triggers, by rules of a table on itself, by temporary tables (DESIGN 3.5, 6)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from sqlalchemy import ForeignKey, create_engine, event, func, select, text
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, aliased, column_property, mapped_column

from aa_cache_integration import CacheRegistry
from aa_cache_integration.config import ModelConfig

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sqlalchemy import Engine

    from aa_cache_integration import CacheManager


class Base(DeclarativeBase):
    pass


class Customer(Base):
    __tablename__ = "customers"
    id: Mapped[int] = mapped_column(primary_key=True)
    orders: Mapped[int] = mapped_column(default=0)


class Order(Base):
    __tablename__ = "orders"
    id: Mapped[int] = mapped_column(primary_key=True)
    customer_id: Mapped[int]


class Node(Base):
    __tablename__ = "nodes"
    id: Mapped[int] = mapped_column(primary_key=True)
    parent_id: Mapped[int | None] = mapped_column(ForeignKey("nodes.id", ondelete="CASCADE"))


_child = aliased(Node.__table__)
Node.children = column_property(select(func.count()).select_from(_child).where(_child.c.parent_id == Node.id).scalar_subquery())  # type: ignore[attr-defined]


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    made = create_engine(f"sqlite:///{tmp_path / 'shop.db'}")

    @event.listens_for(made, "connect")
    def _foreign_keys(connection: object, _record: object) -> None:
        connection.execute("PRAGMA foreign_keys = ON")  # type: ignore[attr-defined]

    Base.metadata.create_all(made)
    with made.begin() as conn:
        conn.execute(
            text(
                "create trigger counts after insert on orders begin "
                "update customers set orders = orders + 1 where id = new.customer_id; end"
            )
        )
    yield made
    made.dispose()


@pytest.fixture
def cache(engine: Engine) -> CacheManager:
    models = {"orders": ModelConfig(also_changes=("customers",))}
    caches = CacheRegistry.from_mapping(
        {"default": {"backend": "dogpile.cache.memory", "models": {"orders": {"also_changes": ["customers"]}}}}
    )
    assert caches["default"].config.models == models
    caches.bind(engine)
    return caches["default"]


def read(engine: Engine, cache: CacheManager, model: type[Base], ident: int) -> object:
    with Session(engine) as session:
        return cache.fetch_entity_sync(session, model, ident)


def test_a_temporary_table_that_hides_another_is_shown_to_nobody_else(engine: Engine, cache: CacheManager) -> None:
    with Session(engine) as session:
        session.add(Customer(id=1))
        session.commit()
        session.execute(text("CREATE TEMP TABLE customers (id INTEGER PRIMARY KEY, orders INTEGER)"))
        session.execute(text("INSERT INTO temp.customers VALUES (1, 777)"))
        session.commit()
        hidden = cache.fetch_entity_sync(session, Customer, 1)
    other = create_engine(engine.url)
    CacheRegistry.from_mapping({}).bind(other)
    found = read(other, cache, Customer, 1)
    other.dispose()
    assert hidden is not None
    assert hidden.orders == 777
    assert isinstance(found, Customer)
    assert found.orders == 0


def test_what_a_trigger_changed_is_read_by_its_own_transaction_and_forgotten_with_it(engine: Engine, cache: CacheManager) -> None:
    with Session(engine) as session:
        session.add(Customer(id=1))
        session.commit()
    read(engine, cache, Customer, 1)
    with Session(engine) as session:
        session.add(Order(id=1, customer_id=1))
        session.flush()
        inside = cache.fetch_entity_sync(session, Customer, 1)
        session.rollback()
    after = read(engine, cache, Customer, 1)
    assert isinstance(inside, Customer)
    assert isinstance(after, Customer)
    assert (inside.orders, after.orders) == (1, 0)


def test_a_rule_of_a_table_on_itself_is_followed(engine: Engine, cache: CacheManager) -> None:
    with Session(engine) as session:
        session.add(Node(id=1))
        session.flush()
        session.add(Node(id=2, parent_id=1))
        session.commit()
    assert read(engine, cache, Node, 2) is not None
    with Session(engine) as session:
        session.delete(session.get_one(Node, 1))
        session.commit()
    assert read(engine, cache, Node, 2) is None


def test_a_column_that_reads_other_rows_of_its_own_table_follows_them(engine: Engine, cache: CacheManager) -> None:
    with Session(engine) as session:
        session.add(Node(id=1))
        session.commit()
    assert read(engine, cache, Node, 1).children == 0  # type: ignore[attr-defined]
    with Session(engine) as session:
        session.add(Node(id=2, parent_id=1))
        session.commit()
    assert read(engine, cache, Node, 1).children == 1  # type: ignore[attr-defined]
