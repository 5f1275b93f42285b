"""Who is told of events: hooks, built at the first event, and the emitter that each manager holds.

A hook that raises never breaks a cache operation: its first error is reported through :mod:`logging`, it stays in place (a full disk may
be emptied), and its later errors are passed over.
"""

from __future__ import annotations

import logging
import threading
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from aa_cache_integration.events.logs import hook_for
from aa_cache_integration.events.model import CacheEvent

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import EllipsisType

    from aa_cache_integration.events.model import EventHook

__all__ = ("Emitter", "HookFactory", "get_hooks", "set_hooks")


@dataclass(frozen=True, slots=True)
class HookFactory:
    """A hook that is built at the first event, and not at all where none comes."""

    build: Callable[[], EventHook]
    """Builds the hook. Called once."""


class _Hooks:
    """Some hooks, and which of them have failed."""

    __slots__ = ("_building", "_built", "_failed", "_lock", "_sources")

    def __init__(self, sources: Sequence[EventHook | HookFactory]) -> None:
        self._sources = tuple(sources)
        self._built: tuple[EventHook, ...] | None = None
        self._building = False
        self._failed: set[int] = set()
        self._lock = threading.RLock()

    def get(self) -> tuple[EventHook, ...]:
        built = self._built
        return self._build() if built is None else built

    def _build(self) -> tuple[EventHook, ...]:
        with self._lock:
            if self._built is None and not self._building:  # what a factory itself tells while it builds reaches no hook
                self._building = True
                try:
                    self._built = tuple(hook for source in self._sources if (hook := self._made(source)) is not None)
                finally:
                    self._building = False
            return self._built or ()

    def _made(self, source: EventHook | HookFactory) -> EventHook | None:
        if not isinstance(source, HookFactory):
            return source
        try:
            return source.build()
        except Exception as error:  # noqa: BLE001 - whatever a factory raises, the operation that told the event goes on
            self.report(source, error)
            return None

    def report(self, culprit: object, error: Exception) -> None:
        """Tell of a hook's first error."""
        if id(culprit) in self._failed:
            return
        self._failed.add(id(culprit))
        with suppress(Exception):  # logging itself may be what fails
            logging.getLogger("aa_cache_integration").warning(
                "the event hook %r failed; its next errors are not reported", culprit, exc_info=error
            )


def _default() -> _Hooks:
    return _Hooks((HookFactory(hook_for),))


class _Global:
    """The one home of the process's hooks, and whether the application chose them."""

    __slots__ = ("chosen", "hooks")

    def __init__(self) -> None:
        self.hooks, self.chosen = _default(), False


_GLOBAL = _Global()


def get_hooks() -> tuple[EventHook, ...]:
    """Return the process's hooks; builds them if no event has done so yet."""
    return _GLOBAL.hooks.get()


def set_hooks(hooks: Sequence[EventHook | HookFactory] | None) -> None:
    """Set the hooks of the process, told of every cache's events from the next one on.

    A cache with hooks of its own (a ``[logging]`` table gives it one) tells those as well, and instead of the default.

    Args:
        hooks: Hooks, or factories that are called at the next event. ``()``: nobody is told. ``None``: back to the default, which tells
            the application's structlog, or stdlib logging when structlog isn't configured.
    """
    _GLOBAL.hooks, _GLOBAL.chosen = (_default(), False) if hooks is None else (_Hooks(hooks), True)


class Emitter:
    """What a manager tells its events through."""

    __slots__ = ("_own", "bind_group", "cache")

    def __init__(self, cache: str = "-", bind_group: str | None = None, hooks: Sequence[EventHook | HookFactory] | None = None) -> None:
        """Make an emitter.

        Args:
            cache: The alias, or ``"-"`` for a manager that the application built itself.
            bind_group: The manager's bind group.
            hooks: Hooks of this cache alone, told beside those that `set_hooks` chose; ``None``: those of `get_hooks`, as they are
                at each event.
        """
        self.cache = cache
        self.bind_group = bind_group
        self._own = None if hooks is None else _Hooks(hooks)

    def wants(self, name: str) -> bool:
        """Whether anybody would use an event of this name; ask before computing a field that costs something.

        The answer isn't kept: levels may be set at any time, and asking a logger costs less than what it would take to notice that.
        """
        for hooks in self._told():
            for hook in hooks.get():
                try:
                    if hook.wants(name):
                        return True
                except Exception as error:  # noqa: BLE001, PERF203 - a hook never breaks a cache operation
                    hooks.report(hook, error)
        return False

    def _told(self) -> tuple[_Hooks, ...]:
        if self._own is None:
            return (_GLOBAL.hooks,)
        return (self._own, _GLOBAL.hooks) if _GLOBAL.chosen else (self._own,)

    def emit(  # noqa: PLR0913 - the fields of an event
        self,
        name: str,
        *,
        model: str | None = None,
        op: str | None = None,
        key: str | None = None,
        reason: str | None = None,
        count: int | None = None,
        took_ms: float | None = None,
        bind_group: str | EllipsisType | None = ...,
    ) -> None:
        """Tell an event to the hooks that want it; the arguments are the fields of :class:`CacheEvent`.

        Args:
            name: One of the names in :mod:`aa_cache_integration.events.model`.
            model: The table.
            op: The operation.
            key: The key.
            reason: Why, in a few fixed words.
            count: How many keys the event stands for.
            took_ms: Milliseconds.
            bind_group: Where it isn't the manager's own (which ``...`` stands for).
        """
        event = None
        for hooks in self._told():
            for hook in hooks.get():
                try:
                    if not hook.wants(name):
                        continue
                    if event is None:
                        group = self.bind_group if bind_group is ... else bind_group
                        event = CacheEvent(name, self.cache, group, model, op, key, reason, count, took_ms)
                    hook(event)
                except Exception as error:  # noqa: BLE001 - a hook never breaks a cache operation
                    hooks.report(hook, error)
