"""What all tests share: servers, key namespaces, recorded events, and coroutine functions as tests."""

from __future__ import annotations

import asyncio
import inspect
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from aa_cache_integration import pytest_plugin
from aa_cache_integration.events import CacheEvent, set_hooks
from tests.bindings import no_bindings
from tests.databases import MariaDBServer, PostgreSQLServer
from tests.managers import backend, face, managers
from tests.servers import RedisServer, ServerMissingError, heal_servers

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

__all__ = ("backend", "face", "managers", "no_bindings")  # fixtures


def pytest_configure(config: pytest.Config) -> None:
    """Load our plugin where the package is tested without being installed."""
    if not config.pluginmanager.has_plugin("aa_cache"):
        config.pluginmanager.register(pytest_plugin, "aa_cache")


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run a test that is a coroutine function in an event loop of its own."""
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    arguments = {name: pyfuncitem.funcargs[name] for name in inspect.signature(pyfuncitem.obj).parameters}
    asyncio.run(pyfuncitem.obj(**arguments))
    return True


@contextmanager
def missing_servers_skip() -> Iterator[None]:
    """Skip the test that needs a server which isn't installed, or fail it where ``CI=true``."""
    try:
        yield
    except ServerMissingError as error:
        if os.environ.get("CI", "").lower() == "true":
            pytest.fail(str(error), pytrace=False)
        pytest.skip(str(error))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup() -> Generator[None, None, None]:
    """See to servers that fixtures start."""
    with missing_servers_skip():
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call() -> Generator[None, None, None]:
    """See to servers that a test starts itself."""
    with missing_servers_skip():
        return (yield)


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    """A private redis-server, one for each worker, started when the first test asks for it.

    A test may pause, kill or restart it: it runs again before the next test. Tests keep apart by ``aa_cache_namespace``.
    """
    with RedisServer() as server:
        yield server


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[PostgreSQLServer]:
    """A private PostgreSQL, one for each worker, under the rules of ``redis_server``; tests keep apart by ``fresh_database``."""
    with PostgreSQLServer() as server:
        yield server


@pytest.fixture(scope="session")
def mariadb_server() -> Iterator[MariaDBServer]:
    """A private MariaDB, one for each worker, under the rules of ``redis_server``; tests keep apart by ``fresh_database``."""
    with MariaDBServer() as server:
        yield server


@pytest.fixture(autouse=True)
def _servers_are_well() -> Iterator[None]:
    yield
    heal_servers()


class RecordedEvents(list[CacheEvent]):
    """A hook that keeps the events it is told."""

    def wants(self, name: str) -> bool:
        """Take all."""
        return True

    def __call__(self, event: CacheEvent) -> None:
        """Keep it."""
        self.append(event)

    @property
    def names(self) -> list[str]:
        """The names, in the order told."""
        return [event.name for event in self]


@pytest.fixture
def recorded_events() -> Iterator[RecordedEvents]:
    """The events that caches without hooks of their own tell during the test."""
    events = RecordedEvents()
    set_hooks([events])
    yield events
    set_hooks(None)
