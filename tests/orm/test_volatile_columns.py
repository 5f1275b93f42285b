"""A row with a column of the clock, of chance or of the connection is never answered from the cache."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import create_engine, func
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, column_property, mapped_column

from aa_cache_integration import CacheRegistry, events

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import RecordedEvents


class Base(DeclarativeBase):
    pass


class Ticket(Base):
    __tablename__ = "tickets"
    id: Mapped[int] = mapped_column(primary_key=True)
    luck: Mapped[int] = column_property(func.random())


def test_each_read_of_a_random_column_asks_the_database(tmp_path: Path, recorded_events: RecordedEvents) -> None:
    caches = CacheRegistry.from_mapping({"default": {"backend": "dogpile.cache.memory"}})
    engine = create_engine(f"sqlite:///{tmp_path / 'tickets.db'}")
    caches.bind(engine)
    Base.metadata.create_all(engine)
    with Session(engine) as session:
        session.add(Ticket(id=1))
        session.commit()
        found = [caches["default"].fetch_entity_sync(session, Ticket, 1) for _ in range(4)]
    engine.dispose()
    assert len({ticket.luck for ticket in found if ticket is not None}) > 1
    assert {(event.name, event.reason) for event in recorded_events if event.op == "fetch_entity"} == {(events.BYPASS, "volatile column")}
