"""Ways of writing that change more than they name, or are committed by something else than the session's commit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import DDL, Column, Integer, MetaData, Table, delete, insert, text, update

from aa_cache_integration.config import ModelConfig
from tests.orm.ways import DATABASES, MARIADB, NO_TRANSACTION, POSTGRESQL, SQLITE, Way, connection_of, driver_sql, every, ways_of
from tests.orm.ways_orm import added, changed, removed
from tests.orm.write_models import (
    Base,
    Book,
    City,
    Counter,
    Country,
    House,
    Lamp,
    Leaf,
    Loan,
    Player,
    Reader,
    Root,
    Scrap,
    Staff,
    Stem,
    Street,
    Tally,
    Team,
    Title,
)

if TYPE_CHECKING:
    from tests.orm.ways import Write

__all__ = ("ODD_WAYS",)

scraps: Any = Scrap.__table__
LITE = (SQLITE, POSTGRESQL)
SERVERS = (POSTGRESQL, MARIADB)
UPDATE: Final = "UPDATE books SET title = 'new'"
ENDS: Final = "it ends the transaction, and with it the savepoint"


def run(statement: Any, *parameters: Any) -> Write:
    """Execute a statement."""
    return lambda target: target.execute(statement, *parameters)


def all_of(*writes: Write) -> Write:
    """Do one after the other."""

    def write(target: Any) -> None:
        for one in writes:
            one(target)

    return write


def said(*statements: str) -> Write:
    """Execute texts."""
    return all_of(*(run(text(statement)) for statement in statements))


# What the database changes by itself

CASCADES: Final = (
    *ways_of(
        {
            "ON DELETE CASCADE and SET NULL over three levels: flush": removed(Country, 1),
            "ON DELETE CASCADE and SET NULL over three levels: Core": run(delete(Country.__table__).where(Country.__table__.c.id == 1)),
            "ON DELETE CASCADE and SET NULL over three levels: text": said("DELETE FROM countries WHERE id = 1"),
            "ON UPDATE CASCADE: text": said("UPDATE countries SET id = 3 WHERE id = 1"),
        },
        models=(Country, City, Street, House),
    ),
    Way("ON DELETE SET DEFAULT", run(delete(Street.__table__).where(Street.__table__.c.id == 1)), "table", (Street, Lamp, House), LITE),
    *ways_of(
        {
            "ON UPDATE CASCADE over three levels: flush": changed(Root, "a", code="c"),
            "ON UPDATE CASCADE over three levels: Core": run(update(Root.__table__).where(Root.__table__.c.code == "a").values(code="c")),
            "ON UPDATE CASCADE over three levels: text": said("UPDATE roots SET code = 'c' WHERE code = 'a'"),
        },
        models=(Root, Stem, Leaf),
    ),
    *ways_of(
        {
            "ON DELETE CASCADE to the table itself: flush": removed(Staff, 1),
            "ON DELETE CASCADE to the table itself: Core": run(delete(Staff.__table__).where(Staff.__table__.c.id == 1)),
        },
        models=(Staff,),
    ),
    *ways_of(
        {
            "rules in a circle: delete of the team": run(delete(Team.__table__).where(Team.__table__.c.id == 1)),
            "rules in a circle: delete of the captain": run(delete(Player.__table__).where(Player.__table__.c.id == 1)),
        },
        models=(Team, Player),
    ),
    *ways_of(
        {
            "a trigger that is declared: flush": added(lambda: Loan(id=2, reader_id=1)),
            "a trigger that is declared: Core": run(insert(Loan.__table__).values(id=2, reader_id=1)),
            "a trigger that is declared: text": said("INSERT INTO loans VALUES (2, 1)"),
        },
        models=(Loan, Reader),
        declared={"loans": ModelConfig(also_changes=("readers",))},
    ),
    *ways_of(
        {
            "a view that is declared: flush of its table": changed(Book, 1, title="new"),
            "a view that is declared: Core update of its table": run(update(Book.__table__).values(title="new")),
            "a view that is declared: text on its table": said(UPDATE),
        },
        models=(Book, Title),
        declared={"titles": ModelConfig(depends_on=("books",))},
    ),
    *ways_of(
        {
            "a view that is declared: flush of the view itself": changed(Title, 1, title="new"),
            "a view that is declared: text on the view itself": said("UPDATE titles SET title = 'new' WHERE id = 1"),
        },
        models=(Title, Book),
        on=SERVERS,  # SQLite's can't be written
        declared={"titles": ModelConfig(depends_on=("books",))},
    ),
)


# Definitions

ALTERED = ("ALTER TABLE scraps DROP COLUMN text", "ALTER TABLE scraps ADD COLUMN text VARCHAR(80) DEFAULT 'new' NOT NULL")


def made_again(target: Any) -> None:
    """Drop the table and make it anew, with another row."""
    connection = connection_of(target)
    Base.metadata.drop_all(connection, [scraps])
    Base.metadata.create_all(connection, [scraps])
    connection.execute(insert(scraps).values(id=3, text="new"))


def an_extra_table(target: Any) -> None:
    metadata = MetaData()
    Table("extras", metadata, Column("id", Integer, primary_key=True))
    metadata.create_all(connection_of(target))
    metadata.drop_all(connection_of(target))


_defined: dict[str, Any] = {
    "reach": "all",
    "models": (Scrap,),
    "core": True,
    "commits_alone": (SQLITE, MARIADB),
    "no_savepoint": {MARIADB: ENDS},
    "locks": (POSTGRESQL,),
}
DEFINITIONS: Final = (
    *ways_of(
        {
            "ALTER TABLE: text": said(*ALTERED),
            "ALTER TABLE: DDL()": all_of(*(run(DDL(statement)) for statement in ALTERED)),
            "drop_all and create_all, with rows": made_again,
            "a table in place of another": said(
                "ALTER TABLE scraps RENAME TO old_scraps",
                "CREATE TABLE scraps (id INTEGER PRIMARY KEY, text VARCHAR(80))",
                "INSERT INTO scraps SELECT id, 'new' FROM old_scraps",
                "DROP TABLE old_scraps",
            ),
        },
        **_defined,
    ),
    Way("create_all and drop_all of another table", an_extra_table, changes=False, **_defined),
    *ways_of(
        {"TRUNCATE: text": said("TRUNCATE TABLE scraps"), "TRUNCATE: exec_driver_sql": driver_sql("TRUNCATE TABLE scraps")},
        **{**_defined, "reach": "table"},
        on=SERVERS,
    ),
)


# What is committed by something else

once = update(Book.__table__).where(Book.__table__.c.id == 1).values(title="new")
_alone: dict[str, Any] = {"core": True, "commits_alone": DATABASES, "no_savepoint": every(ENDS)}

COMMITS: Final = (
    *ways_of(
        {"text: COMMIT": all_of(run(once), said("COMMIT")), "exec_driver_sql: COMMIT": all_of(run(once), driver_sql("COMMIT"))}, **_alone
    ),
    Way("text: BEGIN and COMMIT", said("BEGIN", UPDATE, "COMMIT"), on=(SQLITE,), **_alone),
    Way("text: SAVEPOINT and RELEASE", said("SAVEPOINT a", UPDATE, "RELEASE SAVEPOINT a"), core=True, commits_alone=(SQLITE,)),
    Way(
        "SET autocommit after an UPDATE",
        all_of(run(once), said("SET autocommit = 1", "SET autocommit = 0")),
        "all",
        on=(MARIADB,),
        engine="own connections",  # that of the pool would be believed no more
        **_alone,
    ),
    *(
        Way(f"{how} by {which}", write, engine=engine, **{**_alone, "no_savepoint": every(NO_TRANSACTION)}, kinds=kinds)
        for how, engine, kinds in (
            ("AUTOCOMMIT of the engine", "AUTOCOMMIT", ("sync", "async")),
            ("AUTOCOMMIT of a derived engine", "derived AUTOCOMMIT", ("sync", "async")),
        )
        for which, write in (("Core", run(once)), ("text", said(UPDATE)))
    ),
    Way(
        "AUTOCOMMIT of the engine by a flush",
        changed(Book, 1, title="new"),
        "row",
        engine="AUTOCOMMIT",
        commits_alone=DATABASES,
        no_savepoint=every(NO_TRANSACTION),
    ),
    *(
        Way(
            f"autocommit of {driver} by {which}",
            write,
            on=on,
            kinds=kinds,
            engine="driver",
            commits_alone=DATABASES,
            no_savepoint=every(NO_TRANSACTION),
            core=True,
        )
        # asyncpg has none of its own.
        for driver, on, kinds in (("the driver", (SQLITE, MARIADB), ("sync", "async")), ("psycopg", (POSTGRESQL,), ("sync",)))
        for which, write in (("Core", run(once)), ("text", said(UPDATE)))
    ),
    *ways_of(
        {
            "CREATE TABLE after an UPDATE": all_of(run(once), said("CREATE OR REPLACE TABLE extras (id int)")),
            "LOCK TABLES after an UPDATE": all_of(run(once), said("LOCK TABLES books READ", "UNLOCK TABLES")),
            "START TRANSACTION after an UPDATE": all_of(run(once), said("START TRANSACTION")),
            "ANALYZE TABLE after an UPDATE": all_of(run(once), said("ANALYZE TABLE remarks")),
            "CREATE USER after an UPDATE": all_of(run(once), said("CREATE USER IF NOT EXISTS nobody_here", "DROP USER nobody_here")),
        },
        **_alone,
        reach="all",
        on=(MARIADB,),
    ),
    *ways_of(
        {
            "MyISAM: flush": changed(Counter, 1, value=5),
            "MyISAM: Core": run(update(Counter.__table__).values(value=5)),
            "MyISAM: text": said("UPDATE counters SET value = 5"),
        },
        models=(Counter,),
        on=(MARIADB,),
        commits_alone=DATABASES,
    ),
    Way("Aria: Core", run(update(Tally.__table__).values(value=5)), "table", (Tally,), (MARIADB,), commits_alone=DATABASES),
)

ODD_WAYS: Final = (*CASCADES, *DEFINITIONS, *COMMITS)
