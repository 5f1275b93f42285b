"""The writers' transactions: each locks what it writes, and writes down that its COMMIT begins before it does, and what became of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import delete, insert, select, update

from aa_cache_integration.exceptions import CommitRefusedError
from tests.torture.reading import choose
from tests.torture.records import Begun, Ended, Own, Read, now
from tests.torture.tracking import current
from tests.torture.world import Gate, History

if TYPE_CHECKING:
    import random

    from sqlalchemy.orm import Session

    from tests.torture.faces import Face
    from tests.torture.records import Log
    from tests.torture.tracking import Transaction
    from tests.torture.world import Unit, World

__all__ = ("Writer",)


@dataclass
class Writer:
    """Writes in the manner of one face."""

    face: Face
    world: World
    log: Log
    chance: random.Random
    engine: Any

    def write(self, transaction: Transaction) -> None:
        """Take one transaction."""
        units = {self._unit() for _ in range(2 if self.chance.random() < 0.2 else 1)}
        token = current.set(transaction)
        try:
            with self.face.session(self.engine) as session:
                writes = self._changed(session, transaction, sorted(units, key=lambda unit: unit.number))
                self._end(session, transaction, writes)
        finally:
            current.reset(token)

    def _unit(self) -> Unit:
        return choose(self.world, self.chance, 0.05, 1)

    # Statements

    def _changed(self, session: Session, transaction: Transaction, units: list[Unit]) -> list[tuple[int, int, str]]:
        """Write the units; the locks are held from then on."""
        locked = self._lock(session, transaction, units)
        writes: list[tuple[int, int, str]] = []
        for unit in units:
            version, there = locked[unit.number]
            token = f"{transaction.name}/{unit.number}"
            doomed = self.chance.random()
            if doomed < 0.2:
                nested = session.begin_nested()
                self._set(session, unit, version + 1, f"{token}/doomed", there)
                nested.rollback()
                there = [] if unit.transient else self._rows(session, unit)
            if doomed > 0.85:
                with session.begin_nested():
                    self._set(session, unit, version + 1, token, there)
            else:
                self._set(session, unit, version + 1, token, there)
            writes.append((unit.number, version + 1, token))
        session.execute(insert(History), [{"token": token, "unit": unit, "version": version} for unit, version, token in writes])
        if self.chance.random() < 0.3:
            self._check_own(session, transaction, writes)
        return writes

    def _lock(self, session: Session, transaction: Transaction, units: list[Unit]) -> dict[int, tuple[int, list[Any]]]:
        """Lock the units in the order of their numbers, and return the version and the rows of each."""
        if session.get_bind().dialect.name == "sqlite":  # whose one lock the first statement that writes takes
            session.execute(update(Gate).where(Gate.unit == units[0].number).values(version=Gate.version))
        locked: dict[int, tuple[int, list[Any]]] = {}
        for unit in units:
            if unit.transient:
                version = session.scalars(select(Gate.version).where(Gate.unit == unit.number).with_for_update()).one()
                locked[unit.number] = version, []
                continue
            began = now()
            rows = self._rows(session, unit)
            seen = [(row.id, row.token) for row in rows]
            self.log.write(Read("locked", began, now(), seen, transaction.name))
            locked[unit.number] = rows[0].version, rows
        return locked

    @staticmethod
    def _rows(session: Session, unit: Unit) -> list[Any]:
        found = select(unit.model).where(unit.model.id.in_(unit.rows)).order_by(unit.model.id).with_for_update()
        return list(session.scalars(found.execution_options(populate_existing=True)))

    def _set(self, session: Session, unit: Unit, version: int, token: str, rows: list[Any]) -> None:
        if unit.transient:
            self._appear_or_vanish(session, unit, version, token)
            return
        way = self.chance.random()
        if way < 0.92:  # what isn't a flush renews the whole table
            for row in rows:
                row.version, row.token = version, token
            session.flush()
        elif way < 0.96:
            change = update(unit.model).where(unit.model.id.in_(unit.rows)).values(version=unit.model.version + 1, token=token)
            session.execute(change, execution_options={"synchronize_session": False})
        else:
            table = unit.model.__table__
            change = update(table).where(table.c.shelf == unit.shelf, table.c.id.in_(unit.rows)).values(version=version, token=token)
            session.connection().execute(change)

    def _appear_or_vanish(self, session: Session, unit: Unit, version: int, token: str) -> None:
        session.execute(update(Gate).where(Gate.unit == unit.number).values(version=version))
        (row,), model = unit.rows, unit.model
        if version % 2:
            session.add(model(id=row, shelf=unit.shelf, version=version, token=token))
            session.flush()
        elif self.chance.random() < 0.5:
            session.execute(delete(model).where(model.id == row), execution_options={"synchronize_session": False})
        else:
            session.delete(session.scalars(select(model).where(model.id == row).with_for_update()).one())
            session.flush()

    def _check_own(self, session: Session, transaction: Transaction, writes: list[tuple[int, int, str]]) -> None:
        for number, version, token in writes:
            unit = self.world.units[number]
            began = now()
            found = self.face.fetch(session, unit.model, list(unit.rows))
            rows = [(row, None if there is None else there.token) for row, there in zip(unit.rows, found, strict=True)]
            expected = [(row, None if unit.transient and version % 2 == 0 else token) for row in unit.rows]
            self.log.write(Own(began, now(), rows, expected, transaction.name))

    # The end

    def _end(self, session: Session, transaction: Transaction, writes: list[tuple[int, int, str]]) -> None:
        dice = self.chance.random()
        if dice < 0.12:
            session.rollback()
        elif dice < 0.16:
            session.close()
        else:
            self._commit(session, transaction, writes)
            return
        self.log.write(Ended(now(), transaction.name, "rolled back"))

    def _commit(self, session: Session, transaction: Transaction, writes: list[tuple[int, int, str]]) -> None:
        self.log.write(Begun(now(), transaction.name, writes))
        transaction.committing = True
        try:
            session.commit()
        except CommitRefusedError as error:
            self.log.write(Ended(now(), transaction.name, "refused", str(error)))
        except Exception as error:
            self.log.write(Ended(now(), transaction.name, "unknown", f"{type(error).__name__}: {error}"))
            raise
        else:
            self.log.write(Ended(now(), transaction.name, "committed"))
