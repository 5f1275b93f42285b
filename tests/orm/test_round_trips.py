"""What reads and commits cost in commands to Redis, from a session's call to its return."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import redis
from sqlalchemy import event, select, update

from tests.commands import commands_counter
from tests.orm.models import Product, Tag
from tests.orm.world import World, begin_recipe

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sqlalchemy.engine import Connection

    from tests.commands import Counted
    from tests.servers import RedisServer


@pytest.fixture
def store() -> str:
    return "redis"


@pytest.fixture
def sent(redis_server: RedisServer) -> Iterator[Callable[[], Counted]]:
    """Tells which commands were sent since it was asked last."""
    with redis.Redis(host=redis_server.host, port=redis_server.port) as client:
        yield commands_counter(client)


@pytest.fixture
def cached(world: World, sent: Callable[[], Counted]) -> World:
    """A thousand rows; the scripts are known to the server."""

    def prepare() -> None:
        world.add(*(Product(id=ident, name="old") for ident in range(1, 1001)), Tag(id=1, name="x"))
        world.read(Product, 1)
        world.read(Product, 1)
        sent()

    world.preparations.append(prepare)
    return world


def test_a_hit_is_one_command(cached: World, sent: Callable[[], Counted]) -> None:
    cached.read(Product, 1)
    assert sent() == {"mget": 1}


def test_a_hit_in_a_snapshot_is_one_command(cached: World, sent: Callable[[], Counted]) -> None:
    """Its date is reckoned from what earlier answers told of the server's clock."""
    cached.manager = cached.cache(clock_skew=0.0)
    begin_recipe(cached.engine)
    cached.read(Product, 2)
    cached.read(Product, 2)
    with cached.session() as session:
        session.execute(select(Tag))
        sent()
        cached.fetch(session, Product, 2)
    assert sent() == {"mget": 1}


def test_a_miss_is_a_lookup_a_lease_and_a_fill(cached: World, sent: Callable[[], Counted]) -> None:
    cached.read(Product, 2)
    assert sent() == {"mget": 1, "evalsha": 2}


def test_a_batch_costs_what_one_row_costs(cached: World, sent: Callable[[], Counted]) -> None:
    with cached.session() as session:
        cached.fetch_all(session, Product, list(range(2, 102)))
        assert sent() == {"mget": 1, "evalsha": 2}
        cached.fetch_all(session, Product, list(range(2, 102)))
        assert sent() == {"mget": 1}


@pytest.mark.parametrize("rows", [1, 1000])
@pytest.mark.parametrize("how", ["flush", "bulk"])
def test_a_commit_is_one_command_before_and_one_after_however_many_rows_changed(
    cached: World, sent: Callable[[], Counted], rows: int, how: str
) -> None:
    before: list[Counted] = []

    @event.listens_for(cached.engine, "commit")
    def just_before(_: Connection) -> None:
        before.append(sent())

    with cached.session() as session:
        if how == "flush":
            for product in session.scalars(select(Product).where(Product.id <= rows)):
                product.name = "new"
        else:
            session.execute(update(Product).where(Product.id <= rows).values(name="new"))
        session.flush()
        assert sent() == {}, "until COMMIT nothing is said"
        session.commit()
    assert before == [{"evalsha": 1}]
    assert sent() == {"evalsha": 1}


def test_a_transaction_that_wrote_nothing_says_nothing(cached: World, sent: Callable[[], Counted]) -> None:
    with cached.session() as session:
        session.scalars(select(Product)).first()
        session.commit()
        session.scalars(select(Product)).first()
        session.rollback()
    assert sent() == {}
