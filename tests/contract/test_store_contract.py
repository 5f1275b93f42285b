"""What every store promises (`Store`): one suite, run on each face of each."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from aa_cache_integration.core import envelope

if TYPE_CHECKING:
    from conftest import Contract


async def lease(contract: Contract, cell: str, name: str, *records: str, **options: object) -> tuple[bool, str, tuple[bytes, ...]]:
    _, (answer,) = await contract.store.lease([contract.lease_of(cell, name, *records, **options)], contract.making())  # type: ignore[arg-type]
    return answer.granted, answer.reason, answer.records


def given(token: str) -> str:
    """Return the token that a record was made with, without the time that the store adds."""
    return token.rpartition(".")[0]


async def fill(contract: Contract, *arguments: str, **options: object) -> bool:
    _, (put,), _ = await contract.store.fill([contract.fill_of(*arguments, **options)], contract.making())  # type: ignore[arg-type]
    return put


async def test_nothing_is_found_where_nothing_was_put(contract: Contract) -> None:
    assert await contract.store.lookup([contract.key("a"), contract.key("b")]) == [None, None]


async def test_a_lookup_of_no_keys_is_empty(contract: Contract) -> None:
    assert await contract.store.lookup([]) == []


async def test_a_value_filled_under_its_lease_is_found(contract: Contract) -> None:
    granted, _, records = await lease(contract, "cell", "L1", "record")
    assert granted
    record = envelope.parse_record(records[0])
    assert record is not None
    assert await fill(contract, "cell", "L1", record.token)
    raw = await contract.look("cell")
    assert raw is not None
    parsed = envelope.parse_value(raw)
    assert parsed is not None
    assert (parsed[0].payload, parsed[0].tokens, parsed[0].kind) == (b"value", (record.token,), envelope.PLAIN)


async def test_a_value_carries_the_stores_time_of_its_fill(contract: Contract) -> None:
    before, _ = await contract.store.records([], contract.making())
    await lease(contract, "cell", "L1")
    await fill(contract, "cell", "L1", "token")
    after, _ = await contract.store.records([], contract.making())
    parsed = envelope.parse_value(await contract.look("cell") or b"")
    assert parsed is not None
    assert before <= parsed[0].filled <= after


async def test_a_binary_payload_of_any_bytes_and_size_comes_back(contract: Contract) -> None:
    payload = bytes(range(256)) * 700
    await lease(contract, "cell", "L1")
    await fill(contract, "cell", "L1", "token", payload=payload)
    parsed = envelope.parse_value(await contract.look("cell") or b"")
    assert parsed is not None
    assert parsed[0].payload == payload


async def test_a_missing_record_is_made_with_the_token_given(contract: Contract) -> None:
    _, (raw,) = await contract.store.records([contract.key("record")], contract.making("born"))
    record = envelope.parse_record(raw)
    assert record is not None
    assert (given(record.token), record.rules, record.intents) == ("born", "rules", ())
    assert await contract.record("record") == record


async def test_a_record_keeps_its_token_when_it_is_asked_for_again(contract: Contract) -> None:
    await contract.store.records([contract.key("record")], contract.making("first"))
    await contract.store.records([contract.key("record")], contract.making("second"))
    assert given((await contract.record("record")).token) == "first"


async def test_a_record_made_under_quarantine_is_under_write_intent(contract: Contract) -> None:
    await contract.store.records([contract.key("record")], contract.making(quarantine=60_000))
    assert (await contract.record("record")).intents
    assert (await lease(contract, "cell", "L1", "record"))[:2] == (False, "write intent")


async def test_a_second_reader_gets_no_lease(contract: Contract) -> None:
    await lease(contract, "cell", "L1")
    assert (await lease(contract, "cell", "L2"))[:2] == (False, "lease held")


async def test_a_lease_asked_for_twice_by_its_holder_is_granted_twice(contract: Contract) -> None:
    assert (await lease(contract, "cell", "L1"))[0]
    assert (await lease(contract, "cell", "L1"))[0]


async def test_a_lease_replaces_the_value_that_was_seen(contract: Contract) -> None:
    await lease(contract, "cell", "L1")
    await fill(contract, "cell", "L1", "token")
    seen = await contract.look("cell")
    assert (await lease(contract, "cell", "L2", seen=seen))[0]


async def test_a_lease_is_refused_when_another_value_stands_there_than_was_seen(contract: Contract) -> None:
    await lease(contract, "cell", "L1")
    await fill(contract, "cell", "L1", "token")
    assert (await lease(contract, "cell", "L2", seen=b"something else"))[:2] == (False, "changed")
    assert (await lease(contract, "cell", "L2"))[:2] == (False, "changed")


async def test_a_lease_for_a_snapshot_is_refused_when_a_record_changed_later(contract: Contract) -> None:
    """And nothing is put: what stands in the cell is others' (DESIGN 5.5)."""
    await contract.store.records([contract.key("early"), contract.key("late")], contract.making())
    await contract.passes(2)
    await contract.store.settle(contract.writer("W", records=("late",)), contract.making("renewed"))
    changed = (await contract.record("late")).changed
    await contract.passes(2)
    for records, before, granted in [
        (("early", "late"), changed, False),
        (("early", "late"), changed + 1, True),
        (("early",), changed, True),
        (("early", "new"), changed, False),
    ]:
        answer = await lease(contract, f"cell{before}{records}", "L1", *records, before=before)
        assert answer[:2] == ((True, "") if granted else (False, "later than the snapshot"))
        assert (await contract.look(f"cell{before}{records}") is not None) == granted


async def test_a_fill_without_the_lease_is_refused(contract: Contract) -> None:
    await lease(contract, "cell", "L1")
    assert not await fill(contract, "cell", "L2", "token")
    assert not await fill(contract, "other", "L2", "token")
    assert await contract.look("other") is None


async def test_a_lease_given_back_leaves_the_cell_empty(contract: Contract) -> None:
    await lease(contract, "cell", "L1")
    await contract.store.release([(contract.key("cell"), "L2")])
    assert await contract.look("cell") is not None
    await contract.store.release([(contract.key("cell"), "L1")])
    assert await contract.look("cell") is None


async def test_an_explicit_put_replaces_anything_but_a_write_intent(contract: Contract) -> None:
    await lease(contract, "cell", "L1")
    assert await fill(contract, "cell", "", records=("record",))
    assert not await fill(contract, "cell", "L1", "token")
    await contract.store.announce(contract.writer("W", cells=("cell",)), 60_000, contract.making())
    assert not await fill(contract, "cell", "", records=("record",))


async def test_an_explicit_put_depends_on_the_records_as_they_are(contract: Contract) -> None:
    await contract.store.records([contract.key("a"), contract.key("b")], contract.making("token"))
    await fill(contract, "cell", "", records=("a", "b"))
    parsed = envelope.parse_value(await contract.look("cell") or b"")
    assert parsed is not None
    assert [given(token) for token in parsed[0].tokens] == ["token", "token"]


async def test_an_explicit_put_is_refused_while_a_record_is_under_write_intent(contract: Contract) -> None:
    await contract.store.announce(contract.writer("W", records=("record",)), 60_000, contract.making())
    assert not await fill(contract, "cell", "", records=("record",))


async def test_a_fill_shows_other_cells_in_the_same_step(contract: Contract) -> None:
    await lease(contract, "cell", "L1")
    _, _, seen = await contract.store.fill(
        [contract.fill_of("cell", "L1", "token")], contract.making(), [contract.key("cell"), contract.key("nothing")]
    )
    assert seen == [await contract.look("cell"), None]


async def test_intents_replace_a_value_and_a_lease(contract: Contract) -> None:
    await lease(contract, "value", "L1")
    await fill(contract, "value", "L1", "token")
    await lease(contract, "leased", "L2")
    await contract.store.announce(contract.writer("W", cells=("value", "leased", "empty")), 60_000, contract.making())
    for name in ("value", "leased", "empty"):
        assert [intent.writer for intent in envelope.cell_intents(await contract.look(name))] == ["W"]
    assert not await fill(contract, "leased", "L2", "token")
    assert (await lease(contract, "empty", "L3"))[:2] == (False, "write intent")


async def test_several_writers_hold_intents_on_one_cell_and_record(contract: Contract) -> None:
    for name in ("W1", "W2"):
        await contract.store.announce(contract.writer(name, cells=("cell",), records=("record",)), 60_000, contract.making())
    await contract.store.settle(contract.writer("W1", cells=("cell",), records=("record",)), contract.making("renewed"))
    assert [intent.writer for intent in envelope.cell_intents(await contract.look("cell"))] == ["W2"]
    record = await contract.record("record")
    assert (given(record.token), [intent.writer for intent in record.intents]) == ("renewed", ["W2"])
    await contract.store.settle(contract.writer("W2", cells=("cell",), records=("record",)), contract.making("again"))
    assert await contract.look("cell") is None
    assert (await contract.record("record")).intents == ()


async def test_an_announcement_sent_twice_counts_once(contract: Contract) -> None:
    writer = contract.writer("W", cells=("cell",), records=("record",))
    for _ in range(2):
        await contract.store.announce(writer, 60_000, contract.making())
    assert len(envelope.cell_intents(await contract.look("cell"))) == 1
    assert len((await contract.record("record")).intents) == 1


async def test_settling_empties_the_cell_whatever_stands_there(contract: Contract) -> None:
    await lease(contract, "cell", "L1")
    await contract.store.settle(contract.writer("W", cells=("cell",)), contract.making())
    assert await contract.look("cell") is None


async def test_settling_renews_the_record_and_its_time(contract: Contract) -> None:
    await contract.store.records([contract.key("record")], contract.making("first"))
    before = await contract.record("record")
    now = await contract.store.settle(contract.writer("W", records=("record",)), contract.making("second"))
    after = await contract.record("record")
    assert given(after.token) == "second"
    assert before.changed <= after.changed <= now


async def test_intents_that_have_passed_count_no_more(contract: Contract) -> None:
    await contract.store.records([contract.key("record")], contract.making("first"))
    await contract.store.announce(contract.writer("W", cells=("cell",), records=("record",)), 1, contract.making())
    await contract.passes(5)
    granted, _, (raw,) = await lease(contract, "cell", "L1", "record")
    assert granted
    healed = envelope.parse_record(raw)
    assert healed is not None
    assert (given(healed.token), healed.intents) == ("fresh", ())
    assert await contract.record("record") == healed


async def test_an_intent_that_has_passed_goes_and_a_standing_one_stays(contract: Contract) -> None:
    await contract.store.announce(contract.writer("short", cells=("cell",), records=("record",)), 1, contract.making())
    await contract.store.announce(contract.writer("long", cells=("cell",), records=("record",)), 60_000, contract.making())
    await contract.passes(5)
    assert (await lease(contract, "cell", "L1", "record"))[:2] == (False, "write intent")
    await contract.store.settle(contract.writer("long", cells=("cell",), records=("record",)), contract.making())
    assert await contract.look("cell") is None


async def test_only_the_required_records_must_be_free(contract: Contract) -> None:
    await contract.store.announce(contract.writer("W", records=("rows",)), 60_000, contract.making())
    assert (await lease(contract, "cell", "L1", "bulk", "rows"))[:2] == (False, "write intent")
    granted, _, (_, rows) = await lease(contract, "cell", "L1", "bulk", "rows", required=1)
    assert granted
    record = envelope.parse_record(rows)
    assert record is not None
    assert record.intents


async def test_a_value_is_gone_when_its_time_has_passed(contract: Contract) -> None:
    await lease(contract, "cell", "L1")
    await fill(contract, "cell", "L1", "token", ttl=1)
    await contract.passes(5)
    assert await contract.look("cell") is None


async def test_bytes_that_are_not_ours_are_replaced_like_a_value(contract: Contract) -> None:
    await fill(contract, "cell", "", "token")
    await fill(contract, "record", "", "token")
    seen = await contract.look("cell")
    granted, _, (raw,) = await lease(contract, "cell", "L1", "record", seen=seen)
    assert granted
    assert envelope.parse_record(raw) is not None


@pytest.mark.parametrize("count", [1, 1500])
async def test_any_number_of_cells_is_announced_and_settled_in_one_step(contract: Contract, count: int) -> None:
    writer = contract.writer("W", cells=tuple(f"cell{n}" for n in range(count)), records=("record",))
    await contract.store.announce(writer, 60_000, contract.making())
    assert envelope.cell_intents(await contract.look(f"cell{count - 1}"))
    await contract.store.settle(writer, contract.making())
    assert await contract.store.lookup(list(writer.cells)) == [None] * count


async def test_a_settling_sent_twice_never_brings_a_token_back(contract: Contract) -> None:
    """A client sends it again when the connection breaks; other writers' steps may lie between the two."""
    resent = contract.writer("W1", records=("record",))
    await contract.store.settle(resent, contract.making("same"))
    first = await contract.record("record")
    await contract.store.settle(contract.writer("W2", records=("record",)), contract.making("other"))
    await contract.store.settle(resent, contract.making("same"))
    assert (await contract.record("record")).token != first.token


async def test_passed_intents_do_not_pile_up_under_standing_ones(contract: Contract) -> None:
    for number in range(5):
        await contract.store.announce(contract.writer(f"killed{number}", cells=("cell",), records=("record",)), 1, contract.making())
        await contract.passes(3)
        await contract.store.announce(contract.writer("slow", cells=("cell",), records=("record",)), 60_000, contract.making())
    assert [intent.writer for intent in (await contract.record("record")).intents] == ["slow"]
    assert [intent.writer for intent in envelope.cell_intents(await contract.look("cell"))] == ["slow"]
