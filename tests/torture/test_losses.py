"""What the checker allows where the store has lost write intents, and what not (DESIGN 5.6)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest

from tests.torture.checker import Rules
from tests.torture.records import Announced, Fault, Settled
from tests.torture.story import PAIR, SINGLE, Story, at, token

if TYPE_CHECKING:
    from pathlib import Path


LOST: Final = Rules(ttl=5, lease_timeout=2, excuses=True)


@pytest.fixture
def story(tmp_path: Path) -> Story:
    """Nothing has happened yet."""
    return Story(tmp_path)


@pytest.fixture
def robbed(story: Story) -> Story:
    """A commit whose intents were lost while it was under way, and that was seen before it returned."""
    story.commit(SINGLE, 1, 1, 10)
    story.records.append(Fault("flush", at(2), at(3)))
    story.read(SINGLE, 1, 4, 5)
    return story


def test_a_stale_read_is_allowed_until_the_robbed_commit_has_returned(robbed: Story) -> None:
    robbed.read(SINGLE, 0, 6, 7)
    verdict = robbed.verdict(LOST)
    assert verdict.kinds == {}
    assert verdict.allowed == {"before commit() had returned": 1}
    assert robbed.kinds(Rules(excuses=False)) == {"stale": 1}


def test_it_is_not_allowed_after_it(robbed: Story) -> None:
    robbed.read(SINGLE, 0, 11, 12)
    assert robbed.kinds(LOST) == {"stale": 1}


def test_it_is_not_allowed_where_the_loss_came_before_the_commit_or_after_it(story: Story) -> None:
    story.commit(SINGLE, 1, 4, 10)
    story.records.append(Fault("flush", at(2), at(3)))
    story.records.append(Fault("flush", at(11), at(12)))
    story.read(SINGLE, 1, 5, 6)
    story.read(SINGLE, 0, 7, 8)
    assert story.kinds(LOST) == {"stale": 1}


def test_a_killed_writers_loss_allows_it_until_the_time_to_live_is_over(story: Story) -> None:
    story.commit(SINGLE, 1, 1, None)
    story.records.append(Fault("flush", at(2), at(3)))
    story.read(SINGLE, 1, 4, 5)
    story.read(SINGLE, 0, 11, 12)
    assert story.verdict(LOST).allowed == {"until the TTL, for the writer was killed or its outcome unknown": 1}
    story.read(SINGLE, 0, 13, 14)
    assert story.kinds(LOST) == {"stale": 1}


def test_a_settling_that_is_owed_allows_it_until_it_is_made_good(story: Story) -> None:
    story.commit(SINGLE, 1, 1, 4)
    story.records += [Announced(at(1), "1v1", "writer"), Fault("restart", at(2), at(3)), Settled(at(8), "writer")]
    story.read(SINGLE, 0, 6, 7)
    assert story.verdict(LOST).allowed == {"while the settling was owed": 1}
    story.read(SINGLE, 0, 9, 10)
    assert story.kinds(LOST) == {"stale": 1}


def test_a_loss_excuses_torn_rows_but_nothing_that_was_never_committed(story: Story) -> None:
    story.commit(PAIR, 1, 1, 10)
    story.records.append(Fault("evict", at(2), at(3)))
    first, second = PAIR.rows
    story.read_rows([(first, token(PAIR, 0)), (second, token(PAIR, 1))], 4, 5)
    assert story.verdict(LOST).allowed == {"before commit() had returned": 1}
    story.read_rows([(first, "doomed"), (second, "doomed")], 4, 5)
    assert story.kinds(LOST) == {"never committed": 1}
