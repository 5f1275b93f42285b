"""Every order of steps of a small world that runs the real protocol over the real memory store.

An actor is a coroutine that suspends before each operation on the store or the database. A coroutine can't be copied, so an actor is kept
as the answers that its present operation has had (five at most) and run again from there. The search is breadth-first, so that the first
violation found has the shortest schedule; states that differ in nothing that anybody will ever see are one (`Explorer._key`).

What isn't a step of its own, and why nothing is lost:

- A read begins with its lookup (or, key by key and of several cells, with noting the time), and ends with its last step: each gives a
  narrower range of versions than any earlier beginning or later end would, and what it reads is the same.
- A writer's flush is taken with its first announcement: it only keeps other writers away, who can do nothing in between anyway.
- A reader is killed by taking no further step: nothing waits for it. A writer is killed by a step, after which its intents may pass.
"""

from __future__ import annotations

import re
from collections import deque
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, NamedTuple

from tests.consistency.explorer_actors import Answer, Local, Reader, Writer
from tests.consistency.explorer_bench import Bench, Entries, now_after
from tests.consistency.explorer_cast import TOKEN, Cast, Situation
from tests.consistency.explorer_faces import SplitFace, WholeFace
from tests.consistency.explorer_mutants import NO_MUTANT
from tests.consistency.explorer_schedule import told

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.consistency.explorer_faces import Operation
    from tests.consistency.explorer_mutants import Mutant
    from tests.consistency.explorer_worlds import World

__all__ = ("Explorer", "Report")

_TIME = re.compile(rb"\b1000\.?\d{6}\b")
_DEADLINE = re.compile(rb"@1\d{9}\b")


class Database(NamedTuple):
    """One row, or some that are always written together."""

    version: int = 0
    """How many writes are committed."""
    low: int = 0
    """The version that a read begun now must see at least."""
    lock: int | None = None
    """The writer that holds the row's lock."""
    snapshots: int = 0
    """How many snapshots were dated."""


class State(NamedTuple):
    """A moment of a world."""

    entries: Entries
    database: Database
    cast: tuple[Situation, ...]
    evictions: int


class Report(NamedTuple):
    """What an exploration came to."""

    states: int
    steps: int
    violation: str
    """Empty: none in any order."""
    schedule: tuple[str, ...]

    def __str__(self) -> str:
        """Tell it in lines."""
        counts = f"{self.states:,} states, {self.steps:,} steps"
        return "\n  ".join((f"{self.violation} ({counts})", *self.schedule)) if self.violation else f"no violation ({counts})"


class Explorer:
    """One world, and how its steps are taken."""

    def __init__(
        self, world: World, *, split: bool = False, any_order: bool = False, mutant: Mutant = NO_MUTANT, by_history: bool = False
    ) -> None:
        """Set the scene.

        Args:
            world: Who acts, on what.
            split: Take every step of the store key by key.
            any_order: Read the records one by one in any order (see `SplitFace`).
            mutant: What is wrong with the protocol.
            by_history: Tell actors apart by the answers they have had (see `Situation`): many more states, and nothing taken on trust.
        """
        self._world, self._mutant = world, mutant
        self._actors = world.actors
        self._bench = Bench(world.keys, mutant.store)
        self._nature: dict[Entries, list[Any]] = {}
        by_history = by_history or mutant.remembers or any(len(getattr(actor, "plans", ())) > 1 for actor in self._actors)
        self._cast = Cast(
            self._actors,
            lambda: mutant.face(SplitFace(world.cells.__contains__, any_order=any_order) if split else WholeFace()),
            by_history=by_history,
        )
        # Readers that differ in nothing but what they have done may change places.
        self._alike = [[i for i, other in enumerate(self._actors) if other == actor] for actor in dict.fromkeys(self._actors)]
        self._dated = [i for i, actor in enumerate(self._actors) if isinstance(actor, Reader) and actor.is_dated(split=split)]

    def explore(self, most_states: int = 10_000_000) -> Report:
        """Take every order of steps, until one of them is wrong.

        Raises:
            RuntimeError: There are more states than that: the world doesn't fit, and nothing was shown.
        """
        with self._cast.on_stage(self._mutant.patches):
            return self._explore(most_states)

    def _explore(self, most_states: int) -> Report:
        cast = tuple(self._cast.at(i, Local(getattr(actor, "reads", 1))) for i, actor in enumerate(self._actors))
        filled = self._world.filled
        entries = (None,) * len(self._world.keys) if filled is None else self._bench.filled(self._world.cells, filled)
        first = State(entries, Database(), cast, 1)
        seen, waiting, steps = {self._key(first)}, deque([(first, None)]), 0
        while waiting:
            state, past = waiting.popleft()
            for label, after, wrong in self._successors(state):
                steps += 1
                if wrong:
                    return Report(len(seen), steps, wrong, told((label, past), self._actors))
                key = self._key(after)
                if key not in seen:
                    seen.add(key)
                    waiting.append((after, (label, past)))
            if len(seen) > most_states:
                raise RuntimeError(f"more than {most_states:,} states: the world doesn't fit")
        return Report(len(seen), steps, "", ())

    def _key(self, state: State) -> bytes:
        """Return what tells the state from others.

        Tokens, leases' ids among them, are compared for equality alone, so they are named in the order in which they appear. Times are
        compared with snapshots' dates alone (see `now_after`), so they are left out once no snapshot will be read from any more.
        """
        text = self._text(state)
        names: dict[bytes, bytes] = {}
        text = TOKEN.sub(lambda found: names.setdefault(found[0], b"T%d" % len(names)), text)
        if self._dated:
            text = _DEADLINE.sub(b"@", text)
            if not any(state.cast[i].local.left for i in self._dated):
                text = _TIME.sub(b"", text)
        return blake2b(text, digest_size=16).digest()

    def _text(self, state: State) -> bytes:
        texts = [situation.text for situation in state.cast]
        for places in self._alike:
            if len(places) > 1:
                ordered = sorted((state.cast[i] for i in places), key=lambda situation: (situation.masked, situation.text))
                for place, situation in zip(places, ordered, strict=True):
                    texts[place] = situation.text
        database = repr((state.database[:3], state.evictions)).encode()
        return b"\n".join((*(raw or b"-" for raw in state.entries), database, *texts))

    def _successors(self, state: State) -> Iterator[tuple[Any, State, str]]:
        for index, situation in enumerate(state.cast):
            if situation.step is not None:
                yield from self._acts(state, index, situation)
        if not self._world.still:
            yield from self._happens(state)

    def _happens(self, state: State) -> Iterator[tuple[Any, State, str]]:
        """Yield what isn't done by anybody on purpose: deaths, expiries, evictions."""
        for index, (actor, situation) in enumerate(zip(self._actors, state.cast, strict=True)):
            if isinstance(actor, Writer) and situation.local.answers:
                database = state.database._replace(lock=None) if state.database.lock == index else state.database
                yield f"{actor.name}: killed", self._with(state, index, Local(0), database=database), ""
        events = self._nature.get(state.entries)
        if events is None:
            events = self._nature[state.entries] = list(self._bench.nature(state.entries))
        gone = {actor.name for actor, situation in zip(self._actors, state.cast, strict=True) if not situation.local.left}
        for event in events:
            if event.writers <= gone and (state.evictions or not event.evicts):
                yield event.label, state._replace(entries=event.entries, evictions=state.evictions - event.evicts), ""

    def _acts(self, state: State, index: int, situation: Situation) -> Iterator[tuple[Any, State, str]]:
        """Yield what comes of the next step of an actor."""
        actor, local = self._actors[index], situation.local
        if not local.answers:  # it begins
            if isinstance(actor, Writer):
                if state.database.lock is not None or state.database.version < actor.needs:
                    return
                state = state._replace(database=state.database._replace(lock=index))
            local = local._replace(low=state.database.low, epoch=self._epoch(state, index))
            situation = self._cast.at(index, local)
        assert situation.step is not None
        for option, operation in enumerate(situation.step.options):
            answer, after, following = self._taken(state, index, situation, option, operation)
            label = (index, operation, answer, following.answer)
            if following.answer is None:
                yield label, after._replace(cast=_put(after.cast, index, following)), ""
            else:
                wrong = _wrong(following.local, following.answer, after.database)
                yield label, self._finished(after, index, actor, following), wrong

    def _taken(self, state: State, index: int, situation: Situation, option: int, operation: Operation) -> tuple[Any, State, Situation]:
        """Return the answer of an operation, the state after it, and where it leaves the actor."""
        if operation.name in _ON_DATABASE:
            answer, database = _ON_DATABASE[operation.name](state.database, *operation.arguments)
            if operation.name == "commit" and getattr(self._actors[index], "announces", False):
                database = database._replace(low=database.version)
            local = situation.local
            return (
                answer,
                state._replace(database=database),
                self._cast.at(index, local._replace(answers=(*local.answers, (option, answer)))),
            )
        now = now_after(state.database.snapshots)
        known = situation.known.get((option, now, state.entries))
        if known is None:
            answer, entries = self._bench.perform(state.entries, now, operation)
            local = situation.local
            following = self._cast.at(index, local._replace(answers=(*local.answers, (option, answer))))
            known = situation.known[option, now, state.entries] = answer, entries, following
        answer, entries, following = known
        return answer, state._replace(entries=entries), following

    def _finished(self, state: State, index: int, actor: Reader | Writer, situation: Situation) -> State:
        local, answer = situation.local, situation.answer
        assert answer is not None
        if isinstance(actor, Writer):
            database = state.database
            return self._with(state, index, Local(0), database=database._replace(low=max(database.low, answer.committed)))
        left = local.left - bool(answer.versions)
        return self._with(state, index, Local(left, since=answer.since, version=answer.version) if left else Local(0))

    def _with(self, state: State, index: int, local: Local, **changed: Any) -> State:
        return state._replace(cast=_put(state.cast, index, self._cast.at(index, local)), **changed)

    def _epoch(self, state: State, index: int) -> int:
        """Return a number under which no token of this actor is known to anybody."""
        text, epoch = self._text(state), 0
        while b"T%d-%d-" % (index, epoch) in text:
            epoch += 1
        return epoch


def _put(cast: tuple[Situation, ...], index: int, situation: Situation) -> tuple[Situation, ...]:
    return (*cast[:index], situation, *cast[index + 1 :])


def _wrong(local: Local, answer: Answer, database: Database) -> str:
    """Return what of DESIGN 5.1 a read breaks, ``""`` for nothing."""
    if not answer.versions:
        return ""
    read = " and ".join(f"v{version}" for version in answer.versions)
    if len(set(answer.versions)) > 1:
        return f"read {read}, which were never committed together"
    if local.version is not None:
        return "" if answer.versions[0] == local.version else f"read {read} in a snapshot of v{local.version}"
    if local.low <= answer.versions[0] <= database.version:
        return ""
    return f"read {read}, while v{local.low} to v{database.version} were committed"


# What is done on the database: from its state to the answer and its state then.


def _commit(database: Database) -> tuple[int, Database]:
    return database.version + 1, database._replace(version=database.version + 1, lock=None)


def _date(database: Database) -> tuple[int, Database]:
    return now_after(database.snapshots) + 1, database._replace(snapshots=database.snapshots + 1)


def _see(database: Database) -> tuple[int, Database]:
    return database.version, database


def _snapshot(database: Database) -> tuple[tuple[int, int], Database]:
    since, after = _date(database)
    return (since, database.version), after


def _select(database: Database, snapshot: int | None = None) -> tuple[tuple[None, int], Database]:
    return (None, database.version if snapshot is None else snapshot), database


_ON_DATABASE = {"commit": _commit, "date": _date, "see": _see, "snapshot": _snapshot, "select": _select}
