"""The transactions of connections, as the manager's operations that know no session meet them (DESIGN 5.5)."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, TypeVar

from sqlalchemy.exc import SQLAlchemyError

from aa_cache_integration.core import transactions
from aa_cache_integration.core.transactions import View
from aa_cache_integration.orm import binding
from aa_cache_integration.orm.changes import ledger_of
from aa_cache_integration.orm.isolation import of_replica, view_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from sqlalchemy.engine import Connection

    from aa_cache_integration.orm.changes import Ledger
    from aa_cache_integration.planner import Planner

__all__ = ("enter",)

T = TypeVar("T")


class _Transaction:
    """The transaction that a connection is in."""

    __slots__ = ("_conn",)

    def __init__(self, conn: Connection) -> None:
        self._conn = weakref.ref(conn)

    def is_in(self, conn: Connection) -> bool:
        """Whether this is the transaction of the connection, which has one at a time."""
        return self._conn() is conn

    def _connection(self) -> Connection | None:
        conn = self._conn()
        gone = conn is None or conn.closed or conn.invalidated
        return None if gone else conn

    def _asked(self, question: Callable[[Connection], T], otherwise: T) -> T:
        """Return the answer of the connection; ``otherwise`` where it is gone, perhaps closed by another thread meanwhile."""
        conn = self._connection()
        if conn is None:
            return otherwise
        try:
            return question(conn)
        except (SQLAlchemyError, conn.dialect.loaded_dbapi.Error):
            return otherwise

    def is_open(self) -> bool:
        """See `transactions.Transaction.is_open`."""
        return self._asked(lambda conn: conn.in_transaction(), otherwise=False)

    def is_of(self, group: str | None) -> bool:
        """See `transactions.Transaction.is_of`."""
        return self._asked(lambda conn: group in binding.groups_written(conn), otherwise=False)

    def has_written(self, tables: Iterable[str] | None, planner: Planner) -> bool:
        """See `transactions.Transaction.has_written`."""

        def written(conn: Connection) -> bool:
            ledger = ledger_of(conn.info)
            return bool(ledger.changes) if tables is None else ledger.touches(tables, planner)

        return self._asked(written, otherwise=False)

    def view(self) -> View:
        """See `transactions.Transaction.view`."""
        return self._asked(_view, View())


def _view(conn: Connection) -> View:
    found = view_of(conn)
    bound = binding.binding_of(conn.dialect, conn.get_execution_options())
    return found if bound is None or bound.fills else of_replica(found)


def enter(conn: Connection, ledger: Ledger) -> None:
    """Remember, in the context in which it begins or is used, that a connection is in a transaction.

    Args:
        conn: The connection.
        ledger: Of the connection; remembers the context in which it was seen last.
    """
    seen = ledger.entered
    if seen is not None and seen[1] is transactions.entered() and seen[0]() is conn:
        return
    known = any(isinstance(entered, _Transaction) and entered.is_in(conn) for entered in transactions.entered())
    if not known:
        if binding.is_ignored(conn.dialect):
            return
        transactions.enter(_Transaction(conn))
    ledger.entered = (weakref.ref(conn), transactions.entered())
