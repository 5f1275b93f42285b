"""What a ``set_*`` may store depends on the ``get_*`` before it in the same context (DESIGN 3.3, 5.3)."""

from __future__ import annotations

import contextvars
from typing import TYPE_CHECKING

import pytest
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from aa_cache_integration import CacheConfig, CacheManager

if TYPE_CHECKING:
    from collections.abc import Callable


class Base(DeclarativeBase):
    pass


class Tea(Base):
    __tablename__ = "teas"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]


class Reader:
    """One reader: a context of its own."""

    def __init__(self) -> None:
        self._context = contextvars.copy_context()

    def does(self, function: Callable[..., object], *arguments: object) -> object:
        """Call in this reader's context."""
        return self._context.run(function, *arguments)


@pytest.fixture(params=["memory", "redis"])
def manager(request: pytest.FixtureRequest, aa_cache_namespace: str) -> CacheManager:
    if request.param == "memory":
        return CacheManager(CacheConfig("dogpile.cache.memory"))
    server = request.getfixturevalue("redis_server")
    arguments = {"host": server.host, "port": server.port}
    return CacheManager(CacheConfig("dogpile.cache.redis", arguments=arguments, key_prefix=aa_cache_namespace))


def test_a_reader_without_the_lease_does_not_store_what_it_read_before_a_write(manager: CacheManager) -> None:
    first, second = Reader(), Reader()
    assert first.does(manager.get_entity_sync, "teas", 1, Tea) is None
    assert second.does(manager.get_entity_sync, "teas", 1, Tea) is None  # no lease: the first reader has it
    read_by_both = Tea(id=1, name="old")
    manager.invalidate_entity_sync("teas", 1)  # a writer is through, from intents to settle
    first.does(manager.set_entity_sync, "teas", 1, read_by_both)
    second.does(manager.set_entity_sync, "teas", 1, read_by_both)
    assert manager.get_entity_sync("teas", 1, Tea) is None


def test_a_reader_without_the_lease_is_not_kept_waiting_by_a_lookup(manager: CacheManager, monkeypatch: pytest.MonkeyPatch) -> None:
    Reader().does(manager.get_sync, "key")
    Reader().does(manager.get_entity_sync, "teas", 1, Tea)
    Reader().does(manager.get_list_sync, "list", Tea)
    monkeypatch.setattr("time.sleep", pytest.fail)
    for lookup in (
        lambda: manager.get_sync("key"),
        lambda: manager.get_entity_sync("teas", 1, Tea),
        lambda: manager.get_list_sync("list", Tea),
    ):
        Reader().does(lookup)


def test_a_put_without_a_lookup_is_explicit(manager: CacheManager) -> None:
    manager.set_entity_sync("teas", 1, Tea(id=1, name="new"))
    found = manager.get_entity_sync("teas", 1, Tea)
    assert found is not None
    assert found.name == "new"


def test_after_a_hit_a_put_is_explicit_again(manager: CacheManager) -> None:
    reader = Reader()
    Reader().does(manager.get_sync, "key")
    reader.does(manager.get_sync, "key")  # bypassed
    manager.set_sync("key", 1)
    assert reader.does(manager.get_sync, "key") == 1
    reader.does(manager.set_sync, "key", 2)
    assert manager.get_sync("key") == 2


def test_invalidating_forgets_what_this_context_was_granted(manager: CacheManager) -> None:
    manager.get_sync("key")
    manager.delete_sync("key")
    manager.set_sync("key", 1)
    assert manager.get_sync("key") == 1
