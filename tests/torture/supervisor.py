"""A run: servers, workers, faults, and in the end the verdict."""

from __future__ import annotations

import random
import subprocess
import sys
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from tests.torture import world
from tests.torture.checker import Rules, Verdict, check
from tests.torture.faults import Faults
from tests.torture.places import Places, places
from tests.torture.records import Log, now
from tests.torture.worker import Assignment
from tests.torture.world import World

if TYPE_CHECKING:
    from tests.torture.options import Options

__all__ = ("run",)

ROOT: Final = Path(__file__).parents[2]
INTENT_TIMEOUT, UNDER_GUARD = 5.0, 2.0
"""Seconds; longer than any COMMIT here, the cache server's pauses included. Under the guard nobody hits for so long after a loss."""
WRITES, FEW_WRITES = 0.1, 0.04
"""The share of transactions that write; under the guard nothing is filled while one of a table is being committed."""
ROBBED, ROBBED_UNDER_GUARD = 0.03, 0.002
"""The share of COMMITs that lose their intents to FLUSHALL just before."""
LEASE_TIMEOUT: Final = 2.0
TTL: Final = 8
"""Seconds that a value lives where intents may be lost; else it lives longer than the run."""
_DYING: Final = 4.0
"""Seconds between two workers that kill themselves."""
_PATIENCE: Final = 20.0
"""Seconds that workers have to end."""


def run(options: Options, folder: Path) -> Verdict:
    """Run, and judge what was written down in the folder."""
    layout = World.of(options.rows)
    with places(options.db, options.store, folder) as where:
        world.make(where.url, layout)
        workers = _Workers(options, where, folder)
        log = Log(folder / "supervisor.log")
        faults = Faults(options, where, workers.kill, log)
        workers.start()
        faults.start()
        try:
            workers.watch()
        finally:
            faults.stop()
            workers.end()
            log.close()
        tokens = world.committed(where.url)
    rules = Rules(ttl=TTL, lease_timeout=LEASE_TIMEOUT, excuses=options.losses and not options.intent_loss_guard)
    verdict = check(layout, tokens, sorted(folder.glob("*.log")), rules)
    verdict.problems.extend(workers.problems + faults.failures)
    return verdict


@dataclass
class _Workers:
    options: Options
    where: Places
    folder: Path
    problems: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._chance = random.Random(self.options.seed)
        self._ends = now() + round(self.options.minutes * 60e9)
        self._processes: dict[int, subprocess.Popen[bytes]] = {}
        self._lock = threading.Lock()
        self._started = 0

    def start(self) -> None:
        """Start all."""
        for number in range(self.options.processes):
            self._start(number)

    def kill(self, chance: random.Random) -> str:
        """Kill one."""
        with self._lock:
            number, process = chance.choice(sorted(self._processes.items()))
            process.kill()
        return f"worker {number}"

    def watch(self) -> None:
        """Start anew what was killed, until the time is over."""
        while now() < self._ends:
            time.sleep(0.05)
            with self._lock:
                for number, process in list(self._processes.items()):
                    if process.poll() is not None and now() < self._ends:
                        if process.returncode != -9:
                            self.problems.append(f"worker {number} ended with status {process.returncode}: see its errors above")
                        self._start(number)

    def end(self) -> None:
        """Wait for all, and kill those that don't end."""
        give_up = time.monotonic() + _PATIENCE
        for number, process in self._processes.items():
            with suppress(subprocess.TimeoutExpired):
                process.wait(max(0.1, give_up - time.monotonic()))
            if process.poll() is None:
                self.problems.append(f"worker {number} hangs")
                process.kill()
                process.wait()
            elif process.returncode not in {0, -9}:
                self.problems.append(f"worker {number} ended with status {process.returncode}: see its errors above")

    def _start(self, number: int) -> None:
        self._started += 1
        name = f"w{number}g{self._started}"
        options, memory = self.options, self.options.store == "memory"
        faults = options.faults
        assignment = Assignment(
            name=name,
            folder=str(self.folder),
            url=self.where.url,
            async_url=self.where.async_url,
            isolation=options.isolation,
            repeatable=options.repeatable,
            cache=self._cache(),
            rows=options.rows,
            threads=4 if memory else 2,
            tasks=4 if memory else 3,
            seed=self._chance.randrange(1 << 30),
            ends=self._ends,
            shifted="clock" in faults and number == 0,
            dies=1 + self._chance.expovariate(1 / (_DYING * options.processes)) if "kill-steps" in faults else None,
            losses=options.losses,
            writes=FEW_WRITES if options.intent_loss_guard else WRITES,
            robs=(ROBBED_UNDER_GUARD if options.intent_loss_guard else ROBBED) if "flush" in faults else 0.0,
            broken=options.broken,
        )
        command = [sys.executable, "-m", "tests.torture.worker", msgspec.json.encode(assignment).decode()]
        self._processes[number] = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.DEVNULL)  # noqa: S603 - our own

    def _cache(self) -> dict[str, Any]:
        cache: dict[str, Any] = {
            "backend": f"dogpile.cache.{self.options.store}",
            "key_prefix": "torture:",
            "expiration_time": TTL if self.options.losses else 3600,
            "write_intent_timeout": UNDER_GUARD if self.options.intent_loss_guard else INTENT_TIMEOUT,
            "lease_timeout": LEASE_TIMEOUT,
            "lease_wait": 0.5,
            "unreachable_commit": "refuse",
            "clock_skew": 0.02,
            "intent_loss_guard": self.options.intent_loss_guard,
        }
        if self.where.cache is not None:
            timeouts = {"socket_timeout": 0.3, "socket_connect_timeout": 0.3}
            cache["arguments"] = {"host": self.where.cache.host, "port": self.where.cache.port, **timeouts}
        return cache
