"""Transactions that begin and end by text, in scripts, by savepoints or by themselves: what stands in the end is told (DESIGN 6)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import psycopg.sql
import pytest
from sqlalchemy import DDL, StaticPool, event, func, text, update
from sqlalchemy.dialects.postgresql import MACADDR
from sqlalchemy.exc import ArgumentError
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column
from sqlalchemy.sql.dml import Insert

from aa_cache_integration.config import ModelConfig
from aa_cache_integration.orm import binding
from aa_cache_integration.orm.blanks import leading_word
from aa_cache_integration.orm.changes import ledger_of
from aa_cache_integration.orm.tables import forget_forms
from tests.orm.models import Product, Tag
from tests.orm.world import World, begin_recipe, only_sync

if TYPE_CHECKING:
    from collections.abc import Callable

products: Any = Product.__table__
U = "UPDATE products SET name = 'n{}' WHERE id = 1"


class Program:
    """Statements that are run one by one on a connection, which is then rolled back or closed."""

    def __init__(self, world: World) -> None:
        self.world = world
        self._number = 0

    def run(self, *statements: Any, options: dict[str, Any] | None = None, ends: str = "rollback") -> None:
        """Run them; the cached row must then be the database's."""
        self.world.read(Product, 1)
        self.world.read(Product, 1)
        with self.world.engine.connect() as conn:
            if options:
                conn = conn.execution_options(**options)  # noqa: PLW2901 - the same one
            for statement in statements:
                self._number += 1
                if isinstance(statement, str):
                    conn.exec_driver_sql(statement.format(self._number))
                elif isinstance(statement, psycopg.sql.Composable):
                    conn.exec_driver_sql(statement)  # type: ignore[arg-type] # which psycopg takes
                else:
                    conn.execute(statement)
            getattr(conn, ends)()
        self.assert_right()

    def assert_right(self) -> None:
        """Compare with the database, behind everybody's back."""
        raw = self.world.make_engine()
        binding.ignore(raw)
        with Session(raw) as session:
            there = session.get(Product, 1)
            assert there is not None
            assert self.world.read(Product, 1).name == there.name


@pytest.fixture(params=["sync", "async"])
def world(request: pytest.FixtureRequest, make_world: Callable[..., World]) -> World:
    """The world of the database that the test names."""
    made = make_world(request.node.callspec.params.get("database", "sqlite"), asynchronous=request.param == "async")
    made.preparations.append(lambda: made.add(Product(id=1, name="old"), Product(id=2, name="old"), Tag(id=1, name="old")))
    return made


on = pytest.mark.parametrize
AUTOCOMMIT = {"isolation_level": "AUTOCOMMIT"}


@on("database", ["postgresql", "mariadb"])
def test_on_an_autocommit_connection_what_a_text_begins_is_kept_until_it_is_committed(world: World, database: str) -> None:
    program = Program(world)
    for begin in ("BEGIN", "/* c */ begin", "START TRANSACTION", DDL("BEGIN")):
        with world.engine.connect() as conn:
            conn = conn.execution_options(**AUTOCOMMIT)  # noqa: PLW2901
            conn.execute(begin) if isinstance(begin, DDL) else conn.exec_driver_sql(begin)
            conn.execute(update(products).where(products.c.id == 1).values(name=f"by {begin}"))
            world.read(Product, 1)
            conn.exec_driver_sql("COMMIT")
        program.assert_right()


@on("database", ["postgresql"])
@on("statements", [("BEGIN", U, "COMMIT AND CHAIN", U, "COMMIT"), ("BEGIN", U, "ROLLBACK AND CHAIN", U, "COMMIT")])
def test_a_transaction_that_follows_the_committed_one(world: World, database: str, statements: tuple[str, ...]) -> None:
    Program(world).run(*statements, options=AUTOCOMMIT)


@on("database", ["postgresql"])
@only_sync
@on("script", [f"BEGIN; {U}; COMMIT", f"{U}; COMMIT", f"{U}; COMMIT; BEGIN", f"SELECT 1; {U}; END"])
@on("autocommit", [False, True])
def test_a_script_that_commits(world: World, database: str, script: str, autocommit: bool) -> None:
    Program(world).run(script, options=AUTOCOMMIT if autocommit else None)


@on("database", ["postgresql"])
@only_sync
def test_a_script_that_begins_what_a_later_text_commits(world: World, database: str) -> None:
    program = Program(world)
    with world.engine.connect() as conn:
        conn = conn.execution_options(**AUTOCOMMIT)  # noqa: PLW2901
        conn.exec_driver_sql(f"BEGIN; {U.format('s')}")
        assert world.read(Product, 1).name == "old"
        conn.exec_driver_sql("COMMIT")
    program.assert_right()


@on("database", ["postgresql"])
@only_sync
def test_a_statement_that_the_driver_composes(world: World, database: str) -> None:
    composed: Any = psycopg.sql.SQL("UPDATE {} SET name = 'composed' WHERE id = 1").format(psycopg.sql.Identifier("products"))
    Program(world).run(composed, ends="commit")


IMPLICIT = [
    "CREATE TABLE other_{} (id INTEGER)",
    "SET autocommit = 1",
    "SET PASSWORD = ''",
    "LOAD INDEX INTO CACHE versioned",
    "SET STATEMENT max_statement_time = 60 FOR CREATE TABLE another_{} (id INTEGER)",
    "# c\nCREATE TABLE commented_{} (id INTEGER)",
    "/*! CREATE TABLE executed_{} (id INTEGER) */",
    "BEGIN",
    "LOCK TABLES products WRITE",
    "EXECUTE IMMEDIATE 'CREATE TABLE immediate_{} (id INTEGER)'",
]


@on("database", ["mariadb"])
@on("statement", IMPLICIT)
def test_what_commits_the_transaction_before_it(world: World, database: str, statement: str) -> None:
    Program(world).run(U, statement, *(["UNLOCK TABLES"] if statement.startswith("LOCK") else []))


@on("database", ["mariadb"])
@on("statement", [f"SET STATEMENT max_statement_time = 60 FOR {U}", "/*! REPLACE products VALUES (1, 'replaced', 0) */", f"# c\n{U}"])
def test_what_writes_behind_other_words(world: World, database: str, statement: str) -> None:
    Program(world).run(statement, ends="commit")


@on("database", ["mariadb"])
def test_autocommit_that_is_switched_off_by_text(world: World, database: str) -> None:
    program = Program(world)
    with world.engine.connect() as conn:
        conn = conn.execution_options(**AUTOCOMMIT)  # noqa: PLW2901
        conn.exec_driver_sql("SET autocommit = 0")
        conn.exec_driver_sql(U.format("off"))
        assert world.read(Product, 1).name == "old"
        conn.exec_driver_sql("COMMIT")
        conn.exec_driver_sql("SET autocommit = 1")
    program.assert_right()


@on("database", ["mariadb"])
@on("setting", ["SET autocommit = 0", "SET completion_type = 'CHAIN'"])
def test_a_transaction_that_begins_by_itself_after_a_commit_of_text(world: World, database: str, setting: str) -> None:
    program = Program(world)
    with world.engine.connect() as conn:
        conn = conn.execution_options(**AUTOCOMMIT)  # noqa: PLW2901
        conn.exec_driver_sql(setting)
        conn.exec_driver_sql("BEGIN")
        for name in ("first", "second"):
            conn.exec_driver_sql(U.format(name))
            world.read(Product, 1)
            conn.exec_driver_sql("COMMIT")
            program.assert_right()
        conn.invalidate()


@on("database", ["mariadb"])
@on("writes", ["by itself", "by a trigger", "by nobody knows what"])
def test_a_storage_engine_without_transactions_keeps_what_is_rolled_back(world: World, database: str, writes: str) -> None:
    world.manager = world.cache(models={"tags": ModelConfig(also_changes=("products",))})
    world.in_the_database("ALTER TABLE products ENGINE = MyISAM")
    world.in_the_database("CREATE TRIGGER tagged AFTER UPDATE ON tags FOR EACH ROW UPDATE products SET name = NEW.name WHERE id = 1")
    kwargs = products.dialect_kwargs
    kwargs["mysql_engine"] = "MyISAM"
    forget_forms()
    try:
        Program(world).run({"by itself": U, "by a trigger": "UPDATE tags SET name = 'new'"}.get(writes, "ANALYZE " + U))
    finally:
        del kwargs["mysql_engine"]
        forget_forms()


# SQLite

SAVEPOINTS = [
    ("SAVEPOINT a", U, "RELEASE A"),
    ("SAVEPOINT [a]", U, "RELEASE a"),
    ("SAVEPOINT `a`", U, 'RELEASE "a"'),
    ("SAVEPOINT a -- x", U, "RELEASE/*c*/a"),
    ("SAVEPOINT\ta", U, "RELEASE\tSAVEPOINT\ta"),
    ("SAVEPOINT a", U, "SAVEPOINT a", "RELEASE a", "RELEASE a"),
]


@on("database", ["sqlite"])
@on("statements", SAVEPOINTS)
@on("autocommit", [False, True])
def test_a_savepoint_that_began_the_transaction_commits_it_however_it_is_named(
    world: World, database: str, statements: tuple[str, ...], autocommit: bool
) -> None:
    Program(world).run(*statements, options=AUTOCOMMIT if autocommit else None)


@on("database", ["sqlite"])
@only_sync
def test_savepoints_of_two_connections_that_share_one(world: World, database: str) -> None:
    shared = world.make_engine(poolclass=StaticPool)
    world.registry.bind(shared)
    program = Program(world)
    with shared.connect() as one, shared.connect() as other:
        first = one.begin_nested()
        one.exec_driver_sql(U.format("shared"))
        second = other.begin_nested()
        second.commit()
        first.commit()
        one.rollback()
        other.rollback()
    program.assert_right()


@on("database", ["sqlite"])
@on("statement", ["/* c */ UPDATE products SET name = 'c' WHERE id = 1", "-- c\nUPDATE products SET name = 'c' WHERE id = 1"])
def test_a_comment_before_dml(world: World, database: str, statement: str) -> None:
    """Before Python 3.11 the driver didn't see the word behind it, and began no transaction."""
    Program(world).run(statement)


@on("database", ["sqlite"])
def test_ddl_objects_that_are_no_ddl(world: World, database: str) -> None:
    Program(world).run(U, DDL("COMMIT"), U)


@on("database", ["sqlite"])
def test_a_write_to_an_attached_database_is_no_lock_on_this_one(world: World, database: str) -> None:
    """What the transaction read first is a snapshot, though it has written since: elsewhere."""
    world.engine.dispose()
    begin_recipe(world.engine)

    @event.listens_for(world.engine, "connect")
    def attach(dbapi_connection: Any, _: Any) -> None:
        cursor = dbapi_connection.cursor()
        cursor.execute(f"ATTACH '{world.file}-elsewhere' AS elsewhere")
        cursor.execute("CREATE TABLE IF NOT EXISTS elsewhere.q (id INTEGER)")
        cursor.close()

    with world.session() as session:
        session.execute(products.select()).all()
        session.execute(text("INSERT INTO elsewhere.q VALUES (1)"), execution_options={"aa_cache_tables": ["q"]})
        world.in_the_database("UPDATE products SET name = 'new'")
        world.registry.invalidate_table("products")
        assert world.fetch(session, Product, 1).name == "old"
        session.rollback()
    assert world.read(Product, 1).name == "new"


@on("database", ["sqlite"])
def test_an_insert_that_the_application_compiles_into_an_upsert(world: World, database: str) -> None:
    class Upsert(Insert):
        inherit_cache = True

    @compiles(Upsert)
    def upsert(element: Any, compiler: Any, **options: Any) -> str:
        return str(compiler.visit_insert(element, **options)) + " ON CONFLICT (id) DO UPDATE SET name = excluded.name"

    Program(world).run(Upsert(products).values(id=1, name="upserted", stock=0), ends="commit")


@on("database", ["sqlite"])
def test_a_table_that_a_trigger_writes_and_the_transaction_too(world: World, database: str) -> None:
    """A row that is known and others that aren't: the table is written by the database as well."""
    world.manager = world.cache(
        models={"tags": ModelConfig(also_changes=("products",)), "products": ModelConfig(also_changes=("products",))}
    )
    world.in_the_database("CREATE TRIGGER tagged AFTER UPDATE ON tags BEGIN UPDATE products SET name = NEW.name WHERE id = 1; END")
    world.read(Product, 1)
    with world.session() as session:
        session.get_one(Tag, 1).name = "new"
        session.get_one(Product, 2).name = "other"
        session.commit()
    assert world.read(Product, 1).name == "new"


@on("database", ["sqlite"])
@only_sync
def test_an_engine_that_is_bound_in_the_middle_of_a_transaction(world: World, database: str) -> None:
    engine = world.make_engine()
    world.registry.ignore(engine)
    world.call("get_entity", "products", 1, Product)
    with Session(engine) as session:
        session.connection()
        world.registry.bind(engine)
        world.call("set_entity", "products", 1, Product(id=1, name="old", stock=0))
        session.execute(update(Product).where(Product.id == 1).values(name="mine"))
        assert world.call("get_entity", "products", 1, Product) is None, "the transaction has written it"
        session.rollback()


@on("database", ["sqlite"])
def test_a_statement_far_to_the_right_is_looked_at_at_once(world: World, database: str) -> None:
    """A pattern that tries every way to divide the blanks before it would take for ever."""
    Program(world).run("\n" + " " * 500 + "WITH x AS (SELECT 1) UPDATE products SET name = 'far' WHERE id = 1", "-- c\n" * 200 + U)
    assert leading_word("/* c */" * 500 + " " * 500 + "select 1") == "select"


@on("database", ["postgresql"])
def test_a_transaction_of_text_that_wrote_nothing_leaves_nothing_behind(world: World, database: str) -> None:
    with world.engine.connect() as conn:
        conn = conn.execution_options(**AUTOCOMMIT)  # noqa: PLW2901
        for statement in ("BEGIN", "SELECT 1", "COMMIT", U.format("a")):
            conn.exec_driver_sql(statement)
        assert not ledger_of(conn.info).changes


@on("database", ["sqlite"])
@only_sync
def test_a_class_whose_declaration_failed_is_nobodys_concern(world: World, database: str) -> None:
    base: Any = type("Own", (DeclarativeBase,), {})
    with pytest.raises(ArgumentError) as failed:
        type("HasNoKey", (base,), {"__tablename__": "has_no_key"})
    forget_forms()
    Program(world).run(update(products).where(products.c.id == 1).values(name="new"), "DELETE FROM tags", ends="commit")
    assert failed.value


class Address(DeclarativeBase):
    """Tables of keys that PostgreSQL writes in its own way."""


class Card(Address):
    __tablename__ = "cards"
    mac: Mapped[str] = mapped_column(MACADDR, primary_key=True)
    name: Mapped[str]


@on("database", ["postgresql"])
def test_a_text_that_is_no_text_for_the_database_is_no_key(world: World, database: str) -> None:
    raw = world.make_engine()
    binding.ignore(raw)
    Address.metadata.create_all(raw)
    with world.session(expire_on_commit=False) as session:
        card = Card(mac="08-00-2B-01-02-03", name="old")
        session.add(card)
        session.commit()
        assert world.read(Card, "08:00:2b:01:02:03").name == "old"
        card.name = "new"
        session.commit()
    assert world.read(Card, "08:00:2b:01:02:03").name == "new"


@on("database", ["sqlite"])
@only_sync
def test_a_connection_that_was_detached_from_its_pool(world: World, database: str) -> None:
    program = Program(world)
    with world.engine.connect() as conn:
        conn.detach()
        conn.exec_driver_sql(U.format("detached"))
        assert world.read(Product, 1).name == "old"
        conn.commit()
    program.assert_right()


@on("database", ["postgresql"])
def test_a_setting_within_dml_takes_the_connection_from_the_cache(world: World, database: str) -> None:
    with world.session() as session:
        session.execute(update(products).where(products.c.id == 2).values(name=func.set_config("application_name", "x", True)))  # noqa: FBT003 - SQL's
        assert world.reason(session, Tag, 1) == "session state"


@on("database", ["postgresql"])
@only_sync
def test_a_commit_between_two_routines_is_told(world: World, database: str) -> None:
    made = "CREATE OR REPLACE FUNCTION f() RETURNS int AS $$ SELECT 1; $$ LANGUAGE sql"
    Program(world).run(f"{made}; {U}; COMMIT; {made}")
