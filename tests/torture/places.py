"""The private servers of a run, and how they are hurt."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import redis

from tests.databases import MariaDBServer, PostgreSQLServer
from tests.servers import RedisServer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.databases import DatabaseServer

__all__ = ("Places", "places")


@dataclass(frozen=True)
class Places:
    """Where the rows and the cached values are."""

    url: str
    async_url: str
    database: DatabaseServer | None
    """``None``: a SQLite file."""
    cache: RedisServer | None
    """``None``: the workers' memory."""

    def end_a_database_connection(self) -> str:
        """End one connection to the database that is a worker's; return what was done."""
        server = self.database
        if server is None:
            return ""
        with suppress(server.unreachable()):  # it has ended by itself
            if isinstance(server, PostgreSQLServer):
                server.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE backend_type = 'client backend' AND pid <> pg_backend_pid() ORDER BY random() LIMIT 1"
                )
            else:
                rows = server.execute(
                    "SELECT id FROM information_schema.processlist"
                    " WHERE id <> connection_id() AND command <> 'Daemon' ORDER BY rand() LIMIT 1"
                )
                for (connection,) in rows:
                    server.execute(f"KILL {connection}")
        return "of the database"

    def end_cache_connections(self) -> str:
        """End all connections to the cache server; return what was done."""
        with self.client() as client:
            client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        return "of the cache"

    def flush(self) -> str:
        """Empty the cache."""
        with self.client() as client:
            client.flushall()
        return ""

    def evict(self) -> str:
        """Let the cache server be short of memory for a moment; return how much it has thrown away."""
        with self.client() as client:
            before = int(client.info("stats")["evicted_keys"])
            client.config_set("maxmemory-policy", "allkeys-random")
            used = int(client.info("memory")["used_memory"])
            client.config_set("maxmemory", max(1, used - 10_000))
            client.config_set("maxmemory", 0)
            return f"{int(client.info('stats')['evicted_keys']) - before} keys"

    def client(self) -> Any:
        """Return a client of the cache server."""
        if self.cache is None:
            raise RuntimeError("there is no cache server")
        return redis.Redis(host=self.cache.host, port=self.cache.port, socket_timeout=5)


@contextmanager
def places(db: str, store: str, folder: Path) -> Iterator[Places]:
    """Start the servers of a run, and end them."""
    with ExitStack() as stack:
        cache = stack.enter_context(RedisServer()) if store == "redis" else None
        if db == "sqlite":
            file = folder / "torture.db"
            yield Places(f"sqlite:///{file}", f"sqlite+aiosqlite:///{file}", None, cache)
        elif db == "postgresql":
            postgresql = stack.enter_context(PostgreSQLServer())
            url = postgresql.engine_url("postgresql+psycopg")
            yield Places(url, url, postgresql, cache)
        else:
            mariadb = stack.enter_context(MariaDBServer())
            yield Places(mariadb.engine_url("mysql+pymysql"), mariadb.engine_url("mysql+aiomysql"), mariadb, cache)
