"""The unit of work that a session does in this context, and the keys that it has from the database: these are spelled as there."""

from __future__ import annotations

import weakref
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from sqlalchemy import inspect

from aa_cache_integration.codecs.family import root_of

if TYPE_CHECKING:
    from sqlalchemy.orm import Mapper, Session

__all__ = ("enter", "has_loaded", "is_under_way")


class _Flush:
    """One flush."""

    def __init__(self, session: Session) -> None:
        self._session = weakref.ref(session)
        self._loaded: set[tuple[Mapper[Any], str]] | None = None

    def session(self) -> Session | None:
        """Return the session, while it flushes."""
        session = self._session()
        return session if session is not None and session._flushing else None  # noqa: SLF001 - has no public reader

    def loaded(self) -> set[tuple[Mapper[Any], str]]:
        """Return the texts in the keys of what is changed, by their mappers, that were loaded from the database."""
        session = self.session()
        if self._loaded is None and session is not None:
            states = [inspect(instance) for instance in (*session.dirty, *session.deleted)]
            # An instance that the application made persistent by itself was in no result.
            known = [state for state in states if state.runid is not None and state.key is not None]
            self._loaded = {(root_of(state.mapper), part) for state in known for part in state.key[1] if isinstance(part, str)}
        return self._loaded or set()


_flush: ContextVar[_Flush | None] = ContextVar("aa_cache_flush", default=None)


def enter(session: Session) -> None:
    """Tell that a session's flush begins in this context. A flush that fails has no end that is told."""
    _flush.set(_Flush(session))


def is_under_way() -> bool:
    """Whether a session flushes in this context, so that keys are spelled as they were given to the database, or by it."""
    flush = _flush.get()
    return flush is not None and flush.session() is not None


def has_loaded(root: Mapper[Any], part: str) -> bool:
    """Whether the flush that is under way has this text, in a key, from the database."""
    flush = _flush.get()
    return flush is not None and (root, part) in flush.loaded()
