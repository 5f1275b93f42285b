"""What commits by itself, without SQLAlchemy's ``commit`` (DESIGN 6)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

    from aa_cache_integration.orm.changes import Ledger, Write

__all__ = ("commits_alone", "commits_with_it", "ends_transaction", "in_transaction", "leading_word")

_LEADING = re.compile(r"(?:\s+|--[^\n]*(?:\n|$)|/\*.*?\*/|\()*([a-zA-Z]+)", re.DOTALL)
_BEGUN_BY_THE_DRIVER = frozenset({"insert", "update", "delete", "replace"})
"""Before these Python's sqlite3 begins a transaction in its legacy mode; anything else runs without one, and is committed at once."""
_KEEPS_TRANSACTIONS = frozenset({"sqlite", "postgresql", "mssql"})
"""Dialects in which no statement but COMMIT commits what the transaction has written; of others that isn't known."""
_COMMITS_NOTHING = frozenset(
    {
        *("insert", "update", "delete", "replace", "merge", "with", "load", "select", "values", "table", "show", "explain", "describe"),
        *("desc", "do", "handler", "use", "savepoint", "release", "rollback", "xa", "pragma"),
    }
)
"""What the other statements begin with: anything else, as CREATE, TRUNCATE, LOCK, CALL, may commit what was written before it."""


def leading_word(statement: str) -> str:
    """Return the word that a statement begins with, in lower case."""
    match = _LEADING.match(statement)
    return match.group(1).lower() if match else ""


def in_transaction(conn: Connection) -> bool:
    """Whether a SQLite connection is in a transaction, by what the driver says."""
    return bool(getattr(conn.connection.driver_connection, "in_transaction", False))


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
    driver: Any = conn.connection.driver_connection
    if getattr(driver, "isolation_level", None) is None or getattr(driver, "autocommit", None) is True:
        return True
    return leading_word(statement) not in _BEGUN_BY_THE_DRIVER


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
    if conn.dialect.name in _KEEPS_TRANSACTIONS:
        return False
    word = leading_word(statement)
    if word == "set":
        return "autocommit" in statement.lower()
    return write.at_once or word not in _COMMITS_NOTHING


def ends_transaction(conn: Connection, ledger: Ledger, word: str, statement: str) -> bool:
    """Whether a statement that controls a transaction commits what was written so far.

    A SAVEPOINT outside a transaction begins one in SQLite, and the RELEASE of that savepoint commits it: Python's sqlite3 begins none of
    its own before a SAVEPOINT, so this is what `Session.begin_nested()` meets when nothing was written before.

    Args:
        conn: The connection that runs it.
        ledger: Of the connection; remembers which savepoint began the transaction.
        word: What the statement begins with: ``commit``, ``savepoint``, ``release``.
        statement: Its text.
    """
    if word == "commit":
        return True
    if conn.dialect.name != "sqlite":
        return False
    name = statement.strip(" \t\n;").rpartition(" ")[2].strip('"')
    if word == "savepoint":
        if not in_transaction(conn):
            ledger.opened_by = name
        elif ledger.opened_by == name:
            ledger.opened_by = ""  # of a transaction that has ended, or hidden by this one
        return False
    return bool(name) and name == ledger.opened_by
