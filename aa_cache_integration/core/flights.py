"""Coalescing of concurrent calls for one key within this process."""

from __future__ import annotations

import asyncio
import threading
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar, cast

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Hashable

__all__ = ("Flights", "LoopGate", "ThreadGate")

T = TypeVar("T")

_flying: ContextVar[frozenset[Any]] = ContextVar("aa_cache_flights", default=frozenset())
"""The flights that this context owns: one that it asks for again is its own, and must not be waited for."""


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
        self._event.set()

    async def passed(self) -> None:
        """See `Gate.passed`."""
        await self._event.wait()


@dataclass
class _Flight(Generic[T]):
    gate: Gate
    result: T | None = None
    error: Exception | None = None
    landed: bool = False


class Flights:
    """The calls under way, by key."""

    def __init__(self, copy: Callable[[Any], Any]) -> None:
        """Begin with none.

        Args:
            copy: Makes what waiters get of the owner's result, so that no two callers share one mutable object.
        """
        self._copy = copy
        self._lock = threading.Lock()
        self._flights: dict[Any, _Flight[Any]] = {}

    async def run(self, key: Hashable, creator: Callable[[], Awaitable[T]], gate: Callable[[], Gate]) -> T:
        """Run ``creator`` unless another call for the key does already; then return a copy of its result, or raise its error.

        An owner that ends by anything but an ``Exception`` (KeyboardInterrupt, cancellation, GeneratorExit) hands over to a waiter.
        """
        mine = (id(self), key)
        if mine in _flying.get():
            return await creator()
        while True:
            with self._lock:
                flight = self._flights.get(key)
                owner = flight is None
                if flight is None:
                    flight = self._flights[key] = _Flight(gate())
            if owner:
                return await self._own(key, mine, flight, creator)
            await flight.gate.passed()
            if flight.error is not None:
                raise flight.error
            if flight.landed:
                return cast("T", self._copy(flight.result))

    async def _own(self, key: Hashable, mine: Any, flight: _Flight[T], creator: Callable[[], Awaitable[T]]) -> T:
        held = _flying.set(_flying.get() | {mine})
        try:
            result = await creator()
            flight.result, flight.landed = result, True
        except Exception as error:
            flight.error = error
            raise
        else:
            return result
        finally:
            _flying.reset(held)
            with self._lock:
                del self._flights[key]
            flight.gate.open()
