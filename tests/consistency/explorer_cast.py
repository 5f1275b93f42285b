"""Where each actor stands: its coroutine, run again from the answers it has had up to its next step."""

from __future__ import annotations

import itertools
import re
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

from aa_cache_integration import CacheConfig
from aa_cache_integration.core import protocol
from aa_cache_integration.core.state import SharedState
from aa_cache_integration.events import Emitter
from tests.consistency.explorer_bench import BEGAN

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from tests.consistency.explorer_actors import Answer, Local, Reader, Writer
    from tests.consistency.explorer_faces import Face, Step

__all__ = ("TOKEN", "Cast", "Situation")

TOKEN = re.compile(rb"T\d+-\d+-\d+(?:\.\d+)?")
"""A token as `Cast` names it, and as a record is stamped with it."""


class _Clock:
    """The store's clock, known exactly. Intents stand from here on as long as nature lets them."""

    fresh = True
    started = 0

    def now(self) -> int:
        return BEGAN

    def sent(self) -> int:
        return self.started

    def learn(self, store_now: int, sent: int) -> None:
        pass

    def bound(self, since: int) -> int:
        return since


class Situation:
    """One actor at one moment; there is one object for each, so that they compare by identity."""

    __slots__ = ("answer", "known", "local", "masked", "step", "text")

    def __init__(self, local: Local, step: Step | None, answer: Answer | None, *, by_history: bool) -> None:
        """Describe it.

        The text tells situations apart. A step says all that its coroutine's future depends on: the arguments of what it is about to do,
        and in ``held`` what the actor keeps for later. Where that isn't so, ``by_history`` takes the answers it has had in its place.
        """
        self.local, self.step, self.answer = local, step, answer
        past = (local.answers, local.epoch if local.answers else 0) if by_history or step is None else step
        self.text = repr((local.left, local.low, local.since, local.version, past)).encode()
        self.masked = TOKEN.sub(b"T", self.text)
        self.known: dict[Any, Any] = {}
        """What became of its operations, for each state of the store."""


class Cast:
    """The actors of a world."""

    def __init__(self, actors: Sequence[Reader | Writer], face: Callable[[], Face], *, by_history: bool) -> None:
        """Give the actors their face of the store.

        Args:
            actors: Who they are.
            face: Makes a face, for one operation.
            by_history: See `Situation`.
        """
        self._actors = actors
        self._face = face
        self._by_history = by_history
        self._known: dict[tuple[int, Local], Situation] = {}
        self._new_token: Callable[[], str] = str

    @contextmanager
    def on_stage(self, patches: Mapping[str, Any]) -> Iterator[None]:
        """Let tokens be told by the actor, its operation and how many it has drawn; and put a mutation in place.

        Args:
            patches: Names of `core.protocol` and what they are to be.
        """
        with ExitStack() as stack:
            stack.enter_context(patch.object(protocol, "new_token", self._draw))
            for name, changed in patches.items():
                stack.enter_context(patch.object(protocol, name, changed))
            yield

    def _draw(self) -> str:
        return self._new_token()

    def at(self, index: int, local: Local) -> Situation:
        """Return where an actor stands."""
        found = self._known.get((index, local))
        if found is None:
            step, answer = self._run(index, local) if local.left else (None, None)
            found = self._known[index, local] = Situation(local, step, answer, by_history=self._by_history)
        return found

    def _run(self, index: int, local: Local) -> tuple[Step | None, Answer | None]:
        numbers = itertools.count()
        self._new_token = lambda: f"T{index}-{local.epoch}-{next(numbers)}"
        state = SharedState(CacheConfig(), Emitter(hooks=[]))
        state.clock = _Clock()  # type: ignore[assignment]
        coroutine: Any = self._actors[index].act(self._face(), state, local)
        try:
            step = coroutine.send(None)
            for answer in local.answers:
                step = coroutine.send(answer)
        except StopIteration as done:
            return None, done.value
        coroutine.close()
        return step, None
