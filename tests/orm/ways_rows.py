"""What is in the database before each scenario of `test_every_write.py`, and what is read of it."""

from __future__ import annotations

import uuid
from typing import Any

from sqlalchemy import DDL

from tests.orm.write_models import (
    Archive,
    Book,
    BookGenre,
    City,
    Copy,
    Counter,
    Country,
    Draft,
    Film,
    Genre,
    Hall,
    House,
    Lamp,
    Leaf,
    Loan,
    Medium,
    Member,
    Parcel,
    Player,
    Reader,
    Remark,
    Room,
    Root,
    Scrap,
    Staff,
    Stem,
    Street,
    Stub,
    Tally,
    Team,
    Title,
    Visitor,
    Word,
)

__all__ = ("IDENTS", "MADE_BESIDE", "ROWS", "UUIDS", "VIEWS")

VIEWS = frozenset({Title.__table__})

_COUNT = "UPDATE readers SET loans = loans + 1 WHERE id = NEW.reader_id;"
_VIEW = "CREATE VIEW titles AS SELECT id, title, stock FROM books"
_BEGIN_ATOMIC = f"AFTER INSERT ON loans FOR EACH ROW BEGIN {_COUNT} END"

MADE_BESIDE: dict[str, list[DDL]] = {
    "sqlite": [DDL(_VIEW), DDL(f"CREATE TRIGGER counted {_BEGIN_ATOMIC}")],
    "postgresql": [
        DDL(_VIEW),
        DDL(_VIEW.replace("titles", "shelf")),
        DDL(f"CREATE FUNCTION count_loan() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {_COUNT} RETURN NEW; END $$"),
        DDL("CREATE TRIGGER counted AFTER INSERT ON loans FOR EACH ROW EXECUTE FUNCTION count_loan()"),
        DDL("CREATE PROCEDURE rename_book() LANGUAGE sql AS $$ UPDATE books SET title = 'called' WHERE id = 1 $$"),
        DDL("CREATE FUNCTION renamed_book() RETURNS int LANGUAGE sql AS $$ UPDATE books SET title = 'called' WHERE id = 1 RETURNING 1 $$"),
    ],
    "mariadb": [
        DDL(_VIEW),
        DDL(_VIEW.replace("titles", "shelf")),
        DDL(f"CREATE TRIGGER counted {_BEGIN_ATOMIC}"),
        DDL("CREATE PROCEDURE rename_book() UPDATE books SET title = 'called' WHERE id = 1"),
        DDL("CREATE FUNCTION renamed_book() RETURNS int BEGIN UPDATE books SET title = 'called' WHERE id = 1; RETURN 1; END"),
    ],
}
"""What the database has beside the tables."""

UUIDS = [uuid.UUID(int=number) for number in range(1, 6)]

ROWS: dict[Any, list[dict[str, Any]]] = {
    Remark: [{"id": number, "text": "old"} for number in (1, 2)],
    Book: [{"id": number, "title": f"old {number}", "stock": number} for number in (1, 2, 3)],
    Genre: [{"id": number, "name": "old"} for number in (1, 2, 3)],
    BookGenre: [{"book_id": 1, "genre_id": 1}, {"book_id": 1, "genre_id": 2}, {"book_id": 2, "genre_id": 1}],
    Archive: [{"id": 9, "title": "old"}],
    Copy: [{"book": book, "number": number, "place": "old"} for book in (1, 2) for number in (1, 2)],
    Parcel: [{"id": ident, "place": "old"} for ident in UUIDS[:3]],
    Word: [{"word": word, "meaning": "old"} for word in ("one", "two", "three")],
    Stub: [{"id": number, "text": "old"} for number in (1, 2, 3)],
    Draft: [{"id": number, "text": "old", "version": 1} for number in (1, 2)],
    Scrap: [{"id": number, "text": "old"} for number in (1, 2)],
    Medium: [{"id": number, "kind": kind, "name": "old"} for number, kind in ((1, "medium"), (2, "film"), (3, "film"), (4, "medium"))],
    Film: [{"id": number, "minutes": 90} for number in (2, 3)],
    Visitor: [{"id": 1, "kind": "visitor", "name": "old"}, *({"id": number, "kind": "member", "name": "old"} for number in (2, 3))],
    Room: [{"id": number, "name": "old"} for number in (1, 2)],
    Hall: [{"id": number, "name": "old", "seats": 5} for number in (1, 2)],
    Country: [{"id": number, "name": "old"} for number in (1, 2)],
    City: [{"id": number, "country_id": number} for number in (1, 2)],
    Street: [{"id": number, "city_id": number} for number in (1, 2)],
    House: [{"id": number, "street_id": number} for number in (1, 2)],
    Lamp: [{"id": number, "street_id": number} for number in (1, 2)],
    Root: [{"code": code, "size": 0} for code in ("a", "b")],
    Stem: [{"code": code} for code in ("a", "b")],
    Leaf: [{"id": number, "code": code} for number, code in ((1, "a"), (2, "b"))],
    Staff: [{"id": number, "boss_id": boss} for number, boss in ((1, None), (2, 1), (3, 2), (4, None))],
    Team: [{"id": number, "captain_id": number} for number in (1, 2)],
    Player: [{"id": number, "team_id": team} for number, team in ((1, 1), (2, 2), (3, 1))],
    Loan: [{"id": 1, "reader_id": 1}],  # before the readers, whom the trigger would count
    Reader: [{"id": number, "loans": 0} for number in (1, 2)],
    Counter: [{"id": number, "value": 0} for number in (1, 2)],
    Tally: [{"id": number, "value": 0} for number in (1, 2)],
}
"""What is in the tables before each scenario; the rows of one table each."""

_NEW = range(1, 7)
IDENTS: dict[Any, list[Any]] = {
    **{model: list(_NEW) for model in (*ROWS, Member, Title)},
    BookGenre: [(book, genre) for book in (1, 2) for genre in (1, 2, 3)],
    Remark: [1, 2, 3],
    Archive: [1, 2, 3, 9],
    Copy: [(book, number) for book in (1, 2) for number in (1, 2, 3)],
    Parcel: UUIDS,
    Word: ["one", "two", "three", "four"],
    Root: ["a", "b", "c"],
    Stem: ["a", "b", "c"],
}
"""What is read of each model: the rows that are there, and some that aren't."""
