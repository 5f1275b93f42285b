"""Managers for tests: on memory and on a real Redis, through their synchronous and their asynchronous face."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from aa_cache_integration import CacheConfig, CacheManager

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ("Face", "Managers", "backend", "face", "managers")

Managers = Callable[..., CacheManager]
"""Makes a manager on the test's backend, in the test's namespace; takes the fields of `CacheConfig` that differ."""


@dataclass
class Face:
    """A manager, called through one of its faces: ``await face("get", key)`` is ``get_sync`` or ``await get_async``."""

    make: Managers
    is_async: bool
    manager: CacheManager

    def of(self, manager: CacheManager) -> Face:
        """Return the same face of another manager."""
        return Face(self.make, self.is_async, manager)

    async def __call__(self, operation: str, *arguments: Any, **options: Any) -> Any:
        """Take an operation."""
        if self.is_async:
            return await getattr(self.manager, f"{operation}_async")(*arguments, **options)
        return getattr(self.manager, f"{operation}_sync")(*arguments, **options)


@pytest.fixture(params=["memory", "redis"])
def backend(request: pytest.FixtureRequest) -> dict[str, Any]:
    """What a `CacheConfig` is told of each backend."""
    if request.param == "memory":
        return {"backend": "dogpile.cache.memory"}
    server = request.getfixturevalue("redis_server")
    return {"backend": "dogpile.cache.redis", "arguments": {"host": server.host, "port": server.port}}


@pytest.fixture
def managers(backend: dict[str, Any], aa_cache_namespace: str) -> Iterator[Managers]:
    """Makes managers, and closes them after the test."""
    made: list[CacheManager] = []

    def make(**options: Any) -> CacheManager:
        made.append(CacheManager(CacheConfig(**{**backend, "key_prefix": aa_cache_namespace, **options})))
        return made[-1]

    yield make
    for manager in made:
        asyncio.run(manager.aclose())


@pytest.fixture(params=["sync", "async"])
def face(managers: Managers, request: pytest.FixtureRequest) -> Face:
    """A manager through each of its faces."""
    return Face(managers, request.param == "async", managers())
