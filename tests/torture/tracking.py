"""What is known of the transaction that runs in a context (a thread, a task): written by SQLAlchemy's events and the cache's."""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import event

from aa_cache_integration.events import HIT, set_hooks
from tests.torture.records import now

if TYPE_CHECKING:
    from sqlalchemy.engine import Engine

    from aa_cache_integration.events import CacheEvent

__all__ = ("Transaction", "current", "track")


@dataclass
class Transaction:
    """One transaction."""

    name: str
    repeatable: bool = False
    """Whether its first SELECT takes a snapshot that all later ones read."""
    selected: tuple[int, int] | None = None
    """Between which times its first SELECT ran."""
    hits: int = 0
    """Cells that the cache has answered so far."""
    committing: bool = False
    """Whether its COMMIT has begun."""
    robbed: bool = False
    """Whether its write intents were lost on purpose."""
    began_select: int = 0

    @property
    def snapshot(self) -> tuple[int, int] | None:
        """Between which times its snapshot was taken; ``None``: it has none, or not yet."""
        return self.selected if self.repeatable else None


current: Final[ContextVar[Transaction | None]] = ContextVar("torture_transaction", default=None)


class _Hits:
    """The event hook that counts hits."""

    def wants(self, name: str) -> bool:
        return name == HIT

    def __call__(self, told: CacheEvent) -> None:
        transaction = current.get()
        if transaction is not None:
            transaction.hits += told.count or 1


def track(*engines: Engine) -> None:
    """Keep the transactions of these engines up to date."""
    set_hooks([_Hits()])
    for engine in engines:
        event.listen(engine, "before_cursor_execute", _before)
        event.listen(engine, "after_cursor_execute", _after)


def _before(_conn: Any, _cursor: Any, statement: str, *_: Any) -> None:
    transaction = current.get()
    if transaction is not None and transaction.selected is None and statement.lstrip().upper().startswith("SELECT"):
        transaction.began_select = now()


def _after(*_: Any) -> None:
    transaction = current.get()
    if transaction is not None and transaction.selected is None and transaction.began_select:
        transaction.selected = (transaction.began_select, now())
