"""The global listeners: where SQLAlchemy tells what is written, committed and rolled back. Installed once, by `apps` or a binding."""

from __future__ import annotations

import threading
import weakref
from typing import TYPE_CHECKING, Any

from sqlalchemy import Column, Constraint, Table, event
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.orm import Mapper, Session
from sqlalchemy.pool import Pool

from aa_cache_integration.orm import commit, flushes, transactions
from aa_cache_integration.orm.changes import Ledger, Stage, ledger_of
from aa_cache_integration.orm.managers import managers_of
from aa_cache_integration.orm.statements import COMMITS, STATEMENT, after_cursor_execute, before_cursor_execute
from aa_cache_integration.orm.tables import forget_forms

if TYPE_CHECKING:
    from sqlalchemy.orm.unitofwork import UOWTransaction

__all__ = ("connections_of", "remove_cache_listeners", "setup_cache_listeners")

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
            forget_forms()
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


def _begin(conn: Connection) -> None:
    ledger = ledger_of(conn.info)
    _finish(ledger)
    if not ledger.is_beginning:
        commit.roll_back_what_failed(conn, ledger)
        if not ledger.is_used_by_another(conn):
            ledger.begin()
            ledger.user = weakref.ref(conn)
    transactions.enter(conn, ledger)


def _begin_twophase(conn: Connection, _xid: Any) -> None:
    _begin(conn)


def _commit(conn: Connection) -> None:
    with commit.rolled_back_if_refused(conn):
        _begin_commit(conn, is_last=list(conn.dispatch.commit)[-1] is _commit)


def _commit_twophase(conn: Connection, xid: Any, is_prepared: bool) -> None:  # noqa: FBT001
    with commit.rolled_back_if_refused(conn, lambda: conn.dialect.do_rollback_twophase(conn, xid, is_prepared)):
        _begin_commit(conn, is_last=list(conn.dispatch.commit_twophase)[-1] is _commit_twophase)


def _begin_commit(conn: Connection, *, is_last: bool) -> None:
    """Announce what a transaction wrote that is about to be committed.

    Args:
        conn: Its connection.
        is_last: Whether nobody hears of the commit after us, who might raise and so keep it from being sent.
    """
    ledger = ledger_of(conn.info)
    commit.settle(ledger)
    commit.announce(ledger, managers_of)  # also of nothing: a listener of the commit may write
    ledger.committer = weakref.ref(conn)
    first, *_ = conn.dialect.dispatch.handle_error
    ledger.certain = is_last and first is _handle_error
    if conn.connection.is_detached:
        commit.abandon(ledger.pending)  # such a connection is closed without a word, and then the deadline must do


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
    if ledger.stage is Stage.FAILED:
        ledger.close()
    else:
        commit.withdraw(ledger)


def _rollback_twophase(conn: Connection, _xid: Any, _is_prepared: bool) -> None:  # noqa: FBT001
    _rollback(conn)


def _handle_error(context: Any) -> None:
    statement = getattr(context.execution_context, STATEMENT, None) if context.execution_context is not None else None
    if statement is not None:
        setattr(context.execution_context, STATEMENT, None)
    if isinstance(statement, list):
        if context.is_disconnect or not isinstance(context.original_exception, Exception):
            commit.abandon(statement)
        else:
            commit.settle_pending(statement)
    conn = context.connection
    if conn is None or conn.closed or conn.invalidated:
        return
    ledger = ledger_of(conn.info)
    if ledger.stage is Stage.COMMITTING and (context.statement is None or statement is COMMITS):
        _fail(ledger)


def _fail(ledger: Ledger) -> None:
    """Leave a COMMIT that raised to the deadline of its intents: its outcome is unknown (DESIGN 5.4)."""
    commit.abandon(ledger.pending)
    ledger.pending, ledger.stage = [], Stage.FAILED


# The pool


def _reset(_dbapi_connection: Any, record: Any, state: Any) -> None:
    if record is None:
        return  # it is detached
    ledger = ledger_of(record.info)
    acts = ledger.reset == "commit" or not state.transaction_was_reset  # a pool that commits does so in any case
    ledger.is_reset = acts and state.asyncio_safe and not state.terminate_only


def _checkin(dbapi_connection: Any, record: Any) -> None:
    ledger = ledger_of(record.info)
    is_reset, ledger.is_reset = ledger.is_reset, False
    if ledger.session_state == "transaction":
        ledger.session_state = ""
    if ledger.is_orphan:
        return  # the connection's next `begin` settles
    _finish(ledger)
    if not ledger.changes:
        return
    if dbapi_connection is not None:
        if not is_reset or ledger.reset == "none":
            ledger.stage = Stage.FAILED  # what was written may be open still
            return
        if ledger.reset == "commit":
            commit.owe(ledger, managers_of)  # nothing announced it
    ledger.close()


def _invalidate(_dbapi_connection: Any, record: Any, _exception: BaseException | None) -> None:
    ledger = ledger_of(record.info)
    ledger.session_state = ""
    if ledger.certain and not ledger.is_orphan:
        commit.settle(ledger)  # of a COMMIT that raised we would know
    commit.abandon(ledger.pending)
    ledger.close()


# The session


def _before_flush(_session: Session, flush: UOWTransaction, _instances: Any) -> None:
    flushes.enter(flush)


def _after_begin(session: Session, _transaction: Any, connection: Connection) -> None:
    _connections.setdefault(session, weakref.WeakSet()).add(connection)


def _after_commit(session: Session) -> None:
    for connection in connections_of(session):
        if connection.closed or connection.invalidated:
            continue
        ledger = ledger_of(connection.info)
        if not ledger.is_commit_of(connection):  # else a session of a listener's, within another one's COMMIT
            commit.settle(ledger)


def _after_transaction_end(session: Session, transaction: Any) -> None:
    if transaction.parent is None:
        _connections.pop(session, None)


_LISTENERS: tuple[tuple[Any, str, Any], ...] = (
    (Engine, "before_cursor_execute", before_cursor_execute),
    (Engine, "after_cursor_execute", after_cursor_execute),
    (Engine, "begin", _begin),
    (Engine, "begin_twophase", _begin_twophase),
    (Engine, "commit", _commit),
    (Engine, "commit_twophase", _commit_twophase),
    (Engine, "rollback", _rollback),
    (Engine, "rollback_twophase", _rollback_twophase),
    (Engine, "handle_error", _handle_error),
    (Pool, "reset", _reset),
    (Pool, "checkin", _checkin),
    (Pool, "invalidate", _invalidate),
    (Session, "before_flush", _before_flush),
    (Session, "after_begin", _after_begin),
    (Session, "after_commit", _after_commit),
    (Session, "after_transaction_end", _after_transaction_end),
    (Table, "after_parent_attach", forget_forms),
    (Column, "after_parent_attach", forget_forms),
    (Constraint, "after_parent_attach", forget_forms),
    (Mapper, "after_mapper_constructed", forget_forms),
)
