"""What a snapshot lets its transaction read and fill, with the schedule that each rule prevents (DESIGN 5.5)."""

from __future__ import annotations

from typing import Any

import pytest

from aa_cache_integration.core.drive import drive
from aa_cache_integration.core.plans import Bypass, Hit, Miss, Snapshot
from tests.core.scheduling import ENTITY, OTHER, Client, World, writer

LATER = Bypass("later than the snapshot")
NOT_TAKEN = Snapshot(None, certain=False)


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    return World(monkeypatch)


@pytest.fixture
def reader(world: World) -> Client:
    return world.client(clock_skew=0.0)


@pytest.fixture
def other(world: World, reader: Client) -> Client:
    """Another process, whose clocks go with the reader's."""
    client = world.client(clock_skew=0.0)
    client.monotonic = reader.monotonic
    return client


def now(client: Client, *, certain: bool = True) -> Snapshot:
    """Take a snapshot, and let a moment pass before and after it."""
    client.passes(0.01)
    taken = Snapshot(client.state.clock.sent(), certain)
    client.passes(0.01)
    return taken


def read(client: Client, snapshot: Snapshot, *, wait: bool = False) -> Any:
    return drive(client.protocol.read([client.request()], "test", wait=wait, snapshot=snapshot))[0]


def changes(client: Client, *records: str) -> None:
    announced = writer(ENTITY, records=records or (ENTITY.records[3],))
    client.announce(announced)
    client.settle(announced)


def test_a_value_filled_before_the_snapshot_is_a_hit(reader: Client) -> None:
    reader.fills()
    assert isinstance(read(reader, now(reader)), Hit)


def test_a_value_filled_after_the_snapshot_is_bypassed_and_stays(reader: Client, other: Client) -> None:
    """Snapshot. Writer: commits, settles. Another reader fills the new row, which the snapshot doesn't hold."""
    snapshot = now(reader)
    other.fills(payload=b"new")
    assert read(reader, snapshot) == LATER
    assert isinstance(other.read(), Hit)
    assert reader.store.steps == ["lookup"], "a lease would take the value from the others for nothing"


def test_a_snapshot_fills_what_last_changed_before_it(reader: Client, other: Client) -> None:
    reader.fills()
    changes(other)
    snapshot = now(reader)
    missed = read(reader, snapshot)
    assert isinstance(missed, Miss)
    reader.fill(missed.grant)
    assert isinstance(other.read(), Hit)


@pytest.mark.parametrize("record", ENTITY.records)
def test_a_snapshot_fills_nothing_that_changed_after_it(world: World, reader: Client, other: Client, record: str) -> None:
    """Snapshot. Writer: commits, settles. Reader: lease, the snapshot's old row, fills: all would be shown it."""
    reader.fills()
    snapshot = now(reader)
    changes(other, record)
    assert read(reader, snapshot) == LATER
    assert world.cell() is None or not world.cell().startswith(b"{}|L"), "no lease stands"  # type: ignore[union-attr]


def test_a_snapshot_fills_nothing_while_its_table_is_being_committed(reader: Client, other: Client) -> None:
    """The writer may have committed after the snapshot, and not settled yet."""
    other.lease()
    other.settle(writer(ENTITY))
    snapshot = now(reader)
    other.announce(writer(OTHER))
    assert read(reader, snapshot) == Bypass("write intent")


def test_a_record_that_had_to_be_made_may_have_changed_a_moment_ago(world: World, reader: Client, other: Client) -> None:
    snapshot = now(reader)
    changes(other)
    world.slots.clear()
    assert read(reader, snapshot) == LATER


def test_another_ones_fill_is_not_waited_for(reader: Client, other: Client) -> None:
    other.lease()
    assert read(reader, now(reader), wait=True) == Bypass("lease held")
    assert reader.store.slept == []


def test_a_snapshot_that_is_not_taken_yet_limits_nothing(reader: Client, other: Client) -> None:
    other.fills()
    assert isinstance(read(reader, NOT_TAKEN), Hit)


@pytest.mark.parametrize("certain", [True, False])
def test_exact_snapshots_are_shown_values_once_they_are_surely_taken(world: World, other: Client, *, certain: bool) -> None:
    exact = world.client(clock_skew=0.0, snapshot_reads="exact")
    exact.monotonic.now = other.monotonic.now
    exact.fills()
    assert read(exact, NOT_TAKEN) == LATER
    found = read(exact, now(exact, certain=certain))
    assert isinstance(found, Hit) if certain else found == LATER


def test_clock_skew_is_between_a_value_and_a_snapshot(world: World) -> None:
    reader = world.client(clock_skew=1.0)
    reader.fills()
    assert read(reader, now(reader)) == LATER
    reader.passes(1.0)
    assert isinstance(read(reader, now(reader)), Hit)


def test_a_process_that_only_hits_asks_for_the_time_once_a_minute(reader: Client) -> None:
    reader.fills()
    reader.monotonic.now += 61  # with no answer meanwhile that tells the time
    reader.world.passes(61 - 59.5)
    snapshot = Snapshot(reader.state.clock.sent())
    reader.store.steps.clear()
    for _ in range(3):
        read(reader, snapshot)
    assert reader.store.steps.count("records") == 1
    assert reader.store.steps[0] == "records"


def test_a_store_that_is_down_when_the_time_is_needed_is_a_bypass(reader: Client) -> None:
    snapshot = now(reader)
    reader.state.clock._reading = None
    reader.store.down = True
    assert read(reader, snapshot) == Bypass("store unreachable")


def test_a_snapshot_that_can_not_be_dated_is_read_from_the_database(reader: Client) -> None:
    snapshot = now(reader)
    reader.state.clock.learn(reader.world.slots.now() - 5_000_000, reader.state.clock.sent())
    assert read(reader, snapshot) == Bypass("store clock set")
    assert ("bypass", "store clock set") in reader.told


def test_the_token_of_a_table_that_changed_after_the_snapshot_is_thrown_away(reader: Client, other: Client) -> None:
    record = [ENTITY.records[3]]
    token = drive(reader.protocol.token(record))
    snapshot = now(reader)
    assert drive(reader.protocol.token(record, snapshot)) == token
    changes(other)
    thrown_away = {drive(reader.protocol.token(record, snapshot)) for _ in range(2)}
    assert len({token, *thrown_away, drive(other.protocol.token(record))}) == 4


def test_several_cells_that_are_not_read_in_one_step_were_all_filled_before_the_read(reader: Client, other: Client) -> None:
    """Reader: cell 1, old. Writer: both, commits, settles. Another reader fills cell 2. Reader: cell 2, new (DESIGN 5.3.5)."""
    reader.store.atomic_lookup = False
    other.fills(ENTITY)
    reader.passes(0.01)
    reader.store.before["lookup"] = lambda: (reader.passes(0.01), other.fills(OTHER))
    first, second = reader.read_all(ENTITY, OTHER)
    assert isinstance(first, Hit)
    assert second == LATER
    reader.passes(0.01)
    assert all(isinstance(outcome, Hit) for outcome in reader.read_all(ENTITY, OTHER))
