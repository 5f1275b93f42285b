"""DML outside a flush, DDL and text are seen by what they write (DESIGN 6)."""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import (
    Column,
    Integer,
    MetaData,
    String,
    Table,
    bindparam,
    column,
    delete,
    event,
    insert,
    literal_column,
    select,
    table,
    text,
    update,
)
from sqlalchemy.dialects import sqlite
from sqlalchemy.exc import DBAPIError, IntegrityError

from aa_cache_integration.orm import named
from tests.orm.models import Base, Box, Circle, Engineer, Folder, Label, Person, Product, Shape, Tag
from tests.orm.world import World, begin_recipe, on_each_store, only_sync

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy.orm import Session

products = Product.__table__


def cte_update(conn: Any) -> None:
    """A plain SQLite has no data-modifying CTE in SELECT; it has WITH before DML."""
    chosen = select(products.c.id).where(products.c.id == 1).cte("chosen")
    conn.execute(update(products).where(products.c.id.in_(select(chosen.c.id))).values(name="new").add_cte(chosen))


WRITES: dict[str, Callable[[Any], Any]] = {
    "Core update": lambda conn: conn.execute(update(products).where(products.c.id == 1).values(name="new")),
    "Core update of many": lambda conn: conn.execute(
        update(products).where(products.c.id == bindparam("it")).values(name=bindparam("to")), [{"it": 1, "to": "new"}]
    ),
    "Core update by another column": lambda conn: conn.execute(update(products).where(products.c.stock == 0).values(name="new")),
    "Core delete": lambda conn: conn.execute(delete(products).where(products.c.id == 1)),
    "Core upsert": lambda conn: conn.execute(
        sqlite.insert(products).values(id=1, name="x", stock=0).on_conflict_do_update(index_elements=["id"], set_={"name": "new"})
    ),
    "INSERT OR REPLACE": lambda conn: conn.execute(insert(products).prefix_with("OR REPLACE").values(id=1, name="new", stock=0)),
    "DML with a CTE": cte_update,
    "text": lambda conn: conn.execute(text("UPDATE products SET name = 'new' WHERE id = 1")),
    "text in capitals, after a comment": lambda conn: conn.execute(text("-- x\n /* y */ DELETE FROM products")),
    "text that begins with WITH": lambda conn: conn.execute(
        text("WITH x(i) AS (SELECT 1) UPDATE products SET name = 'new' WHERE id IN (SELECT i FROM x)")
    ),
    "text with RETURNING, given columns": lambda conn: conn.execute(
        text("UPDATE products SET name = 'new' WHERE id = 1 RETURNING id").columns(column("id", Integer))
    ).all(),
    "a lightweight table": lambda conn: conn.execute(update(table("products", column("name"))).values(name="new")),
}
ORM_WRITES: dict[str, Callable[[Session], Any]] = {
    "ORM update": lambda session: session.execute(update(Product).where(Product.id == 1).values(name="new")),
    "ORM update, unsynchronised": lambda session: session.execute(
        update(Product).where(Product.id == 1).values(name="new"), execution_options={"synchronize_session": False}
    ),
    "ORM update with RETURNING": lambda session: session.scalars(update(Product).values(name="new").returning(Product)).all(),
    "ORM update, fetched": lambda session: session.execute(
        update(Product).values(name="new"), execution_options={"synchronize_session": "fetch"}
    ),
    "Query.update": lambda session: session.query(Product).filter(Product.name == "old").update({"name": "new"}),
    "ORM delete": lambda session: session.execute(delete(Product).where(Product.id == 1)),
    "Query.delete": lambda session: session.query(Product).delete(),
    "from_statement(update)": lambda session: session.scalars(
        select(Product).from_statement(update(Product).values(name="new").returning(Product))
    ).all(),
    "from_statement(text)": lambda session: session.scalars(
        select(Product).from_statement(text("UPDATE products SET name = 'new' RETURNING *"))
    ).all(),
    "from_statement(text().columns())": lambda session: session.scalars(
        select(Product).from_statement(text("UPDATE products SET name = 'new' RETURNING id").columns(Product.id))
    ).all(),
    "session.connection().exec_driver_sql": lambda session: session.connection().exec_driver_sql("UPDATE products SET name = 'new'"),
}
WAYS = [(name, write) for writes in (WRITES, ORM_WRITES) for name, write in writes.items()]
each_way = pytest.mark.parametrize("write", [way for _, way in WAYS], ids=[name for name, _ in WAYS])


@pytest.fixture
def cached(world: World) -> World:
    """A row, a tag, and both are cached."""

    def prepare() -> None:
        world.add(Product(id=1, name="old"), Tag(id=1, name="old"))
        assert world.read(Product, 1).name == world.read(Tag, 1).name == "old"
        assert world.read(Product, 2) is None
        world.told()

    world.preparations.append(prepare)
    return world


def same_as_the_database(world: World, model: type[Any] = Product, ident: Any = 1) -> bool:
    """Whether a read through the cache gives what the database has."""
    with world.session() as session:
        there = session.get(model, ident)
        found = world.read(model, ident)
        keys = model.__mapper__.column_attrs.keys()
        return (found is None) == (there is None) and (found is None or all(getattr(found, key) == getattr(there, key) for key in keys))


@each_way
def test_what_a_statement_writes_is_read_anew(cached: World, write: Callable[[Any], Any]) -> None:
    with cached.session() as session:
        write(session)
        assert cached.fetch(session, Product, 1) is None or cached.fetch(session, Product, 1).name == "new", "own writes are read"
        session.commit()
    found = cached.read(Product, 1)
    assert found is None or found.name == "new"
    assert cached.intents() == set()


@each_way
def test_what_is_rolled_back_leaves_the_cache_warm(cached: World, write: Callable[[Any], Any]) -> None:
    """Whatever begins with another word than INSERT, UPDATE, DELETE or REPLACE isn't: Python's sqlite3 begins no transaction for it."""
    begin_recipe(cached.engine)
    with cached.session() as session:
        write(session)
        session.rollback()
    assert cached.told() == []
    assert cached.served(Product, 1)
    assert same_as_the_database(cached)


@each_way
def test_what_the_driver_runs_without_a_transaction_is_not_stale_after_a_rollback(cached: World, write: Callable[[Any], Any]) -> None:
    with cached.session() as session:
        write(session)
        session.rollback()
    assert same_as_the_database(cached)


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
@pytest.mark.parametrize("how", ["on an engine", "on a connection", "on a derived engine"])
def test_an_autocommit_connection_announces_before_and_settles_after_each_statement(
    cached: World, write: Callable[[Any], Any], how: str
) -> None:
    engine = {
        "on an engine": lambda: cached.make_engine(isolation_level="AUTOCOMMIT"),
        "on a connection": lambda: cached.engine,
        "on a derived engine": lambda: cached.engine.execution_options(isolation_level="AUTOCOMMIT"),
    }[how]()
    standing: list[set[str]] = []

    # The listeners of a derived engine itself come before those of all engines.
    @event.listens_for(cached.engine if how == "on a derived engine" else engine, "before_cursor_execute")
    def before(*_: Any) -> None:
        standing.append(cached.intents())

    with engine.connect() as conn:
        if how == "on a connection":
            conn.execution_options(isolation_level="AUTOCOMMIT")
        write(conn)
        assert standing != [set()]
        assert cached.intents() == set()
        found = cached.read(Product, 1)
        assert found is None or found.name == "new"
        conn.rollback()
    found = cached.read(Product, 1)
    assert found is None or found.name == "new"


def test_an_autocommit_statement_that_fails_leaves_nothing_pending(cached: World) -> None:
    with cached.engine.connect() as conn:
        conn.execution_options(isolation_level="AUTOCOMMIT")
        with pytest.raises(IntegrityError):
            conn.execute(insert(products), [{"id": 5, "name": "x", "stock": 0}, {"id": 1, "name": "twice", "stock": 0}])
        assert cached.intents() == set()
    assert same_as_the_database(cached)
    assert same_as_the_database(cached, ident=5)


def test_statements_that_read_announce_nothing(cached: World) -> None:
    with cached.session() as session:
        for statement in ("SELECT 1", "  select 1;", "-- update\nSELECT 1", "PRAGMA user_version", "VALUES (1)", "(SELECT 1)"):
            if statement != "(SELECT 1)":
                session.execute(text(statement))
        session.execute(select(literal_column("'update'")))
        session.execute(text("SELECT 1 AS x").columns(column("x", Integer)))
        session.scalars(select(Product).from_statement(text("SELECT * FROM products"))).all()
        session.execute(select(select(products).cte("c")))
        session.commit()
    assert cached.told() == []
    assert cached.served(Product, 1)


@pytest.mark.parametrize("statement", [update(Product).values(stock=5), text("UPDATE products SET stock = 6")], ids=["DML", "text"])
def test_dml_leaves_other_tables_cached(cached: World, statement: Any) -> None:
    with cached.session() as session:
        session.execute(statement)
        session.commit()
    assert cached.served(Tag, 1)


@pytest.mark.parametrize("statement", ["DROP TABLE IF EXISTS nobodys", "UPDATE a_view SET stock = 6"])
def test_text_that_cannot_be_told_empties_everything(cached: World, statement: str) -> None:
    assert named.written_by_any_text(statement, "sqlite").unknown or named.written_by_any_text(statement, "sqlite").strangers
    cached.in_the_database("CREATE VIEW a_view AS SELECT * FROM products")
    cached.in_the_database("CREATE TRIGGER changes INSTEAD OF UPDATE ON a_view BEGIN UPDATE tags SET name = 'new'; END")
    with cached.session() as session:
        session.execute(text(statement))
        session.commit()
    assert not cached.served(Tag, 1)
    assert same_as_the_database(cached, Tag)


def test_a_plain_core_insert_leaves_the_rows_cached_and_removes_an_absence(cached: World) -> None:
    with cached.session() as session:
        session.execute(insert(products), [{"id": 2, "name": "a", "stock": 0}, {"id": 3, "name": "b", "stock": 0}])
        session.execute(insert(Product), [{"id": 4, "name": "c", "stock": 0}])
        session.commit()
    assert cached.served(Product, 1)
    assert cached.read(Product, 2).name == "a"


def test_insert_from_select_is_seen(cached: World) -> None:
    with cached.session() as session:
        session.execute(insert(products).from_select(["id", "name", "stock"], select(products.c.id + 1, products.c.name, products.c.stock)))
        session.commit()
    assert cached.read(Product, 2).name == "old"


def test_a_constraint_that_replaces_rows_makes_every_insert_and_update_a_bulk_write(world: World) -> None:
    world.add(Shape(id=1, name="a"), Shape(id=2, name="b"))
    assert [world.read(Shape, ident).name for ident in (1, 2)] == ["a", "b"]
    world.add(Shape(id=3, name="a"))
    assert world.read(Shape, 1) is None
    assert world.read(Shape, 2).name == "b"
    with world.session() as session:
        session.get_one(Shape, 3).name = "b"
        session.commit()
    assert world.read(Shape, 2) is None


def test_the_missing_half_of_a_joined_row_that_comes_later_is_seen(world: World) -> None:
    with world.engine.begin() as conn:
        conn.execute(insert(Person.__table__).values(id=1, kind="engineer", name="it"))
    assert world.read(Engineer, 1).language is None
    with world.engine.begin() as conn:
        conn.execute(insert(Engineer.__table__).values(id=1, language="C"))
    assert world.read(Engineer, 1).language == "C"


def test_engine_begin_settles_when_the_connection_goes_back(cached: World) -> None:
    with cached.engine.begin() as conn:
        conn.execute(update(products).values(name="new"))
        assert cached.told() == []
    assert cached.told() == ["products"]
    assert cached.intents() == set()
    assert cached.read(Product, 1).name == "new"


def test_each_commit_of_one_connection_is_announced_and_settled_by_what_follows(cached: World) -> None:
    with cached.engine.connect() as conn, cached.intents_at_commit() as seen:
        for name in ("a", "b", "c"):
            conn.execute(update(products).values(name=name))
            conn.commit()
        conn.execute(select(1))
        assert cached.intents() == set()
    assert seen == [{"~:bulk:products", "~:rows:products"}] * 3
    assert cached.read(Product, 1).name == "c"


@pytest.mark.parametrize("word", ["COMMIT", " commit;", "END TRANSACTION"])
@pytest.mark.parametrize("as_text", [True, False])
def test_a_commit_as_text_is_a_commit(cached: World, word: str, *, as_text: bool) -> None:
    standing: list[set[str]] = []

    @event.listens_for(cached.engine, "before_cursor_execute")
    def before(*_: Any) -> None:
        standing.append(cached.intents())

    with cached.engine.connect() as conn:
        conn.execute(update(products).values(name="new"))
        if as_text:
            conn.execute(text(word))
        else:
            conn.exec_driver_sql(word)
        assert standing[-1] == {"~:bulk:products", "~:rows:products"}
        assert cached.intents() == set()
        assert cached.read(Product, 1).name == "new"
        conn.rollback()
    assert cached.read(Product, 1).name == "new"


@on_each_store
def test_ddl_empties_the_namespace(cached: World) -> None:
    with cached.engine.begin() as conn:
        Table("passing", MetaData(), Column("x", String)).create(conn)
    assert not cached.served(Product, 1)
    with cached.engine.begin() as conn:
        Base.metadata.drop_all(conn)
        Base.metadata.create_all(conn)
    assert cached.read(Product, 1) is None


def test_ddl_that_the_driver_commits_by_itself_survives_a_rollback(cached: World) -> None:
    with cached.engine.connect() as conn:
        conn.execute(text("ALTER TABLE products RENAME COLUMN name TO title"))
        conn.execute(text("ALTER TABLE products RENAME COLUMN title TO name"))
        conn.exec_driver_sql("WITH x AS (SELECT 1) UPDATE products SET name = 'new'")
        assert cached.read(Product, 1).name == "new"
        conn.rollback()
    assert cached.read(Product, 1).name == "new"


def test_a_driver_that_is_told_to_commit_by_itself_is_believed(cached: World) -> None:
    engine = cached.make_engine(connect_args={"isolation_level": None})
    with engine.connect() as conn:
        conn.execute(update(products).values(name="new"))
        assert cached.read(Product, 1).name == "new"
        conn.rollback()
    assert cached.read(Product, 1).name == "new"


def test_a_delete_follows_the_rules_of_foreign_keys_over_any_depth(world: World) -> None:
    world.add(Folder(name="a"), Box(id=1, folder="a", labels=[Label(id=1)]), Circle(id=1, radius=1))
    models = (Folder, "a"), (Box, 1), (Label, 1), (Circle, 1)
    for model, ident in models:
        assert world.read(model, ident)
    with world.session() as session:
        session.execute(text("PRAGMA foreign_keys = ON"))
        session.delete(session.get_one(Folder, "a"))
        session.commit()
    assert all(same_as_the_database(world, model, ident) for model, ident in models)
    assert world.read(Box, 1) is None
    assert world.read(Label, 1).box_id is None
    assert world.served(Circle, 1)


@pytest.mark.parametrize("way", ["flush", "Core"])
def test_a_changed_key_follows_the_rules_of_foreign_keys(world: World, way: str) -> None:
    world.add(Folder(name="a"), Box(id=1, folder="a", labels=[Label(id=1)]))
    assert world.read(Box, 1).folder == "a"
    assert world.read(Label, 1).box_id == 1
    with world.session() as session:
        session.execute(text("PRAGMA foreign_keys = ON"))
        if way == "flush":
            session.get_one(Folder, "a").name = "b"
        else:
            session.execute(update(Folder).values(name="b"))
        session.commit()
    assert world.read(Box, 1).folder == "b"
    assert world.served(Label, 1), "it names the box, whose key hasn't changed"


def test_an_update_that_leaves_the_key_alone_follows_no_rule(world: World) -> None:
    world.add(Folder(name="a"), Box(id=1, folder="a"))
    world.read(Box, 1)
    with world.session() as session:
        session.get_one(Folder, "a").size = 5
        session.execute(update(Folder).values(size=6))
        session.execute(update(Folder).ordered_values((Folder.size, 7)))
        session.commit()
    assert world.served(Box, 1)


def test_a_table_of_a_translated_schema_is_announced_under_both_names(cached: World) -> None:
    engine = cached.engine.execution_options(schema_translate_map={None: "main"})
    with engine.begin() as conn:
        conn.execute(update(products).values(name="new"))
    assert set(cached.told()) == {"products", "main.products"}
    assert cached.read(Product, 1).name == "new"


def test_a_statement_that_fails_does_not_lose_what_was_written_before(cached: World) -> None:
    with cached.engine.connect() as conn:
        conn.execute(update(products).values(name="new"))
        with pytest.raises(DBAPIError):
            conn.execute(text("SELECT nonsense"))
        conn.commit()
    assert cached.read(Product, 1).name == "new"


def test_an_executemany_that_fails_half_way_is_announced_when_it_is_committed(cached: World) -> None:
    assert cached.read(Product, 5) is None
    with cached.engine.connect() as conn:
        with pytest.raises(IntegrityError):
            conn.execute(text("INSERT INTO products VALUES (:id, 'x', 0)"), [{"id": 5}, {"id": 1}])
        conn.commit()
    assert same_as_the_database(cached, ident=5)


def test_a_writer_on_an_engine_nobody_bound_writes_to_the_default_group(cached: World) -> None:
    with cached.make_engine().begin() as conn:
        conn.execute(update(products).values(name="new"))
    assert cached.read(Product, 1).name == "new"


def test_an_ignored_engine_announces_nothing(cached: World) -> None:
    engine = cached.make_engine()
    cached.registry.ignore(engine)
    with engine.begin() as conn:
        conn.execute(update(products).values(name="new"))
    assert cached.told() == []


@only_sync  # of an asynchronous one SQLAlchemy warns, and ends it
def test_a_connection_of_a_transaction_that_is_collected_as_garbage_leaves_no_write_behind(cached: World) -> None:
    conn = cached.engine.connect()
    conn.execute(update(products).values(name="never"))
    del conn
    gc.collect()
    assert cached.told() == []
    assert cached.read(Product, 1).name == "old"
    with cached.engine.begin() as conn:
        conn.execute(update(Tag.__table__).values(name="new"))
    assert cached.told() == ["tags"]


@only_sync
def test_a_commit_whose_connection_is_collected_as_garbage_is_settled_when_the_connection_is_used_again(cached: World) -> None:
    conn = cached.engine.connect()
    conn.execute(update(products).values(name="new"))
    conn.commit()
    del conn
    gc.collect()
    assert cached.intents() == {"~:bulk:products", "~:rows:products"}, "the collector may do no I/O"
    with cached.engine.connect() as conn:
        conn.execute(select(1))
    assert cached.intents() == set()
    assert cached.read(Product, 1).name == "new"


@only_sync  # an asynchronous one is never closed by SQLAlchemy 2.0
def test_a_detached_connection_has_a_change_set_of_its_own(cached: World) -> None:
    with cached.engine.connect() as detached:
        detached.execute(update(products).values(name="new"))
        detached.detach()
        with cached.engine.connect() as conn:
            conn.rollback()
            conn.execute(text("SELECT 1"))
            conn.commit()
        detached.commit()
        detached.execute(select(1))
        detached.close()
    assert cached.read(Product, 1).name == "new"
