"""The command: ``python -m demo``, from the root of the repository. ``./scripts/demo`` makes its environment first."""

from __future__ import annotations

import argparse
import os
import secrets
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from demo import server, workload
from demo.access import Cached, Plain
from demo.judge import Judge
from demo.progress import Progress
from demo.report import Phase, Told, render, verdict
from demo.workload import TASKS, THREADS, WORKERS, Engines, Plan, Stage
from demo.world import World

if TYPE_CHECKING:
    from collections.abc import Sequence

    from demo.access import Access

__all__ = ("main", "wire")

OPERATIONS = 10_000


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demo.

    Returns:
        The exit status: 1 for a wrong answer, a hit ratio under 50 % or no invalidation, 2 for arguments that can't be used.
    """
    options = _parsed(arguments)
    if options.redis is not None:
        try:
            server.check(options.redis)
        except server.UnreachableError as error:
            print(error, file=sys.stderr)
            return 2
    folder = Path(tempfile.mkdtemp(prefix="aa-cache-demo-"))
    log, prefix = folder / "cache.log", f"aa-cache-demo:{secrets.token_hex(6)}:"
    _configure(log, prefix, options.redis)
    try:
        problems = _demonstrate(options, folder, log)
    except KeyboardInterrupt:
        print("\ninterrupted", file=sys.stderr)
        return 130
    finally:
        for file in folder.glob("*.sqlite*"):
            file.unlink()
        if options.redis is not None:
            server.remove_keys(options.redis, prefix)
    for problem in problems:
        print(problem, file=sys.stderr)
    return 1 if problems else 0


def _parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="demo", description="The cache at work on the world's cities, each answer judged.")
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--operations", type=_positive_int, default=OPERATIONS, metavar="N", help="of each run; default: %(default)s")
    length.add_argument("--seconds", type=_positive_float, metavar="N", help="of the run without cache, that with it does the same")
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="of the operations; default: %(default)s")
    parser.add_argument("--redis", metavar="URL", help="keep the cache there and not in memory: redis://localhost:6379/0")
    return parser.parse_args(arguments)


def _positive_int(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is less than 1")
    return value


def _positive_float(text: str) -> float:
    value = float(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} isn't a time")
    return value


def _configure(log: Path, prefix: str, redis_url: str | None) -> None:
    """Name the settings, and add to them what only this run knows: the highest layer, environment variables."""
    os.environ.update(
        ENV_FOR_AA_CACHE="development",
        AA_CACHE_SETTINGS=str(Path(__file__).with_name("settings.toml")),
        AA_CACHE_LOGGING__file=str(log),
        AA_CACHE_CACHES__default__key_prefix=prefix,
    )
    if redis_url is not None:
        os.environ.update(ENV_FOR_AA_CACHE="redis", AA_CACHE_CACHES__default__arguments__url=redis_url)


def _demonstrate(options: argparse.Namespace, folder: Path, log: Path) -> list[str]:
    """Run the workload without and with the cache, print the report, return the problems."""
    world = World.load()
    base, copy = folder / "plain.sqlite", folder / "cached.sqlite"
    world.write(base)
    shutil.copyfile(base, copy)
    where = "memory" if options.redis is None else server.described(options.redis)
    print(
        f"{len(world.cities):,} cities and {len(world.countries):,} countries of {world.source}, in a SQLite file; cache: {where};"
        f" {THREADS} threads and {TASKS} tasks, seed {options.seed}",
        flush=True,
    )
    share, rest = divmod(options.operations, WORKERS)
    operations = None if options.seconds else tuple(share + (number < rest) for number in range(WORKERS))
    plan = Plan(options.seed, operations, options.seconds)
    plain = _run("without the cache", Stage(world, Judge(world.contents()), Plain(), Engines.open(base)), plan)
    plan = Plan(options.seed, tuple(tally.operations for tally in plain.tallies))
    engines = Engines.open(copy)
    cached = _run("with the cache", Stage(world, Judge(world.contents()), wire(engines), engines), plan)
    told = Told.read(log)
    print(
        "",
        render(plain, cached, told),
        "",
        f"The log: {log}",
        f"It tells of {told.summary()}; the first events:",
        *told.first,
        sep="\n",
        flush=True,
    )
    return verdict(plain, cached, told)


def wire(engines: Engines) -> Access:
    """Put the cache into place: all that an application has to do."""
    import aa_cache_integration.apps  # noqa: F401, PLC0415 - wires; the run without the cache comes first and has nothing of it
    from aa_cache_integration import caches  # noqa: PLC0415

    caches.bind(engines.sync)
    caches.bind(engines.asynchronous)
    return Cached(caches["default"])


def _run(label: str, stage: Stage, plan: Plan) -> Phase:
    progress = Progress(label, total=sum(plan.operations) if plan.operations else None, seconds=plan.seconds)
    began = time.perf_counter()
    tallies = workload.run(stage, plan, progress.show)
    seconds = time.perf_counter() - began
    progress.end(sum(tally.operations for tally in tallies))
    return Phase(tallies, stage.engines.statements.total(), seconds)


if __name__ == "__main__":
    sys.exit(main())
