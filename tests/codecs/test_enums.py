"""Enum classes that are texts or numbers as well: their own ``__getitem__`` isn't that of the class."""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import Enum, create_engine, select
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, undefer

from aa_cache_integration import CacheConfig, CacheManager, default_deserializer, default_serializer
from aa_cache_integration.codecs.mapper import codec_for
from aa_cache_integration.registry import CacheRegistry

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class Plain(enum.Enum):
    A = "b"
    B = "a"


class Text(str, enum.Enum):
    A = "a"
    B = "b"


class Number(enum.IntEnum):
    A = 2
    B = 1


class Bits(enum.Flag):
    A = 1
    B = 2


KINDS: list[Any] = [Plain, Text, Number, Bits]


class Base(DeclarativeBase):
    """Tables."""


class Row(Base):
    __tablename__ = "enum_rows"
    id: Mapped[int] = mapped_column(primary_key=True)
    plain: Mapped[Plain]
    text: Mapped[Text]
    number: Mapped[Number]
    bits: Mapped[Bits]
    late: Mapped[Text | None] = mapped_column(Enum(Text), deferred=True)


class Keyed(Base):
    __tablename__ = "enum_keys"
    key: Mapped[Text] = mapped_column(primary_key=True)
    name: Mapped[str]


@pytest.fixture
def session(tmp_path: Path, no_bindings: None) -> Iterator[Session]:
    engine = create_engine(f"sqlite:///{tmp_path}/enums.db")
    CacheRegistry.from_mapping({}).bind(engine)
    Base.metadata.create_all(engine)
    with Session(engine) as session:
        for ident, name in ((1, "A"), (2, "B")):
            values = {kind.__name__.lower(): kind[name] for kind in KINDS}
            session.add(Row(id=ident, late=Text[name], **values))
            session.add(Keyed(key=Text[name], name=f"of {name}"))
        session.commit()
        yield session
    engine.dispose()


def assert_same(found: Any, name: str) -> None:
    assert [getattr(found, kind.__name__.lower()) for kind in KINDS] == [kind[name] for kind in KINDS]
    assert all(type(getattr(found, kind.__name__.lower())) is kind for kind in KINDS)


@pytest.mark.parametrize("whole", [True, False])
def test_members_come_back_as_they_were(session: Session, whole: bool) -> None:
    codec = codec_for(Row)
    query = select(Row).options(undefer(Row.late)) if whole else select(Row)
    for row, name in zip(session.scalars(query.order_by(Row.id)), "AB", strict=True):
        found = codec.decode(codec.encode(row), Row)
        assert_same(found, name)
        assert_same(default_deserializer(default_serializer(row), Row), name)


def test_a_row_is_read_through_a_cache_and_a_key_is_found_by_its_member(session: Session) -> None:
    manager = CacheManager(CacheConfig(backend="dogpile.cache.memory"))
    for _ in ("miss", "hit"):
        for ident, name in ((1, "A"), (2, "B")):
            assert_same(manager.fetch_entity_sync(session, Row, ident), name)
            assert manager.fetch_entity_sync(session, Keyed, Text[name]).name == f"of {name}"  # type: ignore[union-attr]
    manager.close()
