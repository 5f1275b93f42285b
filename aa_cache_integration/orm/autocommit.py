"""What commits by itself, without SQLAlchemy's ``commit`` (DESIGN 6)."""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING, Any, Final

from aa_cache_integration.orm.blanks import leading_word, stripped
from aa_cache_integration.orm.cascades import also_written, without_transactions

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sqlalchemy.engine import Connection

    from aa_cache_integration.manager import CacheManager
    from aa_cache_integration.orm.changes import Write

__all__ = ("begins_with_savepoint", "commits_alone", "commits_with_it", "in_transaction", "keeps_at_once")

_BLANK: Final = re.compile(r"(?:\s+|--[^\n]*(?:\n|$)|/\*.*?\*/)*" if sys.version_info >= (3, 11) else r"\s*", re.DOTALL)
"""What Python's sqlite3 skips to see a statement's first word; until Python 3.11 no comment."""
_BEGUN_BY_THE_DRIVER: Final = re.compile("insert|update|delete|replace", re.IGNORECASE)
"""Before these it begins a transaction in its legacy mode; anything else runs without one, and is committed at once."""
_KEEPS_TRANSACTIONS: Final = frozenset({"sqlite", "postgresql", "mssql"})
"""Dialects in which no statement but COMMIT commits what the transaction has written; of others that isn't known."""
_COMMITS_NOTHING: Final = frozenset(
    {
        *("insert", "update", "delete", "replace", "merge", "with", "load", "select", "values", "table", "show", "explain", "describe"),
        *("desc", "do", "handler", "use", "set", "savepoint", "release", "rollback", "xa", "pragma"),
    }
)
"""What the other statements begin with: anything else, as CREATE, TRUNCATE, LOCK, CALL, may commit what was written before it."""
_COMMITS_ALL_THE_SAME: Final = re.compile(r"set\s+(?:password|default\s+role)\b|load\s+index\b", re.IGNORECASE)


def in_transaction(conn: Connection) -> bool:
    """Whether a SQLite connection is in a transaction, by what the driver says."""
    return bool(getattr(_driver_of(conn), "in_transaction", False))


def _driver_of(conn: Connection) -> Any:
    """Return the driver's own connection, of one that is detached from its pool too."""
    return conn.dialect.get_driver_connection(conn.connection.dbapi_connection)  # type: ignore[arg-type] # there is one while it is used


def commits_alone(conn: Connection, statement: str) -> bool:
    """Whether a writing statement that is about to run is committed by itself.

    Args:
        conn: The connection that runs it.
        statement: Its text.
    """
    if conn.dialect.name != "sqlite":
        level = conn.get_execution_options().get("isolation_level")
        return (level or getattr(conn.dialect, "_on_connect_isolation_level", None)) == "AUTOCOMMIT" or _driver_commits(conn)
    if in_transaction(conn):
        return False  # a savepoint or a BEGIN of the application's own keeps together what the driver doesn't
    driver = _driver_of(conn)
    if getattr(driver, "isolation_level", None) is None or isinstance(getattr(driver, "autocommit", None), bool):
        return True  # ``autocommit=False`` (Python 3.12) begins when it has connected and committed; else it was ended by text
    blank = _BLANK.match(statement)  # by itself, for in one expression with the word it would try every way to divide the blanks
    return _BEGUN_BY_THE_DRIVER.match(statement, blank.end() if blank else 0) is None


def _driver_commits(conn: Connection) -> bool:
    """Whether the driver commits each statement, because the application has told it and not SQLAlchemy."""
    connection: Any = conn.connection.dbapi_connection
    try:
        return bool(conn.dialect.detect_autocommit_setting(connection))
    except NotImplementedError:  # a dialect that can't tell
        return getattr(connection, "autocommit", None) is True


def commits_with_it(conn: Connection, statement: str, write: Write) -> bool:
    """Whether a statement that is about to run may commit what its transaction has written so far (MySQL, MariaDB, Oracle).

    Args:
        conn: The connection that runs it.
        statement: Its text.
        write: What it writes.
    """
    if write.controls:
        return True
    if conn.dialect.name in _KEEPS_TRANSACTIONS:
        return False
    word = leading_word(statement, conn.dialect.name)
    return word not in _COMMITS_NOTHING or _COMMITS_ALL_THE_SAME.match(stripped(statement, conn.dialect.name)) is not None


def keeps_at_once(conn: Connection, write: Write, managers: Iterable[CacheManager]) -> bool:
    """Whether the database may keep what a statement writes whatever becomes of its transaction: in a storage engine that knows none.

    Args:
        conn: The connection that runs it.
        write: What it writes.
        managers: Whose settings declare what triggers write.
    """
    if conn.dialect.name not in {"mysql", "mariadb"}:
        return False
    without = without_transactions()
    if not without or write.unknown or write.strangers:
        return bool(without)
    return not without.isdisjoint(write.tables) or any(
        not without.isdisjoint(also_written(write.tables, manager.planner)) for manager in managers
    )


def begins_with_savepoint(conn: Connection) -> bool:
    """Whether a SAVEPOINT that is about to run begins a transaction, so that a RELEASE may commit it.

    So it does in SQLite, and Python's sqlite3 begins none of its own before one: `Session.begin_nested()` meets this when nothing was
    written before. Which savepoint a RELEASE means isn't told by its name, for SQLite compares names in its own way; so it may be any.
    """
    return conn.dialect.name == "sqlite" and not in_transaction(conn)
