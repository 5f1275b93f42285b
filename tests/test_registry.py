"""The registry: caches by alias and by bind group, each built once and only when it is wanted."""

from __future__ import annotations

import asyncio
import gc
import os
import subprocess
import sys
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from aa_cache_integration import conf, registry
from aa_cache_integration.config import CacheConfig
from aa_cache_integration.exceptions import SettingsError, UnknownCacheError
from aa_cache_integration.manager import CacheManager
from aa_cache_integration.registry import CacheRegistry, caches, registries

if TYPE_CHECKING:
    from collections.abc import Iterator

TWO: dict[str, dict[str, Any]] = {
    "default": {"backend": "dogpile.cache.memory", "expiration_time": 5},
    "orders_eu": {"backend": "dogpile.cache.memory", "bind_group": "eu"},
}
ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def two() -> Iterator[CacheRegistry]:
    built = CacheRegistry.from_mapping(TWO)
    yield built
    built.close()


class Built:
    """What stands for a manager where a test watches it being built and closed."""

    def __init__(self, config: CacheConfig, *, alias: str, hooks: Any) -> None:
        self.config, self.alias, self.hooks, self.closed = config, alias, hooks, 0

    def close(self) -> None:
        self.closed += 1

    async def aclose(self) -> None:
        await asyncio.sleep(0)
        self.closed += 1


def test_an_alias_gives_its_manager_always_the_same_one(two: CacheRegistry) -> None:
    manager = two["default"]
    assert isinstance(manager, CacheManager)
    assert (manager.config.expiration_time, manager.alias) == (5, "default")
    assert two["default"] is manager
    assert two["orders_eu"] is not manager


def test_a_cache_from_the_registry_caches(two: CacheRegistry) -> None:
    two["default"].set_sync("k", 1)
    assert two["default"].get_sync("k") == 1


def test_fifty_threads_get_the_same_manager_and_one_is_built() -> None:
    made: list[Built] = []
    start = threading.Barrier(50)

    def build(config: CacheConfig, *, alias: str, hooks: Any) -> Any:
        made.append(Built(config, alias=alias, hooks=hooks))
        threading.Event().wait(0.01)  # long enough for the others to arrive
        return made[-1]

    slow = CacheRegistry.from_mapping(TWO, build=build)

    def ask(_: int) -> Any:
        start.wait(10)
        return slow["default"]

    with ThreadPoolExecutor(50) as pool:
        found = set(map(id, pool.map(ask, range(50))))
    assert len(made) == 1
    assert found == {id(made[0])}


def test_fifty_threads_load_one_settings_object() -> None:
    start = threading.Barrier(50)
    lazy = CacheRegistry(lambda: conf.from_mapping(TWO))

    def ask(_: int) -> int:
        start.wait(10)
        return id(lazy.settings)

    with ThreadPoolExecutor(50) as pool:
        assert len(set(pool.map(ask, range(50)))) == 1


def test_a_bind_group_gives_the_manager_that_serves_it(two: CacheRegistry) -> None:
    assert two.for_bind_group("eu") is two["orders_eu"]
    assert two.for_bind_group(None) is two["default"]


def test_an_unknown_alias_is_told_with_the_known_ones_and_the_nearest(two: CacheRegistry) -> None:
    with pytest.raises(UnknownCacheError) as caught:
        two["order_eu"]
    assert str(caught.value) == "no cache is called 'order_eu'; did you mean 'orders_eu'?; known: 'default', 'orders_eu'"
    assert isinstance(caught.value, KeyError)


def test_an_unknown_bind_group_is_told_with_the_served_ones(two: CacheRegistry) -> None:
    with pytest.raises(UnknownCacheError) as caught:
        two.for_bind_group("us")
    assert str(caught.value) == "no cache serves the bind group 'us'; served: None (the default group), 'eu'"
    with pytest.raises(UnknownCacheError, match="served: none"):
        CacheRegistry.from_mapping({}).for_bind_group(None)


def test_it_is_asked_like_a_mapping_and_builds_nothing_for_that() -> None:
    def build(config: CacheConfig, **_: Any) -> Any:
        pytest.fail("nothing is wanted yet")

    lazy = CacheRegistry.from_mapping(TWO, build=build)
    assert lazy.aliases() == ("default", "orders_eu")
    assert list(lazy) == ["default", "orders_eu"]
    assert len(lazy) == 2
    assert "default" in lazy
    assert "eu" not in lazy
    assert lazy.settings.caches["default"].expiration_time == 5
    assert repr(lazy) == "<CacheRegistry: default, orders_eu>"


def test_aliases_keep_the_order_in_which_they_are_declared() -> None:
    names = ("z", "a", "m")
    assert CacheRegistry.from_mapping({name: {"bind_group": name} for name in names}).aliases() == names


def test_the_managers_of_a_group_are_built_for_those_who_only_write() -> None:
    lazy = CacheRegistry.from_mapping(TWO)
    (manager,) = lazy.managers_for_group("eu")
    assert manager is lazy["orders_eu"]
    assert lazy.managers_for_group(None) == (lazy["default"],)
    assert lazy.managers_for_group("nobody's") == ()
    lazy.close()


def test_without_settings_the_default_group_has_the_null_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("AA_CACHE_") or name == "ENV_FOR_AA_CACHE"]:
        monkeypatch.delenv(name)
    (manager,) = CacheRegistry().managers_for_group(None)
    assert manager.config == CacheConfig()


def test_a_mapping_with_mistakes_is_refused_at_once() -> None:
    with pytest.raises(SettingsError, match="did you mean 'backend'"):
        CacheRegistry.from_mapping({"default": {"backen": "x"}})


def test_settings_with_mistakes_are_refused_at_each_use_until_they_are_mended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "cache.toml"
    file.write_text("[default.caches.default]\nbackend = 5")
    monkeypatch.setenv("AA_CACHE_SETTINGS", str(file))
    mended = CacheRegistry()
    for _ in range(2):
        with pytest.raises(SettingsError):
            mended["default"]
    file.write_text("[default.caches.default]\nmax_threads = 5")
    assert mended["default"].config.max_threads == 5


def test_importing_and_making_a_registry_reads_nothing(tmp_path: Path) -> None:
    (tmp_path / "settings.toml").write_text("not toml")
    code = (
        "import sys; from aa_cache_integration.registry import caches, CacheRegistry; CacheRegistry(); bool(caches); "
        "print(repr(caches), 'dynaconf' in sys.modules)"
    )
    done = subprocess.run(  # noqa: S603 - our own interpreter and code
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.stdout.strip() == "<CacheRegistry: not loaded> False", done.stderr


def test_closing_closes_what_was_built_once_and_leaves_the_rest_usable() -> None:
    made: list[Built] = []

    def build(config: CacheConfig, *, alias: str, hooks: Any) -> Any:
        made.append(Built(config, alias=alias, hooks=hooks))
        return made[-1]

    used = CacheRegistry.from_mapping(TWO, build=build)
    first = used["default"]
    used.close()
    used.close()
    assert [one.closed for one in made] == [1]
    assert used["default"] is not first
    asyncio.run(used.aclose())
    asyncio.run(used.aclose())
    assert [one.closed for one in made] == [1, 1]


def test_a_manager_that_fails_to_close_does_not_keep_the_others_open() -> None:
    made: dict[str, Built] = {}

    class Stubborn(Built):
        def close(self) -> None:
            super().close()
            raise OSError(self.alias)

    def build(config: CacheConfig, *, alias: str, hooks: Any) -> Any:
        made[alias] = Stubborn(config, alias=alias, hooks=hooks)
        return made[alias]

    used = CacheRegistry.from_mapping(TWO, build=build)
    for alias in used:
        used[alias]
    with pytest.raises(OSError, match=r"default|orders_eu"):
        used.close()
    assert [one.closed for one in made.values()] == [1, 1]


async def test_the_real_managers_close_from_a_loop_and_come_back(two: CacheRegistry) -> None:
    await two["default"].set_async("k", 1)
    await two.aclose()
    assert await two["default"].get_async("k") != 1
    await two.aclose()


def test_reloading_reads_anew_and_closes_what_was_built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "cache.toml"
    file.write_text("[default.caches.default]\nmax_threads = 5")
    monkeypatch.setenv("AA_CACHE_SETTINGS", str(file))
    made: list[Built] = []

    def build(config: CacheConfig, *, alias: str, hooks: Any) -> Any:
        made.append(Built(config, alias=alias, hooks=hooks))
        return made[-1]

    again = CacheRegistry(build=build)
    assert again["default"].config.max_threads == 5
    file.write_text("[default.caches.default]\nmax_threads = 6")
    assert again["default"].config.max_threads == 5
    assert again.reload().caches["default"].max_threads == 6
    assert again["default"].config.max_threads == 6
    assert [one.closed for one in made] == [1, 0]


def test_a_manager_is_never_built_from_settings_that_were_reloaded_meanwhile() -> None:
    """The reload comes between the look at the settings and the building."""
    loads = iter([conf.from_mapping({"default": {"max_threads": n}}) for n in (5, 6)])
    again = CacheRegistry(lambda: next(loads), build=Built)  # type: ignore[arg-type]
    load, once = again.load, iter([True])

    def load_then_reload() -> Any:
        settings = load()
        if next(once, False):
            again._settings = None
            load()
        return settings

    again.load = load_then_reload  # type: ignore[method-assign]
    assert again["default"].config.max_threads == 6


WIRED = """
import sqlalchemy
from aa_cache_integration.registry import CacheRegistry
from aa_cache_integration.orm import binding

engine, other = (sqlalchemy.create_engine("sqlite://") for _ in range(2))
caches = CacheRegistry.from_mapping({"default": {}, "orders_eu": {"bind_group": "eu"}})
listeners = sqlalchemy.event.registry._key_to_collection
before = len(listeners)
caches.bind(engine, "eu")
wired = len(listeners) > before
caches.ignore(other)
print(binding.binding_of(engine.dialect).bind_group, binding.is_ignored(other.dialect), wired)
"""


def test_binding_an_engine_binds_it_and_wires_the_listeners(tmp_path: Path) -> None:
    """In a process of its own, for listeners are global."""
    done = subprocess.run(  # noqa: S603 - our own interpreter and code
        [sys.executable, "-c", WIRED],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.stdout.strip() == "eu True True", done.stderr


def test_a_logging_table_gives_its_hook_to_every_cache(tmp_path: Path) -> None:
    file = tmp_path / "cache.log"
    logged = CacheRegistry.from_mapping(TWO, logging={"file": str(file), "level": "debug"})
    logged["default"].get_sync("k")
    logged["orders_eu"].get_sync("k")
    logged.close()
    lines = file.read_text().splitlines()
    assert [('"cache.miss"' in line, alias in line) for line, alias in zip(lines, TWO, strict=True)] == [(True, True)] * 2


def test_without_a_logging_table_the_hooks_are_left_to_the_manager() -> None:
    assert CacheRegistry.from_mapping(TWO, build=Built)["default"].hooks is None  # type: ignore[arg-type,attr-defined]


def test_live_registries_are_known_and_forgotten_ones_are_not() -> None:
    mine = CacheRegistry.from_mapping(TWO)
    assert {caches, mine} <= set(registries())
    gone = weakref.ref(mine)
    del mine
    gc.collect()
    assert gone() is None
    assert caches in registries()


def test_registries_may_come_while_others_are_listed() -> None:
    stop = threading.Event()
    errors: list[BaseException] = []

    def list_them() -> None:
        try:
            while not stop.is_set():
                registries()
        except BaseException as error:  # noqa: BLE001 - told by the assertion
            errors.append(error)

    watcher = threading.Thread(target=list_them)
    watcher.start()
    kept = [CacheRegistry() for _ in range(2000)]
    stop.set()
    watcher.join(10)
    assert len(kept) == 2000
    assert errors == []


def test_the_global_registry_is_one() -> None:
    assert registry.caches is caches
    assert isinstance(caches, CacheRegistry)
