"""What is owed is paid once it may be, and never grows without bound."""

from __future__ import annotations

import math

from aa_cache_integration.core.debts import Debts
from aa_cache_integration.stores.base import Announcement

EVERYTHING = ("aa:~namespace",)


def writer(number: int) -> Announcement:
    return Announcement(f"W{number}", (f"cell{number}",), ("record",))


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_what_is_owed_is_payable_until_it_is_forgiven() -> None:
    debts = Debts(EVERYTHING)
    assert not debts
    debts.owe(writer(1))
    assert debts
    assert debts.pending(writer(1))
    assert debts.payable() == [writer(1)]
    debts.forgive(writer(1))
    assert not debts


def test_a_commit_that_is_still_to_come_is_owed_and_not_payable() -> None:
    debts = Debts(EVERYTHING)
    debts.owe(writer(1), math.inf)
    assert debts
    assert debts.payable() == []
    debts.owe(writer(1))
    assert debts.payable() == [writer(1)]


def test_a_debt_becomes_payable_when_its_time_has_passed() -> None:
    clock = Clock()
    debts = Debts(EVERYTHING, clock)
    debts.owe(writer(1), 30.0)
    assert debts.payable() == []
    clock.now += 30.0
    assert debts.payable() == [writer(1)]


def test_too_many_debts_become_one_for_the_whole_namespace() -> None:
    debts = Debts(EVERYTHING)
    for number in range(10_000):
        debts.owe(writer(number))
    payable = debts.payable()
    assert len(payable) <= 101
    assert EVERYTHING in [owed.records for owed in payable]


def test_a_commit_under_way_is_never_taken_into_the_namespace_debt() -> None:
    """Paid before its COMMIT, it would be paid too early."""
    debts = Debts(EVERYTHING)
    debts.owe(writer(-1), math.inf)
    for number in range(1000):
        debts.owe(writer(number))
    assert debts.pending(writer(-1))
    assert writer(-1) not in debts.payable()


def test_who_has_paid_one_namespace_debt_does_not_forgive_the_next() -> None:
    debts = Debts(EVERYTHING)
    for number in range(101):
        debts.owe(writer(number))
    (being_paid,) = [owed for owed in debts.payable() if owed.records == EVERYTHING]
    for number in range(200):
        debts.owe(writer(number))
    debts.forgive(being_paid)
    assert EVERYTHING in [owed.records for owed in debts.payable()]
