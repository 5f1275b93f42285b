"""A way of writing: what is done, and what is promised of it. The tables of all ways are in the files beside this one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal

from sqlalchemy.orm import Session

from tests.orm.write_models import Book

if TYPE_CHECKING:
    from aa_cache_integration.config import ModelConfig

__all__ = ("DATABASES", "MARIADB", "NO_TRANSACTION", "POSTGRESQL", "SQLITE", "Way", "connection_of", "driver_sql", "every", "ways_of")

SQLITE: Final = "sqlite"
POSTGRESQL: Final = "postgresql"
MARIADB: Final = "mariadb"
DATABASES: Final = (SQLITE, POSTGRESQL, MARIADB)

Write = Callable[[Any], Any]


@dataclass(frozen=True)
class Way:
    """One way of writing."""

    name: str
    write: Write
    """Writes through a session, or through a connection where ``core``."""
    reach: Literal["row", "table", "all"] = "table"
    """How much of what was cached is forgotten at most: the rows that are changed, their tables, or everything."""
    models: tuple[type[Any], ...] = (Book,)
    """What is written: first what the reach is told of, then what the database, a relationship or an event changes as well."""
    on: tuple[str, ...] = DATABASES
    """The databases that have it."""
    kinds: tuple[str, ...] = ("sync", "async")
    """The kinds of engine whose drivers have it."""
    core: bool = False
    """Whether a connection will do."""
    changes: bool = True
    """Whether rows are changed at all."""
    commits_alone: tuple[str, ...] = ()
    """Databases where it is committed by itself, or where that can't be told beforehand, so that a rollback leaves nothing warm."""
    no_savepoint: Mapping[str, str] = field(default_factory=dict)
    """Why it can't run within a savepoint, by database."""
    locks: tuple[str, ...] = ()
    """Databases where others can't read the table until the transaction ends."""
    engine: str = ""
    """How the engine commits: see `Bench.engine_that`."""
    declared: Mapping[str, ModelConfig] = field(default_factory=dict)
    """What the settings say of tables."""

    def __str__(self) -> str:
        """Return the name, as an id of tests."""
        return self.name


NO_TRANSACTION: Final = "each statement is its own transaction"
"""Why there is no savepoint."""


def every(reason: str, databases: tuple[str, ...] = DATABASES) -> dict[str, str]:
    """Return one reason for several databases."""
    return dict.fromkeys(databases, reason)


def ways_of(writes: Mapping[str, Write], **promises: Any) -> list[Way]:
    """Return ways of which the same is promised."""
    return [Way(name, write, **promises) for name, write in writes.items()]


def connection_of(target: Any) -> Any:
    """Return the connection of a session, or the connection itself."""
    return target.connection() if isinstance(target, Session) else target


def driver_sql(statement: str) -> Write:
    """Return the way to hand a statement to the driver as it is."""
    return lambda target: connection_of(target).exec_driver_sql(statement)
