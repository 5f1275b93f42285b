"""Writes made outside of SQLAlchemy, told by ``caches.invalidate`` and its fellows; statements that say what they write (DESIGN 6)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import Connection, func, select, text
from sqlalchemy.util import await_only

from aa_cache_integration import IdentityError, ModelError, UnknownCacheError
from aa_cache_integration.orm import commit
from tests.orm.models import Box, Engineer, Folder, Label, Line, Person, Product, Tag
from tests.orm.world import World, on_each_store, only_sync

if TYPE_CHECKING:
    from sqlalchemy.orm import Session


def invalidate(world: World, what: str, *arguments: Any, **options: Any) -> None:
    """Call a method of the registry in the manner of the world."""
    if world.asynchronous:
        await_only(getattr(world.registry, f"a{what}")(*arguments, **options))
    else:
        getattr(world.registry, what)(*arguments, **options)


@pytest.fixture
def cached(world: World) -> World:
    """Two products, a tag, and a list, all cached."""

    def prepare() -> None:
        world.add(Product(id=1, name="old"), Product(id=2, name="old"), Tag(id=1, name="old"))
        for ident in (1, 2):
            world.read(Product, ident)
        world.read(Tag, 1)
        world.read(Product, 3)
        keep_list(world)
        world.told()

    world.preparations.append(prepare)
    return world


def keep_list(world: World) -> None:
    with world.session() as session:
        assert world.call("get_list", "products", Product) is None
        world.call("set_list", "products", session.scalars(select(Product)).all())
    assert is_listed(world)


def is_listed(world: World) -> bool:
    return world.call("get_list", "products", Product) is not None


@on_each_store
def test_rows_that_another_program_wrote_are_read_anew_and_no_other(cached: World) -> None:
    cached.in_the_database("UPDATE products SET name = 'new'")
    assert cached.read(Product, 1).name == "old", "nobody has told"
    invalidate(cached, "invalidate", Product, 1)
    assert cached.read(Product, 1).name == "new"
    assert cached.served(Product, 2)
    assert cached.served(Tag, 1)
    assert not is_listed(cached)
    assert "products" in cached.told()


def test_synchronous_code_within_a_task_tells_without_holding_up_the_loop(cached: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in `AsyncSession.run_sync`."""
    cached.in_the_database("UPDATE products SET name = 'new'")
    if cached.asynchronous:
        monkeypatch.setattr(commit, "drive", lambda _: pytest.fail("a blocking step was taken"))
    cached.registry.invalidate(Product, 1)
    monkeypatch.undo()
    assert cached.read(Product, 1).name == "new"


def test_several_rows_however_their_keys_are_spelled(cached: World) -> None:
    cached.in_the_database("UPDATE products SET name = 'new'")
    invalidate(cached, "invalidate", Product, "1", 2)
    assert [cached.read(Product, ident).name for ident in (1, 2)] == ["new", "new"]


def test_a_row_that_another_program_inserted_is_no_longer_known_not_to_exist(cached: World) -> None:
    cached.in_the_database("INSERT INTO products (id, name, stock) VALUES (3, 'new', 0)")
    invalidate(cached, "invalidate", Product, 3)
    assert cached.read(Product, 3).name == "new"


def test_a_composite_key_and_a_subclass(world: World) -> None:
    world.add(Line(order_id=1, number="a", text="old"), Engineer(id=1, name="old", language="C"))
    for model, ident in ((Line, (1, "a")), (Person, 1)):
        world.read(model, ident)
    world.in_the_database("UPDATE lines SET text = 'new'")
    world.in_the_database("UPDATE people SET name = 'new'")
    invalidate(world, "invalidate", Line, {"number": "a", "order_id": 1})
    invalidate(world, "invalidate", Engineer, 1)
    assert world.read(Line, (1, "a")).text == "new"
    assert world.read(Person, 1).name == "new"


def test_what_the_database_changes_with_a_row_is_read_anew_too(world: World) -> None:
    world.add(Folder(name="a"))
    world.add(Box(id=1, folder="a"))
    world.add(Label(id=1, box_id=1))
    for model, ident in ((Folder, "a"), (Box, 1), (Label, 1)):
        world.read(model, ident)
    world.in_the_database("DELETE FROM folders")
    world.in_the_database("DELETE FROM boxes")
    world.in_the_database("UPDATE labels SET box_id = NULL")
    invalidate(world, "invalidate", Folder, "a")
    assert world.read(Folder, "a") is None
    assert world.read(Box, 1) is None
    assert world.read(Label, 1).box_id is None


@on_each_store
@pytest.mark.parametrize("name", ["products", Product, Product.__table__], ids=["a name", "a class", "a table"])
def test_a_table_that_another_program_wrote(cached: World, name: Any) -> None:
    cached.in_the_database("UPDATE products SET name = 'new'")
    invalidate(cached, "invalidate_table", name)
    assert [cached.read(Product, ident).name for ident in (1, 2)] == ["new", "new"]
    assert cached.served(Tag, 1)
    assert not is_listed(cached)


@on_each_store
def test_a_database_that_was_restored(cached: World) -> None:
    cached.in_the_database("UPDATE products SET name = 'new'")
    cached.in_the_database("UPDATE tags SET name = 'new'")
    invalidate(cached, "invalidate_bind_group")
    assert cached.read(Product, 1).name == cached.read(Tag, 1).name == "new"
    assert "tables unknown" in cached.told()


def test_every_cache_of_the_group_is_told_and_none_of_another(cached: World) -> None:
    twin, other = cached.cache(), cached.cache(bind_group="eu")
    cached.read(Product, 1, twin)
    other.set_sync("key", 1)
    cached.in_the_database("UPDATE products SET name = 'new'")
    invalidate(cached, "invalidate_bind_group")
    assert cached.read(Product, 1, twin).name == "new"
    assert other.get_sync("key") == 1
    invalidate(cached, "invalidate_bind_group", "eu")
    assert other.get_sync("key") != 1


def test_what_an_interrupt_kept_from_being_told_is_owed(cached: World) -> None:
    def interrupt(_: Any) -> None:
        raise KeyboardInterrupt

    twin = cached.cache()
    cached.read(Product, 1, twin)
    cached.in_the_database("UPDATE products SET name = 'new'")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(commit, "tell", interrupt)
        with pytest.raises(KeyboardInterrupt):
            invalidate(cached, "invalidate", Product, 1)
    assert cached.read(Product, 1).name == cached.read(Product, 1, twin).name == "new"


@only_sync
def test_a_database_in_memory_is_told_too(cached: World) -> None:
    engine = cached.engine_of("sqlite://")
    cached.registry.bind(engine)
    Product.metadata.create_all(engine)
    with cached.session(engine) as session:
        session.add(Product(id=1, name="old"))
        session.commit()
        assert cached.fetch(session, Product, 1).name == "old"
        session.commit()
        raw = session.connection().connection.driver_connection
        assert raw is not None
        raw.execute("UPDATE products SET name = 'new'")
        session.commit()
        cached.registry.invalidate(Product, 1)
        assert cached.fetch(session, Product, 1).name == "new"


@pytest.mark.parametrize(
    ("what", "arguments", "error"),
    [
        ("invalidate", (Product,), IdentityError),
        ("invalidate", (Product, "one"), IdentityError),
        ("invalidate", (Product, (1, 2)), IdentityError),
        ("invalidate", (object, 1), ModelError),
        ("invalidate_table", (), ModelError),
        ("invalidate_table", (5,), ModelError),
        ("invalidate_table", (["products", object()],), ModelError),
        ("invalidate_bind_group", ("nowhere",), UnknownCacheError),
    ],
)
def test_what_makes_no_sense_is_refused_and_loses_nothing(cached: World, what: str, arguments: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        invalidate(cached, what, *arguments)
    assert all(cached.served(Product, ident) for ident in (1, 2))
    assert is_listed(cached)


# What a statement says of itself

DECLARED = {
    "a name": ["products"],
    "one name": "products",
    "a class": [Product],
    "a table": (Product.__table__,),
}


@pytest.mark.parametrize("tables", DECLARED.values(), ids=DECLARED)
def test_a_statement_that_says_what_it_writes_leaves_the_rest(cached: World, tables: Any) -> None:
    """SQLite has no procedures; PRAGMA stands for a statement of which nothing is known."""
    assert_empties(cached, lambda session: session.execute(text("ANALYZE").execution_options(aa_cache_tables=tables)))


def assert_empties(world: World, write: Any) -> None:
    with world.session() as session:
        write(session)
        session.commit()
    assert not is_listed(world)
    assert not world.served(Product, 1)
    assert world.served(Tag, 1)


def test_it_says_so_in_each_way_that_execution_options_are_given(cached: World) -> None:
    options = {"aa_cache_tables": ["products"]}

    def by_driver(session: Session) -> None:
        session.connection().exec_driver_sql("ANALYZE", execution_options=options)

    for write in (lambda session: session.execute(text("ANALYZE"), execution_options=options), by_driver):
        for ident in (1, 2):
            cached.read(Product, ident)
        if not is_listed(cached):
            keep_list(cached)
        assert_empties(cached, write)


def test_a_function_that_writes_may_say_so(cached: World) -> None:
    def set_up(connection: Connection) -> None:
        raw = connection.connection.driver_connection
        create: Any = getattr(raw, "create_function", None)
        if cached.asynchronous:
            await_only(create("that_writes", 0, lambda: 1))
        else:
            create("that_writes", 0, lambda: 1)

    def write(session: Session) -> None:
        set_up(session.connection())
        session.execute(select(func.that_writes()).execution_options(aa_cache_tables=[Product]))

    assert_empties(cached, write)


def test_a_statement_that_says_that_it_writes_nothing_is_believed(cached: World) -> None:
    with cached.session() as session:
        session.execute(text("ANALYZE"), execution_options={"aa_cache_tables": []})
        session.commit()
    assert cached.served(Product, 1)
    assert is_listed(cached)


def test_dml_writes_what_it_writes_whatever_it_says(cached: World) -> None:
    with cached.session() as session:
        session.execute(text("DELETE FROM tags"), execution_options={"aa_cache_tables": ["products"]})
        session.execute(Tag.__table__.delete(), execution_options={"aa_cache_tables": ["products"]})
        session.commit()
    assert not cached.served(Product, 1)
    assert cached.read(Tag, 1) is None


def test_what_a_statement_says_of_its_writes_says_nothing_of_what_the_connection_sees(cached: World) -> None:
    with cached.session() as session:
        session.execute(text("CREATE TEMP TABLE products (id INTEGER, name TEXT)"), execution_options={"aa_cache_tables": []})
        assert cached.reason(session, Tag, 1) == "session state"


@pytest.mark.parametrize("tables", [5, [object()], [["products"]]])
def test_a_statement_that_says_nonsense_is_refused_before_it_runs(cached: World, tables: Any) -> None:
    with cached.session() as session:
        with pytest.raises(ModelError, match="aa_cache_tables"):
            session.execute(text("UPDATE products SET name = 'new'"), execution_options={"aa_cache_tables": tables})
        session.rollback()
    assert cached.read(Product, 1).name == "old"


def test_what_the_database_changes_with_a_declared_table_is_followed(world: World) -> None:
    world.add(Folder(name="a"), Box(id=1, folder="a"), Label(id=1, box_id=1))
    for model, ident in ((Folder, "a"), (Box, 1), (Label, 1)):
        world.read(model, ident)
    with world.session() as session:
        session.execute(text("PRAGMA foreign_keys = ON"))
        session.execute(text("DELETE FROM folders"), execution_options={"aa_cache_tables": ["folders"]})
        session.commit()
    with world.session() as session:
        assert session.scalar(select(func.count()).select_from(Box)) == 0
    assert world.read(Box, 1) is None
    assert world.read(Label, 1).box_id is None
