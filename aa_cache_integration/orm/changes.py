"""What a transaction has written so far, and how far its commit has come: kept with the database connection (DESIGN 6)."""

from __future__ import annotations

import weakref
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import TYPE_CHECKING, Any, Literal

from aa_cache_integration.core.tokens import new_token
from aa_cache_integration.orm.cascades import also_written
from aa_cache_integration.stores.base import Announcement

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from sqlalchemy.engine import Connection

    from aa_cache_integration.core.transactions import Transaction
    from aa_cache_integration.manager import CacheManager
    from aa_cache_integration.pauses import Cover
    from aa_cache_integration.planner import Planner

__all__ = ("ChangeSet", "Ledger", "Pending", "Stage", "Write", "ledger_of")

_INFO = "aa_cache_integration"


@dataclass(frozen=True)
class Write:
    """What one statement writes."""

    tables: frozenset[str] = frozenset()
    """Tables of which rows are written."""
    bulk: frozenset[str] = frozenset()
    """Those of them whose changed rows aren't known."""
    entities: Mapping[str, frozenset[tuple[str, ...]]] = field(default_factory=dict)
    """Rows that are changed or deleted, by the base table of their mapper."""
    unknown: bool = False
    """Whether it may write anything."""
    strangers: frozenset[str] = frozenset()
    """Tables by names that no metadata here has: of other programs, or views, which may write anything."""
    session_state: Literal["", "transaction", "connection"] = ""
    """How long it changes what the connection sees: ``SET``, ``USE``, ``ATTACH``, ``CREATE TEMP``."""
    control: str = ""
    """What a statement that writes nothing does to a transaction: ``commit``, ``commit prepared``, ``savepoint``, ``release``."""
    controls: bool = False
    """Whether it may begin, commit or roll back transactions among other things."""
    begins: bool = False
    """Whether it begins a transaction and does no more, so that no snapshot is taken by it."""


@dataclass
class ChangeSet:
    """What one transaction has written in one bind group."""

    tables: set[str] = field(default_factory=set)
    bulk: set[str] = field(default_factory=set)
    entities: dict[str, set[tuple[str, ...]]] = field(default_factory=dict)
    strangers: set[str] = field(default_factory=set)
    unknown: bool = False

    def add(self, write: Write) -> None:
        """Add what a statement writes."""
        self.unknown = self.unknown or write.unknown
        self.tables |= write.tables
        self.bulk |= write.bulk
        self.strangers |= write.strangers
        for table, idents in write.entities.items():
            self.entities.setdefault(table, set()).update(idents)

    def touches(self, tables: Iterable[str], planner: Planner) -> bool:
        """Whether it holds a write to one of the tables, or to one that changes them by itself."""
        return self.is_unknown(planner) or not (self.tables | also_written(self.tables, planner)).isdisjoint(tables)

    def is_unknown(self, planner: Planner) -> bool:
        """Whether it may hold a write to anything: to a name that is neither a table here nor declared to be nobody's concern."""
        return self.unknown or not all(map(planner.untracked, self.strangers))

    def announcement(self, planner: Planner, group: str | None, bulk_threshold: int) -> Announcement | None:
        """Return the cells and records of one manager that this changes; ``None`` for none (DESIGN 5.2)."""
        keys = planner.keys(group)
        if self.is_unknown(planner):
            return Announcement(new_token(), (), (keys.namespace,))
        written, bulk = self._tracked(planner)
        if not written:
            return None
        cells: list[str] = []
        for table, idents in self.entities.items():
            if planner.untracked(table) or table in bulk:
                continue
            if len(idents) > bulk_threshold:
                bulk.add(table)
            else:
                cells.extend(keys.entity(table, ident) for ident in idents)
        records = [keys.rows(table) for table in sorted(written)] + [keys.bulk(table) for table in sorted(bulk)]
        return Announcement(new_token(), tuple(cells), tuple(records))

    def _tracked(self, planner: Planner) -> tuple[set[str], set[str]]:
        """Return the written and the bulk-written tables that are tracked, with those that the database changes by itself."""
        caused = also_written(self.tables, planner)
        written = {table for table in self.tables | caused if not planner.untracked(table)}
        return written, {table for table in self.bulk | caused if table in written}


class Stage(Enum):
    """How far the connection's commit has come."""

    OPEN = auto()
    """Writes are being collected."""
    COMMITTING = auto()
    """The intents are put; COMMIT is under way or done."""
    FAILED = auto()
    """COMMIT raised, or may not have been reached, and no ROLLBACK was seen: what was written may still stand open in the database."""


@dataclass(eq=False)
class Pending:
    """Intents that one manager has put and must settle."""

    manager: CacheManager
    announcement: Announcement
    changes: ChangeSet
    bind_group: str | None
    cover: Cover | None = None
    """The pause whose intent stands for these, which weren't put themselves."""
    op: str = "commit"
    """What is told of it."""
    _has_left: bool = False

    def due(self) -> Announcement | None:
        """Return what must be settled or withdrawn now that the commit is over; ``None``: the pause that covers it goes on."""
        if self.cover is None:
            return self.announcement
        return None if self._leaves() else self.cover.leave()

    def abandon(self) -> None:
        """Leave it to the deadline, for nobody knows what became of the commit."""
        if self.cover is None:
            self.manager.operations().protocol.leave_to_deadline(self.announcement)
        elif not self._leaves():
            self.cover.leave(certain=False)

    def _leaves(self) -> bool:
        """Leave the pause; return whether that was done already."""
        has_left, self._has_left = self._has_left, True
        return has_left


@dataclass
class Ledger:
    """The change sets of one database connection, by bind group, and the intents that stand for them."""

    changes: dict[str | None, ChangeSet] = field(default_factory=dict)
    pending: list[Pending] = field(default_factory=list)
    stage: Stage = Stage.OPEN
    certain: bool = True
    """While committing: whether we would know if COMMIT weren't sent, or failed."""
    session_state: Literal["", "transaction", "connection"] = ""
    """How long the connection may see other rows than its fellows; the pool's reset ends no more than a transaction."""
    committer: weakref.ReferenceType[Connection] | None = None
    """The Connection that commits."""
    begun_by_text: bool = False
    """Whether the application has begun a transaction by a statement of its own, perhaps where each statement would commit by itself."""
    opened_by_savepoint: bool = False
    """Whether a SQLite transaction may have begun with a savepoint, so that a RELEASE may commit."""
    first_statement: int | None = None
    """The monotonic time (ns) before the transaction's first statement: its snapshot, if it keeps to one, isn't older."""
    last_statement: int = 0
    """The monotonic time (ns) before the last statement."""
    is_beginning: bool = False
    """Whether the last statement ran while its transaction was about to begin."""
    has_snapshot: bool = False
    """Whether a statement has run that surely takes a snapshot where there are any."""
    cursors: list[tuple[weakref.ReferenceType[Any], int]] = field(default_factory=list)
    """SQLite's, of statements that may have rows left to fetch, and the monotonic time (ns) of each. They outlive transactions."""
    entered: tuple[weakref.ReferenceType[Connection], tuple[Transaction, ...]] | None = None
    """The Connection, and the transactions of the context in which it was seen last."""
    user: weakref.ReferenceType[Connection] | None = None
    """The Connection that began the transaction; several may share one database connection."""
    reset: Literal["rollback", "commit", "none"] = "rollback"
    """What the pool does to a connection that comes back."""
    is_reset: bool = False
    """Whether it has done that: not where SQLAlchemy takes the transaction for ended, though its COMMIT failed."""

    def is_commit_of(self, conn: Connection) -> bool:
        """Whether this Connection is within its COMMIT: its listeners, or the statements of the two-phase protocol, run meanwhile."""
        return self.stage is Stage.COMMITTING and self.committer is not None and self.committer() is conn and conn.in_transaction()

    @property
    def is_orphan(self) -> bool:
        """Whether the Connection that committed is gone: the garbage collector returns its database connection, and may do no I/O."""
        return self.committer is not None and self.committer() is None

    def begin(self) -> None:
        """Begin a transaction: no statement has run in it."""
        self.has_snapshot = False
        self.first_statement = None

    def is_used_by_another(self, conn: Connection) -> bool:
        """Whether another Connection is in a transaction on this database connection."""
        other = self.user() if self.user is not None else None
        return other is not None and other is not conn and not other.closed and other.in_transaction()

    def oldest_cursor(self) -> int | None:
        """Return the time of the oldest cursor that somebody still holds; ``None``: all are closed."""
        return min((since for cursor, since in self.cursors if cursor() is not None), default=None)

    def watch(self, cursor: object) -> None:
        """Watch the cursor of the last statement, that may have rows left to fetch; one that nobody holds any more is closed."""
        self.cursors = [(other, since) for other, since in self.cursors if other() is not None]
        if all(other() is not cursor for other, _ in self.cursors):  # else since an earlier statement of its own
            self.cursors.append((weakref.ref(cursor), self.last_statement))

    def add(self, groups: Iterable[str | None], write: Write) -> None:
        """Add what a statement writes to the change set of each group."""
        for group in groups:
            self.changes.setdefault(group, ChangeSet()).add(write)

    def touches(self, tables: Iterable[str], planner: Planner) -> bool:
        """Whether the open transaction has written to one of the tables."""
        tables = tuple(tables)
        return any(changes.touches(tables, planner) for changes in self.changes.values())

    def close(self) -> None:
        """Begin anew: what was collected is settled, or was rolled back."""
        self.changes, self.pending, self.stage, self.certain, self.committer = {}, [], Stage.OPEN, True, None
        self.begun_by_text = self.opened_by_savepoint = False
        if self.session_state == "transaction":
            self.session_state = ""


def ledger_of(info: dict[Any, Any]) -> Ledger:
    """Return the ledger in a pool record's ``info``; several Connections may share one DBAPI connection."""
    found: Ledger | None = info.get(_INFO)
    if found is None:
        found = info[_INFO] = Ledger()
    return found
