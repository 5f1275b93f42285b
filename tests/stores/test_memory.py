"""The memory store: bounded, swept, safe over a fork."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import warnings

import pytest

from aa_cache_integration import CacheConfig, CacheManager
from aa_cache_integration.core import envelope
from aa_cache_integration.core.drive import drive
from aa_cache_integration.core.envelope import Intent, Record
from aa_cache_integration.stores.memory import MemorySlots


def slots_of(manager: CacheManager) -> MemorySlots:
    slots = manager.region.actual_backend._cache  # type: ignore[attr-defined]
    assert isinstance(slots, MemorySlots)
    return slots


class Clock:
    now = 1_700_000_000_000_000

    def __call__(self) -> int:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_the_least_recently_used_goes_first(clock: Clock) -> None:
    slots = MemorySlots(3, 60_000, clock)
    for key in "abc":
        slots.put(key, b"v", 60_000)
    slots.get("a")
    slots.put("d", b"v", 60_000)
    assert [key for key in "abcd" if slots.get(key)] == ["a", "c", "d"]


@pytest.mark.parametrize("announced", ["cell", "record"])
def test_a_standing_write_intent_is_never_evicted(clock: Clock, announced: str) -> None:
    """A reader that found nothing in its place would fill the row from before the COMMIT."""
    slots = MemorySlots(3, 60_000, clock)
    intents = (Intent("W", clock.now + 30_000_000),)
    raw = envelope.intents_cell(intents) if announced == "cell" else envelope.record_bytes(Record("t", clock.now, "r", intents))
    slots.put("announced", raw, 60_000)
    for number in range(50):
        slots.put(str(number), b"v", 60_000)
    assert slots.get("announced") == raw
    assert len(slots) == 3


def test_intents_above_the_bound_all_stay_and_the_bound_holds_again_after_them(clock: Clock) -> None:
    slots = MemorySlots(3, 60_000, clock)
    raw = envelope.intents_cell([Intent("W", clock.now + 30_000_000)])
    for number in range(10):
        slots.put(f"W{number}", raw, 60_000)
    assert all(slots.get(f"W{number}") for number in range(10))
    clock.now += 31_000_000
    for number in range(20):
        slots.put(f"v{number}", b"v", 60_000)
    assert not any(slots.get(f"W{number}") for number in range(7))


def test_without_a_bound_nothing_is_evicted(clock: Clock) -> None:
    slots = MemorySlots(None, 60_000, clock)
    for number in range(5000):
        slots.put(str(number), b"v", 60_000)
    assert len(slots) == 5000


def test_what_has_expired_is_gone_and_is_swept_although_nobody_asks_for_it(clock: Clock) -> None:
    slots = MemorySlots(None, 60_000, clock)
    for number in range(1500):
        slots.put(f"short{number}", b"v", 10)
    clock.now += 10_000
    assert slots.get("short0") is None
    for number in range(1500):
        slots.put(f"long{number}", b"v", 60_000)
    assert len(slots) == 1500


def test_a_time_to_live_is_raised_and_never_lowered(clock: Clock) -> None:
    slots = MemorySlots(None, 60_000, clock)
    slots.put("key", b"long", 60_000)
    slots.raise_ttl("key", b"short", 10)
    clock.now += 59_000_000
    assert slots.get("key") == b"short"


def test_the_clock_never_goes_back(clock: Clock) -> None:
    slots = MemorySlots(None, 60_000, clock)
    before = slots.now()
    clock.now -= 5_000_000
    assert slots.now() == before


def test_a_thousand_entities_stay_within_max_entries() -> None:
    manager = CacheManager(CacheConfig(backend="dogpile.cache.memory", max_entries=100))
    for number in range(1000):
        manager.set_sync(f"key{number}", number)
    assert len(slots_of(manager)) <= 100
    assert manager.get_sync("key999") == 999


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork on this system; run it on Linux or macOS")
def test_a_forked_child_has_an_empty_cache_and_locks_that_nobody_holds() -> None:
    """Another thread of the parent may hold a lock at the fork; and what the parent writes later the child would never know."""
    manager = CacheManager(CacheConfig(backend="dogpile.cache.memory"))
    manager.set_sync("key", "parent's")
    flying, go_on = threading.Event(), threading.Event()

    def hold() -> None:
        def create() -> None:
            flying.set()
            go_on.wait(20)

        with slots_of(manager).lock, manager._lock, manager._state.breaker._lock, manager._state.debts._lock:
            manager.singleflight_sync("flight", create)

    holder = threading.Thread(target=hold)
    holder.start()
    assert flying.wait(20)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of Python 3.12: forks beside threads are what this is about
        child = os.fork()
    if child == 0:
        status = 1
        try:
            found = manager.get_sync("key")
            manager.set_sync("key", "child's")
            flown = manager.singleflight_sync("flight", lambda: "made")
            status = 0 if not found and manager.get_sync("key") == "child's" and flown == "made" else 2
        finally:
            os._exit(status)
    try:
        _, status = os.waitpid(child, 0)
    finally:
        go_on.set()
        holder.join(20)
    assert os.waitstatus_to_exitcode(status) == 0
    assert manager.get_sync("key") == "parent's"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork on this system; run it on Linux or macOS")
def test_a_forked_child_has_threads_of_its_own() -> None:
    """The parent's pool is there in the child, but none of its threads: what is given to it would never run."""
    manager = CacheManager(CacheConfig(backend="dogpile.cache.memory"))
    assert asyncio.run(manager.get_or_create_async("key", lambda: "parent's")) == "parent's"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        status = 1
        try:
            signal.alarm(20)
            status = 0 if asyncio.run(manager.get_or_create_async("key", lambda: "child's")) == "child's" else 2
        finally:
            os._exit(status)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    manager.close()


def test_threads_that_step_at_once_see_whole_steps() -> None:
    """Two records renewed in one step always bear tokens of one step."""
    from aa_cache_integration.stores.base import Announcement, Making
    from aa_cache_integration.stores.locked import LockedStore

    store = LockedStore(MemorySlots(None, 60_000), lambda _: None)
    stop = threading.Event()

    def renew() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            drive(store.settle(Announcement("W", (), ("a", "b")), Making(f"t{number}", "r", 60_000)))

    writer = threading.Thread(target=renew)
    drive(store.settle(Announcement("W", (), ("a", "b")), Making("t0", "r", 60_000)))
    writer.start()
    try:
        for _ in range(2000):
            one, other = (envelope.parse_record(raw) for raw in drive(store.lookup(["a", "b"])))
            assert one is not None
            assert other is not None
            assert one.token == other.token
    finally:
        stop.set()
        writer.join()
