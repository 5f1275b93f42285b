"""Real database servers for tests: PostgreSQL and MariaDB, private like the other servers, each with a database and a user ``test``.

Neither waits for the disk. With the defaults a commit of the last second may be lost when the server is killed. A test for which that
matters gives the option ``synchronous_commit="on"`` (PostgreSQL) or ``innodb_flush_log_at_trx_commit="2"`` (MariaDB), with which a
commit survives the end of the process, though not of the machine.
"""

from __future__ import annotations

import re
import signal
import time
import uuid
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final

from tests.servers import Server

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ("DatabaseServer", "MariaDBServer", "PostgreSQLServer")

NAME: Final = "test"
"""Of the database that is there from the start, and of the user who may do everything."""

_PATIENCE: Final = 5
"""Seconds that the helpers here wait for a connection."""


class DatabaseServer(Server):
    """A server of databases, whose data outlives a restart."""

    start_timeout = 60.0
    location: ClassVar[str]
    """The query for the folder of the data, by which a server is known."""

    @property
    def data(self) -> Path:
        """The folder of the data."""
        return self.directory / "data"

    @property
    def url(self) -> str:
        """The URL of the database ``test`` for SQLAlchemy, with the usual driver."""
        return self.engine_url(self.scheme)

    def engine_url(self, drivername: str, database: str = NAME) -> str:
        """Return a database's URL for ``create_engine``; the driver's name is as in ``postgresql+psycopg``."""
        return f"{drivername}://{NAME}@{self.host}:{self.port}/{database}"

    @contextmanager
    def fresh_database(self, drivername: str | None = None) -> Iterator[str]:
        """Make an empty database, give its URL, and drop it with all connections to it, whatever became of the server meanwhile."""
        name = f"{NAME}_{uuid.uuid4().hex}"
        self.execute(f"CREATE DATABASE {name}")
        try:
            yield self.engine_url(drivername or self.scheme, name)
        finally:
            self.heal()
            self.drop(name)

    def answers(self) -> bool:
        """Whether a query is answered, and from the folder of this server."""
        try:
            rows = self.execute(self.location)
        except self.unreachable():
            return False
        return Path(rows[0][0]) == self.data

    # What a kind of database fills in.

    def execute(self, statement: str, database: str = NAME) -> list[tuple[Any, ...]]:
        """Run a statement outside of transactions and return its rows."""
        raise NotImplementedError

    def unreachable(self) -> type[Exception]:
        """Return what the driver raises where the server isn't reached."""
        raise NotImplementedError

    def drop(self, name: str) -> None:
        """Drop a database and end the connections to it and its transactions, prepared ones too."""
        raise NotImplementedError


def _postgresql_folders() -> list[str]:
    """Return Debian's folders, the newest version first: what it has on PATH are wrappers, and of few programs."""
    found = (str(path) for path in Path("/usr/lib/postgresql").glob("*/bin"))
    return sorted(found, key=lambda path: [int(number) for number in re.findall(r"\d+", path)], reverse=True)


class PostgreSQLServer(DatabaseServer):
    """A PostgreSQL server; as root it can't run, and runs as ``postgres`` or ``nobody`` instead."""

    binary = "postgres"
    package = "postgresql"
    scheme = "postgresql+psycopg"
    stop_signal = signal.SIGINT  # SIGTERM would wait for the clients to go
    folders = _postgresql_folders()
    accounts = ("postgres", "nobody")
    location = "SHOW data_directory"

    def prepare(self) -> None:
        """Make the data folder and the database ``test``."""
        made = ["--no-sync", "--auth=trust", "--encoding=UTF8", "--locale=C", f"--username={NAME}", f"--pgdata={self.data}"]
        self.run([self.require("initdb"), *made])
        self.run([self.require(), "--single", "-F", "-D", str(self.data), "postgres"], f"CREATE DATABASE {NAME}\n")

    def defaults(self) -> dict[str, str]:
        """Listen on loopback alone, and don't wait for the disk."""
        return {
            "listen-addresses": self.host,
            "port": str(self.port),
            "unix-socket-directories": "",
            "max-connections": "200",
            "max-prepared-transactions": "50",
            "shared-buffers": "32MB",
            "dynamic-shared-memory-type": "mmap",  # its files are in the data folder, not where a killed server would leave them
            "fsync": "off",
            "synchronous-commit": "off",
            "full-page-writes": "off",
        }

    def command(self) -> list[str]:
        """Return the command line."""
        options = (("-c", f"{name.replace('-', '_')}={value}") for name, value in self.options.items())
        return [self.require(), "-D", str(self.data), *(part for option in options for part in option)]

    def execute(self, statement: str, database: str = NAME) -> list[tuple[Any, ...]]:
        """Run a statement through psycopg."""
        import psycopg

        where: dict[str, Any] = {"host": self.host, "port": self.port, "user": NAME, "dbname": database, "connect_timeout": _PATIENCE}
        with psycopg.connect(**where, autocommit=True) as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    def unreachable(self) -> type[Exception]:
        """Return psycopg's error."""
        import psycopg

        return psycopg.OperationalError

    def drop(self, name: str) -> None:
        """Drop a database; PostgreSQL ends the connections, but leaves prepared transactions to us."""
        for (transaction,) in self.execute(f"SELECT gid FROM pg_prepared_xacts WHERE database = '{name}'"):  # noqa: S608 - our name
            self.execute(f"ROLLBACK PREPARED '{transaction}'", name)
        self.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


class MariaDBServer(DatabaseServer):
    """A MariaDB server; where we are root it runs as ``mysql`` or ``nobody``."""

    binary = "mariadbd"
    package = "mariadb-server"
    scheme = "mysql+pymysql"
    accounts = ("mysql", "nobody")
    location = "SELECT @@datadir"

    def prepare(self) -> None:
        """Make the data folder, and say what makes the database and the user ``test`` before the first connection."""
        made = ["--no-defaults", f"--datadir={self.data}", "--auth-root-authentication-method=normal", "--skip-test-db"]
        self.run([self.require("mariadb-install-db"), *made, "--skip-name-resolve", f"--tmpdir={self.directory}"])
        user = f"'{NAME}'@'{self.host}'"
        statements = (f"CREATE DATABASE IF NOT EXISTS {NAME}", f"CREATE USER IF NOT EXISTS {user}", f"GRANT ALL ON *.* TO {user}")
        self.first.write_text("".join(f"{statement};\n" for statement in statements))

    @property
    def first(self) -> Path:
        """The file of the statements that are run whenever it starts."""
        return self.directory / "first.sql"

    def defaults(self) -> dict[str, str]:
        """Listen on loopback alone, and don't wait for the disk."""
        return {
            "datadir": str(self.data),
            "tmpdir": str(self.directory),  # our own may be closed to the account
            "socket": "mariadb.sock",  # in the data folder, by a path that can't be too long for a socket
            "pid-file": str(self.directory / "mariadb.pid"),
            "init-file": str(self.first),
            "bind-address": self.host,
            "port": str(self.port),
            "skip-name-resolve": "1",
            "skip-log-bin": "1",
            "character-set-server": "utf8mb4",
            "max-connections": "300",
            "innodb-buffer-pool-size": "64M",
            "innodb-flush-log-at-trx-commit": "0",
        }

    def command(self) -> list[str]:
        """Return the command line; no file of options is read."""
        return [self.require(), "--no-defaults", *(f"--{name}={value}" for name, value in self.options.items())]

    def execute(self, statement: str, database: str = NAME) -> list[tuple[Any, ...]]:
        """Run a statement through PyMySQL."""
        import pymysql

        connection = pymysql.connect(
            host=self.host, port=self.port, user=NAME, database=database, connect_timeout=_PATIENCE, read_timeout=60, autocommit=True
        )
        with connection, connection.cursor() as cursor:
            cursor.execute(statement)
            return list(cursor.fetchall())

    def unreachable(self) -> type[Exception]:
        """Return PyMySQL's error."""
        import pymysql

        return pymysql.err.OperationalError

    def drop(self, name: str) -> None:
        """Drop a database, after ending what DROP DATABASE would wait for; whose a prepared transaction is, MariaDB doesn't tell."""
        import pymysql

        while connections := self.execute(f"SELECT id FROM information_schema.processlist WHERE db = '{name}'"):  # noqa: S608 - our name
            for (connection,) in connections:
                with suppress(pymysql.err.OperationalError):  # it may have ended by itself
                    self.execute(f"KILL {connection}")
            time.sleep(0.01)
        for *_, transaction in self.execute("XA RECOVER FORMAT='SQL'"):
            with suppress(pymysql.err.OperationalError):  # another connection has it
                self.execute(f"XA ROLLBACK {transaction}")
        self.execute(f"DROP DATABASE IF EXISTS {name}")
