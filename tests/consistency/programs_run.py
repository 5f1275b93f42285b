"""How the random programs of `test_programs` run: what is read through a cache meanwhile, and how it is judged."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from sqlalchemy.exc import DBAPIError, InvalidRequestError, MissingGreenlet
from sqlalchemy.orm.exc import FlushError, StaleDataError

from aa_cache_integration import manager as managers_of_process
from tests.consistency.programs import KINDS, Base, expected, folded, read_state, shown
from tests.consistency.programs_steps import Write

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from aa_cache_integration import CacheManager
    from tests.consistency.programs import Kind, State
    from tests.consistency.programs_world import World

__all__ = ("Elsewhere", "End", "EndSavepoint", "Fetch", "Flush", "Look", "ReadList", "Run", "Savepoint")

FAILURES = (DBAPIError, FlushError, InvalidRequestError, StaleDataError)
"""What a program's step may come to, where the database or the session can't do it."""


# Steps that aren't writes of the program itself


@dataclass(frozen=True)
class Flush:
    def run(self, program: Run) -> None:
        program.session.flush()


@dataclass(frozen=True)
class Savepoint:
    def run(self, program: Run) -> None:
        if len(program.savepoints) < 3:
            program.savepoints.append(program.session.begin_nested())


@dataclass(frozen=True)
class EndSavepoint:
    """Release or roll back: the last savepoint, or, with ``all``, the first and with it all others."""

    release: bool
    all: bool = False

    def run(self, program: Run) -> None:
        if not program.savepoints:
            return
        ended = program.savepoints[0 if self.all else -1]
        del program.savepoints[0 if self.all else -1 :]
        try:
            (ended.commit if self.release else ended.rollback)()
        except FAILURES:
            ended.rollback()
            raise


@dataclass(frozen=True)
class End:
    """Commit, roll back, or close the session and open another."""

    how: Literal["commit", "rollback", "close"]

    def run(self, program: Run) -> None:
        program.savepoints.clear()
        getattr(program.session, self.how)()
        if self.how == "close":
            program.session = program.world.session()
        program.has_written = False
        program.audit()


@dataclass(frozen=True)
class Elsewhere:
    """Write in another session and commit, where nothing that this program has written would be in its way."""

    write: Write
    aside: bool = True

    def run(self, program: Run) -> None:
        if program.has_written:
            return

        def write() -> None:
            session = program.world.session()
            try:
                self.write.run(session)
                session.commit()
            except FAILURES as error:
                program.note(self.write, error)
            finally:
                session.close()

        program.world.run(write) if self.aside else write()
        program.audit()


@dataclass(frozen=True)
class Fetch:
    """Read rows through the cache in the program's own transaction, and with ``first`` not before the database."""

    of: str
    which: tuple[int, ...] = (0,)
    first: bool = False

    def run(self, program: Run) -> None:
        program.session.flush()
        connection = program.session.connection()
        kind = KINDS[self.of]
        state = read_state(connection, kind.tables) if self.first else None
        found = program.fetch(program.session, kind, self.which)
        program.judge(kind, self.which, found, state or read_state(connection, kind.tables))


@dataclass(frozen=True)
class Look:
    """Read rows through the cache in another session, in a context of its own or in the program's."""

    of: str
    which: tuple[int, ...] = (0,)
    aside: bool = True

    def run(self, program: Run) -> None:
        def look() -> None:
            session = program.world.session()
            try:
                found = program.fetch(session, KINDS[self.of], self.which)
                program.judge(KINDS[self.of], self.which, found, program.world.committed())
            finally:
                session.close()

        program.world.run(look) if self.aside else look()


@dataclass(frozen=True)
class ReadList:
    """Look up a list of all rows in the program's own transaction, and put it after a miss: perhaps with a write of its own between."""

    of: str
    counted: bool = False
    meanwhile: Write | None = None

    def run(self, program: Run) -> None:
        program.session.flush()
        program.read_list(KINDS[self.of], program.session, counted=self.counted, own=True, meanwhile=self.meanwhile)


@dataclass
class Run:
    """A program that runs."""

    world: World
    manager: CacheManager
    done: Counter[str] = field(default_factory=Counter)
    failed: Counter[str] = field(default_factory=Counter)
    savepoints: list[Any] = field(default_factory=list)
    has_written: bool = False
    versions: dict[str, tuple[str, Any]] = field(default_factory=dict)
    """Each table's token at the last audit, and what the table held."""

    def steps(self, steps: list[Any]) -> None:
        """Take all steps, and look at everything that is in the cache before, after each end of a transaction, and at the end."""
        self.session = self.world.session()
        try:
            self.audit()
            for step in steps:
                self._step(step)
        finally:
            self.session.close()
        self.audit()

    def _step(self, step: Any) -> None:
        try:
            if isinstance(step, Write):
                self.write(step)
            else:
                step.run(self)
        except FAILURES as error:
            self.note(step, error)
            self._give_up()
        else:
            self.note(step)

    def write(self, step: Write) -> None:
        """Write in the program's own transaction."""
        self.has_written = True
        step.run(self.session)

    def note(self, step: Any, error: Exception | None = None) -> None:
        """Count what became of a step."""
        assert not isinstance(error, MissingGreenlet), error
        (self.done if error is None else self.failed)[type(step).__name__] += 1

    def _give_up(self) -> None:
        """Roll back the savepoint in which something failed, or else everything."""
        if self.savepoints:
            try:
                self.savepoints.pop().rollback()
            except FAILURES:  # the database has given up the whole transaction
                pass
            else:
                return
        self.savepoints.clear()
        self.session.rollback()
        self.has_written = False
        self.audit()

    # What is read through the cache, and compared

    def fetch(self, session: Session, kind: Kind, which: tuple[int, ...]) -> list[Any]:
        """Read rows through the cache."""
        idents = [kind.idents[one] for one in which]
        return self.world.call(self.manager, "fetch_entities", session, kind.model, idents)  # type: ignore[no-any-return]

    def judge(self, kind: Kind, which: tuple[int, ...], found: list[Any], state: State) -> None:
        """Compare instances with the rows."""
        rows = expected(kind, state, folds=self.world.folds)
        wanted = [rows.get(folded(kind.idents[one], folds=self.world.folds)) for one in which]
        assert [shown(one) for one in found] == wanted, f"of {kind.name}"

    def read_list(self, kind: Kind, session: Session, *, counted: bool, own: bool = False, meanwhile: Write | None = None) -> None:
        """Look up a list of all rows; judge a hit, and put what is read after a miss."""
        suffix = "_and_count" if counted else ""
        found = self.world.call(self.manager, f"get_list{suffix}", f"list:{kind.name}", kind.model)
        seen = self._list_of(kind, read_state(session.connection(), kind.tables))
        if found is None:
            if meanwhile is not None:
                self.write(meanwhile)
                session.flush()
                seen = self._list_of(kind, read_state(session.connection(), kind.tables))
            made = [self._instance(name, row) for name, row in seen]
            self.world.call(self.manager, f"set_list{suffix}", f"list:{kind.name}", made, *([len(made)] if counted else []))
            return
        allowed = [seen]
        if own and self.has_written:  # it may be told what is committed
            allowed.append(self._list_of(kind, self.world.committed()))
        items = found[0] if counted else found
        assert not counted or found[1] == len(items)
        assert [shown(one) for one in items] in allowed, f"the list of {kind.name} isn't of {allowed}"

    @staticmethod
    def _list_of(kind: Kind, state: State) -> list[tuple[str, dict[str, Any]]]:
        return list(expected(kind, state, folds=False).values())

    @staticmethod
    def _instance(name: str, row: dict[str, Any]) -> Any:
        model = next(mapper.class_ for mapper in Base.registry.mappers if mapper.class_.__name__ == name)
        return model(**row)

    def audit(self) -> None:
        """Read everything through the cache as a newcomer, whom a warm cache mostly answers, and compare it with the database."""
        self.world.run(self._audit)

    def _audit(self) -> None:
        state = self.world.committed()
        session = self.world.session()
        for kind in KINDS.values():
            self.judge(kind, (0, 1, 2, 3), self.fetch(session, kind, (0, 1, 2, 3)), state)
            session.close()  # so that the next begins without a snapshot, which a hit might be later than
            self.read_list(kind, session, counted=False)
            session.close()
        for table, rows in state.items():
            token = self.world.call(self.manager, "get_model_version", table)
            before = self.versions.get(table)
            assert before is None or rows == before[1] or token != before[0], f"the token of {table} stands after a committed write"
            self.versions[table] = token, rows

    def close(self) -> None:
        """Close the cache."""
        self.world.close_cache(self.manager)
        managers_of_process._live.discard(self.manager)
        self.world.forget()
