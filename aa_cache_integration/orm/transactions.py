"""The transactions of connections, as the manager's operations that know no session meet them (DESIGN 5.5)."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING

from aa_cache_integration.core import transactions
from aa_cache_integration.core.transactions import View
from aa_cache_integration.orm import binding
from aa_cache_integration.orm.changes import ledger_of
from aa_cache_integration.orm.isolation import view_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sqlalchemy.engine import Connection

    from aa_cache_integration.planner import Planner

__all__ = ("enter",)


class _Transaction:
    """The transaction that a connection is in."""

    __slots__ = ("_conn",)

    def __init__(self, conn: Connection) -> None:
        self._conn = weakref.ref(conn)

    def _connection(self) -> Connection | None:
        conn = self._conn()
        gone = conn is None or conn.closed or conn.invalidated
        return None if gone else conn

    def is_open(self) -> bool:
        """See `transactions.Transaction.is_open`."""
        conn = self._connection()
        return conn is not None and conn.in_transaction()

    def is_of(self, group: str | None) -> bool:
        """See `transactions.Transaction.is_of`."""
        conn = self._connection()
        return conn is not None and group in binding.groups_written(conn)

    def has_written(self, tables: Iterable[str] | None, planner: Planner) -> bool:
        """See `transactions.Transaction.has_written`."""
        conn = self._connection()
        if conn is None:
            return False
        ledger = ledger_of(conn.info)
        return bool(ledger.changes) if tables is None else ledger.touches(tables, planner)

    def view(self) -> View:
        """See `transactions.Transaction.view`."""
        conn = self._connection()
        if conn is None:
            return View()
        found = view_of(conn)
        bound = binding.binding_of(conn.dialect, conn.get_execution_options())
        return View(found.snapshot, found.bypass, fills=bound is None or bound.fills)


def enter(conn: Connection) -> None:
    """Remember, in the context in which it begins, that a connection begins a transaction."""
    if not binding.is_ignored(conn.dialect):
        transactions.enter(_Transaction(conn))
