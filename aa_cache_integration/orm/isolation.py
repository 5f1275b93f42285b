"""How a connection's transaction sees the database: what is committed, a snapshot, or as nothing that a cache could say (DESIGN 5.1)."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import Table
from sqlalchemy.sql import visitors
from sqlalchemy.sql.dml import UpdateBase
from sqlalchemy.sql.selectable import Select

from aa_cache_integration.core.plans import Snapshot
from aa_cache_integration.core.transactions import View
from aa_cache_integration.orm.autocommit import in_transaction
from aa_cache_integration.orm.changes import ledger_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy.engine import Connection, Dialect
    from sqlalchemy.engine.interfaces import ExecutionContext
    from sqlalchemy.sql.compiler import Compiled

    from aa_cache_integration.orm.changes import Ledger

__all__ = ("level_of", "of_replica", "takes_snapshot", "view_at", "view_of")

_COMMITTED: Final = frozenset({"READ COMMITTED", "AUTOCOMMIT"})
_SNAPSHOT: Final = frozenset({("postgresql", "REPEATABLE READ"), ("mysql", "REPEATABLE READ"), ("mariadb", "REPEATABLE READ")})
"""Where a level means one snapshot for all reads of the transaction; elsewhere it may mean locks, which a hit wouldn't take."""


def level_of(dialect: Dialect, options: Mapping[str, Any]) -> str | None:
    """Return the isolation level: by execution options, the engine's, else the database's default; ``None``: nobody has connected yet."""
    level: str | None = options.get("isolation_level") or getattr(dialect, "_on_connect_isolation_level", None)
    level = level or getattr(dialect, "default_isolation_level", None)
    return None if level is None else level.replace("_", " ")  # SQLAlchemy takes both spellings


def view_at(dialect: Dialect, level: str | None) -> View:
    """Return how a transaction at this level sees the database before its first statement; SQLite's is known by `view_of` alone."""
    if level in _COMMITTED:
        return View()
    if (dialect.name, level) in _SNAPSHOT:
        return View(Snapshot(None, certain=False))
    return View(bypass=f"isolation level {str(level).lower()}")


def view_of(conn: Connection) -> View:
    """Return how the open transaction of a connection sees the database at this moment."""
    ledger = ledger_of(conn.info)
    if ledger.session_state:
        return View(bypass="session state")
    level = level_of(conn.dialect, conn.get_execution_options())
    if conn.dialect.name == "sqlite":
        return _view_in_sqlite(conn, ledger, level)
    found = view_at(conn.dialect, level)
    return found if found.snapshot is None else View(Snapshot(ledger.first_statement, ledger.has_snapshot))


def of_replica(view: View) -> View:
    """Return how a transaction sees a replica: it fills nothing, and a snapshot of it may be older than what was cached before that."""
    taken = view.snapshot is not None and view.snapshot.since is not None
    return View(view.snapshot, view.bypass or ("replica" if taken else ""), fills=False)


def _view_in_sqlite(conn: Connection, ledger: Ledger, level: str | None) -> View:
    """Tell SQLite's isolation by what the driver does: it reports SERIALIZABLE whatever that is.

    Within a transaction a snapshot is kept to; and so it is by a statement whose rows aren't all fetched yet, together with all that run
    beside it, however many transactions of the driver's that spans. (What has written lets nobody else commit, but only in the database
    that it has written, and one connection may have attached several.)
    """
    if level == "READ UNCOMMITTED":
        return View(bypass="read uncommitted")
    begun = in_transaction(conn)
    oldest = ledger.oldest_cursor()
    if oldest is not None:
        first = oldest if ledger.first_statement is None else min(oldest, ledger.first_statement)
        return View(Snapshot(first, ledger.has_snapshot))
    return View(Snapshot(ledger.first_statement, ledger.has_snapshot)) if begun else View()


_INNODB: Final = frozenset({"mysql", "mariadb"})
_takers: weakref.WeakKeyDictionary[Compiled, bool] = weakref.WeakKeyDictionary()


def takes_snapshot(context: ExecutionContext, cursor: Any) -> bool:
    """Whether a transaction has a snapshot once this statement has run; ``False`` where that isn't certain.

    InnoDB takes it with the first SELECT that reads a table and locks nothing (not for a condition that is never true), PostgreSQL and
    SQLite with the first statement that reads or writes one.
    """
    compiled = context.compiled
    if compiled is None:
        return False
    found = _takers.get(compiled)
    if found is None:
        found = _takers[compiled] = _takes_snapshot(compiled.statement, compiled.dialect)
    return found and (compiled.dialect.name not in _INNODB or getattr(cursor, "rowcount", 0) > 0)


def _takes_snapshot(statement: object, dialect: Dialect) -> bool:
    if isinstance(statement, UpdateBase):
        return dialect.name not in _INNODB
    if not isinstance(statement, Select) or statement._for_update_arg is not None:  # noqa: SLF001 - has no public reader
        return False
    return any(isinstance(element, Table) for element in visitors.iterate(statement))
