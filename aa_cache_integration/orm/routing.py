"""Whether a session's read may be served from the cache, and whether what it reads may be put there (DESIGN 3.5, 5.1)."""

from __future__ import annotations

import threading
import time
import weakref
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy.engine import Connection

from aa_cache_integration.core.transactions import View
from aa_cache_integration.exceptions import BindError
from aa_cache_integration.orm import binding, listeners
from aa_cache_integration.orm.changes import ledger_of
from aa_cache_integration.orm.isolation import level_of, of_replica, view_at, view_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from sqlalchemy.engine import Dialect, Engine
    from sqlalchemy.orm import Session

    from aa_cache_integration.codecs.mapper import EntityCodec
    from aa_cache_integration.core.plans import Snapshot
    from aa_cache_integration.planner import Planner

__all__ = ("Route", "connect", "has_own_state", "route", "sees_uncommitted", "warn_once")


@dataclass(frozen=True)
class Route:
    """Where a read goes."""

    dialect: Dialect
    bind: Engine | Connection
    """Whence the session reads; asked for once, for an application's ``get_bind`` may choose among replicas."""
    other_shards: tuple[Engine | Connection, ...] = ()
    """Whence it reads too: a sharded session, where the rows lie in several shards, or may."""
    read_group: str | None = None
    """The group whose keys it uses."""
    bind_group: str | None = None
    """The group that its engine is bound to."""
    vary: str = ""
    fills: bool = True
    bypass: str = ""
    """Why it must go to the database and fill nothing; ``""``: the cache may serve it."""
    snapshot: Snapshot | None = None
    """What the read keeps to."""
    asked: int = 0
    """The monotonic time (ns) at which this was decided."""

    def covers(self, view: View) -> bool:
        """Whether what a connection with this view reads may be filled: nothing has turned out that the lease wasn't asked for."""
        since = None if view.snapshot is None else view.snapshot.since
        known = None if self.snapshot is None else self.snapshot.since
        return not view.bypass and (since is None or since >= self.asked or (known is not None and known <= since))


def route(
    session: Session, codec: EntityCodec, idents: Sequence[tuple[Any, ...]], is_dirty: Callable[[Connection], bool], *, exact: bool = False
) -> Route:
    """Decide about a read in a session, after flushing what is pending, as a query would.

    Args:
        session: The session.
        codec: Of the rows that are read; an application's ``get_bind`` may look at its mapper and its statement.
        idents: Their primary keys, by which a sharded session chooses.
        is_dirty: Whether a connection's open transaction has written to what the read depends on.
        exact: Whether a snapshot must be known of that isn't taken yet (``snapshot_reads="exact"``).
    """
    session._autoflush()  # noqa: SLF001 - what Query calls; honours autoflush=False, no_autoflush and a flush under way
    bind, *others = _binds(session, codec, idents)
    engine: Engine = bind.engine
    binding.bind_by_option(engine)
    if others:
        return Route(engine.dialect, bind, tuple(others), bypass="several shards")
    known = (*listeners.connections_of(session), *((bind,) if isinstance(bind, Connection) else ()))
    open_connections = [conn for conn in known if not conn.closed and not conn.invalidated and conn.dialect is engine.dialect]
    own = next((conn for conn in open_connections if conn is bind or conn.engine is engine), None)
    options = {**engine.get_execution_options(), **(bind if own is None else own).get_execution_options()}
    found = binding.binding_of(engine.dialect, options)
    if found is None:
        return Route(engine.dialect, bind, bypass="ignored engine" if binding.is_ignored(engine.dialect) else "engine not bound")
    asked = time.monotonic_ns()
    view = _view(session, bind, options, own, exact=exact)
    view = view if found.fills else of_replica(view)
    reason = view.bypass
    if options.get("schema_translate_map"):
        reason = "schema translation"
    elif any(is_dirty(conn) for conn in open_connections):
        reason = "own writes"
    vary = found.own
    if found.vary is not None and not reason:
        vary += repr(found.vary(connect(session, bind)))
    return Route(engine.dialect, bind, (), found.read_group(), found.bind_group, vary, found.fills, reason, view.snapshot, asked)


def _binds(session: Session, codec: EntityCodec, idents: Sequence[tuple[Any, ...]]) -> Sequence[Engine | Connection]:
    """Return whence a session reads rows: one place, or the shards in which a sharded session would look for them.

    Raises:
        BindError: A sharded session's ``identity_chooser`` names no shard.
    """
    choose = getattr(session, "identity_chooser", None)
    if choose is None:
        return (session.get_bind(mapper=codec.mapper, clause=codec.all_rows),)
    shards: dict[Any, None] = {}
    for ident in idents:
        shards.update(dict.fromkeys(choose(codec.mapper, ident, lazy_loaded_from=None, execution_options={}, bind_arguments={})))
    if not shards:
        raise BindError(f"The session's identity_chooser names no shard for {codec.mapper.class_.__name__} {list(idents)!r}")
    return [session.get_bind(codec.mapper, shard_id=shard) for shard in shards]


def connect(session: Session, bind: Engine | Connection) -> Connection:
    """Return the connection of the session's transaction to what `route` chose."""
    return session.connection(bind_arguments={"bind": bind})


def sees_uncommitted(conn: Connection, tables: Iterable[str], planner: Planner) -> bool:
    """Whether somebody's open transaction on this database connection has written to one of the tables.

    Not the session's own alone: several sessions may share one database connection, as in memory.
    """
    return ledger_of(conn.info).touches(tables, planner)


def has_own_state(conn: Connection) -> bool:
    """Whether ``SET``, ``USE``, ``ATTACH`` or ``CREATE TEMP`` let this connection see other rows than its fellows (DESIGN 3.5)."""
    return bool(ledger_of(conn.info).session_state)


def _view(session: Session, bind: Engine | Connection, options: dict[str, Any], own: Connection | None, *, exact: bool) -> View:
    """Return how the session's transaction sees the database that ``bind`` leads to.

    Args:
        session: The session.
        bind: Whence it reads.
        options: The execution options that count.
        own: The connection by which it will read, when it has one already.
        exact: Whether a snapshot must be known of that isn't taken yet.
    """
    dialect = bind.engine.dialect
    if dialect.name == "sqlite" and exact and own is None:
        own = connect(session, bind)  # whether it begins with BEGIN is known to the application alone
    if own is not None:
        return view_of(own)
    level = level_of(dialect, options)
    if dialect.name == "sqlite":
        return View(bypass="read uncommitted") if level == "READ UNCOMMITTED" else View()
    if level is None:
        connect(session, bind)  # the first connection of an engine reads the default
        level = level_of(dialect, options)
    return view_at(dialect, level)


_warned_lock = threading.Lock()
_warned: weakref.WeakSet[Dialect] = weakref.WeakSet()


def warn_once(dialect: Dialect) -> bool:
    """Return true the first time that it is asked about an engine."""
    with _warned_lock:
        fresh = dialect not in _warned
        _warned.add(dialect)
        return fresh
