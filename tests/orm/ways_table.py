"""The table of all ways in docs/writes.md: ``python -m tests.orm.ways_table`` prints it, `test_ways_table.py` compares it."""

from __future__ import annotations

from typing import Final

from tests.orm.ways import DATABASES, Way
from tests.orm.ways_bulk import BULK_WAYS
from tests.orm.ways_core import CORE_WAYS
from tests.orm.ways_odd import ODD_WAYS
from tests.orm.ways_orm import ORM_WAYS
from tests.orm.ways_text import TEXT_WAYS

__all__ = ("WAYS", "table")

WAYS: Final[tuple[Way, ...]] = (*ORM_WAYS, *BULK_WAYS, *CORE_WAYS, *TEXT_WAYS, *ODD_WAYS)

_CHAPTERS: Final = {
    "the unit of work": ORM_WAYS,
    "bulk operations and DML of the ORM": BULK_WAYS,
    "Core": CORE_WAYS,
    "text": TEXT_WAYS,
    "by the database itself, DDL, and what commits by itself": ODD_WAYS,
}


def table() -> str:
    """Return the table in Markdown."""
    lines = ["| way | forgets at most | on |", "|---|---|---|"]
    for chapter, ways in _CHAPTERS.items():
        lines.append(f"| **{chapter}** | | |")
        lines += [f"| {way.name.replace('|', chr(92) + '|')} | {way.reach} | {_on(way)} |" for way in ways]
    return "\n".join(lines)


def _on(way: Way) -> str:
    return "all" if way.on == DATABASES else ", ".join(way.on)


if __name__ == "__main__":
    print(table())  # noqa: T201
