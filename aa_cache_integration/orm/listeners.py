"""The global listeners: where SQLAlchemy tells what is written, committed and rolled back. Installed once, by `apps` or a binding."""

from __future__ import annotations

import threading
import time
import weakref
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from sqlalchemy import event
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.orm import Session
from sqlalchemy.pool import Pool

from aa_cache_integration.core import leases
from aa_cache_integration.orm import autocommit, binding, commit, transactions
from aa_cache_integration.orm.changes import Ledger, Stage, Write, enter_unit_of_work, ledger_of
from aa_cache_integration.orm.isolation import takes_snapshot
from aa_cache_integration.orm.managers import managers_of
from aa_cache_integration.orm.tables import written_by

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ("connections_of", "remove_cache_listeners", "setup_cache_listeners")

_STATEMENT = "aa_cache_statement"
"""Where an execution keeps what must be settled after it."""
_COMMITS = object()
"""In its place: the statement commits what the transaction has written."""

_lock = threading.RLock()
_installed = False
_connections: weakref.WeakKeyDictionary[Session, weakref.WeakSet[Connection]] = weakref.WeakKeyDictionary()


def setup_cache_listeners() -> None:
    """Register the listeners that see every write, on all engines and sessions of the process.

    Idempotent and thread-safe; opens no connection and reads no settings.
    """
    global _installed  # noqa: PLW0603 - whether the process is wired is a fact of the process
    with _lock:
        if not _installed:
            for target, name, listener in _LISTENERS:
                event.listen(target, name, listener)
            _installed = True


def remove_cache_listeners() -> None:
    """Take the listeners away again."""
    global _installed  # noqa: PLW0603
    with _lock:
        if _installed:
            for target, name, listener in _LISTENERS:
                event.remove(target, name, listener)
            _installed = False


def connections_of(session: Session) -> tuple[Connection, ...]:
    """Return the connections that take part in a session's transaction."""
    return tuple(_connections.get(session, ()))


# The engine


def _before_cursor_execute(
    conn: Connection,
    cursor: Any,
    statement: str,
    _parameters: Any,
    context: Any,
    _executemany: bool,  # noqa: FBT001 - SQLAlchemy's signature
) -> None:
    ledger = ledger_of(conn.info)
    commits = ledger.is_commit_of(conn)
    if not commits:
        commit.settle(ledger)
    if binding.is_ignored(conn.dialect):
        return
    write = written_by(context, statement)
    _note(conn, ledger, cursor, write)
    if write.control:
        _control(conn, ledger, write, statement, context)
    elif write.unknown or write.tables:
        groups = binding.groups_written(conn)
        if commits:
            with _rolled_back_if_refused(conn, ledger):
                commit.announce_more(ledger, groups, write, managers_of)
            return
        ledger.add(groups, write)
        if autocommit.commits_alone(conn, statement):
            setattr(context, _STATEMENT, commit.announce_statement(groups, write, managers_of))


def _note(conn: Connection, ledger: Ledger, cursor: Any, write: Write) -> None:
    """Note what a statement says of how the transaction sees the database."""
    is_beginning = not conn.in_transaction()  # it runs in a listener of the transaction's begin, which may come before ours
    if is_beginning and not ledger.is_beginning:
        ledger.begin()
    ledger.is_beginning = is_beginning
    if ledger.first_statement is None and not write.begins:
        ledger.first_statement = time.monotonic_ns()
    if conn.dialect.name == "sqlite" and not conn.dialect.is_async:  # an asynchronous cursor has fetched all rows at once
        ledger.watch(cursor)
    if write.session_state and ledger.session_state != "connection":
        ledger.session_state = write.session_state


def _control(conn: Connection, ledger: Ledger, write: Write, statement: str, context: Any) -> None:
    """Announce what a statement commits that ends a transaction."""
    if write.control == "commit prepared":
        if ledger.is_commit_of(conn):
            setattr(context, _STATEMENT, _COMMITS)
        else:  # of a transaction that this connection didn't write
            setattr(context, _STATEMENT, commit.announce_statement(binding.groups_written(conn), Write(unknown=True), managers_of))
    elif autocommit.ends_transaction(conn, ledger, write.control, statement) and ledger.changes:
        _announce(conn, ledger)
        setattr(context, _STATEMENT, _COMMITS)


def _after_cursor_execute(conn: Connection, _cursor: Any, _statement: str, _parameters: Any, context: Any, _executemany: bool) -> None:  # noqa: FBT001
    ledger = ledger_of(conn.info)
    ledger.has_snapshot = ledger.has_snapshot or takes_snapshot(context)
    pending = getattr(context, _STATEMENT, None)
    if pending is not None:
        setattr(context, _STATEMENT, None)
        if pending is _COMMITS:
            commit.settle(ledger)
        else:
            commit.settle_pending(pending)


def _begin(conn: Connection) -> None:
    ledger = ledger_of(conn.info)
    _finish(ledger)
    if ledger.stage is Stage.FAILED:
        _roll_back(conn, ledger)
    if not ledger.is_beginning and not autocommit.has_begun(conn):
        ledger.begin()
    transactions.enter(conn)


def _begin_twophase(conn: Connection, _xid: Any) -> None:
    _begin(conn)


def _commit(conn: Connection) -> None:
    _begin_commit(conn, is_last=list(conn.dispatch.commit)[-1] is _commit)


def _commit_twophase(conn: Connection, _xid: Any, _is_prepared: bool) -> None:  # noqa: FBT001
    _begin_commit(conn, is_last=list(conn.dispatch.commit_twophase)[-1] is _commit_twophase)


def _begin_commit(conn: Connection, *, is_last: bool) -> None:
    """Announce what a transaction wrote that is about to be committed.

    Args:
        conn: Its connection.
        is_last: Whether nobody hears of the commit after us, who might raise and so keep it from being sent.
    """
    ledger = ledger_of(conn.info)
    commit.settle(ledger)
    if not ledger.changes:
        return
    _announce(conn, ledger)
    ledger.committer = weakref.ref(conn)
    first, *_ = conn.dialect.dispatch.handle_error
    ledger.certain = is_last and first is _handle_error
    if conn.connection.is_detached:
        commit.abandon(ledger.pending)  # such a connection is closed without a word, and then the deadline must do


def _announce(conn: Connection, ledger: Ledger) -> None:
    with _rolled_back_if_refused(conn, ledger):
        commit.announce(ledger, managers_of)


@contextmanager
def _rolled_back_if_refused(conn: Connection, ledger: Ledger) -> Iterator[None]:
    try:
        yield
    except BaseException:
        _roll_back(conn, ledger)  # SQLAlchemy emits no ROLLBACK after a COMMIT that raised inside a hook
        raise


def _roll_back(conn: Connection, ledger: Ledger) -> None:
    """Roll the database back after a COMMIT that raised; what was written is forgotten only when that has succeeded."""
    try:
        conn.dialect.do_rollback(conn.connection)
    except Exception:  # noqa: BLE001 - the connection is broken, which its next use will tell
        ledger.stage = Stage.FAILED
    else:
        ledger.close()


def _finish(ledger: Ledger) -> None:
    """Settle a commit that is over.

    A listener of the commit that came after ours may have raised, so that COMMIT was never sent; an error handler that came before ours
    may have raised, so that we weren't told that COMMIT failed. SQLAlchemy emits no ROLLBACK after either: what was written stays known
    until the transaction that follows begins with one.
    """
    if ledger.stage is Stage.COMMITTING:
        doubtful = {} if ledger.certain else ledger.changes
        commit.settle(ledger)
        if doubtful:
            ledger.changes, ledger.stage = doubtful, Stage.FAILED


def _rollback(conn: Connection) -> None:
    if conn.invalidated:
        return  # the pool has told of it, and asking for `info` would be asking for a new connection
    ledger = ledger_of(conn.info)
    if ledger.changes:
        leases.void("rolled back")
    if ledger.stage is Stage.FAILED:
        ledger.close()
    else:
        commit.withdraw(ledger)


def _rollback_twophase(conn: Connection, _xid: Any, _is_prepared: bool) -> None:  # noqa: FBT001
    _rollback(conn)


def _handle_error(context: Any) -> None:
    statement = getattr(context.execution_context, _STATEMENT, None) if context.execution_context is not None else None
    if statement is not None:
        setattr(context.execution_context, _STATEMENT, None)
    if isinstance(statement, list):
        if context.is_disconnect or not isinstance(context.original_exception, Exception):
            commit.abandon(statement)
        else:
            commit.settle_pending(statement)
    conn = context.connection
    if conn is None or conn.closed or conn.invalidated:
        return
    ledger = ledger_of(conn.info)
    ledger.statement_failed = True
    if ledger.stage is Stage.COMMITTING and (context.statement is None or statement is _COMMITS):
        _fail(ledger)


def _fail(ledger: Ledger) -> None:
    """Leave a COMMIT that raised to the deadline of its intents: its outcome is unknown (DESIGN 5.4)."""
    commit.abandon(ledger.pending)
    ledger.pending, ledger.stage = [], Stage.FAILED


# The pool


def _checkin(_dbapi_connection: Any, record: Any) -> None:
    ledger = ledger_of(record.info)
    if ledger.session_state == "transaction":
        ledger.session_state = ""
    if ledger.is_orphan:
        return  # the connection's next `begin` settles
    _finish(ledger)
    if ledger.changes:
        ledger.stage = Stage.FAILED  # no ROLLBACK was seen


def _invalidate(_dbapi_connection: Any, record: Any, _exception: BaseException | None) -> None:
    ledger = ledger_of(record.info)
    ledger.session_state = ""
    if ledger.certain and not ledger.is_orphan:
        commit.settle(ledger)  # of a COMMIT that raised we would know
    commit.abandon(ledger.pending)
    ledger.close()


# The session


def _before_flush(_session: Session, _context: Any, _instances: Any) -> None:
    enter_unit_of_work(entered=True)


def _after_flush(_session: Session, _context: Any) -> None:
    enter_unit_of_work(entered=False)


def _after_soft_rollback(_session: Session, _transaction: Any) -> None:
    enter_unit_of_work(entered=False)  # a flush that failed has no other end


def _after_begin(session: Session, _transaction: Any, connection: Connection) -> None:
    _connections.setdefault(session, weakref.WeakSet()).add(connection)


def _after_commit(session: Session) -> None:
    for connection in connections_of(session):
        if not connection.closed and not connection.invalidated:
            commit.settle(ledger_of(connection.info))


def _after_transaction_end(session: Session, transaction: Any) -> None:
    if transaction.parent is None:
        _connections.pop(session, None)


_LISTENERS: tuple[tuple[Any, str, Any], ...] = (
    (Engine, "before_cursor_execute", _before_cursor_execute),
    (Engine, "after_cursor_execute", _after_cursor_execute),
    (Engine, "begin", _begin),
    (Engine, "begin_twophase", _begin_twophase),
    (Engine, "commit", _commit),
    (Engine, "commit_twophase", _commit_twophase),
    (Engine, "rollback", _rollback),
    (Engine, "rollback_twophase", _rollback_twophase),
    (Engine, "handle_error", _handle_error),
    (Pool, "checkin", _checkin),
    (Pool, "invalidate", _invalidate),
    (Session, "before_flush", _before_flush),
    (Session, "after_flush", _after_flush),
    (Session, "after_soft_rollback", _after_soft_rollback),
    (Session, "after_begin", _after_begin),
    (Session, "after_commit", _after_commit),
    (Session, "after_transaction_end", _after_transaction_end),
)
