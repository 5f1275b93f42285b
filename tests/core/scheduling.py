"""A world in which a test is the scheduler: one store, any number of readers and writers, a clock that stands still."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from aa_cache_integration import CacheConfig
from aa_cache_integration.core import envelope, protocol
from aa_cache_integration.core.clock import StoreClock
from aa_cache_integration.core.drive import drive
from aa_cache_integration.core.plans import Filling, Grant, Miss, Plan, Request
from aa_cache_integration.core.protocol import Protocol
from aa_cache_integration.core.state import SharedState
from aa_cache_integration.events import CacheEvent, Emitter
from aa_cache_integration.exceptions import StoreUnavailableError
from aa_cache_integration.stores.base import Announcement
from aa_cache_integration.stores.locked import LockedStore
from aa_cache_integration.stores.memory import MemorySlots

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import pytest

    from aa_cache_integration.core.plans import Bypass, Hit

ENTITY = Plan("aa:users:get:1", ("aa:~namespace", "aa:~:namespace", "aa:~:bulk:users", "aa:~:rows:users"), 3, "users")
OTHER = Plan("aa:users:get:2", ENTITY.records, 3, "users")
STEPS = ("lookup", "lease", "records", "fill", "release", "announce", "settle")


class HandStore:
    """A store that counts its steps, runs what a test puts before or after one, and is down when it says so."""

    def __init__(self, inner: LockedStore, clock: SimpleNamespace) -> None:
        self.inner = inner
        self.atomic_lookup = True
        self.clock = clock
        self.steps: list[str] = []
        self.asked: dict[str, tuple[Any, ...]] = {}
        self.before: dict[str, Callable[[], Any]] = {}
        self.after: dict[str, Callable[[], Any]] = {}
        self.slept: list[float] = []
        self.on_sleep: Callable[[], Any] = lambda: None
        self.down = False

    def __getattr__(self, name: str) -> Any:
        if name not in STEPS:
            raise AttributeError(name)

        async def step(*arguments: Any) -> Any:
            self.steps.append(name)
            self.asked[name] = arguments
            self.before.pop(name, lambda: None)()
            if self.down:
                raise StoreUnavailableError("down")
            answer = await getattr(self.inner, name)(*arguments)
            self.after.pop(name, lambda: None)()
            return answer

        return step

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.clock.passes(seconds)
        self.on_sleep()


class World:
    """One store and everybody on it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.elapsed = 0.0
        self.began = time.time_ns() // 1000
        self.slots = MemorySlots(None, 60_000, lambda: self.began + round(self.elapsed * 1_000_000))
        self.inner = LockedStore(self.slots, lambda _: None)
        monkeypatch.setattr(protocol, "time", SimpleNamespace(monotonic=lambda: self.elapsed, perf_counter=time.perf_counter))

    def passes(self, seconds: float) -> None:
        """Let time pass for everybody."""
        self.elapsed += seconds

    def client(self, **options: Any) -> Client:
        """Return another process, in effect: a state and a protocol of its own over the one store."""
        return Client(self, CacheConfig(**options))

    def cell(self, plan: Plan = ENTITY) -> bytes | None:
        """Return what stands in a cell."""
        return self.slots.get(plan.cell)  # type: ignore[no-any-return]

    def token(self, record: str) -> str:
        """Return a record's token."""
        found = envelope.parse_record(self.slots.get(record))
        assert found is not None
        return found.token


class Ear:
    """A hook that keeps the events it is told."""

    def __init__(self, events: list[CacheEvent]) -> None:
        self._events = events

    def wants(self, name: str) -> bool:
        return True

    def __call__(self, event: CacheEvent) -> None:
        self._events.append(event)


class Client:
    """One process's protocol, driven by hand."""

    def __init__(self, world: World, config: CacheConfig) -> None:
        self.world = world
        self.events: list[CacheEvent] = []
        self.state = SharedState(config, Emitter(hooks=[Ear(self.events)]))
        self.monotonic = SimpleNamespace(now=100.0)
        self.state.clock = StoreClock(config.clock_skew, lambda: round(self.monotonic.now * 1_000_000_000))
        self.state.breaker._clock = lambda: self.monotonic.now
        self.state.debts._clock = lambda: self.monotonic.now
        self.store = HandStore(world.inner, SimpleNamespace(passes=self.passes))
        self.protocol = Protocol(self.store, self.state)
        self.passes(0)

    def passes(self, seconds: float) -> None:
        """Let time pass, and let this process know it as if it had asked."""
        self.world.passes(seconds)
        self.monotonic.now += seconds
        self.state.clock.learn(self.world.slots.now(), self.state.clock.sent())

    @property
    def told(self) -> list[tuple[str, str | None]]:
        """The events and their reasons."""
        return [(event.name.partition(".")[2], event.reason) for event in self.events]

    def request(self, plan: Plan = ENTITY, kinds: bytes = b"penl", max_age: float | None = None) -> Request:
        """Ask for the payload that stands in a cell."""
        return Request(plan, kinds, lambda value: value.payload, max_age)

    def read_all(self, *plans: Plan, wait: bool = False, **options: Any) -> list[Hit | Miss | Bypass]:
        """Read several cells at once."""
        return drive(self.protocol.read([self.request(plan, **options) for plan in plans], "test", wait=wait))

    def read(self, plan: Plan = ENTITY, *, wait: bool = False, **options: Any) -> Hit | Miss | Bypass:
        """Read one cell."""
        return self.read_all(plan, wait=wait, **options)[0]

    def lease(self, plan: Plan = ENTITY) -> Grant:
        """Read a cell, which must be a miss; return the lease."""
        outcome = self.read(plan)
        assert isinstance(outcome, Miss), outcome
        return outcome.grant

    def fill(
        self,
        under: Grant | Plan,
        payload: bytes = b"row",
        kind: bytes = envelope.ENTITY,
        ttl: float = 60,
        unchanged: Sequence[tuple[Request, Hit]] = (),
    ) -> bool:
        """Put a value; return whether the hits given were unchanged."""
        return drive(self.protocol.fill([Filling(under, kind, payload, ttl)], "test", unchanged))

    def fills(self, plan: Plan = ENTITY, payload: bytes = b"row") -> None:
        """Read a cell, miss, and fill it."""
        self.fill(self.lease(plan), payload)

    def announce(self, announcement: Announcement) -> None:
        """Put write intents."""
        drive(self.protocol.announce(announcement))

    def settle(self, announcement: Announcement) -> None:
        """Settle."""
        drive(self.protocol.settle(announcement))


def writer(*plans: Plan, name: str = "W", records: Sequence[str] = (ENTITY.records[3],)) -> Announcement:
    """Return what a writer of these rows announces."""
    return Announcement(name, tuple(plan.cell for plan in plans), tuple(records))
