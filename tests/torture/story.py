"""Histories written by hand, for the tests of the checker."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from tests.torture.checker import Rules, check
from tests.torture.records import Begun, Ended, Log, Read
from tests.torture.world import World

if TYPE_CHECKING:
    from pathlib import Path

    from tests.torture.checker import Verdict
    from tests.torture.records import Record
    from tests.torture.world import Unit

__all__ = ("LAYOUT", "OTHER", "PAIR", "SINGLE", "TRANSIENT", "Story", "at", "token")

LAYOUT: Final = World.of(40)
PAIR, SINGLE, OTHER = LAYOUT.units[0], LAYOUT.units[1], LAYOUT.units[2]
TRANSIENT: Final = next(unit for unit in LAYOUT.units if unit.transient)
SECOND: Final = 1_000_000_000


@dataclass
class Story:
    """What happened, told in units of a second."""

    folder: Path
    records: list[Record] = field(default_factory=list)
    tokens: dict[str, tuple[int, int]] = field(default_factory=dict)

    def commit(self, unit: Unit, version: int, begun: float, returned: float | None, outcome: str = "committed") -> None:
        """Let a version be committed; ``None``: its writer was killed."""
        name = f"{unit.number}v{version}"
        self.begin(unit, version, begun)
        if returned is not None:
            self.records.append(Ended(at(returned), name, outcome))
        self.tokens[name] = (unit.number, version)

    def begin(self, unit: Unit, version: int, begun: float) -> None:
        """Let a COMMIT begin of which the database knows nothing."""
        name = f"{unit.number}v{version}"
        self.records.append(Begun(at(begun), name, [(unit.number, version, name)]))

    def read(self, unit: Unit, version: int, began: float, ended: float, **more: Any) -> None:
        """Let the first row of a unit be read."""
        self.read_rows([(unit.rows[0], token(unit, version))], began, ended, **more)

    def read_rows(
        self, rows: list[tuple[int, str | None]], began: float, ended: float, *, name: str = "reader", snapshot: Any = None
    ) -> None:
        """Let rows be read."""
        bounds = None if snapshot is None else (at(snapshot[0]), at(snapshot[1]))
        self.records.append(Read("fetch", at(began), at(ended), rows, name, bounds, 1, 1))

    def verdict(self, rules: Rules | None = None) -> Verdict:
        """Judge it."""
        path = self.folder / "story.log"
        path.unlink(missing_ok=True)
        log = Log(path)
        for record in self.records:
            log.write(record)
        log.close()
        return check(LAYOUT, self.tokens, [path], rules or Rules())

    def kinds(self, rules: Rules | None = None) -> dict[str, int]:
        """Return how many violations of each kind there are."""
        return dict(self.verdict(rules).kinds)


def at(seconds: float) -> int:
    return round(seconds * SECOND)


def token(unit: Unit, version: int) -> str | None:
    if version == 0:
        return unit.first
    return None if unit.transient and version % 2 == 0 else f"{unit.number}v{version}"
