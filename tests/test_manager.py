"""Plain keys, versions, namespaces and coalescing of a manager: sync and async, in memory and on a real Redis."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
from dogpile.cache.api import NO_VALUE

from aa_cache_integration import CacheConfig, CacheManager, ConfigurationError, IdentityError, NullRegion, SerializationError
from aa_cache_integration.core.drive import drive
from aa_cache_integration.manager import live_managers
from aa_cache_integration.stores.base import Announcement

if TYPE_CHECKING:
    from tests.conftest import RecordedEvents
    from tests.managers import Face, Managers
    from tests.servers import RedisServer

WAIT = 20


class Creator:
    """Makes a new value at each call, and counts them."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self) -> str:
        self.calls += 1
        return f"made {self.calls}"


# Plain keys


async def test_a_value_that_was_set_is_found_until_it_is_deleted(face: Face) -> None:
    assert await face("get", "key") is NO_VALUE
    await face("set", "key", {"rows": [1, (2, 3)], "at": b"\x00"})
    assert await face("get", "key") == {"rows": [1, (2, 3)], "at": b"\x00"}
    await face("delete", "key")
    assert await face("get", "key") is NO_VALUE


async def test_both_faces_have_one_store(managers: Managers) -> None:
    manager = managers()
    manager.set_sync("key", 1)
    assert await manager.get_async("key") == 1
    await manager.delete_async("key")
    assert manager.get_sync("key") is NO_VALUE


@pytest.mark.parametrize("value", [None, 0, "", False, [], {}])
async def test_a_cached_nothing_is_a_hit(face: Face, value: object) -> None:
    await face("set", "key", value)
    assert await face("get", "key") == value
    creator = Creator()
    assert await face("get_or_create", "key", creator) == value
    assert creator.calls == 0


async def test_a_hit_is_the_callers_own(face: Face) -> None:
    await face("set", "key", [1])
    (await face("get", "key")).append(2)
    assert await face("get", "key") == [1]


async def test_a_value_of_no_safe_form_is_refused(face: Face) -> None:
    with pytest.raises(SerializationError):
        await face("set", "key", object())


@pytest.mark.parametrize("operation", ["get", "set", "delete", "get_or_create", "get_list", "set_list"])
async def test_a_key_that_is_no_string_is_refused(face: Face, operation: str) -> None:
    arguments: dict[str, tuple[Any, ...]] = {"set": (1,), "get_or_create": (Creator(),), "get_list": (Base,), "set_list": ([],)}
    with pytest.raises(IdentityError, match="key must be a string, not 5"):
        await face(operation, 5, *arguments.get(operation, ()))


class Base:
    """Not mapped."""


async def test_a_put_after_a_miss_is_refused_once_the_key_was_deleted(face: Face) -> None:
    """The value was loaded before the delete, by whoever asked first."""
    assert await face("get", "key") is NO_VALUE
    await asyncio.to_thread(face.manager.delete_sync, "key")
    await face("set", "key", "old")
    assert await face("get", "key") is NO_VALUE


async def test_a_put_after_a_miss_is_worth_nothing_once_all_was_invalidated(face: Face) -> None:
    assert await face("get", "key") is NO_VALUE
    await asyncio.to_thread(face.manager.invalidate_all_sync)
    await face("set", "key", "old")
    assert await face("get", "key") is NO_VALUE


@pytest.mark.parametrize("forgetting", [("delete", "key"), ("invalidate_all",)])
async def test_after_an_invalidation_of_ones_own_a_put_is_explicit(face: Face, forgetting: tuple[str, ...]) -> None:
    await face("get", "key")
    await face(*forgetting)
    await face("set", "key", "new")
    assert await face("get", "key") == "new"


async def test_a_put_after_get_or_create_is_explicit(face: Face) -> None:
    await face("get", "key")
    await face("get_or_create", "key", Creator())
    await face("set", "key", "new")
    assert await face("get", "key") == "new"


async def test_a_lease_does_not_reach_another_managers_put(managers: Managers) -> None:
    """Managers come and go, and a new one may be made where an old one was."""
    for number in range(20):
        manager = CacheManager(CacheConfig(backend="dogpile.cache.memory"))
        if number % 2 == 0:
            manager.get_sync("key")
            del manager
        else:
            manager.set_sync("key", number)
            assert manager.get_sync("key") == number


# get_or_create


async def test_a_value_is_created_once(face: Face) -> None:
    creator = Creator()
    for _ in range(3):
        assert await face("get_or_create", "key", creator) == "made 1"


async def test_zero_seconds_means_always_created(face: Face) -> None:
    creator = Creator()
    assert await face("get_or_create", "key", creator) == "made 1"
    assert await face("get_or_create", "key", creator, 0) == "made 2"
    assert await face("get_or_create", "key", creator, 0) == "made 3"


async def test_minus_one_means_for_ever(managers: Managers, face: Face) -> None:
    forgetful = face.of(managers(expiration_time=0))
    creator = Creator()
    assert await forgetful("get_or_create", "key", creator, -1) == "made 1"
    assert await forgetful("get_or_create", "key", creator, -1) == "made 1"
    assert await forgetful("get", "key") == "made 1"


async def test_none_means_the_caches_own(managers: Managers, face: Face) -> None:
    creator = Creator()
    forgetful = face.of(managers(expiration_time=0))
    await forgetful("get_or_create", "key", creator, None)
    await forgetful("get_or_create", "key", creator)
    assert creator.calls == 2
    for_ever = face.of(managers(expiration_time=-1))
    await for_ever("get_or_create", "other", creator)
    assert await for_ever("get_or_create", "other", creator) == "made 3"


async def test_a_cache_of_zero_seconds_keeps_nothing(managers: Managers, face: Face) -> None:
    forgetful = face.of(managers(expiration_time=0))
    await forgetful("set", "key", 1)
    assert await forgetful("get", "key") is NO_VALUE


@pytest.mark.parametrize("error", [LookupError, asyncio.CancelledError, SerializationError])
async def test_a_creator_that_fails_gives_the_lease_back(face: Face, error: type[BaseException]) -> None:
    def fail() -> None:
        raise error("no")

    with pytest.raises(error):
        await face("get_or_create", "key", fail)
    await asyncio.wait_for(asyncio.to_thread(face.manager.get_or_create_sync, "key", lambda: "made"), WAIT)
    assert await face("get", "key") == "made"


@pytest.mark.parametrize("backend", ["redis"], indirect=True)
def test_a_coroutine_that_is_thrown_away_while_it_creates_ends_quietly(managers: Managers) -> None:
    """An event loop that ends closes what is under way; a closed coroutine may not await."""
    manager = managers(lease_timeout=1)

    async def create() -> None:
        started.set()
        await asyncio.get_running_loop().create_future()

    async def start() -> asyncio.Task[None]:
        task = asyncio.create_task(manager.get_or_create_async("key", create))
        await started.wait()
        return task

    started = asyncio.Event()
    loop = asyncio.new_event_loop()
    task = loop.run_until_complete(start())
    task.get_coro().close()  # type: ignore[union-attr]
    task._log_destroy_pending = False  # type: ignore[attr-defined]
    loop.close()


def test_a_creator_that_is_interrupted_gives_the_lease_back(managers: Managers) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    manager = managers()
    with pytest.raises(KeyboardInterrupt):
        manager.get_or_create_sync("key", interrupt)
    assert manager.get_or_create_sync("key", lambda: "made") == manager.get_sync("key") == "made"


async def test_a_value_of_no_safe_form_is_returned_uncached_and_told(face: Face, recorded_events: RecordedEvents) -> None:
    value = object()
    assert await face("get_or_create", "key", lambda: value) is value
    assert "cache.rejected" in recorded_events.names
    assert await face("get_or_create", "key", lambda: "made") == "made"


async def test_an_asynchronous_creator_is_awaited_in_the_loop(managers: Managers) -> None:
    loops: list[object] = []

    async def create() -> str:
        loops.append(asyncio.get_running_loop())
        await asyncio.sleep(0)
        return "made"

    assert await managers().get_or_create_async("key", create) == "made"
    assert await managers().get_or_create_async("lambda", lambda: create()) == "made"  # noqa: PLW0108
    assert set(loops) == {asyncio.get_running_loop()}


async def test_a_synchronous_creator_runs_in_a_thread_and_never_more_than_max_threads(managers: Managers) -> None:
    manager = managers(max_threads=3)
    running, most, lock, full = 0, 0, threading.Lock(), threading.Event()

    def create() -> bool:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
            if running == 3:
                full.set()
        assert full.wait(WAIT)
        with lock:
            running -= 1
        return threading.current_thread() is threading.main_thread()

    answers = await asyncio.gather(*(manager.get_or_create_async(f"key{number}", create) for number in range(12)))
    assert answers == [False] * 12
    assert most == 3
    await manager.aclose()


def test_an_asynchronous_creator_in_synchronous_code_is_refused(managers: Managers) -> None:
    async def create() -> None:
        """Never awaited."""

    with pytest.raises(SerializationError, match="get_or_create_async"):
        managers().get_or_create_sync("key", create)


def test_of_a_herd_of_threads_one_creates(managers: Managers) -> None:
    manager, creator, start = managers(lease_wait=WAIT), Creator(), threading.Barrier(20)

    def use(_: int) -> str:
        start.wait(WAIT)
        return manager.get_or_create_sync("key", creator)

    with ThreadPoolExecutor(20) as pool:
        assert list(pool.map(use, range(20))) == ["made 1"] * 20


async def test_of_a_herd_of_tasks_one_creates(managers: Managers) -> None:
    manager, creator = managers(lease_wait=WAIT), Creator()

    async def create() -> str:
        await asyncio.sleep(0)
        return creator()

    assert await asyncio.gather(*(manager.get_or_create_async("key", create) for _ in range(50))) == ["made 1"] * 50


@pytest.mark.parametrize("backend", ["redis"], indirect=True)
def test_of_two_processes_herds_one_creates(managers: Managers) -> None:
    """Two managers know as little of each other as two processes do."""
    both, creator, start = (managers(lease_wait=WAIT), managers(lease_wait=WAIT)), Creator(), threading.Barrier(20)

    def use(number: int) -> str:
        start.wait(WAIT)
        return both[number % 2].get_or_create_sync("key", creator)

    with ThreadPoolExecutor(20) as pool:
        assert list(pool.map(use, range(20))) == ["made 1"] * 20


async def test_a_creator_may_use_the_cache_itself(face: Face) -> None:
    manager = face.manager
    assert await face("get_or_create", "outer", lambda: manager.get_or_create_sync("inner", lambda: "inner") + "!") == "inner!"
    assert await face("get", "inner") == "inner"


# Off


async def test_a_disabled_cache_reads_and_fills_nothing(managers: Managers, face: Face) -> None:
    off = face.of(managers(enabled=False))
    await off("set", "key", 1)
    assert await off("get", "key") is NO_VALUE
    assert await face("get", "key") is NO_VALUE
    creator = Creator()
    assert [await off("get_or_create", "key", creator) for _ in range(2)] == ["made 1", "made 2"]
    assert isinstance(off.manager.region, NullRegion)


@pytest.mark.parametrize("backend", ["redis"], indirect=True)
@pytest.mark.parametrize("invalidation", [("delete", "key"), ("invalidate_all",)])
async def test_a_disabled_process_still_invalidates_what_others_share(
    managers: Managers, face: Face, invalidation: tuple[str, ...]
) -> None:
    await face("set", "key", 1)
    off = face.of(managers(enabled=False))
    await off(*invalidation)
    assert await face("get", "key") is NO_VALUE


@pytest.mark.parametrize("backend", ["redis"], indirect=True)
async def test_a_disabled_process_still_renews_versions(managers: Managers, face: Face) -> None:
    before = await face("get_model_version", "users")
    off = face.of(managers(enabled=False))
    assert await off("get_model_version", "users") == before
    renewed = await off("bump_model_version", "users")
    assert before != renewed == await face("get_model_version", "users")


# Versions


async def test_a_version_stays_until_it_is_bumped(face: Face) -> None:
    first = await face("get_model_version", "users")
    assert await face("get_model_version", "users") == first
    assert await face("get_model_version", "orders") != first
    second = await face("bump_model_version", "users")
    assert second != first
    assert await face("get_model_version", "users") == second


async def test_a_first_version_is_random(managers: Managers, face: Face) -> None:
    """A fixed one would be valid again after an eviction."""
    versions = {await face("get_model_version", "users")}
    for number in range(5):
        versions.add(await face.of(managers(key_prefix=f"{face.manager.config.key_prefix}{number}:"))("get_model_version", "users"))
    assert len(versions) == 6


@pytest.mark.parametrize("backend", ["redis"], indirect=True)
async def test_a_version_is_never_remembered_by_a_process(managers: Managers, face: Face) -> None:
    other = face.of(managers())
    await face("get_model_version", "users")
    renewed = await other("bump_model_version", "users")
    assert await face("get_model_version", "users") == renewed


async def test_under_an_open_intent_versions_are_thrown_away(face: Face) -> None:
    protocol = face.manager.operations().protocol
    announcement = Announcement("W", (), face.manager.planner.version("users", None)[:1])
    drive(protocol.announce(announcement))
    versions = [await face("get_model_version", "users") for _ in range(3)]
    drive(protocol.settle(announcement))
    assert len({*versions, await face("get_model_version", "users")}) == 4


@pytest.mark.parametrize("operation", ["get_model_version", "bump_model_version", "invalidate_entity"])
async def test_a_model_name_that_is_no_string_is_refused(face: Face, operation: str) -> None:
    with pytest.raises(IdentityError, match="model_name must be a string"):
        await face(operation, CacheConfig, *[1][: operation == "invalidate_entity"])


# Namespaces


async def test_groups_are_namespaces_of_their_own(managers: Managers, face: Face) -> None:
    assert await face("get_model_version", "users", "eu") != await face("get_model_version", "users")
    us_before = await face("get_model_version", "users", "us")
    await face("bump_model_version", "users", "eu")
    assert await face("get_model_version", "users", "us") == us_before


@pytest.mark.parametrize("backend", ["redis"], indirect=True)
async def test_a_managers_own_group_is_what_another_calls_by_its_name(managers: Managers, face: Face) -> None:
    eu = face.of(managers(bind_group="eu"))
    assert await eu("get_model_version", "users") == await face("get_model_version", "users", "eu")
    await eu("set", "key", "eu")
    await face("set", "key", "default")
    assert await eu("get", "key") == "eu"


@pytest.mark.parametrize("backend", ["redis"], indirect=True)
async def test_invalidate_all_reaches_all_groups_and_no_other_prefix(managers: Managers, face: Face) -> None:
    prefix = face.manager.config.key_prefix
    eu, neighbour = face.of(managers(bind_group="eu")), face.of(managers(key_prefix=f"{prefix}other:"))
    for each in (face, eu, neighbour):
        await each("set", "key", 1)
    await face("invalidate_all")
    assert await face("get", "key") is NO_VALUE
    assert await eu("get", "key") is NO_VALUE
    assert await neighbour("get", "key") == 1


ELSEWHERE = """
import sys
from aa_cache_integration import CacheConfig, CacheManager

config = CacheConfig(backend="dogpile.cache.redis", key_prefix=sys.argv[1], arguments={"host": sys.argv[2], "port": int(sys.argv[3])})
manager = CacheManager(config)
assert manager.get_sync("key") == 1
exec(sys.argv[4])
manager.close()
"""


@pytest.mark.parametrize("backend", ["redis"], indirect=True)
@pytest.mark.parametrize("does", ["manager.invalidate_all_sync()", "manager.delete_sync('key')"])
async def test_an_invalidation_reaches_other_processes_at_once(face: Face, redis_server: RedisServer, does: str) -> None:
    await face("set", "key", 1)
    command = [sys.executable, "-c", ELSEWHERE, face.manager.config.key_prefix, redis_server.host, str(redis_server.port), does]
    environment = {**os.environ, "PYTHONPATH": os.getcwd()}  # noqa: PTH109 - where the tests run
    subprocess.run(command, check=True, timeout=60, env=environment)  # noqa: ASYNC221, S603
    assert await face("get", "key") is NO_VALUE


# Life


async def test_a_closed_manager_opens_again_when_it_is_used(face: Face) -> None:
    await face("set", "key", 1)
    await (face.manager.aclose() if face.is_async else asyncio.to_thread(face.manager.close))
    await face("set", "key", 2)
    assert await face("get", "key") == 2
    assert face.manager.get_sync("key") == await face.manager.get_async("key") == 2


def test_a_manager_that_is_closed_while_it_is_first_used_keeps_one_store(monkeypatch: pytest.MonkeyPatch) -> None:
    """With two, what one face deletes the other would still find."""
    manager = CacheManager(CacheConfig(backend="dogpile.cache.memory"))
    original, closing = manager._store, threading.Thread(target=manager.close)

    def closed_meanwhile() -> Any:
        store = original()
        if closing.ident is None:
            closing.start()
            closing.join(0.2)  # it waits for its turn
        return store

    monkeypatch.setattr(manager, "_store", closed_meanwhile)
    manager.set_sync("key", 1)
    closing.join(WAIT)
    manager.set_sync("key", 2)
    assert asyncio.run(manager.get_async("key")) == 2


def test_nothing_is_built_before_the_first_use(recorded_events: RecordedEvents) -> None:
    manager = CacheManager(CacheConfig(backend="no.such.backend"))
    assert recorded_events == []
    assert manager.get_sync("key") is NO_VALUE
    assert recorded_events.names == ["cache.rejected"]


def test_one_region_is_built_whatever_threads_ask_first() -> None:
    built: list[int] = []

    class Region(dict[str, Any]):
        set = dict.__setitem__
        delete = dict.pop

    def make(_: CacheConfig) -> Region:
        built.append(1)
        return Region()

    manager, start = CacheManager(CacheConfig(region_factory=make)), threading.Barrier(16)

    def use(number: int) -> Any:
        start.wait(WAIT)
        return manager.set_sync(f"key{number}", number) or manager.get_sync(f"key{number}")

    with ThreadPoolExecutor(16) as pool:
        assert list(pool.map(use, range(16))) == list(range(16))
    assert built == [1]


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"expiration_time": "soon"}, "expiration_time"),
        ({"jitter": 2.0}, "jitter"),
        ({"consistency": "sometimes"}, "consistency"),
        ({"key_prefix": None}, "key_prefix"),
        ({"arguments": []}, "arguments"),
    ],
)
def test_a_configuration_that_can_not_work_is_refused_at_once(options: dict[str, Any], named: str) -> None:
    with pytest.raises(ConfigurationError, match=named):
        CacheManager(CacheConfig(**options))


def test_live_managers_are_those_in_use() -> None:
    manager = CacheManager(CacheConfig())
    assert manager in live_managers()
    count = len(live_managers())
    del manager
    assert len(live_managers()) == count - 1


# Events


async def test_each_operation_tells_what_it_did(face: Face, recorded_events: RecordedEvents) -> None:
    await face("get_or_create", "key", Creator())
    await face("get", "key")
    await face("delete", "key")
    told = [(event.name, event.op) for event in recorded_events]
    assert told == [
        ("cache.miss", "get_or_create"),
        ("cache.fill", "get_or_create"),
        ("cache.hit", "get"),
        ("cache.invalidate", "delete"),
    ]
    assert {event.key for event in recorded_events} == {f"{face.manager.config.key_prefix}key"}


def test_the_synchronous_and_the_asynchronous_face_have_one_signature() -> None:
    import inspect

    names = [name.removesuffix("_sync") for name in dir(CacheManager) if name.endswith("_sync")]
    assert len(names) > 20
    for name in names:
        faces = [inspect.signature(getattr(CacheManager, f"{name}_{face}")) for face in ("sync", "async")]
        parameters: list[list[Any]] = [[(p.name, p.default, p.kind) for p in face.parameters.values()] for face in faces]
        assert parameters[0] == parameters[1], name
