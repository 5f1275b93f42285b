"""Ours accepts everything that ``advanced_alchemy.cache`` does; the examples of its documentation work with the import changed."""

from __future__ import annotations

import dataclasses
import inspect
from datetime import datetime
from typing import Any

import pytest
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

import aa_cache_integration as ours

theirs = pytest.importorskip(
    "advanced_alchemy.cache", reason="advanced-alchemy isn't installed; get it with: pip install --group dev (see pyproject.toml)"
)


class Base(DeclarativeBase):
    pass


class User(Base):
    __tablename__ = "dropin_users"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    email: Mapped[str]
    created_at: Mapped[datetime | None]


OPERATIONS = sorted(name for name, _ in inspect.getmembers(theirs.CacheManager, inspect.isfunction) if not name.startswith("_"))


def parameters_of(function: Any) -> list[inspect.Parameter]:
    return list(inspect.signature(function).parameters.values())


def test_all_names_are_here() -> None:
    assert set(theirs.__all__) <= set(ours.__all__)


@pytest.mark.parametrize("name", OPERATIONS)
def test_each_operation_takes_the_same_arguments(name: str) -> None:
    own, peer = getattr(ours.CacheManager, name), getattr(theirs.CacheManager, name)
    assert inspect.iscoroutinefunction(own) == inspect.iscoroutinefunction(peer)
    expected = parameters_of(peer)
    found = parameters_of(own)
    for mine, its in zip(found, expected, strict=False):
        assert (mine.name, mine.kind, mine.default) == (its.name, its.kind, its.default)
    assert len(found) >= len(expected)
    assert all(extra.default is not inspect.Parameter.empty for extra in found[len(expected) :])


@pytest.mark.parametrize("name", ["default_serializer", "default_deserializer"])
def test_each_function_takes_the_same_arguments(name: str) -> None:
    assert [p.name for p in parameters_of(getattr(ours, name))] == [p.name for p in parameters_of(getattr(theirs, name))]


def test_the_configuration_has_the_same_fields_first() -> None:
    peer = dataclasses.fields(theirs.CacheConfig)
    for mine, its in zip(dataclasses.fields(ours.CacheConfig), peer, strict=False):
        assert (mine.name, mine.default, mine.kw_only) == (its.name, its.default, getattr(its, "kw_only", False))
        if its.default_factory is not dataclasses.MISSING:
            assert mine.default_factory is not dataclasses.MISSING
            assert mine.default_factory() == its.default_factory()
    assert all(extra.kw_only for extra in dataclasses.fields(ours.CacheConfig)[len(peer) :])


def test_the_constructor_takes_the_same_arguments() -> None:
    own, peer = parameters_of(ours.CacheManager), parameters_of(theirs.CacheManager)
    assert [p.name for p in own[: len(peer)]] == [p.name for p in peer]
    assert all(extra.kind is inspect.Parameter.KEYWORD_ONLY for extra in own[len(peer) :])


@pytest.mark.parametrize("name", ["NullRegion", "SyncCacheRegionProtocol"])
def test_the_region_types_have_the_same_methods(name: str) -> None:
    public = {method for method in vars(getattr(theirs, name, None) or _null(name)) if not method.startswith("_")}
    assert public <= {method for method in vars(getattr(ours, name)) if not method.startswith("_")}


def _null(name: str) -> Any:
    from advanced_alchemy.cache import _null as null

    return getattr(null, name)


# The examples of the documentation (the reference text), verbatim but for the import


def fetch_user_from_db(number: int) -> dict[str, Any]:
    return {"id": number, "name": "John"}


def test_the_example_of_a_memory_cache() -> None:
    from aa_cache_integration import CacheConfig

    config = CacheConfig(
        backend="dogpile.cache.memory",
        expiration_time=300,
    )
    assert (config.backend, config.expiration_time) == ("dogpile.cache.memory", 300)


def test_the_example_of_redis() -> None:
    from aa_cache_integration import CacheConfig

    config = CacheConfig(
        backend="dogpile.cache.redis",
        expiration_time=3600,
        arguments={
            "host": "localhost",
            "port": 6379,
            "db": 0,
        },
    )
    ours.CacheManager(config)  # connects to nothing yet


def test_the_example_of_synchronous_use() -> None:
    from aa_cache_integration import CacheConfig, CacheManager

    config = CacheConfig(
        backend="dogpile.cache.memory",
        expiration_time=300,
    )
    manager = CacheManager(config)

    # Cache a value (sync)
    result = manager.get_or_create_sync(
        "users:1",
        lambda: fetch_user_from_db(1),
    )
    assert result == {"id": 1, "name": "John"}
    assert manager.get_sync("users:1") == result


async def test_the_example_of_asynchronous_use() -> None:
    manager = ours.CacheManager(ours.CacheConfig(backend="dogpile.cache.memory", expiration_time=300))
    # Cache a value (async)
    result = await manager.get_or_create_async(
        "users:1",
        lambda: fetch_user_from_db(1),
    )
    assert result == {"id": 1, "name": "John"}
    assert await manager.get_async("users:1") == result


def test_the_example_of_serializing() -> None:
    from aa_cache_integration import default_serializer

    user = User(id=1, name="John", email="john@example.com")
    data = default_serializer(user)
    assert data.startswith(b'{"__aa_model__":')
    for part in (b"User", b'"__aa_table__"', b'"dropin_users"', b'"id"', b'"John"', b'"john@example.com"'):
        assert part in data


def test_the_example_of_deserializing() -> None:
    from aa_cache_integration import default_deserializer

    data = b'{"__aa_model__": "User", "id": 1, "name": "John"}'
    user = default_deserializer(data, User)
    # user is a detached User instance
    assert isinstance(user, User)
    assert (user.id, user.name) == (1, "John")


# Its manner of use


def test_a_repositorys_way_with_entities_and_lists() -> None:
    manager = ours.CacheManager(ours.CacheConfig(backend="dogpile.cache.memory"))
    user = User(id=1, name="John", email="john@example.com", created_at=datetime(2025, 12, 14, 10, 30))  # noqa: DTZ001 - a naive column
    assert manager.get_entity_sync("dropin_users", 1, User) is None
    manager.set_entity_sync("dropin_users", 1, user)
    cached = manager.get_entity_sync("dropin_users", 1, User)
    assert cached is not None
    assert cached.created_at == user.created_at
    version = manager.get_model_version_sync("dropin_users")
    key = f"dropin_users:list:{version}:abc"
    assert manager.get_list_sync(key, User) is None
    manager.set_list_sync(key, [user])
    assert manager.get_list_sync(key, User) is not None
    assert manager.bump_model_version_sync("dropin_users") != version
    manager.invalidate_entity_sync("dropin_users", 1)
    assert manager.get_entity_sync("dropin_users", 1, User) is None
    manager.invalidate_all_sync()


def test_a_serializer_alone_is_read_by_the_default_deserializer() -> None:
    def serializer(model: Any) -> bytes:
        return ours.default_serializer(model).replace(b"John", b"Jane")

    manager = ours.CacheManager(ours.CacheConfig(backend="dogpile.cache.memory", serializer=serializer))
    manager.set_entity_sync("dropin_users", 1, User(id=1, name="John", email="x"))
    found = manager.get_entity_sync("dropin_users", 1, User)
    assert found is not None
    assert found.name == "Jane"


def test_a_deserializer_alone_reads_the_default_serializers_bytes() -> None:
    def deserializer(data: bytes, model_class: type[Any]) -> Any:
        return ours.default_deserializer(data.replace(b"John", b"Jane"), model_class)

    manager = ours.CacheManager(ours.CacheConfig(backend="dogpile.cache.memory", deserializer=deserializer))
    manager.set_entity_sync("dropin_users", 1, User(id=1, name="John", email="x"))
    found = manager.get_entity_sync("dropin_users", 1, User)
    assert found is not None
    assert found.name == "Jane"
