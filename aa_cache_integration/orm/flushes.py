"""Which rows a session's unit of work writes in this context: it names them by keys as it loaded them, or gave them to the database."""

from __future__ import annotations

import weakref
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sqlalchemy.orm import Mapper
    from sqlalchemy.orm.unitofwork import UOWTransaction

__all__ = ("enter", "has")


class _Flush:
    """A flush that was entered."""

    def __init__(self, work: UOWTransaction) -> None:
        self.work = weakref.ref(work)
        self.keys: set[tuple[Any, ...]] | None = None


_entered: ContextVar[_Flush | None] = ContextVar("aa_cache_flush", default=None)


def enter(work: UOWTransaction) -> None:
    """Tell that a flush is about to begin."""
    _entered.set(_Flush(work))


def has(root: Mapper[Any], key: tuple[Any, ...]) -> bool:
    """Whether a row of this primary key is one that the flush is about which was entered last, if that is under way.

    A bulk operation within one of its events may name any row, in any spelling.

    Args:
        root: The topmost mapper of the row.
        key: The primary key, in this mapper's order.
    """
    flush = _entered.get()
    work = None if flush is None else flush.work()
    if flush is None or work is None or getattr(work, "transaction", None) is None:  # which there is none of before it has begun
        return False
    if flush.keys is None:
        flush.keys = {(state.key[0], *state.key[1]) for state in work.states if state.key is not None}
    return (root.class_, *key) in flush.keys
