"""What happens around a COMMIT: intents before it, settling after it (DESIGN 5.4, 6). Called by the listeners."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from sqlalchemy.util import concurrency

from aa_cache_integration import events, pauses
from aa_cache_integration.core.drive import drive, shielded
from aa_cache_integration.exceptions import CommitRefusedError, StoreUnavailableError
from aa_cache_integration.orm.changes import ChangeSet, Ledger, Pending, Stage, Write, ledger_of

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable, Iterator

    from sqlalchemy.engine import Connection

    from aa_cache_integration.core.protocol import Protocol
    from aa_cache_integration.manager import CacheManager

__all__ = (
    "abandon",
    "announce",
    "announce_more",
    "announce_so_far",
    "announce_statement",
    "owe",
    "perform",
    "roll_back_what_failed",
    "rolled_back_if_refused",
    "settle",
    "settle_pending",
    "tell",
    "withdraw",
)

T = TypeVar("T")


def announce(ledger: Ledger, managers: Callable[[str | None], Iterable[CacheManager]]) -> None:
    """Put the intents of everything that the connection's transaction has written, in every manager of its groups (DESIGN 5.4.1).

    Raises:
        CommitRefusedError: They couldn't be put, and ``unreachable_commit`` is ``"refuse"``; what was put is taken back, and the caller
            must see to it that the transaction is rolled back.
    """
    ledger.stage = Stage.COMMITTING
    try:
        for group, changes in ledger.changes.items():
            for manager in managers(group):
                _announce_to(ledger, manager, group, changes)
    except StoreUnavailableError as error:
        _take_back(ledger)
        raise CommitRefusedError(f"Nothing was committed, for the write intents couldn't be put: {error}") from error
    except BaseException:
        _take_back(ledger)
        raise


def _announce_to(ledger: Ledger, manager: CacheManager, group: str | None, changes: ChangeSet) -> None:
    announcement = changes.announcement(manager.planner, group, manager.config.bulk_threshold)
    if announcement is None:
        return
    cover = pauses.cover_of(manager, manager.planner.keys(group).namespace)
    # Kept first: intents that arrive although the answer to them doesn't must be taken back too.
    ledger.pending.append(Pending(manager, announcement, changes, group, cover))
    if cover is None:
        perform(manager, lambda protocol: protocol.announce(announcement), held=False)


def announce_statement(
    groups: Iterable[str | None], write: Write, managers: Callable[[str | None], Iterable[CacheManager]]
) -> list[Pending]:
    """Put the intents of one statement that commits by itself, and return what must be settled after it."""
    ledger = Ledger()
    ledger.add(groups, write)
    announce(ledger, managers)
    return ledger.pending


def announce_so_far(ledger: Ledger, managers: Callable[[str | None], Iterable[CacheManager]]) -> list[Pending]:
    """Put the intents of all that a transaction has written, for a statement that may commit it; what was written stays known.

    Raises:
        CommitRefusedError: As `announce` does.
    """
    so_far = Ledger(changes=ledger.changes)
    announce(so_far, managers)
    return so_far.pending


def announce_more(
    ledger: Ledger, groups: Iterable[str | None], write: Write, managers: Callable[[str | None], Iterable[CacheManager]]
) -> None:
    """Put the intents of a statement that runs when those of its transaction are put already: in a listener of its COMMIT.

    Raises:
        CommitRefusedError: As `announce` does.
    """
    groups = tuple(groups)
    ledger.pending.extend(announce_statement(groups, write, managers))
    ledger.add(groups, write)


@contextmanager
def rolled_back_if_refused(conn: Connection, undo: Callable[[], None] | None = None) -> Iterator[None]:
    """Roll the database back when a COMMIT isn't sent: SQLAlchemy emits no ROLLBACK after one that raised inside a hook.

    Args:
        conn: The connection.
        undo: How, where it isn't by a plain ROLLBACK.
    """
    try:
        yield
    except BaseException:
        _roll_back(conn, ledger_of(conn.info), undo)
        raise


def _roll_back(conn: Connection, ledger: Ledger, undo: Callable[[], None] | None = None) -> None:
    """Roll the database back after a COMMIT that raised; what was written is forgotten only when that has succeeded."""
    try:
        if undo is None:
            conn.dialect.do_rollback(conn.connection)
        else:
            undo()
    except Exception:  # noqa: BLE001 - the connection is broken, which its next use will tell
        ledger.stage = Stage.FAILED
    else:
        ledger.close()


def roll_back_what_failed(conn: Connection, ledger: Ledger) -> None:
    """Roll back what a transaction has left open whose COMMIT failed, before another one begins on the same Connection."""
    if ledger.stage is Stage.FAILED:
        _roll_back(conn, ledger)


def settle(ledger: Ledger) -> None:
    """Settle what the connection has committed (DESIGN 5.4.3). Never raises for the store's sake."""
    if ledger.stage is Stage.COMMITTING:
        pending = list(ledger.pending)
        ledger.close()
        settle_pending(pending)


def settle_pending(pending: Iterable[Pending]) -> None:
    """Settle these, each in its manager, and tell of it."""
    waiting = list(pending)
    try:
        while waiting:
            item = waiting.pop(0)
            due = item.due()
            if due is None:
                continue
            try:
                perform(item.manager, lambda protocol, due=due: protocol.settle(due), held=True)  # type: ignore[misc]
            except Exception as error:  # noqa: BLE001 - the commit has happened: whatever goes wrong now may not raise out of it
                item.manager.operations().protocol.leave_to_deadline(due)
                item.manager.emitter.emit(events.DEGRADED, op="commit", reason=f"not settled: {type(error).__name__}: {error}")
            else:
                tell(item)
    finally:
        abandon(waiting)  # none, unless an interrupt came


def withdraw(ledger: Ledger) -> None:
    """Take back what a transaction announced that is rolled back, and forget what it wrote."""
    _take_back(ledger)
    ledger.close()


def _take_back(ledger: Ledger) -> None:
    """Take back what was announced; what was written stays known until it is rolled back."""
    pending, ledger.pending, ledger.stage = list(ledger.pending), [], Stage.FAILED
    for item in pending:
        if (due := item.due()) is None:
            continue
        try:
            perform(item.manager, lambda protocol, due=due: protocol.withdraw(due), held=True)  # type: ignore[misc]
        except Exception as error:  # noqa: BLE001 - a ROLLBACK may not fail for the cache's sake; the deadline does it
            item.manager.emitter.emit(events.DEGRADED, op="commit", reason=f"not withdrawn: {type(error).__name__}: {error}")
        else:
            if item.cover is not None:
                pauses.tell_end(item.cover)


def abandon(pending: Iterable[Pending]) -> None:
    """Leave to their deadline the intents of a COMMIT whose outcome is unknown."""
    for item in pending:
        item.abandon()


def owe(ledger: Ledger, managers: Callable[[str | None], Iterable[CacheManager]]) -> None:
    """Owe what was committed with nothing announced, where no step may be taken: perhaps within the garbage collector."""
    for group, changes in ledger.changes.items():
        for manager in managers(group):
            announcement = changes.announcement(manager.planner, group, manager.config.bulk_threshold)
            if announcement is not None:
                manager.operations().state.debts.owe(announcement)


def perform(manager: CacheManager, step: Callable[[Protocol], Coroutine[Any, Any, Any]], *, held: bool) -> None:
    """Take a step of the protocol to its end: natively inside a greenlet of AsyncSession, else blocking.

    Args:
        manager: Whose step it is.
        step: Makes the step over a face of the store.
        held: Hold back a cancellation until the step is done.
    """
    if _in_greenlet():
        awaited = step(manager.async_operations().protocol)
        concurrency.await_only(shielded(awaited) if held else awaited)
    else:
        drive(step(manager.operations().protocol))


def _in_greenlet() -> bool:
    try:
        return bool(concurrency.in_greenlet())
    except (ImportError, ValueError):
        return False  # greenlet isn't installed


def tell(item: Pending) -> None:
    """Tell of what was settled."""
    if item.cover is not None:
        pauses.tell_end(item.cover)
        return
    emitter = item.manager.emitter
    if not emitter.wants(events.INVALIDATE):
        return
    if item.changes.is_unknown(item.manager.planner):
        emitter.emit(events.INVALIDATE, op=item.op, bind_group=item.bind_group, reason="tables unknown")
        return
    for table in sorted(item.changes.tables):
        known = item.changes.entities.get(table)
        reason = "bulk" if table in item.changes.bulk else None
        count = None if known is None else len(known)
        emitter.emit(events.INVALIDATE, model=table, op=item.op, bind_group=item.bind_group, reason=reason, count=count)
