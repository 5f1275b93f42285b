"""Ways of writing by the unit of work."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import delete, update

from tests.orm.ways import MARIADB, POSTGRESQL, SQLITE, Way, ways_of
from tests.orm.ways_rows import UUIDS
from tests.orm.write_models import Book, BookGenre, Copy, Draft, Film, Hall, Medium, Member, Parcel, Room, Stub, Visitor, Word

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy.orm import Session

__all__ = ("ORM_WAYS", "added", "changed", "removed")


def changed(model: type[Any], ident: Any, **values: Any) -> Callable[[Session], None]:
    """Load a row, set its attributes and flush."""

    def write(session: Session) -> None:
        row = session.get_one(model, ident)
        for name, value in values.items():
            setattr(row, name, value)
        session.flush()

    return write


def added(make: Callable[[], Any]) -> Callable[[Session], None]:
    """Add a row, or several, and flush."""

    def write(session: Session) -> None:
        made = make()
        session.add_all(made if isinstance(made, list) else [made])
        session.flush()

    return write


def removed(model: type[Any], ident: Any) -> Callable[[Session], None]:
    """Load a row, delete it and flush."""

    def write(session: Session) -> None:
        session.delete(session.get_one(model, ident))
        session.flush()

    return write


def everything_at_once(session: Session) -> None:
    session.add(Book(id=4, title="new", stock=4))
    session.get_one(Book, 1).title = "new"
    session.delete(session.get_one(Book, 2))
    session.flush()


def merge_all(session: Session) -> None:
    session.merge(Book(id=1, title="new", stock=1))
    session.merge(Book(id=4, title="new", stock=4))
    session.flush()


FLUSHES: Final = (
    *ways_of(
        {
            "flush: insert": added(lambda: Book(id=4, title="new")),
            "flush: update": changed(Book, 1, title="new"),
            "flush: update to an expression": changed(Book, 1, stock=Book.stock + 1),
            "flush: delete": removed(Book, 3),
            "flush: insert, update and delete": everything_at_once,
            "session.merge": merge_all,
        },
        reach="row",
        models=(Book, BookGenre),
    ),
    Way("flush: changed primary key", changed(Book, 3, id=6), "row"),
    Way("flush: changed key of text", changed(Word, "one", word="four"), "row", (Word,), on=(SQLITE, POSTGRESQL)),
    Way("flush: changed key of text, where the collation folds", changed(Word, "one", word="four"), "table", (Word,), on=(MARIADB,)),
    Way("flush: changed part of a composite key", changed(Copy, (1, 2), number=3), "row", (Copy,)),
    Way("flush: delete by composite key", removed(Copy, (1, 2)), "row", (Copy,)),
    Way("flush: UUID key", changed(Parcel, UUIDS[0], place="new"), "row", (Parcel,)),
    Way("flush: version counter", changed(Draft, 1, text="new"), "row", (Draft,)),
    Way("flush: delete with version counter", removed(Draft, 1), "row", (Draft,)),
    Way("flush: many keys made by the database", added(lambda: [Stub(text="new") for _ in range(3)]), "row", (Stub,)),
)

INHERITANCE: Final = (
    *ways_of(
        {
            "joined inheritance: insert": added(lambda: Film(id=5, name="new", minutes=1)),
            "joined inheritance: insert of the base": added(lambda: Medium(id=5, name="new")),
            "joined inheritance: update of the base's column": changed(Film, 2, name="new"),
            "joined inheritance: update of the subclass's column": changed(Film, 2, minutes=1),
            "joined inheritance: update through the base": changed(Medium, 2, name="new", minutes=1),
            "joined inheritance: delete": removed(Film, 2),
            "joined inheritance: delete through the base": removed(Medium, 2),
        },
        reach="row",
        models=(Medium, Film),
    ),
    *ways_of(
        {
            "joined inheritance: bulk update of the base": lambda session: session.execute(update(Medium).values(name="new")),
            "joined inheritance: bulk update of the subclass": lambda session: session.execute(update(Film).values(minutes=1)),
            "joined inheritance: Core delete of the base": lambda session: session.execute(delete(Medium.__table__)),
        },
        models=(Medium, Film),
    ),
    *ways_of(
        {
            "single-table inheritance: insert": added(lambda: Member(id=5, name="new", card="x")),
            "single-table inheritance: update": changed(Member, 2, name="new", card="new"),
            "single-table inheritance: update through the base": changed(Visitor, 2, name="new"),
            "single-table inheritance: delete": removed(Member, 2),
        },
        reach="row",
        models=(Visitor, Member),
    ),
    Way(
        "single-table inheritance: bulk update",
        lambda session: session.execute(update(Member).values(name="new")),
        "table",
        (Visitor, Member),
    ),
    *ways_of(
        {
            "concrete inheritance: insert": added(lambda: Hall(id=5, name="new", seats=1)),
            "concrete inheritance: update": changed(Hall, 1, name="new"),
            "concrete inheritance: update of the base": changed(Room, 1, name="new"),
            "concrete inheritance: delete": removed(Hall, 1),
        },
        reach="row",
        models=(Room, Hall),
    ),
    Way("concrete inheritance: bulk update", lambda session: session.execute(update(Hall).values(seats=1)), "table", (Room, Hall)),
)

ORM_WAYS: Final = (*FLUSHES, *INHERITANCE)
