"""The checker: each rule, kept and violated once, in histories written by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.torture.checker import Rules, check
from tests.torture.records import Died, Ended, Failed, Fault, Own
from tests.torture.story import LAYOUT, OTHER, PAIR, SINGLE, TRANSIENT, Story, at, token

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def story(tmp_path: Path) -> Story:
    """Nothing has happened yet."""
    return Story(tmp_path)


# What is committed


def test_both_versions_are_right_while_a_commit_is_under_way(story: Story) -> None:
    story.commit(SINGLE, 1, 1, 2)
    story.read(SINGLE, 0, 0.5, 0.6)
    story.read(SINGLE, 0, 1.1, 1.2)
    story.read(SINGLE, 1, 1.3, 1.4)
    story.read(SINGLE, 1, 3, 4)
    assert story.kinds() == {}


def test_a_read_may_not_be_older_than_a_commit_that_had_returned(story: Story) -> None:
    story.commit(SINGLE, 1, 1, 2)
    story.read(SINGLE, 0, 2.1, 2.2)
    verdict = story.verdict()
    assert verdict.kinds == {"stale": 1}
    assert "1v1" in verdict.violations[0]
    assert "had returned" in verdict.violations[0]


def test_a_read_that_began_before_the_commit_returned_may_be_older(story: Story) -> None:
    story.commit(SINGLE, 1, 1, 2)
    story.read(SINGLE, 0, 1.9, 5)
    assert story.kinds() == {}


def test_a_read_may_not_be_older_than_what_another_had_seen(story: Story) -> None:
    story.commit(SINGLE, 1, 1, 9)
    story.read(SINGLE, 1, 2, 3)
    story.read(SINGLE, 0, 2.5, 4)
    assert story.kinds() == {}
    story.read(SINGLE, 0, 3.1, 4)
    assert story.kinds() == {"stale": 1}


def test_a_killed_writers_commit_counts_from_when_it_is_seen(story: Story) -> None:
    story.commit(SINGLE, 1, 1, None)
    story.read(SINGLE, 0, 50, 51)
    story.read(SINGLE, 1, 51, 52)
    assert story.kinds() == {}
    story.read(SINGLE, 0, 53, 54)
    assert story.kinds() == {"stale": 1}


def test_the_next_writer_has_seen_what_it_locked(story: Story) -> None:
    story.commit(SINGLE, 1, 1, None)
    story.commit(SINGLE, 2, 3, None)
    story.read(SINGLE, 0, 3.5, 4)
    assert story.kinds() == {"stale": 1}


def test_a_read_may_not_be_newer_than_a_commit_that_begins_after_its_end(story: Story) -> None:
    story.commit(SINGLE, 1, 2, 3)
    story.read(SINGLE, 1, 1, 1.9)
    assert story.kinds() == {"from the future": 1}


@pytest.mark.parametrize("outcome", ["rolled back", "refused", "unknown"])
def test_what_was_not_committed_may_never_be_read(story: Story, outcome: str) -> None:
    story.begin(SINGLE, 1, 1)
    story.records.append(Ended(at(2), "1v1", outcome))
    story.read(SINGLE, 1, 1.5, 1.6)
    assert story.kinds() == {"never committed": 1}


def test_a_rows_token_must_be_its_own(story: Story) -> None:
    story.commit(OTHER, 1, 1, 2)
    story.read_rows([(SINGLE.rows[0], token(OTHER, 1))], 3, 4)
    assert story.kinds() == {"of another row": 1}


def test_a_row_that_is_always_there_may_not_be_missing(story: Story) -> None:
    story.read_rows([(SINGLE.rows[0], None)], 1, 2)
    assert story.kinds() == {"missing": 1}


def test_a_transient_row_is_absent_in_its_even_versions(story: Story) -> None:
    story.commit(TRANSIENT, 1, 1, 2)
    story.commit(TRANSIENT, 2, 3, 4)
    for version, began in ((0, 0.1), (0, 1.5), (1, 2.5), (2, 3.5), (2, 5)):
        story.read(TRANSIENT, version, began, began + 0.1)
    assert story.kinds() == {}


def test_a_transient_row_may_not_be_absent_when_it_is_there(story: Story) -> None:
    story.commit(TRANSIENT, 1, 1, 2)
    story.commit(TRANSIENT, 2, 5, 6)
    story.read(TRANSIENT, 0, 3, 4)
    assert story.kinds() == {"stale": 1}


# Several rows


def test_the_rows_of_a_pair_must_be_of_one_version(story: Story) -> None:
    story.commit(PAIR, 1, 1, 3)
    first, second = PAIR.rows
    story.read_rows([(first, token(PAIR, 0)), (second, token(PAIR, 1))], 2, 4)
    assert story.kinds() == {"torn": 1}


def test_the_rows_of_one_answer_must_be_of_one_moment(story: Story) -> None:
    story.commit(SINGLE, 1, 1, 2)
    story.commit(OTHER, 1, 3, 4)
    rows = [(SINGLE.rows[0], token(SINGLE, 0)), (OTHER.rows[0], token(OTHER, 1))]
    story.read_rows(rows, 0, 5)
    assert story.kinds() == {"rows of no one moment": 1}


# A transaction's own


def test_a_transaction_must_be_shown_what_it_has_written(story: Story) -> None:
    written = [(SINGLE.rows[0], "mine")]
    story.records.append(Own(at(1), at(2), written, written, "writer"))
    assert story.kinds() == {}
    story.records.append(Own(at(1), at(2), [(SINGLE.rows[0], token(SINGLE, 0))], written, "writer"))
    assert story.kinds() == {"own write not shown": 1}


# Snapshots


def test_a_snapshot_shows_what_was_committed_when_it_was_taken(story: Story) -> None:
    story.commit(SINGLE, 1, 2, 3)
    story.read(SINGLE, 0, 8, 9, snapshot=(1, 1.5))
    story.read(SINGLE, 0, 9, 10, snapshot=(1, 1.5))
    assert story.kinds() == {}


def test_a_snapshot_may_not_show_what_came_later(story: Story) -> None:
    story.commit(SINGLE, 1, 2, 3)
    story.read(SINGLE, 1, 8, 9, snapshot=(1, 1.5))
    assert story.kinds() == {"from the future": 1}


def test_a_snapshot_may_not_show_what_was_old_when_it_was_taken(story: Story) -> None:
    story.commit(SINGLE, 1, 2, 3)
    story.read(SINGLE, 0, 8, 9, snapshot=(4, 5))
    assert story.kinds() == {"stale": 1}


def test_reads_of_a_snapshot_must_agree(story: Story) -> None:
    story.commit(SINGLE, 1, 2, 4)
    story.read(SINGLE, 0, 5, 6, snapshot=(1, 3))
    story.read(SINGLE, 1, 7, 8, snapshot=(1, 3))
    story.read(SINGLE, 1, 7, 8, snapshot=(1, 3), name="another")
    assert story.kinds() == {"not repeatable": 1}


def test_reads_of_a_snapshot_must_be_of_one_moment(story: Story) -> None:
    story.commit(SINGLE, 1, 1, 2)
    story.commit(OTHER, 1, 3, 4)
    story.read(SINGLE, 0, 5, 6, snapshot=(0, 5))
    story.read(OTHER, 1, 7, 8, snapshot=(0, 5))
    assert story.kinds() == {"rows of no one moment": 1}


# The database and its writers


def test_a_commit_that_returned_must_be_in_the_database(story: Story) -> None:
    story.begin(SINGLE, 1, 1)
    story.records.append(Ended(at(2), "1v1", "committed"))
    assert story.kinds() == {"the database and its writers disagree": 1}


def test_a_commit_that_was_refused_may_not_be_in_the_database(story: Story) -> None:
    story.commit(SINGLE, 1, 1, 2, "refused")
    assert story.kinds() == {"the database and its writers disagree": 1}


def test_no_version_may_be_skipped(story: Story) -> None:
    story.commit(SINGLE, 2, 1, 2)
    assert story.kinds() == {"the database and its writers disagree": 1}


# What is counted


def test_everything_is_counted(story: Story) -> None:
    story.commit(SINGLE, 1, 1, 2)
    story.begin(OTHER, 1, 1)
    story.read(SINGLE, 1, 3, 4)
    story.records += [Died(1, "before COMMIT"), Failed(1, "read", "OperationalError: x", expected=True)]
    story.records += [Failed(1, "read", "bug", expected=False), Fault("connections", 1, 2, "of the cache")]
    tallies = story.verdict().tallies
    assert (tallies.reads, tallies.cells) == ({"fetch": 1}, {"asked": 1, "hits": 1})
    assert tallies.outcomes == {"committed": 1, "killed in COMMIT": 1}
    assert (tallies.deaths, tallies.unexpected) == ({"before COMMIT": 1}, ["bug"])
    assert (tallies.failures, tallies.faults) == ({"read: OperationalError": 1}, {"connections of the cache": 1})


def test_a_line_that_was_not_finished_is_passed_over(story: Story) -> None:
    story.verdict()
    story.records = [Own(1, 2, [], [], "writer")]
    with (story.folder / "story.log").open("ab") as file:
        file.write(b'["read","fe')
    assert check(LAYOUT, {}, [story.folder / "story.log"], Rules()).kinds == {}
