"""Which database an engine speaks to: its bind group, and what its reads may do (DESIGN 3.5)."""

from __future__ import annotations

import gc
import threading
import weakref
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from sqlalchemy.engine import Engine
from sqlalchemy.pool import SingletonThreadPool

from aa_cache_integration.core.tokens import new_token
from aa_cache_integration.exceptions import BindError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sqlalchemy.engine import URL, Connection, Dialect
    from sqlalchemy.ext.asyncio import AsyncEngine

__all__ = ("Binding", "bind", "binding_of", "dialects_of", "groups_written", "ignore", "is_ignored", "root_engine")

_lock = threading.RLock()


class _Private:
    """The namespace of a database that no other process can reach: one for those who share it, or for each thread of an engine."""

    def __init__(self, name: str, *, per_thread: bool) -> None:
        self._engine = name
        self._thread = threading.local() if per_thread else None

    def name(self) -> str:
        if self._thread is None:
            return self._engine
        if not hasattr(self._thread, "name"):
            self._thread.name = new_token()
        return str(self._thread.name)


@dataclass(frozen=True)
class Binding:
    """What is known of a bound engine."""

    bind_group: str | None
    url: URL
    fills: bool
    """``False`` for a replica: its reads may hit, but it may lag, so it fills nothing."""
    vary: Callable[[Connection], Any] | None
    private: _Private | None
    """The namespace of a database in memory."""
    own: str = ""
    """What keeps this engine's cells apart from the group's, whose records they depend on; ``""``: nothing."""

    def read_group(self) -> str | None:
        """Return the group whose keys this engine's reads use."""
        return self.bind_group if self.private is None else f"{self.bind_group or ''}#{self.private.name()}"


# By dialect: an engine and all that its execution_options() derive share one, and it lives as long as they do.
_bindings: weakref.WeakKeyDictionary[Dialect, Binding] = weakref.WeakKeyDictionary()
_ignored: weakref.WeakSet[Dialect] = weakref.WeakSet()


def root_engine(engine: Engine | AsyncEngine) -> Engine:
    """Return the synchronous engine behind this one.

    Raises:
        BindError: It isn't an engine.
    """
    found = getattr(engine, "sync_engine", engine)
    if not isinstance(found, Engine):
        raise BindError(f"Expected an Engine or AsyncEngine, got {type(engine).__name__}: bind the engine that the session uses")
    return found


def bind(
    engine: Engine | AsyncEngine,
    bind_group: str | None = None,
    *,
    replica_of: Engine | AsyncEngine | None = None,
    same_database: bool = False,
    vary: Callable[[Connection], Any] | None = None,
) -> None:
    """Serve the reads of an engine from the caches of a bind group.

    Args:
        engine: The engine; any that its ``execution_options()`` derived are bound with it.
        bind_group: The group; ``None``: the default one, or that of ``replica_of``.
        replica_of: The primary whose database this engine reads a copy of; its reads may hit but never fill.
        same_database: The URL differs from the group's, but leads to the same database (a proxy, a second host name).
        vary: Returns what the rows' meaning depends on for a connection (a tenant, a role); its text joins the key.

    Raises:
        BindError: The engine's database isn't the group's.
    """
    root = root_engine(engine)
    if replica_of is not None:
        primary = binding_of(root_engine(replica_of).dialect)
        if primary is None:
            raise BindError(f"replica_of={_masked(root_engine(replica_of).url)}: bind that engine first")
        bind_group = primary.bind_group if bind_group is None else bind_group
    private = _private(root) if _is_in_memory(root.url) else None
    own = "" if private is not None or same_database or replica_of is not None or not _has_own_creator(root) else new_token()
    with _lock:
        if not (same_database or replica_of is not None or private is not None or own):
            _refuse_other_database(root, bind_group)
        _ignored.discard(root.dialect)
        _bindings[root.dialect] = Binding(bind_group, root.url, replica_of is None, vary, private, own)


def ignore(engine: Engine | AsyncEngine) -> None:
    """Exempt an engine: its reads aren't served and its writes announce nothing.

    Raises:
        BindError: It isn't an engine.
    """
    dialect = root_engine(engine).dialect
    with _lock:
        _bindings.pop(dialect, None)
        _ignored.add(dialect)


def dialects_of(bind_group: str | None) -> tuple[Dialect, ...]:
    """Return the dialects of the engines that are bound to a group."""
    with _lock:
        return tuple(dialect for dialect, found in _bindings.items() if found.bind_group == bind_group)


def is_ignored(dialect: Dialect) -> bool:
    """Whether `ignore` exempts this engine."""
    return dialect in _ignored


def binding_of(dialect: Dialect, options: Mapping[str, Any] | None = None) -> Binding | None:
    """Return an engine's binding.

    Args:
        dialect: The engine's dialect.
        options: Execution options; a ``bind_group`` among them goes before what was bound, and binds where nothing was.
    """
    found = _bindings.get(dialect)
    if options and "bind_group" in options:
        group = options["bind_group"]
        if found is not None:
            return found if found.bind_group == group else replace(found, bind_group=group)
    return found


def groups_written(connection: Connection) -> tuple[str | None, ...]:
    """Return the groups that a write on this connection changes: the engine's, one that its options name, and the private ones of both."""
    options = connection.get_execution_options()
    named = binding_of(connection.dialect, options)
    if named is None:
        return (options.get("bind_group"),)
    bound = _bindings.get(connection.dialect, named)
    return tuple(dict.fromkeys(group for found in (bound, named) for group in (found.bind_group, found.read_group())))


def bind_by_option(engine: Engine) -> None:
    """Bind an engine that names its group by the ``bind_group`` execution option, at its first read."""
    options = engine.get_execution_options()
    if "bind_group" in options and engine.dialect not in _bindings and engine.dialect not in _ignored:
        bind(engine, options["bind_group"])


_PROCESS = new_token()


def _private(engine: Engine) -> _Private:
    if _is_shared(engine.url):  # by name, within this process
        return _Private(f"{_PROCESS}-{engine.url.database}", per_thread=False)
    return _Private(new_token(), per_thread=isinstance(engine.pool, SingletonThreadPool))


def _is_in_memory(url: URL) -> bool:
    """Whether only this engine can reach the database (DESIGN 3.5)."""
    database = url.database or ":memory:"
    in_memory = ":memory:" in database or "mode=memory" in database or url.query.get("mode") == "memory"
    return url.get_backend_name() == "sqlite" and in_memory


def _is_shared(url: URL) -> bool:
    """Whether an in-memory database is shared by the engines of this process that name it."""
    return "cache=shared" in (url.database or "") or url.query.get("cache") == "shared"


def _has_own_creator(engine: Engine) -> bool:
    """Whether the engine's URL says nothing of the database: the application connects by itself."""
    creator = getattr(engine.pool, "_creator", None)
    return creator is not None and getattr(creator, "__module__", None) != "sqlalchemy.engine.create"


def _refuse_other_database(engine: Engine, bind_group: str | None) -> None:
    if _another_database(engine, bind_group) is not None:
        gc.collect()  # engines that nobody holds any more are gone only then
    other = _another_database(engine, bind_group)
    if other is not None:
        group = "The default bind group" if bind_group is None else f"The bind group {bind_group!r}"
        raise BindError(
            f"{group} is one database, but {_masked(engine.url)} isn't {_masked(other)}. Give it a bind"
            " group of its own; or, if both lead to the same database, same_database=True; or, if it is a replica, replica_of=."
        )


def _another_database(engine: Engine, bind_group: str | None) -> URL | None:
    """Return the URL of an engine of the group that leads elsewhere."""
    for dialect, other in list(_bindings.items()):
        of_the_group = dialect is not engine.dialect and other.bind_group == bind_group
        tells = other.fills and other.private is None and not other.own
        if of_the_group and tells and _database(other.url) != _database(engine.url):
            return other.url
    return None


def _database(url: URL) -> tuple[Any, ...]:
    return (url.get_backend_name(), url.host, url.port, url.database)


def _masked(url: URL) -> str:
    return url.render_as_string(hide_password=True)
