"""The readers' transactions; each answer is written down with what the checker must know of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import select

from tests.torture.records import Read, now
from tests.torture.tracking import current
from tests.torture.world import Note

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Sequence

    from sqlalchemy.orm import Session

    from tests.torture.faces import Face
    from tests.torture.records import Log
    from tests.torture.tracking import Transaction
    from tests.torture.world import Unit, World

__all__ = ("Reader", "choose")

Rows = list[tuple[int, "str | None"]]
_SKEW: Final = 1.3


def choose(world: World, chance: random.Random, notes: float, skew: float) -> Unit:
    """Choose a unit, the first ones far more often than the last, about as in Zipf's law.

    Args:
        world: All units.
        chance: The dice.
        notes: The share of units that are seldom written.
        skew: How much more often; 1 for Zipf's law itself.
    """
    hot = [unit for unit in world.units if unit.model is not Note]
    if chance.random() < notes:
        return chance.choice(world.units[len(hot) :])
    return hot[min(len(hot) - 1, int(len(hot) ** chance.random() ** skew) - 1)]


@dataclass
class Reader:
    """Reads in the manner of one face."""

    face: Face
    world: World
    log: Log
    chance: random.Random
    engine: Any
    snapshots: Any
    """The engine of transactions that begin with BEGIN, on SQLite; elsewhere ``engine``."""
    torn: bool = False
    """Whether cached reads are made outside of the snapshot that they belong to, which the checker must find."""

    def read(self, transaction: Transaction) -> None:
        """Take one transaction."""
        dice = self.chance.random()
        if dice < 0.16:
            self._in_a_snapshot(transaction)
        elif dice < 0.24:
            self._list(transaction)
        elif dice < 0.4:
            self._plain(transaction)
        else:
            with self.face.session(self.engine) as session:
                for _ in range(self.chance.randint(1, 4)):
                    self._direct(session, transaction) if self.chance.random() < 0.12 else self._fetch(session, transaction)

    def _unit(self) -> Unit:
        return choose(self.world, self.chance, 0.2, _SKEW)

    def _rows(self) -> tuple[type[Any], list[int]]:
        """Choose a row, a pair, or rows of several units of one table."""
        unit = self._unit()
        rows = list(unit.rows[: self.chance.randint(1, len(unit.rows))])
        if self.chance.random() < 0.2:
            others = [other for other in (self._unit() for _ in range(3)) if other.model is unit.model]
            rows = list(dict.fromkeys([*rows, *(other.rows[0] for other in others)]))
        return unit.model, rows

    def _fetch(self, session: Session, transaction: Transaction, idents: tuple[type[Any], list[int]] | None = None) -> None:
        model, rows = idents or self._rows()

        def answer() -> Rows:
            if not self.torn or transaction.snapshot is None:
                return _seen(rows, self.face.fetch(session, model, rows))
            with self.face.session(self.engine) as other:
                return _seen(rows, self.face.fetch(other, model, rows))

        self._told("fetch", transaction, answer, len(rows))

    def _direct(self, session: Session, transaction: Transaction, idents: tuple[type[Any], list[int]] | None = None) -> None:
        model, rows = idents or self._rows()

        def answer() -> Rows:
            found = dict(session.execute(select(model.id, model.token).where(model.id.in_(rows))).tuples().all())
            return [(row, found.get(row)) for row in rows]

        self._told("direct", transaction, answer)

    def _plain(self, transaction: Transaction) -> None:
        """Look a row up as an application does that uses the seed's API."""
        unit = self._unit()
        row, model = self.chance.choice(unit.rows), unit.model

        def answer() -> Rows:
            found = self.face.call("get_entity", model.__tablename__, row, model)
            if found is None:
                with self.face.session(self.engine) as session:
                    found = session.get(model, row) if self.chance.random() < 0.5 else session.scalar(select(model).where(model.id == row))
                    if found is not None:
                        self.face.call("set_entity", model.__tablename__, row, found)
            return [(row, None if found is None else found.token)]

        self._told("plain", transaction, answer, 1)

    def _list(self, transaction: Transaction) -> None:
        shelf = self.chance.randrange(4)
        everything = [row for unit in self.world.on_shelf(shelf) for row in unit.rows]

        def answer() -> Rows:
            key = f"shelf:{shelf}"
            found: Sequence[Note] | None = self.face.call("get_list", key, Note)
            if found is not None:
                return _all(everything, found)
            with self.face.session(self.engine) as session:
                found = session.scalars(select(Note).where(Note.shelf == shelf).order_by(Note.id)).all()
                self.face.call("set_list", key, found)
                return _all(everything, found)

        self._told("list", transaction, answer, 1)

    def _in_a_snapshot(self, transaction: Transaction) -> None:
        idents = self._rows()
        with self.face.session(self.snapshots) as session:
            transaction.repeatable = True
            if session.get_bind().dialect.name != "sqlite":
                session.connection(execution_options={"isolation_level": "REPEATABLE READ"})
            if self.chance.random() < 0.2:
                self._fetch(session, transaction)
            self._direct(session, transaction, idents)
            for _ in range(self.chance.randint(1, 5)):
                again = idents if self.chance.random() < 0.5 else None
                (self._direct if self.chance.random() < 0.25 else self._fetch)(session, transaction, again)

    def _told(self, kind: str, transaction: Transaction, answer: Callable[[], Rows], asked: int = 0) -> None:
        """Get an answer and write it down."""
        snapshot, hits = transaction.snapshot, transaction.hits
        token = current.set(transaction)
        began = now()
        try:
            rows = answer()
        finally:
            current.reset(token)
        ended = now()
        if kind == "direct" and snapshot is None:
            snapshot = transaction.snapshot  # which this very statement took
        self.log.write(Read(kind, began, ended, rows, transaction.name, snapshot, asked, transaction.hits - hits))


def _seen(rows: Sequence[int], found: Sequence[Any]) -> Rows:
    for row, instance in zip(rows, found, strict=True):
        if instance is not None and instance.id != row:
            raise AssertionError(f"asked for the row {row}, got {instance.id}")
    return [(row, None if instance is None else instance.token) for row, instance in zip(rows, found, strict=True)]


def _all(everything: Sequence[int], found: Sequence[Any]) -> Rows:
    there = {instance.id: instance.token for instance in found}
    if there.keys() - set(everything):
        raise AssertionError(f"rows of another shelf: {there.keys() - set(everything)}")
    return [(row, there.get(row)) for row in everything]
