"""Every store there is, each as the contract sees it: a face, and a namespace of the test's own."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from aa_cache_integration.codecs import plain
from aa_cache_integration.config import CacheConfig
from aa_cache_integration.core import envelope
from aa_cache_integration.stores.base import Announcement, Fill, Lease, Making, Store
from aa_cache_integration.stores.build import PlainCodec, build
from aa_cache_integration.stores.threads import Threads

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aa_cache_integration.stores.build import Built


@dataclass
class Contract:
    """One store under test, and its keys."""

    built: Built
    asynchronous: bool
    prefix: str

    @property
    def store(self) -> Store:
        """The face, for the loop that runs."""
        return self.built.asynchronous() if self.asynchronous else self.built.blocking

    def key(self, name: str) -> str:
        """Return a key of this test's own."""
        return self.prefix + name

    def making(self, token: str = "fresh", quarantine: int = 0) -> Making:  # noqa: S107 - a token of a record is no password
        """Return how records are made."""
        return Making(token, "rules", 60_000, quarantine)

    def lease_of(
        self, cell: str, lease: str, *records: str, seen: bytes | None = None, required: int | None = None, before: int = 0
    ) -> Lease:
        """Return a request for a lease."""
        keys = tuple(self.key(record) for record in records)
        return Lease(self.key(cell), lease, seen, keys, len(keys) if required is None else required, 60_000, before)

    def fill_of(
        self, cell: str, lease: str, *tokens: str, payload: bytes = b"value", records: tuple[str, ...] = (), ttl: int = 60_000
    ) -> Fill:
        """Return a value to put."""
        return Fill(self.key(cell), lease, tokens, tuple(map(self.key, records)), envelope.tail(envelope.PLAIN, payload), ttl)

    def writer(self, name: str, *, cells: tuple[str, ...] = (), records: tuple[str, ...] = ()) -> Announcement:
        """Return what a writer announces."""
        return Announcement(name, tuple(map(self.key, cells)), tuple(map(self.key, records)))

    async def look(self, name: str) -> bytes | None:
        """Return what stands under a key."""
        return (await self.store.lookup([self.key(name)]))[0]

    async def record(self, name: str) -> envelope.Record:
        """Return a record as it stands."""
        found = envelope.parse_record(await self.look(name))
        assert found is not None
        return found

    async def passes(self, milliseconds: int) -> None:
        """Return once so much time has passed on the store's clock."""
        start, _ = await self.store.records([], self.making())
        now = start
        while now < start + milliseconds * 1000:
            now, _ = await self.store.records([], self.making())


class DictRegion:
    """A region of the application's own making."""

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}

    def get(self, key: str) -> Any:
        return self.values.get(key)

    def set(self, key: str, value: Any) -> None:
        self.values[key] = value

    def delete(self, key: str) -> None:
        self.values.pop(key, None)


@pytest.fixture(params=["memory", "region", "redis"])
def built(request: pytest.FixtureRequest) -> Iterator[Built]:
    """Every kind of store."""
    if request.param == "redis":
        server = request.getfixturevalue("redis_server")
        config = CacheConfig(backend="dogpile.cache.redis", arguments={"host": server.host, "port": server.port})
    elif request.param == "region":
        config = CacheConfig(region_factory=lambda _: DictRegion())
    else:
        config = CacheConfig(backend="dogpile.cache.memory")
    threads = Threads(4)
    made = build(config, PlainCodec(plain.dumps, plain.loads), threads)
    yield made
    asyncio.run(made.aclose())
    threads.close()


@pytest.fixture(params=["blocking", "asynchronous"])
def contract(built: Built, request: pytest.FixtureRequest, aa_cache_namespace: str) -> Contract:
    """Every face of every store."""
    return Contract(built, request.param == "asynchronous", aa_cache_namespace)
