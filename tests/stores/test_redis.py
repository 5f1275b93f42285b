"""What only a real server can show: time to live, lost scripts, outages, pools, event loops, round trips, foreign bytes."""

from __future__ import annotations

import asyncio
import gc
import os
import pickle
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
import redis
from dogpile.cache.api import NO_VALUE
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from aa_cache_integration import CacheConfig, CacheManager
from aa_cache_integration.core.drive import drive
from aa_cache_integration.stores.base import Announcement
from tests.commands import commands_counter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.commands import Counted
    from tests.conftest import RecordedEvents
    from tests.managers import Face
    from tests.servers import RedisServer


class Base(DeclarativeBase):
    pass


class Ship(Base):
    __tablename__ = "ships"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]


@pytest.fixture
def backend(redis_server: RedisServer) -> dict[str, Any]:
    """Redis alone."""
    return {"backend": "dogpile.cache.redis", "arguments": {"host": redis_server.host, "port": redis_server.port}}


@pytest.fixture
def client(redis_server: RedisServer) -> Iterator[redis.Redis]:
    """The application's own client of the same server."""
    with redis.Redis(redis_server.host, redis_server.port) as opened:
        yield opened


@pytest.fixture
def commands(client: redis.Redis) -> Callable[[], Counted]:
    """Tells which commands clients have sent since it was asked last."""
    return commands_counter(client)


# Round trips


async def test_a_hit_is_one_command(face: Face, commands: Callable[[], Counted]) -> None:
    await face("set", "key", 1)
    await face("set_entity", "ships", 1, Ship(id=1, name="Argo"))
    commands()
    assert await face("get", "key") == 1
    assert commands() == {"mget": 1}
    assert await face("get_entity", "ships", 1, Ship) is not None
    assert commands() == {"mget": 1}
    assert await face("get_or_create", "key", lambda: 2) == 1
    assert commands() == {"mget": 1}


async def test_a_miss_and_its_fill_are_a_lookup_a_lease_and_a_fill(face: Face, commands: Callable[[], Counted]) -> None:
    await face("get_or_create", "warm", lambda: 1)
    commands()
    await face("get_or_create", "key", lambda: 1)
    assert commands() == {"mget": 1, "evalsha": 2}
    await face("get_entity", "ships", 1, Ship)
    await face("set_entity", "ships", 1, Ship(id=1, name="Argo"))
    assert commands() == {"mget": 1, "evalsha": 2}


async def test_a_batch_costs_what_one_costs(face: Face, commands: Callable[[], Counted]) -> None:
    ids = list(range(100))
    ships = {number: Ship(id=number, name="Argo") for number in ids}
    for operation in ("get_entities", "set_entities", "invalidate_entities"):  # loads the scripts
        await face(
            operation,
            "ships",
            {500: Ship(id=500, name="x")} if operation == "set_entities" else [500],
            *[Ship][: operation == "get_entities"],
        )
    commands()
    await face("set_entities", "ships", ships)
    assert commands() == {"evalsha": 1}
    assert len([ship for ship in await face("get_entities", "ships", ids, Ship) if ship]) == 100
    assert commands() == {"mget": 1}
    await face("invalidate_entities", "ships", ids)
    assert commands() == {"evalsha": 1}
    assert await face("get_entities", "ships", ids, Ship) == [None] * 100
    assert commands() == {"mget": 1, "evalsha": 1}
    await face("set_entities", "ships", ships)
    assert commands() == {"evalsha": 1}
    assert all(await face("get_entities", "ships", ids, Ship))


async def test_intents_and_settling_cost_one_command_each(face: Face, commands: Callable[[], Counted], aa_cache_namespace: str) -> None:
    cells = tuple(f"{aa_cache_namespace}{number}" for number in range(200))
    protocol = face.manager.async_operations().protocol if face.is_async else face.manager.operations().protocol

    async def write() -> None:
        announcement = Announcement("W", cells, (f"{aa_cache_namespace}~record",))
        for step in (protocol.announce(announcement), protocol.settle(announcement)):
            await step if face.is_async else drive(step)

    await write()
    commands()
    await write()
    assert commands() == {"evalsha": 2}


# Time to live


async def test_every_key_has_a_time_to_live(face: Face, client: redis.Redis, aa_cache_namespace: str) -> None:
    await face("set", "set", 1)
    await face("get", "leased")
    await face("get_or_create", "forever", lambda: 1, -1)
    await face("get_or_create", "short", lambda: 1, 5)
    await face("set_entity", "ships", 1, Ship(id=1, name="Argo"))
    await face("get_entity", "ships", 2, Ship)
    await face("set_list", "list", [Ship(id=1, name="Argo")])
    await face("set_list", "empty", [])
    await face("get_model_version", "anything")
    await face("bump_model_version", "ships")
    await face("invalidate_entity", "ships", 3)
    await face("invalidate_all")
    face.manager.region.set(f"{aa_cache_namespace}region", 1)
    face.manager.region.set_multi({f"{aa_cache_namespace}regions": 1})  # type: ignore[attr-defined]
    announcement = Announcement("W", (f"{aa_cache_namespace}ships:get:9",), (f"{aa_cache_namespace}~:rows:ships",))
    drive(face.manager.operations().protocol.announce(announcement))
    keys = list(client.scan_iter(f"{aa_cache_namespace}*"))
    assert len(keys) >= 12
    assert {key: client.pttl(key) for key in keys if client.pttl(key) < 0} == {}  # type: ignore[operator]
    assert 0 < client.pttl(f"{aa_cache_namespace}short") <= 5000  # type: ignore[operator]


# Scripts, restarts, outages


async def test_scripts_that_the_server_forgot_are_sent_again(face: Face, client: redis.Redis, recorded_events: RecordedEvents) -> None:
    await face("get_or_create", "key", lambda: 1)
    client.script_flush()
    await face("delete", "key")
    client.script_flush()
    assert await face("get_or_create", "key", lambda: 2) == 2
    assert await face("get", "key") == 2
    assert "cache.degraded" not in recorded_events.names


async def test_a_restarted_server_is_used_again_at_once(face: Face, redis_server: RedisServer, recorded_events: RecordedEvents) -> None:
    await face("set", "key", 1)
    redis_server.restart()
    assert await face("get", "key") is NO_VALUE
    await face("set", "key", 2)
    assert await face("get", "key") == 2
    assert "cache.degraded" not in recorded_events.names


async def test_without_a_server_reads_are_misses_and_the_outage_is_told_once(
    face: Face, redis_server: RedisServer, recorded_events: RecordedEvents
) -> None:
    await face("set", "key", 1)
    redis_server.kill()
    for _ in range(20):
        assert await face("get", "key") is NO_VALUE
        assert await face("get_entity", "ships", 1, Ship) is None
        assert await face("get_entities", "ships", [1, 2], Ship) == [None, None]
        assert await face("get_list", "list", Ship) is None
        assert await face("get_list_and_count", "list", Ship) is None
        assert await face("get_or_create", "key", lambda: "made") == "made"
        assert await face("get_model_version", "ships") != await face("get_model_version", "ships")
        await face("set", "key", 1)
        await face("set_entity", "ships", 1, Ship(id=1, name="Argo"))
        await face("set_list", "list", [])
        await face("delete", "key")
        await face("bump_model_version", "ships")
        await face("invalidate_entities", "ships", [1, 2])
        await face("invalidate_all")
    assert recorded_events.names.count("cache.degraded") == 1
    redis_server.restart()
    face.manager._state.breaker._until = 0.0  # the rest is over
    assert await face("get_or_create", "key", lambda: "made") == "made"
    assert await face("get", "key") == "made"
    assert recorded_events.names.count("cache.recovered") == 1


async def test_what_was_deleted_during_an_outage_is_not_found_after_it(face: Face, redis_server: RedisServer) -> None:
    await face("set", "key", "old")
    redis_server.pause()
    await face("delete", "key")
    redis_server.resume()
    face.manager._state.breaker._until = 0.0
    assert await face("get", "key") is NO_VALUE


async def test_a_server_that_hangs_costs_one_timeout(face: Face, redis_server: RedisServer) -> None:
    await face("set", "key", 1)
    redis_server.pause()
    began = asyncio.get_running_loop().time()
    for _ in range(50):
        assert await face("get", "key") is NO_VALUE
    assert asyncio.get_running_loop().time() - began < 4


# Pools, threads, loops


def test_two_hundred_threads_on_a_small_pool_never_see_an_error(
    managers: Callable[..., CacheManager], recorded_events: RecordedEvents
) -> None:
    manager = managers(max_threads=4)
    start = threading.Barrier(200)

    def use(number: int) -> list[Any]:
        start.wait(30)
        return [manager.get_or_create_sync(f"key{(number + turn) % 20}", lambda: "made") for turn in range(10)]

    with ThreadPoolExecutor(200) as pool:
        answers = list(pool.map(use, range(200)))
    assert answers == [["made"] * 10] * 200
    assert not {"cache.degraded", "cache.rejected"} & set(recorded_events.names)


async def test_two_hundred_tasks_on_a_small_pool_never_see_an_error(
    managers: Callable[..., CacheManager], recorded_events: RecordedEvents
) -> None:
    manager = managers(max_threads=4)

    async def create() -> str:
        return "made"

    tasks = [manager.get_or_create_async(f"key{number % 20}", create) for number in range(200)]
    assert await asyncio.gather(*tasks) == ["made"] * 200
    assert not {"cache.degraded", "cache.rejected"} & set(recorded_events.names)
    await manager.aclose()


def test_event_loops_in_several_threads_use_one_manager(
    managers: Callable[..., CacheManager], backend: dict[str, Any], recorded_events: RecordedEvents
) -> None:
    patient = {"socket_timeout": 30, "socket_connect_timeout": 30}  # on a busy machine a loop's turn may be long in coming
    manager = managers(arguments={**backend["arguments"], **patient})

    async def use() -> list[Any]:
        await asyncio.gather(*(manager.set_async(f"key{number}", number) for number in range(20)))
        return [await manager.get_async(f"key{number}") for number in range(20)]

    with ThreadPoolExecutor(8) as pool:
        answers = [future.result(60) for future in [pool.submit(asyncio.run, use()) for _ in range(40)]]
    assert answers == [list(range(20))] * 40
    assert "cache.degraded" not in recorded_events.names


def test_loops_that_have_ended_leave_no_socket_and_no_warning(managers: Callable[..., CacheManager], client: redis.Redis) -> None:
    manager = managers()
    before = len(client.client_list())
    for number in range(10):
        asyncio.run(manager.set_async("key", number))
    gc.collect()
    assert len(client.client_list()) <= before + 1  # the last loop's, until the next one or `close`
    manager.close()
    gc.collect()
    assert manager.get_sync("key") == 9


LEFT_OPEN = """
import asyncio, sys
from aa_cache_integration import CacheConfig, CacheManager

config = CacheConfig(backend="dogpile.cache.redis", key_prefix=sys.argv[1], arguments={"host": sys.argv[2], "port": int(sys.argv[3])})
manager = CacheManager(config)
asyncio.run(manager.set_async("key", 1))
dropped = CacheManager(config)
asyncio.run(dropped.get_async("key"))
dropped.get_sync("key")
del dropped
"""


def test_a_manager_that_nobody_closed_gives_no_warning(redis_server: RedisServer, aa_cache_namespace: str) -> None:
    arguments = [
        sys.executable,
        "-X",
        "dev",
        "-W",
        "always",
        "-c",
        LEFT_OPEN,
        aa_cache_namespace,
        redis_server.host,
        str(redis_server.port),
    ]
    environment = {**os.environ, "PYTHONPATH": os.getcwd()}  # noqa: PTH109 - where the tests run
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=60, check=False, env=environment)  # noqa: S603
    assert done.returncode == 0
    assert "ResourceWarning" not in done.stderr
    assert "Exception" not in done.stderr


async def test_a_manager_that_is_dropped_in_a_running_loop_disturbs_no_other(
    managers: Callable[..., CacheManager], client: redis.Redis
) -> None:
    """Its sockets are closed by the loop.

    Closed behind the loop's back, their numbers would be given to new sockets, and the loop would wait for the wrong ones.
    """
    kept = managers()
    await kept.set_async("key", 1)
    before = len(client.client_list())
    for number in range(10):
        dropped = CacheManager(kept.config)
        await asyncio.gather(*(dropped.set_async(f"key{other}", number) for other in range(5)))
        del dropped
        gc.collect()
        assert await asyncio.wait_for(kept.get_async("key0"), 10) == number
    for _ in range(2000):  # until the loop has closed them and the server has seen it
        if len(client.client_list()) <= before:
            break
        await asyncio.sleep(0.001)
    assert len(client.client_list()) <= before
    await kept.aclose()


async def test_a_cancelled_call_spoils_no_connection_for_the_next(managers: Callable[..., CacheManager], redis_server: RedisServer) -> None:
    """An answer that nobody has read would be taken for the answer to the next command."""
    manager = managers(max_threads=1)
    for name in ("a", "b"):
        await manager.set_async(name, name)
    for _ in range(20):
        redis_server.pause()
        try:
            task = asyncio.create_task(manager.get_async("a"))
            for _ in range(5):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait([task])
        finally:
            redis_server.resume()
        assert await manager.get_async("b") == "b"
    await manager.aclose()


async def test_a_reader_that_is_cancelled_while_it_creates_gives_its_lease_back(face: Face) -> None:
    started = asyncio.Event()

    async def create() -> None:
        started.set()
        await asyncio.get_running_loop().create_future()

    task = asyncio.create_task(face.manager.get_or_create_async("key", create))
    await started.wait()
    task.cancel()
    await asyncio.wait([task])
    assert await asyncio.wait_for(face.manager.get_or_create_async("key", lambda: "made"), 1) == "made"
    assert await face("get", "key") == "made"


# Foreign bytes


class Trap:
    """A pickle that leaves a mark where it is loaded."""

    def __init__(self, mark: str) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (self.mark,)


@pytest.mark.parametrize(
    "planted",
    [
        b"",
        b"|",
        b"garbage",
        b"\x80\x05\x95",
        b'{"ct":1.0,"v":2}|',
        b'{"ct":1.0,"v":99,"d":"a b"}|p\x01',
        b'{"ct":1e999,"v":2,"d":"a b"}|p\x01',
        b"{}|L someone",
        b"{}|W someone@99999999999999999",
        b"{}|W malformed",
        b"{}|R t 1 r",
        b'{"x":' + b"[" * 100_000,
        "pickle",
        "truncated",
        "other kind",
    ],
)
@pytest.mark.filterwarnings("error")
async def test_what_others_planted_under_our_keys_is_a_miss_and_never_executed(
    face: Face, client: redis.Redis, aa_cache_namespace: str, planted: bytes | str, tmp_path: Path
) -> None:
    mark = tmp_path / "executed"
    await face("set", "key", "old")
    await face("set_entity", "ships", 1, Ship(id=1, name="Argo"))
    await face("set_list", "list", [Ship(id=1, name="Argo")])
    keys = [f"{aa_cache_namespace}{name}" for name in ("key", "ships:get:1", "list")]
    contents = [client.get(key) for key in keys]
    for key, content, other in zip(keys, contents, contents[1:] + contents[:1], strict=True):
        assert isinstance(content, bytes)
        assert isinstance(other, bytes)
        head = content.partition(b"|")[0] + b"|"
        named = {"pickle": head + pickle.dumps(Trap(str(mark))), "truncated": content[:-3], "other kind": other}
        client.set(key, named[planted] if isinstance(planted, str) else planted, px=60_000)
    assert await face("get", "key") is NO_VALUE
    assert face.manager.region.get(keys[0]) in {NO_VALUE, "old"}
    assert await face("get_entity", "ships", 1, Ship) is None
    assert await face("get_list", "list", Ship) is None
    assert await face("get_list_and_count", "list", Ship) is None
    assert not mark.exists()


async def test_keys_of_another_type_are_a_miss_and_are_replaced(
    face: Face, client: redis.Redis, aa_cache_namespace: str, recorded_events: RecordedEvents
) -> None:
    names = ("key", "ships:get:1", "~namespace", "~:namespace", "~:rows:ships", "~:bulk:ships")
    for name in names:
        client.hset(f"{aa_cache_namespace}{name}", "field", "value")
    assert await face("get", "key") is NO_VALUE
    await face("set", "key", 1)
    await face("set_entity", "ships", 1, Ship(id=1, name="Argo"))
    await face("bump_model_version", "ships")
    assert await face("get", "key") == 1
    assert (await face("get_entity", "ships", 1, Ship)).name == "Argo"
    client.delete(f"{aa_cache_namespace}key")
    client.hset(f"{aa_cache_namespace}key", "field", "value")
    await face("delete", "key")
    assert "cache.degraded" not in recorded_events.names


async def test_the_region_shows_plain_values_alone(face: Face, client: redis.Redis, aa_cache_namespace: str) -> None:
    region = face.manager.region
    await face("set", "plain", {"a": (1, 2)})
    await face("get", "leased")
    await face("set_entity", "ships", 1, Ship(id=1, name="Argo"))
    drive(face.manager.operations().protocol.announce(Announcement("W", (f"{aa_cache_namespace}written",), ())))
    client.set(f"{aa_cache_namespace}foreign", b"\x80\x05foreign", px=60_000)
    assert region.get(f"{aa_cache_namespace}plain") == {"a": (1, 2)}
    for name in ("leased", "ships:get:1", "written", "foreign", "~namespace", "nothing"):
        assert region.get(f"{aa_cache_namespace}{name}") is NO_VALUE
    assert region.get_multi([f"{aa_cache_namespace}{name}" for name in ("plain", "leased")]) == [{"a": (1, 2)}, NO_VALUE]  # type: ignore[attr-defined]


async def test_what_a_region_is_given_comes_back(face: Face, aa_cache_namespace: str) -> None:
    region = face.manager.region
    region.set(f"{aa_cache_namespace}key", [1, b"x", None])
    assert region.get(f"{aa_cache_namespace}key") == [1, b"x", None]
    assert region.get_or_create(f"{aa_cache_namespace}key", lambda: 2) == [1, b"x", None]
    region.set_multi({f"{aa_cache_namespace}one": 1, f"{aa_cache_namespace}two": 2})  # type: ignore[attr-defined]
    assert region.get_multi([f"{aa_cache_namespace}one", f"{aa_cache_namespace}two"]) == [1, 2]  # type: ignore[attr-defined]
    region.delete(f"{aa_cache_namespace}key")
    assert region.get(f"{aa_cache_namespace}key") is NO_VALUE


# Arguments


async def test_a_url_is_taken_for_both_clients(redis_server: RedisServer, aa_cache_namespace: str) -> None:
    manager = CacheManager(CacheConfig(backend="dogpile.cache.redis", key_prefix=aa_cache_namespace, arguments={"url": redis_server.url}))
    manager.set_sync("key", 1)
    assert await manager.get_async("key") == 1
    await manager.aclose()


async def test_the_applications_own_pool_is_used_for_both_faces(redis_server: RedisServer, aa_cache_namespace: str) -> None:
    pool = redis.BlockingConnectionPool(host=redis_server.host, port=redis_server.port, max_connections=2)
    arguments = {"connection_pool": pool}
    manager = CacheManager(CacheConfig(backend="dogpile.cache.redis", key_prefix=aa_cache_namespace, arguments=arguments))
    manager.set_sync("key", 1)
    assert await manager.get_async("key") == 1
    assert await asyncio.gather(*(manager.get_async("key") for _ in range(50))) == [1] * 50
    await manager.aclose()


def test_arguments_that_the_client_refuses_are_told(recorded_events: RecordedEvents) -> None:
    config = CacheConfig(backend="dogpile.cache.redis", arguments={"connection_kwargs": {"no_such_option": 1}})
    manager = CacheManager(config)
    assert manager.get_sync("key") is NO_VALUE
    assert any("no_such_option" in str(event.reason) for event in recorded_events if event.name == "cache.rejected")
