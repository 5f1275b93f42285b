"""What the workload does: for each worker an endless, seeded sequence of operations, skewed to the largest places."""

from __future__ import annotations

import itertools
import random
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import select

from demo.models import City, Country, Place
from demo.world import TOWNS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sqlalchemy import Select

    from demo.world import World

__all__ = ("Ending", "Listing", "Operation", "Read", "Write", "sequence")

LIST_LIMIT: Final = 25
_WRITES, _LISTS, _COUNTRIES = 0.02, 0.10, 0.25
"""The share of writes; of the reads, that of lists and that of single countries. The rest reads cities."""


@dataclass(frozen=True)
class Read:
    """One place by its primary key."""

    model: type[Place]
    ident: Any

    @property
    def kind(self) -> str:
        """How the report calls it."""
        return str(self.model.__tablename__)


@dataclass(frozen=True)
class Listing:
    """The largest places of a country or a continent."""

    model: type[Place]
    group: str

    @property
    def kind(self) -> str:
        """How the report calls it."""
        return f"lists of {self.model.__tablename__}"

    @property
    def key(self) -> str:
        """Its key in the cache."""
        return f"largest-{self.model.__tablename__}:{self.group}"

    def statement(self) -> Select[Any]:
        """Return the query."""
        group, ident = (City.country_code, City.id) if self.model is City else (Country.continent, Country.code)
        return select(self.model).where(group == self.group).order_by(self.model.population.desc(), ident).limit(LIST_LIMIT)


class Ending(Enum):
    """How a transaction goes."""

    COMMITTED = "committed"
    ROLLED_BACK = "rolled back"
    SAVEPOINT_RELEASED = "committed, savepoint released"
    SAVEPOINT_ROLLED_BACK = "committed, savepoint rolled back"
    TOWN = "town founded or given up"
    TOWN_ROLLED_BACK = "town founded or given up, rolled back"


_ENDINGS: Final = {
    Ending.COMMITTED: 50,
    Ending.ROLLED_BACK: 15,
    Ending.SAVEPOINT_RELEASED: 10,
    Ending.SAVEPOINT_ROLLED_BACK: 10,
    Ending.TOWN: 10,
    Ending.TOWN_ROLLED_BACK: 5,
}


@dataclass(frozen=True)
class Write:
    """One transaction."""

    ending: Ending
    first: Read
    second: Read
    """What is written in the savepoint, where there is one."""
    growth: int


Operation = Read | Listing | Write


def sequence(world: World, seed: int, worker: int) -> Iterator[Operation]:
    """Yield a worker's operations, the same for the same seed."""
    dice = random.Random(f"{seed}:{worker}")  # noqa: S311 - repeatable, not secret
    cities = _Skewed(dice, [row["id"] for row in world.cities], 1.15)
    countries = _Skewed(dice, [row["code"] for row in world.countries], 1.0)
    listed = _Skewed(dice, [row["code"] for row in world.countries], 1.5)
    continents = _Skewed(dice, sorted({row["continent"] for row in world.countries}), 0.5)
    endings, weights = list(_ENDINGS), list(_ENDINGS.values())

    def place() -> Read:
        return Read(Country, countries.draw()) if dice.random() < _COUNTRIES / 3 else Read(City, cities.draw())

    def town() -> Read:
        return Read(City, world.town(dice.randrange(TOWNS)))

    while True:
        if dice.random() < _WRITES:
            ending = dice.choices(endings, weights)[0]
            first = town() if ending in {Ending.TOWN, Ending.TOWN_ROLLED_BACK} else place()
            yield Write(ending, first, place(), dice.randint(1, 1000))
        elif dice.random() < _LISTS:
            yield Listing(Country, continents.draw()) if dice.random() < _COUNTRIES else Listing(City, listed.draw())
        elif dice.random() < _COUNTRIES:
            yield Read(Country, countries.draw())
        else:
            yield town() if dice.random() < 0.02 else Read(City, cities.draw())  # noqa: PLR2004 - a few, some of which don't exist


class _Skewed:
    """Draws by Zipf's law: the one of rank r with a weight of 1/r^exponent."""

    def __init__(self, dice: random.Random, choices: Sequence[Any], exponent: float) -> None:
        self._dice = dice
        self._choices = choices
        self._weights = list(itertools.accumulate(1 / rank**exponent for rank in range(1, len(choices) + 1)))

    def draw(self) -> Any:
        """Return one."""
        return self._dice.choices(self._choices, cum_weights=self._weights)[0]
