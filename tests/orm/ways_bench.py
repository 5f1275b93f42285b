"""Where the ways of writing are tried: a database and its engines, kept for all tests, and one trial on it."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sqlalchemy import create_engine, event, insert, select
from sqlalchemy.dialects import mysql, postgresql, sqlite
from sqlalchemy.orm import Session, class_mapper, with_polymorphic
from sqlalchemy.pool import NullPool
from sqlalchemy.schema import CreateTable
from sqlalchemy.util import greenlet_spawn

from aa_cache_integration import manager
from aa_cache_integration.orm import binding
from tests.orm.ways_rows import MADE_BESIDE, ROWS, VIEWS
from tests.orm.world import World
from tests.orm.write_models import Base, Book, Copy, Lamp, Remark, Scrap, Stub

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from sqlalchemy.engine import Engine

    from tests.orm.ways import Way

__all__ = ("Bench", "Rows", "benches")

Rows = dict[tuple[type[Any], Any], Any]
"""The values of rows, by model and primary key."""

_DIALECTS = {"sqlite": sqlite.dialect(), "postgresql": postgresql.dialect(), "mariadb": mysql.dialect()}
_WAIT_NO_LONGER = "SET lock_wait_timeout = 5, innodb_lock_wait_timeout = 5"
_DRIVERS = {
    ("postgresql", False): "postgresql+psycopg",
    ("postgresql", True): "postgresql+asyncpg",
    ("mariadb", False): "mariadb+pymysql",
    ("mariadb", True): "mysql+aiomysql",
    ("sqlite", True): "sqlite",  # `World` adds the driver
    ("sqlite", False): "sqlite",
}
_BRACKETS = {
    "sqlite": ("BEGIN", "COMMIT"),
    "postgresql": ("SET session_replication_role = replica", "SET session_replication_role = DEFAULT"),
    "mariadb": ("SET foreign_key_checks = 0", "SET foreign_key_checks = 1"),
}
_READ_BY_OTHERS = (Remark, Book, Copy)
"""What statements read that write something else."""
_GENERATED = {
    "sqlite": "SELECT 1",
    "postgresql": "SELECT setval('stubs_id_seq', 3)",
    "mariadb": "ALTER TABLE stubs AUTO_INCREMENT = 4",
}


@dataclass
class Bench(World):
    """A database and engines of one kind."""

    database: str = "sqlite"
    url: str = ""
    raw: Engine = field(kw_only=True)
    """Of whose writes nobody hears."""

    def __post_init__(self) -> None:
        self._loop = asyncio.new_event_loop() if self.asynchronous else None
        self._engines: dict[str, Engine] = {}
        super().__post_init__()

    def create_database(self) -> None:
        """It is there."""

    def make_engine(self, **options: Any) -> Engine:
        """See `World.make_engine`."""
        return self.engine_of(self.url, **options)

    def engine_of(self, url: str, **options: Any) -> Engine:
        """See `World.engine_of`."""
        given = options.pop("connect_args", {})
        arguments = {"init_command": _WAIT_NO_LONGER} if self.database == "mariadb" else {}
        engine = super().engine_of(url, connect_args={**arguments, **given}, **options)
        if self.database == "sqlite":
            event.listen(engine, "connect", _follow_foreign_keys)
        return engine

    def engine_that(self, how: str) -> Engine:
        """Return an engine by how it commits: as usual, by the option AUTOCOMMIT, as the driver was told; or by connections of its own."""
        if how not in self._engines:
            self._engines[how] = {
                "": lambda: self.engine,
                "AUTOCOMMIT": lambda: self.make_engine(isolation_level="AUTOCOMMIT"),
                "derived AUTOCOMMIT": lambda: self.engine.execution_options(isolation_level="AUTOCOMMIT"),
                "own connections": lambda: self.make_engine(poolclass=NullPool),
                "driver": lambda: self.make_engine(
                    connect_args={"isolation_level": None} if self.database == "sqlite" else {"autocommit": True}
                ),
            }[how]()
        return self._engines[how]

    # Tests

    def run(self, function: Callable[[], None]) -> None:
        """Run a test: in a greenlet below the event loop of the engines, when they are asynchronous."""
        try:
            if self._loop is None:
                function()
            else:
                self._loop.run_until_complete(greenlet_spawn(function))
        except BaseException:
            self._in_loop(self._dispose)  # whatever state its connections are in
            raise

    async def _dispose(self) -> None:
        for engine in self._async_engines:
            await engine.dispose()
        for engine in self._sync_engines:
            engine.dispose()

    def _in_loop(self, function: Callable[[], Any]) -> None:
        if self._loop is None:
            asyncio.run(function())
        else:
            self._loop.run_until_complete(function())

    def close(self) -> None:
        """Close what is open."""
        self._in_loop(self.aclose)
        if self._loop is not None:
            self._loop.run_until_complete(self._loop.shutdown_asyncgens())
            self._loop.close()

    # Rows

    def begin_anew(self, way: Way, namespace: str) -> None:
        """Put the rows back behind everybody's back, and begin with an empty cache."""
        self._script(way.models)
        manager._live.clear()
        binding._bindings.clear()
        self.options["key_prefix"] = namespace
        self.manager = self.cache(models=dict(way.declared), clock_skew=0.0)
        for engine in {self.engine, self.engine_that(way.engine)}:
            self.registry.bind(engine)

    def _script(self, models: Iterable[type[Any]]) -> None:
        dialect = _DIALECTS[self.database]
        before, after = _BRACKETS[self.database]
        statements = [before]
        for model in ROWS:  # the order of the triggers
            if model not in {*models, *_READ_BY_OTHERS} and not any(issubclass(other, model) for other in models):
                continue
            table = model.__table__
            if model is Scrap:
                statements += [
                    "DROP TABLE IF EXISTS scraps",
                    "DROP TABLE IF EXISTS old_scraps",
                    str(CreateTable(table).compile(dialect=dialect)),
                ]
            inserted = insert(table).values(ROWS[model]).compile(dialect=dialect, compile_kwargs={"literal_binds": True})
            statements += [f"DELETE FROM {table.name}", str(inserted)]  # noqa: S608 - our name
            if model is Stub:
                statements.append(_GENERATED[self.database])
        script = ";".join((*statements, after))
        with self.raw.connect() as connection:
            driver: Any = connection.connection.driver_connection
            if self.database == "mariadb":
                with driver.cursor() as cursor:
                    cursor.execute(script)
                    while cursor.nextset():
                        pass
            else:
                (driver.executescript if self.database == "sqlite" else driver.execute)(script)

    def rows(self, models: Iterable[type[Any]], session: Session | None = None) -> Rows:
        """Return what the database has: committed, or as the transaction of a session sees it."""
        bind: Any = self.raw if session is None else session.connection()
        with Session(bind, join_transaction_mode="rollback_only") as reader:
            return {(model, ident_of(row)): values_of(row) for model in models for row in reader.scalars(_all(model))}


def _all(model: type[Any]) -> Any:
    return select(with_polymorphic(model, "*") if class_mapper(model).polymorphic_on is not None else model)


def _follow_foreign_keys(connection: Any, _: Any) -> None:
    cursor = connection.cursor()
    cursor.execute("PRAGMA foreign_keys = ON")
    cursor.close()


def ident_of(row: Any) -> Any:
    """Return the primary key as `IDENTS` has it."""
    ident = class_mapper(type(row)).primary_key_from_instance(row)
    return ident[0] if len(ident) == 1 else tuple(ident)


def values_of(row: Any) -> Any:
    """Return what is loaded of a row."""
    if row is None:
        return None
    return {
        "class": type(row).__name__,
        **{key: row.__dict__[key] for key in list(class_mapper(type(row)).column_attrs.keys()) if key in row.__dict__},
    }


@contextmanager
def benches(urls: Callable[[str, ExitStack], str], folder: Any, options: dict[str, Any]) -> Iterator[Callable[[str, str], Bench]]:
    """Give what makes benches, each once.

    Args:
        urls: Makes a database and returns its URL.
        folder: Where SQLite's file is.
        options: Of the caches.
    """
    made: dict[tuple[str, str], Bench] = {}
    raws: dict[str, tuple[Engine, str]] = {}
    with ExitStack() as stack:

        def make(database: str, kind: str) -> Bench:
            if database not in raws:
                url = urls(database, stack)
                raws[database] = _create(database, url), url
                stack.callback(raws[database][0].dispose)
            if (database, kind) not in made:
                raw, url = raws[database]
                asynchronous = kind == "async"
                driver = _DRIVERS[database, asynchronous]
                url = f"{driver}:{url.partition(':')[2]}"
                made[database, kind] = bench = Bench(folder, dict(options), [], asynchronous, database=database, url=url, raw=raw)  # type: ignore[arg-type]
                stack.callback(bench.close)
            return made[database, kind]

        yield make


def _create(database: str, url: str) -> Engine:
    """Make the tables, and return an engine of which nobody hears."""
    arguments: dict[str, Any] = {}
    if database == "mariadb":
        from pymysql.constants import CLIENT

        arguments = {"client_flag": CLIENT.MULTI_STATEMENTS, "init_command": _WAIT_NO_LONGER}
    engine = create_engine(url, isolation_level="AUTOCOMMIT", connect_args=arguments)
    binding.ignore(engine)
    tables = [table for table in Base.metadata.tables.values() if table not in VIEWS]
    if database == "mariadb":
        tables.remove(Lamp.__table__)  # type: ignore[arg-type]
    with engine.connect() as connection:
        if database == "sqlite":
            connection.exec_driver_sql("PRAGMA journal_mode = WAL")
        if database == "postgresql":
            connection.exec_driver_sql(f"ALTER DATABASE {engine.url.database} SET lock_timeout = '5s'")
        Base.metadata.create_all(connection, tables)
        if database == "mariadb":
            connection.exec_driver_sql(f"SELECT 4, 'loaded', 1 INTO OUTFILE '../{engine.url.database}.txt'")
        for made in MADE_BESIDE[database]:
            connection.execute(made)
    return engine
