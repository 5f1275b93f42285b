"""Ways of writing by collections, bulk operations and ORM statements of a session, and from within the events of a flush."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import delete, event, insert, select, update

from tests.orm.ways import POSTGRESQL, SQLITE, Way, ways_of
from tests.orm.ways_orm import added, changed, removed
from tests.orm.write_models import Archive, Book, BookGenre, City, Country, Genre, House, Street

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy.orm import Session

__all__ = ("BULK_WAYS",)

FEW = [{"id": number, "title": "new"} for number in (1, 2)]
NEW = [{"id": number, "title": "new"} for number in (4, 5)]


def of_genres(change: Callable[[Book, Session], Any]) -> Callable[[Session], None]:
    """Change the collection of the first book."""

    def write(session: Session) -> None:
        change(session.get_one(Book, 1), session)
        session.flush()

    return write


def replace_genres(book: Book, session: Session) -> None:
    book.genres = [session.get_one(Genre, 3)]


def save_existing(session: Session) -> None:
    books = session.scalars(select(Book).where(Book.id < 3)).all()
    session.expunge_all()
    for book in books:
        book.title = "new"
    session.bulk_save_objects(books)


def by_flush_event(session: Session) -> None:
    def write_more(session: Session, *_: Any) -> None:
        session.connection().execute(update(Archive.__table__).values(title="new"))

    event.listen(session, "before_flush", write_more)
    changed(Book, 1, title="new")(session)
    event.remove(session, "before_flush", write_more)


def by_mapper_event(name: str, write: Callable[[Session], None]) -> Callable[[Session], None]:
    """Write another row of the same table and one of another from within the flush."""

    def write_more(_mapper: Any, connection: Any, _target: Any) -> None:
        connection.execute(update(Book.__table__).where(Book.__table__.c.id == 3).values(title="also new"))
        connection.execute(insert(Archive.__table__).values(id=1, title="new"))

    def write_all(session: Session) -> None:
        event.listen(Book, name, write_more)
        try:
            write(session)
        finally:
            event.remove(Book, name, write_more)

    return write_all


def synchronised(statement: Any, how: Any) -> Callable[[Session], None]:
    """Run an ORM statement that leaves the session's own rows right, or not."""

    def write(session: Session) -> None:
        session.get(Book, 1)
        session.execute(statement, execution_options={"synchronize_session": how})

    return write


def a_city_less(session: Session) -> None:
    country = session.get_one(Country, 1)
    country.cities.clear()
    session.flush()


UPDATE: Final = update(Book).where(Book.stock < 3).values(title="new")
DELETE: Final = delete(Book).where(Book.stock < 3)

COLLECTIONS: Final = (
    *ways_of(
        {
            "many-to-many: append": of_genres(lambda book, session: book.genres.append(session.get_one(Genre, 3))),
            "many-to-many: remove": of_genres(lambda book, _: book.genres.pop()),
            "many-to-many: replace": of_genres(replace_genres),
            "many-to-many: delete of the parent": removed(Book, 1),
        },
        models=(Book, Genre, BookGenre),
    ),
    *ways_of(
        {
            "one-to-many: delete that the database cascades (passive_deletes)": removed(Country, 1),
            "one-to-many: orphan that the database cascades": a_city_less,
        },
        models=(Country, City, Street, House),
    ),
)

BULK: Final = (
    *ways_of(
        {
            "bulk_insert_mappings": lambda session: session.bulk_insert_mappings(Book, NEW),
            "bulk_save_objects of new rows": lambda session: session.bulk_save_objects([Book(**values) for values in NEW]),
            "bulk_save_objects of existing rows": save_existing,
            "bulk_update_mappings": lambda session: session.bulk_update_mappings(Book, FEW),
            "ORM update by primary key": lambda session: session.execute(update(Book), FEW),
            "ORM update of one row": lambda session: session.execute(update(Book).where(Book.id == 1).values(title="new")),
            "ORM delete of one row": lambda session: session.execute(delete(Book).where(Book.id == 3)),
            "ORM insert": lambda session: session.execute(insert(Book).values(id=4, title="new")),
            "ORM insert of many": lambda session: session.execute(insert(Book), NEW),
            "ORM insert with RETURNING": lambda session: session.scalars(insert(Book).returning(Book), NEW).all(),
        },
        reach="row",
    ),
    *(
        Way(f"ORM {verb}, synchronised by {how or 'nothing'}", synchronised(statement, how), "table", (Book, BookGenre))
        for how in (False, "evaluate", "fetch", "auto")
        for verb, statement in (("update", UPDATE), ("delete", DELETE))
    ),
    *ways_of(
        {
            "Query.update": lambda session: session.query(Book).filter(Book.stock < 3).update({"title": "new"}),
            "Query.delete": lambda session: session.query(Book).filter(Book.stock < 3).delete(),
            "ORM delete with RETURNING": lambda session: session.scalars(DELETE.returning(Book.id)).all(),
        },
        models=(Book, BookGenre),
    ),
    *ways_of(
        {
            "ORM update with RETURNING": lambda session: session.scalars(UPDATE.returning(Book)).all(),
            "from_statement(update with RETURNING)": lambda session: session.scalars(
                select(Book).from_statement(UPDATE.returning(Book))
            ).all(),
        },
        on=(SQLITE, POSTGRESQL),  # MariaDB has no UPDATE … RETURNING
    ),
)

EVENTS: Final = ways_of(
    {
        "Core update in before_flush": by_flush_event,
        "Core statements in after_insert": by_mapper_event("after_insert", added(lambda: Book(id=4, title="new"))),
        "Core statements in before_update": by_mapper_event("before_update", changed(Book, 1, title="new")),
        "Core statements in after_delete": by_mapper_event("after_delete", removed(Book, 2)),
    },
    models=(Book, BookGenre, Archive),
)

BULK_WAYS: Final = (*COLLECTIONS, *BULK, *EVENTS)
