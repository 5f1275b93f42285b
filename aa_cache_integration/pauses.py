"""Pauses, for bulk imports: while one lasts everyone reads from the database, and no commit in it is announced by itself (DESIGN 6)."""

from __future__ import annotations

import asyncio
import contextlib
import math
import os
import threading
import time
from typing import TYPE_CHECKING, Final

from aa_cache_integration import events
from aa_cache_integration.core.drive import drive, shielded
from aa_cache_integration.core.tokens import new_token
from aa_cache_integration.exceptions import StoreUnavailableError
from aa_cache_integration.stores.base import Announcement

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from typing_extensions import Self

    from aa_cache_integration.core.protocol import Protocol
    from aa_cache_integration.manager import CacheManager

__all__ = ("Cover", "Pause", "cover_of")

_TERM: Final = 2
"""For how many ``write_intent_timeout`` an intent is put: a commit may begin under one that counts for one of them yet."""
_BEATS: Final = 3
"""How often an intent is put anew within one ``write_intent_timeout``."""

_active: tuple[Cover, ...] = ()
_lock = threading.Lock()


def _after_fork() -> None:
    """Let the child announce its own commits: what keeps the intents alive is a thread that only the parent has."""
    global _active, _lock
    _active, _lock = (), threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def cover_of(manager: CacheManager, namespace: str) -> Cover | None:
    """Return the pause under which a commit may go that is about to begin, which then must `Cover.leave` it; ``None``: there is none.

    Args:
        manager: Whom the commit must be told to.
        namespace: The record on which all depends that it changes.
    """
    for cover in _active:
        if cover.manager is manager and cover.namespace == namespace and cover.join():
            return cover
    return None


class Cover:
    """One write intent of a pause: on the namespace of one bind group in one manager's store."""

    def __init__(self, manager: CacheManager, bind_group: str | None) -> None:
        """Cover nothing yet."""
        self.manager = manager
        self.bind_group = bind_group
        self.namespace = manager.planner.keys(bind_group).namespace
        self.term = _TERM * manager.config.write_intent_timeout
        self._announcement = Announcement(new_token(), (), (self.namespace,))
        self._step = threading.Lock()
        """Held while the intent is put, so that none is put after the last was settled."""
        self._state = threading.Lock()
        self._until = -math.inf
        """The monotonic time (s) until which the intent surely counts."""
        self._commits = 0
        self._is_ended = self._is_doubtful = False

    def join(self) -> bool:
        """Let a commit go under this pause; ``False``: it has ended, or its intent may not outlast the commit."""
        with self._state:
            joins = not self._is_ended and self._until - time.monotonic() >= self.manager.config.write_intent_timeout
            self._commits += joins
            return joins

    def leave(self, *, certain: bool = True) -> Announcement | None:
        """Tell that a commit is over; return what must be settled now: the pause has ended, and this was the last commit under it.

        Args:
            certain: Whether its outcome is known; else the intent is left to its deadline.
        """
        with self._state:
            self._commits -= 1
            self._is_doubtful = self._is_doubtful or not certain
            return self._due()

    def end(self) -> Announcement | None:
        """End the pause; return what must be settled now, if that isn't left to a commit which is under way, or to the deadline."""
        with self._step, self._state:
            self._is_ended = True
            return self._due()

    def _due(self) -> Announcement | None:
        return self._announcement if self._is_ended and not self._commits and not self._is_doubtful else None

    def beat(self) -> None:
        """Put the intent anew, unless the pause has ended."""
        with self._step:
            if not self._is_ended:
                drive(self.hold(self.manager.operations().protocol))

    async def hold(self, protocol: Protocol) -> None:
        """Put the intent.

        Raises:
            StoreUnavailableError: It couldn't be put; commits are announced by themselves when the last one wears out.
        """
        sent = time.monotonic()
        await protocol.hold(self._announcement, self.term)
        self._until = sent + self.term


class Pause:
    """A context manager, for ``with`` and ``async with``: see `CacheRegistry.paused`. Each is used once."""

    def __init__(self, covers: Callable[[], Iterable[Cover]]) -> None:
        """Pause nothing yet.

        Args:
            covers: Returns what is to be paused, when it is.
        """
        self._make = covers
        self._covers: tuple[Cover, ...] | None = None
        self._over = threading.Event()
        self._process = os.getpid()

    def __enter__(self) -> Self:
        """Put the intents, and keep them alive."""
        self._check_unused()
        with contextlib.ExitStack() as undone:
            undone.callback(self._settle)
            for cover in self._begin():
                try:
                    cover.beat()
                except StoreUnavailableError as error:  # noqa: PERF203 - one manager each
                    _refuse_or_tell(cover, error)
            self._keep_alive()
            undone.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        """Settle the intents, unless a commit is under way in another thread or task, which then does it when it is over."""
        self._settle()

    async def __aenter__(self) -> Self:
        """See `__enter__`."""
        self._check_unused()
        async with contextlib.AsyncExitStack() as undone:
            undone.push_async_callback(lambda: shielded(self._asettle()))
            for cover in self._begin():
                try:
                    await cover.hold(cover.manager.async_operations().protocol)
                except StoreUnavailableError as error:  # noqa: PERF203 - one manager each
                    _refuse_or_tell(cover, error)
            self._keep_alive()
            undone.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        """See `__exit__`."""
        await shielded(self._asettle())

    def _check_unused(self) -> None:
        if self._covers is not None:
            raise RuntimeError("this pause was used already: call caches.paused() for each")

    def _begin(self) -> tuple[Cover, ...]:
        global _active  # noqa: PLW0603 - replaced as a whole, so that commits read it without a lock
        covers = self._covers = tuple(self._make())
        self._process = os.getpid()
        with _lock:
            _active = (*_active, *covers)
        return covers

    def _keep_alive(self) -> None:
        threading.Thread(target=self._beat, name="aa_cache_pause", daemon=True).start()

    def _beat(self) -> None:
        covers = self._covers or ()
        interval = min((cover.term for cover in covers), default=math.inf) / _TERM / _BEATS
        while not self._over.wait(min(interval, threading.TIMEOUT_MAX)):
            for cover in covers:
                try:
                    cover.beat()
                except Exception as error:  # noqa: BLE001, PERF203 - the next beat may succeed; until then commits announce themselves
                    _tell(cover, events.DEGRADED, f"a pause's intent couldn't be put anew: {type(error).__name__}: {error}")

    def _end(self) -> list[tuple[Cover, Announcement]]:
        """End; return what must be settled now. A child that leaves the block of its parent ends nothing, for that goes on."""
        global _active  # noqa: PLW0603
        if self._process != os.getpid():
            return []
        self._over.set()
        covers = self._covers or ()
        due = [(cover, announcement) for cover in covers if (announcement := cover.end()) is not None]
        with _lock:
            _active = tuple(cover for cover in _active if cover not in covers)
        return due

    def _settle(self) -> None:
        for cover, announcement in self._end():
            drive(cover.manager.operations().protocol.settle(announcement))
            tell_end(cover)

    async def _asettle(self) -> None:
        for cover, announcement in await asyncio.to_thread(self._end):  # a beat under way may wait for its server
            await cover.manager.async_operations().protocol.settle(announcement)
            tell_end(cover)


def tell_end(cover: Cover) -> None:
    """Tell that all that was committed in a pause is settled."""
    _tell(cover, events.INVALIDATE, "the pause is over")


def _refuse_or_tell(cover: Cover, error: StoreUnavailableError) -> None:
    """Go on without an intent, for then each commit is announced by itself; or raise, where a commit would be refused too."""
    if cover.manager.config.unreachable_commit == "refuse":
        raise StoreUnavailableError(f"Nothing is paused, for the write intents couldn't be put: {error}") from error
    _tell(cover, events.DEGRADED, f"a pause's intent couldn't be put: {error}")


def _tell(cover: Cover, name: str, reason: str) -> None:
    emitter = cover.manager.emitter
    if emitter.wants(name):
        emitter.emit(name, op="pause", bind_group=cover.bind_group, reason=reason)
