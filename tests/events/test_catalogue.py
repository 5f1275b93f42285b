"""The README's table of events says what the code does."""

from __future__ import annotations

import re
from pathlib import Path

from aa_cache_integration import events

README = Path(__file__).parents[2] / "README.md"


def test_the_readme_lists_every_event_with_its_level() -> None:
    table = re.search(r"<!-- events -->(.*)<!-- /events -->", README.read_text(encoding="utf-8"), re.DOTALL)
    assert table is not None, "README.md has no table between <!-- events --> and <!-- /events -->"
    rows = re.findall(r"^\| `(cache\.\w+)` *\| *(\w+) *\|", table[1], re.MULTILINE)
    assert dict(rows) == events.LEVELS, (
        "the table of events in README.md and LEVELS in events/model.py differ: change the one that is wrong"
    )


def test_every_name_has_a_level_that_logging_knows() -> None:
    names = {value for name in dir(events) if name.isupper() and isinstance(value := getattr(events, name), str)}
    assert names == set(events.LEVELS)
    assert set(events.LEVELS.values()) <= {"debug", "info", "warning"}
