"""Coalescing of concurrent calls for one key within this process."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Hashable

__all__ = ("Flights", "LoopGate", "ThreadGate")

T = TypeVar("T")

_flying: ContextVar[frozenset[object]] = ContextVar("aa_cache_flights", default=frozenset())
"""The marks of the flights that this context owns: one that it asks for again is its own, and must not be waited for."""


class Gate(Protocol):
    """What waiters wait at, in the manner of threads or of an event loop."""

    def open(self) -> None:
        """Let everyone through."""
        ...

    async def passed(self) -> None:
        """Return once it is open."""
        ...


class ThreadGate:
    """A gate for threads: its coroutine blocks and never suspends."""

    def __init__(self) -> None:
        """Begin shut."""
        self._event = threading.Event()

    def open(self) -> None:
        """See `Gate.open`."""
        self._event.set()

    async def passed(self) -> None:
        """See `Gate.passed`."""
        self._event.wait()


class LoopGate:
    """A gate for the tasks of one event loop."""

    def __init__(self) -> None:
        """Begin shut."""
        self._event = asyncio.Event()

    @staticmethod
    def loop() -> asyncio.AbstractEventLoop:
        """Return the loop whose tasks can wait at a gate made now."""
        return asyncio.get_running_loop()

    def open(self) -> None:
        """See `Gate.open`."""
        with contextlib.suppress(RuntimeError):  # the loop is closed, and nobody waits any more
            self._event.set()

    async def passed(self) -> None:
        """See `Gate.passed`."""
        await self._event.wait()


@dataclass(eq=False)
class _Flight(Generic[T]):
    gate: Gate
    mark: object = field(default_factory=object)
    waiters: int = 0
    copy: Callable[[], T] | None = None
    """Makes what a waiter gets, once the owner has landed."""
    error: Exception | None = None


class Flights:
    """The calls under way, by key."""

    def __init__(self, copies: Callable[[Any], Callable[[], Any]]) -> None:
        """Begin with none.

        Args:
            copies: Takes the owner's result as it is now and returns what makes the waiters' copies of it, so that no two callers share
                one mutable object.
        """
        self._copies = copies
        self._lock = threading.Lock()
        self._flights: dict[Any, _Flight[Any]] = {}

    async def run(self, key: Hashable, creator: Callable[[], Awaitable[T]], gate: Callable[[], Gate]) -> T:
        """Run ``creator`` unless another call for the key does already; then return a copy of its result, or raise its error.

        An owner that ends by anything but an ``Exception`` (KeyboardInterrupt, cancellation, GeneratorExit) hands over to a waiter.
        """
        while True:
            mine: _Flight[T] = _Flight(gate())
            try:
                flight = self._join(key, mine)
                if flight is mine:
                    return await self._own(key, mine, creator)
            except Exception as error:
                mine.error = error
                raise
            finally:
                # An interrupt may come at any moment since the flight was entered: whatever it meets, the waiters are released.
                self._leave(key, mine)
                mine.gate.open()
            if flight.mark in _flying.get():
                return await creator()
            await flight.gate.passed()
            if flight.error is not None:
                raise flight.error
            if flight.copy is not None:
                return flight.copy()

    def _join(self, key: Hashable, mine: _Flight[T]) -> _Flight[T]:
        with self._lock:
            flight = self._flights.setdefault(key, mine)
            flight.waiters += flight is not mine
            return flight

    async def _own(self, key: Hashable, mine: _Flight[T], creator: Callable[[], Awaitable[T]]) -> T:
        held = _flying.set(_flying.get() | {mine.mark})
        try:
            result = await creator()
        finally:
            with contextlib.suppress(ValueError):  # closed from another context, which doesn't have it
                _flying.reset(held)
        self._leave(key, mine)  # nobody joins from now on
        if mine.waiters:
            mine.copy = self._copies(result)
        return result

    def _leave(self, key: Hashable, mine: _Flight[Any]) -> None:
        with self._lock:
            if self._flights.get(key) is mine:
                del self._flights[key]
