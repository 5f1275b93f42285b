"""From a configuration to a store, or to none and an event that says why."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from dogpile.cache import make_region
from dogpile.cache.api import NO_VALUE
from dogpile.cache.region import CacheRegion

from aa_cache_integration import CacheConfig, CacheManager, NullRegion

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import RecordedEvents


class DictRegion:
    """A region of the application's own making, as small as may be."""

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}

    def get(self, key: str) -> Any:
        return self.values.get(key, NO_VALUE)

    def set(self, key: str, value: Any) -> None:
        self.values[key] = value

    def delete(self, key: str) -> None:
        self.values.pop(key, None)


class BrokenRegion:
    """A region that has none of the methods."""


def reasons(events: RecordedEvents, name: str = "cache.rejected") -> list[str]:
    return [str(event.reason) for event in events if event.name == name]


@pytest.mark.parametrize("kind", ["own", "dogpile", "dbm", "cache_dict"])
async def test_a_generic_region_works_and_says_that_it_does_its_best(kind: str, recorded_events: RecordedEvents, tmp_path: Path) -> None:
    config = {
        "own": lambda: CacheConfig(region_factory=lambda _: DictRegion()),
        "dogpile": lambda: CacheConfig(region_factory=lambda _: make_region().configure("dogpile.cache.memory_pickle")),
        "dbm": lambda: CacheConfig(backend="dogpile.cache.dbm", arguments={"filename": str(tmp_path / "cache.dbm")}),
        "cache_dict": lambda: CacheConfig(backend="dogpile.cache.memory", arguments={"cache_dict": {}}),
    }[kind]()
    manager = CacheManager(config)
    assert manager.guarantee == "best effort"
    assert any("best effort" in reason for reason in reasons(recorded_events))
    manager.set_sync("key", {"a": 1})
    assert manager.get_sync("key") == {"a": 1}
    assert await manager.get_async("key") == {"a": 1}
    assert await manager.get_or_create_async("other", lambda: (1, 2)) == (1, 2)
    assert manager.get_sync("other") == (1, 2)
    await manager.delete_async("key")
    assert manager.get_sync("key") is NO_VALUE
    manager.invalidate_all_sync()
    assert manager.get_sync("other") is NO_VALUE
    manager.close()


@pytest.mark.parametrize("backend", ["dogpile.cache.memory", "dogpile.cache.memory_pickle", "dogpile.cache.null"])
def test_our_own_stores_say_that_they_are_strict(backend: str, recorded_events: RecordedEvents) -> None:
    manager = CacheManager(CacheConfig(backend=backend))
    assert manager.guarantee == "strict"
    assert isinstance(manager.region, CacheRegion)
    assert reasons(recorded_events) == []


def test_the_null_backend_keeps_nothing() -> None:
    manager = CacheManager(CacheConfig())
    manager.set_sync("key", 1)
    assert manager.get_sync("key") is NO_VALUE
    assert manager.get_or_create_sync("key", lambda: 2) == 2
    assert manager.bump_model_version_sync("users") != manager.get_model_version_sync("users")


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        (CacheConfig(backend="dogpile.cache.memry"), "dogpile.cache.memory"),
        (CacheConfig(backend="no.such.backend"), "unknown backend"),
        (CacheConfig(backend="dogpile.cache.dbm"), "filename"),
        (CacheConfig(region_factory=lambda _: 1 / 0), "ZeroDivisionError"),
    ],
)
async def test_a_region_that_can_not_be_built_is_none_and_tells_why(
    config: CacheConfig, reason: str, recorded_events: RecordedEvents
) -> None:
    manager = CacheManager(config)
    assert manager.get_sync("key") is NO_VALUE
    await manager.set_async("key", 1)
    assert await manager.get_or_create_async("key", lambda: 2) == 2
    assert isinstance(manager.region, NullRegion)
    assert len(reasons(recorded_events)) == 1
    assert reason in reasons(recorded_events)[0]


async def test_a_region_without_the_methods_is_an_outage_and_no_crash(recorded_events: RecordedEvents) -> None:
    manager = CacheManager(CacheConfig(region_factory=lambda _: BrokenRegion()))
    assert manager.get_sync("key") is NO_VALUE
    manager.set_sync("key", 1)
    manager.delete_sync("key")
    assert manager.get_or_create_sync("key", lambda: 2) == 2
    assert any("AttributeError" in reason for reason in reasons(recorded_events, "cache.degraded"))


def test_what_a_generic_region_holds_of_others_is_a_miss() -> None:
    region = DictRegion()
    manager = CacheManager(CacheConfig(region_factory=lambda _: region))
    manager.set_sync("key", 1)
    for planted in (b"", b"|", b"99999999999999999|", b"x|y", "text", 5, None, object(), b"99999999999999999|{}|p"):
        region.values["aa:key"] = planted
        assert manager.get_sync("key") is NO_VALUE


BLOCKED = """
import sys

sys.modules.update(dict.fromkeys(sys.argv[1].split(",")))  # what None stands for can't be imported
"""

WITHOUT_CLIENT = """
from aa_cache_integration import CacheConfig, CacheManager, NullRegion
from aa_cache_integration.events import set_hooks

told = []
class Hook:
    def wants(self, name):
        return True
    def __call__(self, event):
        told.append(event)
set_hooks([Hook()])

manager = CacheManager(CacheConfig(backend=sys.argv[2]))
assert manager.get_or_create_sync("key", lambda: 1) == 1
assert isinstance(manager.region, NullRegion)
(event,) = [event for event in told if event.name == "cache.rejected"]
print(event.reason)
memory = CacheManager(CacheConfig(backend="dogpile.cache.memory"))
memory.set_sync("key", 1)
assert memory.get_sync("key") == 1
"""

WITHOUT_DOGPILE = """
import asyncio
from aa_cache_integration import DOGPILE_CACHE_INSTALLED, CacheConfig, CacheManager, NullRegion
assert not DOGPILE_CACHE_INSTALLED
manager = CacheManager(CacheConfig(backend="dogpile.cache.memory"))
assert isinstance(manager.region, NullRegion)
manager.set_sync("key", 1)
assert not manager.get_sync("key")
assert asyncio.run(manager.get_or_create_async("key", lambda: 2)) == 2
manager.invalidate_all_sync()
assert [name for name in sys.modules if name.partition(".")[0] == "dogpile"] == ["dogpile"]

class Region:
    values = {}
    def get(self, key): return self.values.get(key)
    def set(self, key, value): self.values[key] = value
    def delete(self, key): self.values.pop(key, None)

own = CacheManager(CacheConfig(region_factory=lambda config: Region()))
own.set_sync("key", 1)
assert own.get_sync("key") == 1
"""

EVERY_MODULE = """
import importlib, pkgutil
import aa_cache_integration
for module in pkgutil.walk_packages(aa_cache_integration.__path__, "aa_cache_integration."):
    importlib.import_module(module.name)
"""


def run(code: str, *arguments: str) -> str:
    environment = {**os.environ, "PYTHONPATH": os.getcwd(), "PYTHONWARNINGS": "error"}  # noqa: PTH109 - where the tests run
    command = [sys.executable, "-c", BLOCKED + code, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env=environment)  # noqa: S603
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(
    ("backend", "module", "extra"),
    [
        ("dogpile.cache.redis", "redis", "aa-cache-integration[redis]"),
        ("dogpile.cache.valkey", "valkey", "aa-cache-integration[valkey]"),
        ("dogpile.cache.pymemcache", "pymemcache", "aa-cache-integration[memcached]"),
    ],
)
def test_without_the_client_library_the_message_names_the_extra_and_memory_works(backend: str, module: str, extra: str) -> None:
    assert extra in run(WITHOUT_CLIENT, module, backend)


def test_without_dogpile_everything_imports_and_the_cache_is_none() -> None:
    run(WITHOUT_DOGPILE, "dogpile")


def test_every_module_imports_without_any_optional_library() -> None:
    run(EVERY_MODULE, "redis,valkey,pymemcache,sqlglot,greenlet,fcntl,advanced_alchemy,litestar,fastapi,flask")
