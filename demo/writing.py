"""The writes: what a transaction does before it is committed or rolled back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm.exc import StaleDataError

from demo.judge import ABSENT
from demo.models import City
from demo.operations import Ending
from demo.world import content_of, row_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy.orm import Session

    from demo.judge import Row, State
    from demo.models import Place
    from demo.operations import Read, Write
    from demo.world import World

__all__ = ("CONFLICTS", "Prepared", "prepare")

CONFLICTS = (StaleDataError, IntegrityError)
"""Another transaction has changed the row since it was read, or founded the same town: the transaction is done again."""


@dataclass(frozen=True)
class Prepared:
    """A transaction whose statements have all been executed."""

    states: Mapping[Row, State]
    """What the transaction itself sees in the rows that it touched."""
    commits: bool


def prepare(session: Session, world: World, write: Write) -> Prepared:
    """Execute a transaction's statements; the database's write lock is held from then on.

    Raises:
        StaleDataError: See `CONFLICTS`.
        IntegrityError: See `CONFLICTS`.
    """
    ending = write.ending
    commits = ending not in {Ending.ROLLED_BACK, Ending.TOWN_ROLLED_BACK}
    if ending in {Ending.TOWN, Ending.TOWN_ROLLED_BACK}:
        return Prepared(_found_or_give_up(session, world, write, commits=commits), commits)
    touched = [_grow(session, write.first, write.growth, commits=commits)]
    session.flush()  # first of all a statement that writes: before one, SQLite's driver begins no transaction around a savepoint
    if ending is Ending.SAVEPOINT_RELEASED:
        with session.begin_nested():
            touched.append(_grow(session, write.second, write.growth, commits=commits))
    elif ending is Ending.SAVEPOINT_ROLLED_BACK:
        with session.begin_nested() as savepoint:
            _grow(session, write.second, write.growth, commits=False)
            session.flush()
            savepoint.rollback()
    return Prepared({row_of(place): content_of(place) for place in touched}, commits)


def _grow(session: Session, read: Read, growth: int, *, commits: bool) -> Place:
    """Change a population; to a negative one, which the judge knows, when this is going to be rolled back."""
    place = session.get_one(read.model, read.ident)
    place.population = place.population + growth if commits else -abs(place.population) - growth
    return place


def _found_or_give_up(session: Session, world: World, write: Write, *, commits: bool) -> dict[Row, State]:
    row = world.rows[City, write.first.ident]
    town = session.get(City, write.first.ident)
    if town is None:
        town = world.found(write.first.ident, 1_000_000 + write.growth if commits else -write.growth)
        session.add(town)
        session.flush()
        return {row: content_of(town)}
    session.delete(town)
    session.flush()
    return {row: ABSENT}
