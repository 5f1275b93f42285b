"""Coalescing: one creates, nobody hangs, nobody shares."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from aa_cache_integration import CacheConfig, CacheManager

if TYPE_CHECKING:
    from collections.abc import Callable

WAIT = 20


class Owner:
    """A creator that tells when it runs and goes on when it is let."""

    def __init__(self, makes: Callable[[], Any]) -> None:
        self.makes = makes
        self.calls = 0
        self.running = threading.Event()
        self.go_on = threading.Event()

    def __call__(self) -> Any:
        self.calls += 1
        self.running.set()
        assert self.go_on.wait(WAIT)
        return self.makes()


@pytest.fixture
def manager() -> CacheManager:
    return CacheManager(CacheConfig())


def waiters_of(manager: CacheManager, key: str) -> int:
    flight = manager._flights._flights.get(("thread", key))
    return 0 if flight is None else flight.waiters


def fly(manager: CacheManager, owner: Owner, others: int = 5, creator: Callable[[], Any] | None = None) -> list[Any]:
    """Let one thread own the flight and others wait; return what each got, the owner first: a value or an exception."""

    def call(function: Callable[[], Any]) -> Any:
        try:
            return manager.singleflight_sync("key", function)
        except BaseException as error:  # noqa: BLE001 - what it ended by is the answer
            return error

    with ThreadPoolExecutor(others + 1) as pool:
        first = pool.submit(call, owner)
        assert owner.running.wait(WAIT)
        rest = [pool.submit(call, creator or owner) for _ in range(others)]
        while waiters_of(manager, "key") < others:
            threading.Event().wait(0.001)
        owner.go_on.set()
        return [first.result(WAIT), *(future.result(WAIT) for future in rest)]


def test_of_many_threads_one_creates(manager: CacheManager) -> None:
    owner = Owner(lambda: {"rows": [1]})
    assert fly(manager, owner) == [{"rows": [1]}] * 6
    assert owner.calls == 1


def test_nothing_is_kept(manager: CacheManager) -> None:
    owner = Owner(lambda: 1)
    fly(manager, owner)
    manager.singleflight_sync("key", owner)
    assert owner.calls == 2
    assert manager._flights._flights == {}


def test_each_gets_a_copy_of_its_own(manager: CacheManager) -> None:
    answers = fly(manager, Owner(lambda: {"rows": [1]}))
    answers[0]["rows"].append(2)
    assert answers[1:] == [{"rows": [1]}] * 5
    assert len({id(answer["rows"]) for answer in answers}) == 6


def test_what_the_owner_does_with_its_result_is_not_seen_by_slow_waiters(manager: CacheManager, monkeypatch: pytest.MonkeyPatch) -> None:
    """The copies are of the value as it was made, also when a waiter wakes after the owner has changed it."""
    late = threading.Event()
    passed = type(manager._flights._flights).__name__
    assert passed == "dict"
    from aa_cache_integration.core.flights import ThreadGate

    original = ThreadGate.passed

    async def slow(gate: ThreadGate) -> None:
        await original(gate)
        assert late.wait(WAIT)

    monkeypatch.setattr(ThreadGate, "passed", slow)
    owner = Owner(lambda: [1])
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(manager.singleflight_sync, "key", owner)
        assert owner.running.wait(WAIT)
        second = pool.submit(manager.singleflight_sync, "key", owner)
        while not waiters_of(manager, "key"):
            threading.Event().wait(0.001)
        owner.go_on.set()
        first.result(WAIT).append(2)
        late.set()
        assert second.result(WAIT) == [1]


def test_an_error_is_everybodys(manager: CacheManager) -> None:
    def fail() -> None:
        raise LookupError("no such thing")

    answers = fly(manager, Owner(fail))
    assert all(isinstance(answer, LookupError) for answer in answers)


@pytest.mark.parametrize("ending", [KeyboardInterrupt, GeneratorExit, SystemExit, asyncio.CancelledError])
def test_an_owner_that_is_interrupted_hands_over(manager: CacheManager, ending: type[BaseException]) -> None:
    def end() -> None:
        raise ending

    first, *rest = fly(manager, Owner(end), creator=lambda: "made")
    assert isinstance(first, ending)
    assert rest == ["made"] * 5


def test_a_call_from_within_does_not_wait_for_itself(manager: CacheManager) -> None:
    assert manager.singleflight_sync("key", lambda: manager.singleflight_sync("key", lambda: "inner") + "!") == "inner!"


def test_calls_for_other_keys_do_not_wait(manager: CacheManager) -> None:
    owner = Owner(lambda: 1)
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(manager.singleflight_sync, "key", owner)
        assert owner.running.wait(WAIT)
        assert manager.singleflight_sync("other", lambda: 2) == 2
        owner.go_on.set()
        first.result(WAIT)


def test_what_was_started_within_a_flight_coalesces_once_the_flight_is_over(manager: CacheManager) -> None:
    contexts: list[contextvars.Context] = []
    manager.singleflight_sync("key", lambda: contexts.append(contextvars.copy_context()))
    owner = Owner(lambda: 1)
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(manager.singleflight_sync, "key", owner)
        assert owner.running.wait(WAIT)
        second = pool.submit(contexts[0].run, manager.singleflight_sync, "key", owner)
        while not waiters_of(manager, "key"):
            assert not second.done()
            threading.Event().wait(0.001)
        owner.go_on.set()
        assert (first.result(WAIT), second.result(WAIT)) == (1, 1)
    assert owner.calls == 1


async def test_of_many_tasks_one_creates_and_each_gets_its_own(manager: CacheManager) -> None:
    calls = 0
    go_on = asyncio.Event()

    async def create() -> list[int]:
        nonlocal calls
        calls += 1
        await go_on.wait()
        return [1]

    tasks = [asyncio.create_task(manager.singleflight_async("key", create)) for _ in range(20)]
    await asyncio.sleep(0)
    go_on.set()
    answers = await asyncio.gather(*tasks)
    assert answers == [[1]] * 20
    assert calls == 1
    assert len({id(answer) for answer in answers}) == 20


async def test_a_cancelled_owner_hands_over_and_its_creator_ends(manager: CacheManager) -> None:
    ended: list[str] = []
    go_on = asyncio.Event()

    async def create() -> str:
        try:
            await go_on.wait()
        except asyncio.CancelledError:
            ended.append("cancelled")
            raise
        return "made"

    owner = asyncio.create_task(manager.singleflight_async("key", create))
    await asyncio.sleep(0)
    waiters = [asyncio.create_task(manager.singleflight_async("key", create)) for _ in range(3)]
    await asyncio.sleep(0)
    owner.cancel()
    await asyncio.wait([owner])
    assert owner.cancelled()
    assert ended == ["cancelled"]
    go_on.set()
    assert await asyncio.gather(*waiters) == ["made"] * 3


async def test_a_cancelled_waiter_leaves_the_owner_alone(manager: CacheManager) -> None:
    go_on = asyncio.Event()

    async def create() -> str:
        await go_on.wait()
        return "made"

    owner = asyncio.create_task(manager.singleflight_async("key", create))
    await asyncio.sleep(0)
    waiter = asyncio.create_task(manager.singleflight_async("key", create))
    await asyncio.sleep(0)
    waiter.cancel()
    await asyncio.wait([waiter])
    go_on.set()
    assert await owner == "made"


async def test_an_async_call_from_within_a_child_task_does_not_wait_for_its_parent(manager: CacheManager) -> None:
    async def inner() -> str:
        return "inner"

    async def outer() -> str:
        return await asyncio.create_task(manager.singleflight_async("key", inner)) + "!"

    assert await asyncio.wait_for(manager.singleflight_async("key", outer), WAIT) == "inner!"


def test_an_owner_that_is_thrown_away_from_another_context_leaves_nothing_behind(manager: CacheManager) -> None:
    """An event loop that ends drops its coroutines; they are closed in whatever context the collector runs."""

    async def create() -> None:
        await asyncio.get_running_loop().create_future()

    async def start() -> Any:
        coroutine = manager.singleflight_async("key", create)
        contextvars.copy_context().run(coroutine.send, None)
        return coroutine

    asyncio.run(start()).close()
    assert manager._flights._flights == {}


def test_event_loops_in_several_threads_use_one_manager(manager: CacheManager) -> None:
    async def create() -> int:
        await asyncio.sleep(0)
        return 1

    def loop() -> list[int]:
        async def several() -> list[int]:
            return await asyncio.gather(*(manager.singleflight_async("key", create) for _ in range(10)))

        return asyncio.run(several())

    with ThreadPoolExecutor(4) as pool:
        assert [future.result(WAIT) for future in [pool.submit(loop) for _ in range(8)]] == [[1] * 10] * 8
    assert manager._flights._flights == {}
