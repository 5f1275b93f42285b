"""What a process knows of the store's clock is never later than that clock (DESIGN 5.5)."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aa_cache_integration.core.clock import StoreClock

SECOND = 1_000_000
EPOCH = 1_700_000_000 * SECOND


class Pair:
    """Two clocks: a process's monotonic one, and the store's, which may run at another pace, and be set."""

    def __init__(self, skew: float = 0.1) -> None:
        self.time = SimpleNamespace(ns=5_000_000_000)
        self.ahead = EPOCH
        self.pace = 0.0
        self.clock = StoreClock(skew, lambda: self.time.ns)

    def store(self) -> int:
        """Return the store's time (µs)."""
        own = self.time.ns // 1000
        return own + self.ahead + int(own * self.pace)

    def passes(self, micros: int) -> None:
        self.time.ns += micros * 1000

    def reading(self, there: int = 0, back: int = 0) -> None:
        """Ask the store, which takes so long (µs) to get there and back."""
        sent = self.clock.sent()
        self.passes(there)
        told = self.store()
        self.passes(back)
        self.clock.learn(told, sent)


def test_without_a_reading_nothing_is_dated() -> None:
    pair = Pair()
    assert not pair.clock.fresh
    assert pair.clock.bound(pair.time.ns) is None


def test_a_moment_is_dated_whether_it_came_before_the_reading_or_after() -> None:
    pair = Pair(skew=0.0)
    before = pair.time.ns
    pair.passes(10)
    pair.reading()
    pair.passes(10)
    assert pair.clock.bound(before) == pair.store() - 20
    assert pair.clock.bound(pair.time.ns) == pair.store()
    assert pair.clock.now() == pair.store()


def test_clock_skew_is_taken_off() -> None:
    pair = Pair(skew=0.25)
    pair.reading()
    assert pair.clock.bound(pair.time.ns) == pair.store() - 250_000


def test_a_slow_answer_makes_the_date_earlier_and_a_quick_one_right_again() -> None:
    pair = Pair(skew=0.0)
    pair.reading(back=300)
    assert pair.clock.bound(pair.time.ns) == pair.store() - 300
    pair.reading(there=10, back=20)
    assert pair.clock.bound(pair.time.ns) == pair.store() - 20
    pair.reading(back=5000)
    assert pair.clock.bound(pair.time.ns) >= pair.store() - 40, "the better reading is kept"


def test_a_reading_is_good_for_a_minute() -> None:
    pair = Pair()
    pair.reading()
    pair.passes(59 * SECOND)
    assert pair.clock.fresh
    assert pair.clock.bound(pair.time.ns) is not None
    pair.passes(2 * SECOND)
    assert not pair.clock.fresh
    assert pair.clock.bound(pair.time.ns) is None


@pytest.mark.parametrize("seconds", [-3600, -1, 1, 3600])
def test_snapshots_from_before_the_stores_clock_was_set_are_not_dated_any_more(seconds: int) -> None:
    """What was filled before it was set and what was filled after can't be put in order with them."""
    pair = Pair()
    pair.reading()
    before = pair.time.ns
    pair.ahead += seconds * SECOND
    pair.passes(10)
    pair.reading(there=100, back=100)
    assert pair.clock.bound(before) is None
    pair.passes(10)
    assert pair.clock.bound(pair.time.ns) == pytest.approx(pair.store() - 100_000, abs=200)


def test_of_two_answers_that_contradict_each_other_and_overlap_none_is_believed() -> None:
    """The store's clock was set between them, and the slow one may be from before: which is newer, nobody knows."""
    pair = Pair()
    sent = pair.clock.sent()
    from_before = pair.store()
    pair.ahead -= 500 * SECOND
    pair.passes(10)
    pair.reading()
    pair.passes(10)
    pair.clock.learn(from_before, sent)
    assert not pair.clock.fresh
    pair.reading()
    pair.passes(10)
    assert pair.clock.bound(pair.time.ns) == pytest.approx(pair.store() - 100_000, abs=200)


def test_a_slow_answer_is_no_jump() -> None:
    pair = Pair(skew=0.0)
    pair.reading()
    before = pair.time.ns
    for there, back in ((900_000, 0), (0, 900_000), (500_000, 500_000)):
        pair.reading(there, back)
    assert pair.clock.bound(before) is not None


@given(
    pace=st.floats(-0.0009, 0.0009),
    answers=st.lists(st.tuples(*(st.integers(0, 2 * SECOND) for _ in range(3))), min_size=1, max_size=8),
    age=st.integers(0, 50 * SECOND),
)
def test_no_moment_is_ever_dated_too_late(pace: float, answers: list[tuple[int, int, int]], age: int) -> None:
    pair = Pair(skew=0.0)
    pair.pace = pace
    since, then = pair.time.ns, pair.store()
    for pause, there, back in answers:
        pair.passes(pause)
        pair.reading(there, back)
    pair.passes(age)
    for moment, store in ((since, then), (pair.time.ns, pair.store())):
        bound = pair.clock.bound(moment)
        assert bound is not None
        assert bound <= store + 2
