"""The fixtures of this room, and the greenlet in which its asynchronous tests run."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy.util import greenlet_spawn

from tests.orm.world import ServerWorld, World, pending_tasks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.conftest import RecordedEvents


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run a test that uses a world, in a greenlet below an event loop when the world is asynchronous."""
    world = pyfuncitem.funcargs.get("world")
    if not isinstance(world, World):
        return None
    arguments = {name: pyfuncitem.funcargs[name] for name in pyfuncitem._fixtureinfo.argnames}

    def test() -> Any:
        for prepare in world.preparations:
            prepare()
        return pyfuncitem.obj(**arguments)

    async def run() -> None:
        try:
            made = await greenlet_spawn(test)
            if made is not None:
                await made  # it is a coroutine function
            assert not pending_tasks(), "a task was left behind"
        finally:
            await world.aclose()

    if world.asynchronous:
        asyncio.run(run())
    else:
        try:
            test()
        finally:
            asyncio.run(world.aclose())
    return True


@pytest.fixture(autouse=True)
def _no_bindings(no_bindings: None) -> None:
    """Each test of this room begins so."""


@pytest.fixture
def cache_options(request: pytest.FixtureRequest, aa_cache_namespace: str, store: str) -> dict[str, Any]:
    options: dict[str, Any] = {"backend": f"dogpile.cache.{store}", "key_prefix": aa_cache_namespace, "lease_wait": 0.5}
    if store == "redis":
        server = request.getfixturevalue("redis_server")
        options["arguments"] = {"host": server.host, "port": server.port}
    return options


@pytest.fixture
def store() -> str:
    """The store; tests of the commit path ask for both by `on_each_store`."""
    return "memory"


@pytest.fixture(params=["sync", "async"])
def world(request: pytest.FixtureRequest, tmp_path: Path, cache_options: dict[str, Any], recorded_events: RecordedEvents) -> World:
    """An application on a SQLite file."""
    return World(tmp_path / "world.db", cache_options, recorded_events, asynchronous=request.param == "async")


@pytest.fixture
def make_world(
    request: pytest.FixtureRequest, tmp_path: Path, cache_options: dict[str, Any], recorded_events: RecordedEvents
) -> Iterator[Callable[..., World]]:
    """Makes an application on a database: ``sqlite``, ``postgresql`` or ``mariadb``."""
    with ExitStack() as databases:

        def make(database: str, *, asynchronous: bool, **options: Any) -> World:
            file = tmp_path / "world.db"
            if database == "sqlite":
                return World(file, {**cache_options, **options}, recorded_events, asynchronous=asynchronous)
            server = request.getfixturevalue(f"{database}_server")
            driver = {"postgresql": "postgresql+psycopg", "mariadb": "mariadb+pymysql"}[database]
            url = databases.enter_context(server.fresh_database(driver))
            return ServerWorld(file, {**cache_options, **options}, recorded_events, asynchronous=asynchronous, url=url)

        yield make
