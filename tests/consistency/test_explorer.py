"""No order of steps breaks DESIGN 5.1, and each rule of the protocol is needed for that.

``AA_CACHE_EXPLORE=deep`` (or ``scripts/explore --deep``) takes larger worlds, for minutes each.
"""

from __future__ import annotations

import os

import pytest

from tests.consistency.explorer import Explorer
from tests.consistency.explorer_mutants import MUTANTS, Mutant
from tests.consistency.explorer_worlds import BULK_RECORDED, ROW_RECORDED, TORN, worlds

DEEP = os.environ.get("AA_CACHE_EXPLORE") == "deep"
USUAL, SMALL = worlds(), worlds("small")
WHOLE = worlds("deep") if DEEP else USUAL
TOO_LARGE = {name for name in USUAL if "two rows" in name} | (set() if DEEP else {"bulk writer, snapshot and entity reader"})
"""Not taken key by key; of two rows, `TORN` is."""
SPLIT = {name: world for name, world in (USUAL if DEEP else SMALL).items() if name not in TOO_LARGE}
CAUGHT = {
    "no leases": SMALL["row writer, two entity readers"],
    "no intents": SMALL["row writer, two entity readers"],
    "settling takes others' intents": USUAL["two row writers, entity reader"],
    "snapshots read any value": SMALL["row writer, snapshot and entity reader"],
    "snapshots fill anything": SMALL["row writer, snapshot and entity reader"],
    "tokens of the fill": BULK_RECORDED,
    "records before the lease": ROW_RECORDED,
}
"""Where the lack of each rule is found, soon."""


@pytest.mark.parametrize("world", WHOLE)
def test_no_order_of_steps_gives_a_wrong_read(world: str) -> None:
    report = Explorer(WHOLE[world]).explore()
    print(report)  # noqa: T201 - how much was explored
    assert not report.violation, str(report)


@pytest.mark.parametrize("world", SPLIT)
def test_no_order_of_steps_key_by_key_gives_a_wrong_read(world: str) -> None:
    """As Cluster and memcached take them."""
    report = Explorer(SPLIT[world], split=True, any_order=DEEP).explore()
    print(report)  # noqa: T201 - how much was explored
    assert not report.violation, str(report)


def test_two_cells_read_key_by_key_were_true_together() -> None:
    report = Explorer(TORN, split=True).explore()
    print(report)  # noqa: T201 - how much was explored
    assert not report.violation, str(report)


def test_two_cells_read_key_by_key_are_torn_if_they_may_have_been_filled_meanwhile() -> None:
    """DESIGN 5.3.5: of several cells that aren't read in one step, each must have been filled before the read began."""
    report = Explorer(TORN, split=True, mutant=next(mutant for mutant in MUTANTS if "any value" in mutant.name)).explore()
    print(report)  # noqa: T201 - the schedule that the rule prevents
    assert "never committed together" in report.violation


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_without_one_rule_some_order_gives_a_wrong_read(mutant: Mutant) -> None:
    report = Explorer(CAUGHT[mutant.name], mutant=mutant).explore()
    print(report)  # noqa: T201 - the schedule that the rule prevents
    assert report.violation


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_without_one_rule_some_order_key_by_key_gives_a_wrong_read(mutant: Mutant) -> None:
    report = Explorer(CAUGHT[mutant.name], split=True, mutant=mutant).explore()
    print(report)  # noqa: T201 - the schedule that the rule prevents
    assert report.violation


@pytest.mark.parametrize("world", ["row writer, two entity readers", "row writer, snapshot and entity reader"])
def test_what_an_actor_is_about_to_do_tells_all_that_its_past_would(world: str) -> None:
    """States are told apart by the steps that actors stand before; by all they have been answered, nothing else is found."""
    assert not Explorer((USUAL if DEEP else SMALL)[world], by_history=True).explore().violation
