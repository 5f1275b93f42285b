"""Whether a session flushes in this context, so that its statements name keys as they were loaded, or as the database was given them."""

from __future__ import annotations

import weakref
from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

__all__ = ("enter", "is_under_way", "leave")

_flushing: ContextVar[weakref.ReferenceType[Session] | None] = ContextVar("aa_cache_flushing", default=None)


def enter(session: Session) -> None:
    """Tell that a session's flush begins."""
    _flushing.set(weakref.ref(session))


def leave() -> None:
    """Tell that it is over."""
    _flushing.set(None)


def is_under_way() -> bool:
    """Whether a session flushes in this context; one whose flush raised before it began flushes no more, though nobody has told."""
    entered = _flushing.get()
    session = None if entered is None else entered()
    return session is not None and session._flushing  # noqa: SLF001 - has no public reader
