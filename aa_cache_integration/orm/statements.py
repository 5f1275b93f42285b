"""What is done around each statement: what it writes is noted before it runs, what it has committed by itself is settled after it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final, Literal

from sqlalchemy.pool.base import ResetStyle

from aa_cache_integration.core import leases
from aa_cache_integration.orm import autocommit, binding, commit, transactions
from aa_cache_integration.orm.changes import Ledger, Pending, Stage, Write, ledger_of
from aa_cache_integration.orm.effects import NOTHING
from aa_cache_integration.orm.isolation import takes_snapshot
from aa_cache_integration.orm.managers import managers_of
from aa_cache_integration.orm.tables import written_by

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

__all__ = ("COMMITS", "STATEMENT", "after_cursor_execute", "before_cursor_execute")

STATEMENT: Final = "aa_cache_statement"
"""Where an execution keeps what must be settled after it."""
COMMITS: Final = object()
"""In its place: the statement commits what the transaction has written."""
_RESETS: Final[dict[Any, Literal["rollback", "commit", "none"]]] = {ResetStyle.reset_commit: "commit", ResetStyle.reset_none: "none"}


def before_cursor_execute(
    conn: Connection,
    _cursor: Any,
    statement: str,
    _parameters: Any,
    context: Any,
    _executemany: bool,  # noqa: FBT001 - SQLAlchemy's signature
) -> None:
    """Note what a statement is about to write, and announce it where the statement itself commits."""
    statement = statement if isinstance(statement, str) else _text_of(statement)
    ledger = ledger_of(conn.info)
    commits = False
    if ledger.stage is not Stage.OPEN:
        commits = ledger.is_commit_of(conn)
        if not commits:
            commit.settle(ledger)
    if binding.is_ignored(conn.dialect):
        return
    write = written_by(context, statement)
    _note(conn, ledger, write)
    if write is NOTHING:
        return
    if write.control:
        _control(conn, ledger, write, context)
    elif write.unknown or write.tables or write.strangers:
        if commits:
            with commit.rolled_back_if_refused(conn):
                commit.announce_more(ledger, binding.groups_written(conn), write, managers_of)
        else:
            setattr(context, STATEMENT, _add(conn, ledger, write, statement))
    elif ledger.changes and not commits and autocommit.commits_with_it(conn, statement, write):
        setattr(context, STATEMENT, commit.announce_so_far(ledger, managers_of))


def _text_of(statement: Any) -> str:
    """Return the text of what a driver takes in place of one: bytes, or what psycopg composes; else of one that may write anything."""
    try:
        return str(statement.decode() if isinstance(statement, bytes) else statement.as_string(None))
    except Exception:  # noqa: BLE001 - whatever the driver's object raises
        return "call"


def _add(conn: Connection, ledger: Ledger, write: Write, statement: str) -> list[Pending] | None:
    """Add what a statement writes to what its transaction has written; announce and return what it commits by itself."""
    groups = binding.groups_written(conn)
    ledger.reset = _RESETS.get(getattr(conn.engine.pool, "_reset_on_return", None), "rollback")
    leases.void("own writes")  # what is read from now on may be rolled back, in ways of which nobody hears
    alone = autocommit.commits_alone(conn, statement)
    if alone and not ledger.begun_by_text and ledger.session_state != "connection":  # which may have been told to begin by itself
        return commit.announce_statement(groups, write, managers_of)
    ledger.add(groups, write)
    managers = (manager for group in groups for manager in managers_of(group))
    if alone or autocommit.commits_with_it(conn, statement, write) or autocommit.keeps_at_once(conn, write, managers):
        # What was written stays known, for who can tell whether the transaction has ended: too much is safe, too little never.
        return commit.announce_so_far(ledger, managers_of)
    return None


def _note(conn: Connection, ledger: Ledger, write: Write) -> None:
    """Note what a statement says of how the transaction sees the database."""
    if conn.in_transaction():
        ledger.is_beginning = False
        transactions.enter(conn, ledger)  # it may have begun in another context
    else:  # it runs in a listener of the transaction's begin, which may come before ours
        if not ledger.is_beginning:
            commit.roll_back_what_failed(conn, ledger)
            ledger.begin()
        ledger.is_beginning = True
    ledger.last_statement = time.monotonic_ns()
    if write.begins or write.controls:
        ledger.begun_by_text = True
        ledger.opened_by_savepoint = ledger.opened_by_savepoint or write.controls
    if not write.begins and ledger.first_statement is None:
        ledger.first_statement = ledger.last_statement
    if write.session_state and ledger.session_state != "connection":
        ledger.session_state = write.session_state


def _control(conn: Connection, ledger: Ledger, write: Write, context: Any) -> None:
    """Announce what a statement commits that ends a transaction, or may."""
    if write.control == "commit prepared":
        if ledger.is_commit_of(conn):
            setattr(context, STATEMENT, COMMITS)
        else:  # of a transaction that this connection didn't write
            setattr(context, STATEMENT, commit.announce_statement(binding.groups_written(conn), Write(unknown=True), managers_of))
    elif write.control == "commit":
        if ledger.changes:
            with commit.rolled_back_if_refused(conn):
                commit.announce(ledger, managers_of)
            setattr(context, STATEMENT, COMMITS)
        else:
            ledger.begun_by_text = ledger.opened_by_savepoint = False
    elif write.control == "savepoint":
        ledger.opened_by_savepoint = ledger.opened_by_savepoint or autocommit.begins_with_savepoint(conn)
    elif ledger.opened_by_savepoint and ledger.changes and not ledger.is_commit_of(conn):
        setattr(context, STATEMENT, commit.announce_so_far(ledger, managers_of))


def after_cursor_execute(conn: Connection, cursor: Any, _statement: str, _parameters: Any, context: Any, _executemany: bool) -> None:  # noqa: FBT001
    """Settle what the statement has committed."""
    ledger = ledger_of(conn.info)
    if not ledger.has_snapshot:
        ledger.has_snapshot = takes_snapshot(context, cursor)
    if conn.dialect.name == "sqlite" and cursor.description is not None:
        _watch(conn, ledger, cursor)
    pending = getattr(context, STATEMENT, None)
    if pending is not None:
        setattr(context, STATEMENT, None)
        if pending is COMMITS:
            commit.settle(ledger)
        else:
            commit.settle_pending(pending)


def _watch(conn: Connection, ledger: Ledger, cursor: Any) -> None:
    """Watch a cursor that may have rows left to fetch."""
    if not conn.dialect.is_async:
        ledger.watch(cursor)
    elif getattr(cursor, "server_side", False):  # any other has fetched all rows at once
        ledger.watch(cursor._cursor)  # noqa: SLF001 - the driver's own, for SQLAlchemy's takes no weak reference
