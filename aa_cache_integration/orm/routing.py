"""Whether a session's read may be served from the cache, and whether what it reads may be put there (DESIGN 3.5, 5.1)."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy.engine import Connection

from aa_cache_integration.orm import binding, listeners
from aa_cache_integration.orm.changes import ledger_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sqlalchemy.engine import Dialect, Engine
    from sqlalchemy.orm import Mapper, Session

__all__ = ("Route", "route", "warn_once")

_READ_COMMITTED = frozenset({"READ COMMITTED", "AUTOCOMMIT"})


@dataclass(frozen=True)
class Route:
    """Where a read goes."""

    dialect: Dialect
    read_group: str | None = None
    """The group whose keys it uses."""
    bind_group: str | None = None
    """The group that its engine is bound to."""
    vary: str = ""
    fills: bool = True
    bypass: str = ""
    """Why it must go to the database and fill nothing; ``""``: the cache may serve it."""


def route(session: Session, mapper: Mapper[Any], tables: Iterable[str]) -> Route:
    """Decide about a read in a session, after flushing what is pending, as a query would.

    Args:
        session: The session.
        mapper: What is read.
        tables: All tables that the read depends on.
    """
    session._autoflush()  # noqa: SLF001 - what Query calls; honours autoflush=False, no_autoflush and a flush under way
    bind = session.get_bind(mapper=mapper)
    engine: Engine = bind.engine
    binding.bind_by_option(engine)
    known = (*listeners.connections_of(session), *((bind,) if isinstance(bind, Connection) else ()))
    open_connections = [conn for conn in known if not conn.closed and not conn.invalidated and conn.dialect is engine.dialect]
    options = {**engine.get_execution_options(), **bind.get_execution_options()}
    for conn in open_connections:
        options.update(conn.get_execution_options())
    found = binding.binding_of(engine.dialect, options)
    if found is None:
        return Route(engine.dialect, bypass="ignored engine" if binding.is_ignored(engine.dialect) else "engine not bound")
    reason = _reason(session, mapper, engine, options, open_connections, tables)
    vary = ""
    if found.vary is not None and not reason:
        conn = session.connection(bind_arguments={"mapper": mapper})
        vary = repr(found.vary(conn))
    return Route(engine.dialect, found.read_group(), found.bind_group, vary, found.fills, reason)


def _reason(
    session: Session, mapper: Mapper[Any], engine: Engine, options: dict[str, Any], connections: list[Connection], tables: Iterable[str]
) -> str:
    """Return why the database must be asked; ``""`` when it needn't."""
    if options.get("schema_translate_map"):
        return "schema translation"
    tables = tuple(tables)
    if any(ledger_of(conn.info).touches(tables) for conn in connections):
        return "own writes"
    level = options.get("isolation_level") or getattr(engine.dialect, "_on_connect_isolation_level", None)
    if engine.dialect.name == "sqlite":
        if level == "READ UNCOMMITTED":
            return "read uncommitted"
        return "snapshot transaction" if any(_holds_snapshot(conn) for conn in connections) else ""
    if level is None and engine.dialect.default_isolation_level is None:
        session.connection(bind_arguments={"mapper": mapper})  # the first connection of an engine reads the default
    level = level or engine.dialect.default_isolation_level
    return "" if level in _READ_COMMITTED else f"isolation level {str(level).lower()}"


def _holds_snapshot(conn: Connection) -> bool:
    """Whether a SQLite connection is in a transaction that the driver's legacy mode didn't begin for a write (DESIGN 5.1)."""
    driver_connection = conn.connection.driver_connection
    return bool(getattr(driver_connection, "in_transaction", False)) and not ledger_of(conn.info).changes


_warned_lock = threading.Lock()
_warned: set[int] = set()


def warn_once(dialect: Dialect) -> bool:
    """Return true the first time that it is asked about an engine."""
    with _warned_lock:
        fresh = id(dialect) not in _warned
        _warned.add(id(dialect))
        return fresh
