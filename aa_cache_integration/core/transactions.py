"""The database transactions that are open in a context, for operations that aren't told of a session (DESIGN 5.1, 5.5).

The listeners enter each transaction in the context (thread or task) in which it begins, and in each in which it runs a statement. What a
task inherits from the one that made it counts for it too: more caution than is needed is never wrong. A transaction that another context
has begun, and in which this one hasn't run a statement yet, isn't known here; what is put is judged by what is known then.
"""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from aa_cache_integration.core.plans import Snapshot

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from aa_cache_integration.planner import Planner

__all__ = ("Transaction", "View", "combined", "enter", "entered", "has_written", "view")


@dataclass(frozen=True, slots=True)
class View:
    """How a transaction sees the database."""

    snapshot: Snapshot | None = None
    """What its reads keep to; ``None``: they find what is committed."""
    bypass: str = ""
    """Why its reads must all go to the database and fill nothing; ``""``: they needn't."""
    fills: bool = True
    """``False``: of a replica, which may lag behind what is cached."""


class Transaction(Protocol):
    """An open transaction, as the listeners know it."""

    def is_open(self) -> bool:
        """Whether it hasn't ended yet."""
        ...

    def is_of(self, group: str | None) -> bool:
        """Whether its database is this bind group's."""
        ...

    def has_written(self, tables: Iterable[str] | None, planner: Planner) -> bool:
        """Whether it has written to one of the tables; ``None``: to any."""
        ...

    def view(self) -> View:
        """Return how it sees the database at this moment."""
        ...


_open: ContextVar[tuple[Transaction, ...]] = ContextVar("aa_cache_transactions", default=())


def entered() -> tuple[Transaction, ...]:
    """Return the transactions that this context remembers, ended ones perhaps among them."""
    return _open.get()


def enter(transaction: Transaction) -> None:
    """Remember in this context a transaction that begins; those that have ended are forgotten."""
    _open.set((*(other for other in _open.get() if other.is_open()), transaction))


def _of(group: str | None) -> list[Transaction]:
    return [transaction for transaction in _open.get() if transaction.is_open() and transaction.is_of(group)]


def has_written(group: str | None, tables: Iterable[str] | None, planner: Planner) -> bool:
    """Whether an open transaction of this context has written to one of the tables of a bind group.

    Args:
        group: The bind group.
        tables: Names of tables; ``None``: any.
        planner: Knows which tables change with others.
    """
    found = _of(group)
    if not found:
        return False
    names = None if tables is None else tuple(tables)
    return any(transaction.has_written(names, planner) for transaction in found)


def view(group: str | None, tables: Iterable[str], planner: Planner) -> View:
    """Return how this context's open transactions see tables of a bind group, all of them together: the strictest of each.

    Args:
        group: The bind group.
        tables: Names of tables.
        planner: Knows which tables change with others.
    """
    found = _of(group)
    if not found:
        return _COMMITTED
    names = tuple(tables)
    if any(transaction.has_written(names, planner) for transaction in found):
        return View(bypass="own writes")
    return combined([transaction.view() for transaction in found])


def combined(views: Sequence[View]) -> View:
    """Return what several transactions allow together: of each limit the strictest."""
    if len(views) == 1:
        return views[0]
    snapshots = [view.snapshot for view in views if view.snapshot is not None]
    bypass = next((view.bypass for view in views if view.bypass), "")
    return View(_strictest(snapshots), bypass, all(view.fills for view in views))


def _strictest(snapshots: Sequence[Snapshot]) -> Snapshot | None:
    if not snapshots:
        return None
    taken = [snapshot.since for snapshot in snapshots if snapshot.since is not None]
    return Snapshot(min(taken) if taken else None, all(snapshot.certain for snapshot in snapshots))


_COMMITTED = View()
