"""docs/writes.md lists the ways that are tested, with what is promised of each."""

from __future__ import annotations

import re
from pathlib import Path

from tests.orm.ways_table import WAYS, table

PAGE = Path(__file__).parents[2] / "docs" / "writes.md"


def test_the_table_is_that_of_the_tests() -> None:
    found = re.search(r"<!-- ways -->\n(.*?)<!-- /ways -->", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert found is not None
    assert found[1].strip() == table(), "python -m tests.orm.ways_table prints it"


def test_no_two_ways_have_one_name() -> None:
    assert len({way.name for way in WAYS}) == len(WAYS)
