"""An outage costs one failure, then one probe at a time."""

from __future__ import annotations

from aa_cache_integration.core.breaker import Breaker


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_closed_breaker_lets_everything_through() -> None:
    breaker = Breaker()
    assert all(breaker.allows() for _ in range(10))
    assert not breaker.succeeded()


def test_a_failure_opens_it_and_only_the_first_is_told() -> None:
    breaker = Breaker(clock=Clock())
    assert breaker.failed()
    assert not breaker.failed()
    assert not breaker.allows()


def test_after_its_rest_one_probe_is_let_through() -> None:
    clock = Clock()
    breaker = Breaker(rest=1.0, clock=clock)
    breaker.failed()
    clock.now += 1.0
    assert breaker.allows()
    assert not breaker.allows()


def test_a_probe_that_succeeds_closes_it_and_is_told_once() -> None:
    clock = Clock()
    breaker = Breaker(rest=1.0, clock=clock)
    breaker.failed()
    clock.now += 1.0
    assert breaker.allows()
    assert breaker.succeeded()
    assert not breaker.succeeded()
    assert breaker.allows()


def test_each_failed_probe_doubles_the_rest_up_to_the_longest() -> None:
    clock = Clock()
    breaker = Breaker(rest=1.0, longest=3.0, clock=clock)
    breaker.failed()
    for rest in (1.0, 2.0, 3.0, 3.0):
        clock.now += rest - 0.1
        assert not breaker.allows()
        clock.now += 0.1
        assert breaker.allows()
        breaker.failed()


def test_requests_that_fail_together_count_as_one() -> None:
    clock = Clock()
    breaker = Breaker(rest=1.0, clock=clock)
    for _ in range(200):
        breaker.failed()
    clock.now += 1.0
    assert breaker.allows()


def test_a_request_that_fails_late_does_not_prolong_the_rest() -> None:
    clock = Clock()
    breaker = Breaker(rest=1.0, clock=clock)
    breaker.failed()
    clock.now += 0.9
    breaker.failed()
    clock.now += 0.1
    assert breaker.allows()


def test_a_probe_that_never_came_back_does_not_end_the_probing() -> None:
    clock = Clock()
    breaker = Breaker(rest=1.0, clock=clock)
    breaker.failed()
    clock.now += 1.0
    assert breaker.allows()
    clock.now += 1.0
    assert breaker.allows()


def test_the_next_outage_begins_with_the_first_rest() -> None:
    clock = Clock()
    breaker = Breaker(rest=1.0, clock=clock)
    breaker.failed()
    clock.now += 1.0
    breaker.allows()
    breaker.failed()
    breaker.succeeded()
    breaker.failed()
    clock.now += 1.0
    assert breaker.allows()
