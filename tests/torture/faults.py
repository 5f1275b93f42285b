"""What is done to a run while it goes on: each kind of fault in a thread of its own, at random times."""

from __future__ import annotations

import random
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import redis

from tests.torture.options import LOSSES
from tests.torture.records import Fault, now

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.torture.options import Options
    from tests.torture.places import Places
    from tests.torture.records import Log

__all__ = ("Faults",)

_SECONDS_BETWEEN: Final = {"kill": 4.0, "connections": 0.7, "stop": 6.0, "flush": 5.0, "restart": 8.0, "evict": 0.7}
"""Means; several kinds of losses share theirs."""
_GUARDED: Final = 30.0
"""Seconds at least between two losses, on average, where each lets nobody hit for a while."""
_LONGEST_STOP: Final = 1.5
_NOTICED: Final = 0.3
"""Seconds; the clients' patience."""


@dataclass
class Faults:
    """The faults of a run."""

    options: Options
    places: Places
    kill: Callable[[random.Random], str]
    """Kills a worker; returns which."""
    log: Log
    failures: list[str] = field(default_factory=list)
    """What went wrong in doing it."""
    _over: threading.Event = field(default_factory=threading.Event)
    _server: threading.Lock = field(default_factory=threading.Lock)
    _threads: list[threading.Thread] = field(default_factory=list)

    def start(self) -> None:
        """Begin."""
        for kind in sorted(self.options.faults & _SECONDS_BETWEEN.keys()):
            thread = threading.Thread(target=self._strike, args=(kind, random.Random(f"{self.options.seed} {kind}")), daemon=True)
            self._threads.append(thread)
            thread.start()

    def stop(self) -> None:
        """Come to an end, with all servers running."""
        self._over.set()
        for thread in self._threads:
            thread.join()

    def _strike(self, kind: str, chance: random.Random) -> None:
        mean = self._mean(kind)
        while not self._over.wait(chance.uniform(0.2, 1.8) * mean):
            began = now()
            try:
                detail = self._do(kind, chance)
            except (redis.ConnectionError, redis.TimeoutError):
                detail = "the cache server didn't answer"  # another fault is under way
            except Exception as error:  # noqa: BLE001 - whatever it is, the report tells of it
                self.failures.append(f"{kind}: {type(error).__name__}: {error}")
                return
            self.log.write(Fault(kind, began, now(), detail))

    def _mean(self, kind: str) -> float:
        if kind not in LOSSES:
            return _SECONDS_BETWEEN[kind]
        least = _GUARDED if self.options.intent_loss_guard else 0.0
        return max(_SECONDS_BETWEEN[kind], least) * len(self.options.faults & LOSSES)

    def _do(self, kind: str, chance: random.Random) -> str:
        if kind == "kill":
            return self.kill(chance)
        if kind == "connections":
            of_the_cache = self.places.cache is not None and (self.places.database is None or chance.random() < 0.3)
            return self.places.end_cache_connections() if of_the_cache else self.places.end_a_database_connection()
        if kind == "flush":
            return self.places.flush()
        if kind == "evict":
            return self.places.evict()
        with self._server:
            return self._stop(chance) if kind == "stop" else self._restart()

    def _stop(self, chance: random.Random) -> str:
        server = self.places.cache
        if server is None:
            return ""
        server.pause()
        try:
            self._over.wait(chance.uniform(0.05, _LONGEST_STOP if chance.random() < 0.5 else _NOTICED))
        finally:
            server.resume()
        return ""

    def _restart(self) -> str:
        if self.places.cache is not None:
            with suppress(ProcessLookupError):
                self.places.cache.restart()
        return ""
