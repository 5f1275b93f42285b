"""The two ways in which an application speaks to the cache and the database: in threads with Session, in tasks with AsyncSession.

The asynchronous face is for code that runs in a greenlet below an event loop, as SQLAlchemy's own does, so that readers and writers are
written once.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session
from sqlalchemy.util import await_only

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aa_cache_integration import CacheManager

__all__ = ("Awaiting", "Blocking", "Face")


class Face(Protocol):
    """How a worker speaks."""

    def session(self, engine: Any) -> Any:
        """Open a session; a context manager that gives the synchronous one."""
        ...

    def fetch(self, session: Session, model: type[Any], idents: list[int]) -> list[Any]:
        """Read rows through the cache in a session."""
        ...

    def call(self, operation: str, *arguments: Any) -> Any:
        """Call an operation of the cache."""
        ...


class Blocking:
    """In a thread."""

    def __init__(self, manager: CacheManager) -> None:
        """Speak to this cache."""
        self._manager = manager

    def session(self, engine: Any) -> Any:
        """See `Face.session`."""
        return Session(engine)

    def fetch(self, session: Session, model: type[Any], idents: list[int]) -> list[Any]:
        """See `Face.fetch`."""
        if len(idents) == 1:
            return [self._manager.fetch_entity_sync(session, model, idents[0])]
        return self._manager.fetch_entities_sync(session, model, idents)

    def call(self, operation: str, *arguments: Any) -> Any:
        """See `Face.call`."""
        return getattr(self._manager, f"{operation}_sync")(*arguments)


class Awaiting:
    """In a greenlet of a task."""

    def __init__(self, manager: CacheManager) -> None:
        """Speak to this cache."""
        self._manager = manager

    @contextmanager
    def session(self, engine: Any) -> Iterator[Session]:
        """See `Face.session`."""
        outer = AsyncSession(engine)
        outer.sync_session.info["outer"] = outer
        try:
            yield outer.sync_session
        finally:
            outer.sync_session.close()

    def fetch(self, session: Session, model: type[Any], idents: list[int]) -> list[Any]:
        """See `Face.fetch`."""
        outer = session.info["outer"]
        if len(idents) == 1:
            return [await_only(self._manager.fetch_entity_async(outer, model, idents[0]))]
        return await_only(self._manager.fetch_entities_async(outer, model, idents))

    def call(self, operation: str, *arguments: Any) -> Any:
        """See `Face.call`."""
        return await_only(getattr(self._manager, f"{operation}_async")(*arguments))
