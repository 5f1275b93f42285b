"""What the random programs of `test_programs` write: each step of a program is one small object, which hypothesis draws and shrinks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from sqlalchemy import and_, bindparam, delete, insert, literal, or_, select, text, update
from sqlalchemy.dialects import mysql, postgresql, sqlite

from tests.consistency.programs import KINDS, TAGGINGS, Book, Kind, Tag

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

Sync = Literal["auto", "evaluate", "fetch"] | bool


@dataclass(frozen=True)
class Where:
    """Which rows a statement is about."""

    form: Literal["key", "keys", "value", "parent", "all"] = "key"
    which: int = 0
    other: int = 1

    def of(self, kind: Kind, source: Any) -> list[Any]:
        """Return the criteria, on a mapped class or on the columns of a table."""
        keys = [_is(source, kind.key(which)) for which in (self.which, self.other)]
        if self.form == "parent" and kind.parent is not None:
            return [_is(source, kind.refers(self.which))]
        if self.form in {"value", "parent"}:
            return [getattr(source, kind.value) > self.which]
        if self.form == "keys" and len(kind.keys) == 1:
            column = getattr(source, kind.keys[0])
            return [column.in_([kind.idents[self.which][0], kind.idents[self.other][0]])]
        return {"key": keys[:1], "keys": [or_(*keys)], "all": []}[self.form]


def _is(source: Any, columns: dict[str, Any]) -> Any:
    return and_(*(getattr(source, name) == value for name, value in columns.items()))


@dataclass(frozen=True)
class To:
    """What an UPDATE sets."""

    column: Literal["value", "sum", "parent", "key"] = "value"
    number: int = 0

    def of(self, kind: Kind, source: Any) -> dict[str, Any]:
        """Return the values by column."""
        if self.column == "key":
            return kind.key(self.number % 4)
        if self.column == "parent" and kind.parent is not None:
            return kind.refers(self.number % 4)
        return {kind.value: getattr(source, kind.value) + 1 if self.column == "sum" else self.number}


@dataclass(frozen=True)
class Write:
    """A step that writes; the base of all that do."""

    of: str
    """The kind."""

    @property
    def kind(self) -> Kind:
        """What is known of the kind."""
        return KINDS[self.of]

    def run(self, session: Session) -> None:
        """Write in a session's transaction; pending changes may stay unflushed."""
        raise NotImplementedError

    def found(self, session: Session, which: int) -> Any:
        """Return an instance; ``None`` for none."""
        ident = self.kind.idents[which]
        return session.get(self.kind.model, ident if len(ident) > 1 else ident[0])


# The unit of work


@dataclass(frozen=True)
class Add(Write):
    which: int = 3
    value: int = 0
    parent: int | None = None

    def run(self, session: Session) -> None:
        session.add(self.kind.model(**self.kind.values(self.which, self.value, self.parent)))


@dataclass(frozen=True)
class Merge(Add):
    def run(self, session: Session) -> None:
        if self.of != "person":  # an engineer would become one
            session.merge(self.kind.model(**self.kind.values(self.which, self.value, self.parent)))


@dataclass(frozen=True)
class Change(Write):
    """Set attributes: the value, the parent, or the primary key."""

    which: int = 0
    to: To = To()

    def run(self, session: Session) -> None:
        instance = self.found(session, self.which)
        if instance is not None:
            for name, value in self.to.of(self.kind, instance).items():
                setattr(instance, name, value)


@dataclass(frozen=True)
class Remove(Write):
    which: int = 0

    def run(self, session: Session) -> None:
        instance = self.found(session, self.which)
        if instance is not None:
            session.delete(instance)


@dataclass(frozen=True)
class TagBook(Write):
    """Append a tag to a book's, or remove it, through the relationship or in the association table."""

    which: int = 0
    tag: int = 2
    core: bool = False

    def run(self, session: Session) -> None:
        book, tag = session.get(Book, self.which + 1), session.get(Tag, self.tag + 1)
        if book is None or tag is None:
            return
        names = {"book_id": book.id, "tag_id": tag.id}
        if not self.core:
            (book.tags.remove if tag in book.tags else book.tags.append)(tag)
        elif session.execute(delete(TAGGINGS).where(_is(TAGGINGS.c, names))).rowcount == 0:  # type: ignore[attr-defined]
            session.execute(insert(TAGGINGS).values(**names))


# Bulk


@dataclass(frozen=True)
class BulkInsert(Write):
    """Insert by mappings, or by ``insert(Model)`` with many rows."""

    first: int = 3
    many: int = 1
    mappings: bool = True

    def run(self, session: Session) -> None:
        rows = [self.kind.values(which % 4, which, None) for which in range(self.first, self.first + self.many)]
        if self.mappings:
            session.bulk_insert_mappings(self.kind.model, rows)  # type: ignore[arg-type]
        else:
            session.execute(insert(self.kind.model), rows)


@dataclass(frozen=True)
class BulkUpdate(BulkInsert):
    """Update by primary key: by mappings, or by ``update(Model)`` with many rows."""

    first: int = 0

    def run(self, session: Session) -> None:
        rows = [{**self.kind.key(which % 4), self.kind.value: 5 + which} for which in range(self.first, self.first + self.many)]
        if self.mappings:
            session.bulk_update_mappings(self.kind.model, rows)  # type: ignore[arg-type]
        else:
            session.execute(update(self.kind.model), rows)


@dataclass(frozen=True)
class UpdateWhere(Write):
    """An ORM-enabled UPDATE; with ``core``, one of Core."""

    where: Where = Where()
    to: To = To()
    core: bool = False
    synchronize: Sync = "auto"

    def run(self, session: Session) -> None:
        kind, source = self.kind, self.kind.table.c if self.core else self.kind.model
        statement = update(kind.table if self.core else kind.model).where(*self.where.of(kind, source)).values(self.to.of(kind, source))
        session.execute(statement, execution_options={} if self.core else {"synchronize_session": self.synchronize})


@dataclass(frozen=True)
class DeleteWhere(Write):
    """An ORM-enabled DELETE; with ``core``, one of Core, and with ``cte`` within a SELECT where the database can."""

    where: Where = Where()
    core: bool = False
    synchronize: Sync = "auto"
    cte: bool = False

    def run(self, session: Session) -> None:
        kind, source = self.kind, self.kind.table.c if self.core else self.kind.model
        statement = delete(kind.table if self.core else kind.model).where(*self.where.of(kind, source))
        if self.core and self.cte and session.get_bind().dialect.name == "postgresql":
            session.execute(select(statement.returning(source[kind.value]).cte("gone")))
        else:
            session.execute(statement, execution_options={} if self.core else {"synchronize_session": self.synchronize})


# Core


@dataclass(frozen=True)
class InsertRows(Write):
    """INSERT of one row or, in one execution, of many."""

    first: int = 3
    many: int = 1
    parent: int | None = None

    def run(self, session: Session) -> None:
        rows = [self.kind.row(which % 4, which, self.parent) for which in range(self.first, self.first + self.many)]
        session.connection().execute(insert(self.kind.table), rows)


@dataclass(frozen=True)
class UpdateRows(InsertRows):
    """UPDATE by primary key of many rows in one execution; those of which an update before fails are reached nevertheless."""

    first: int = 0

    def run(self, session: Session) -> None:
        kind, columns = self.kind, self.kind.table.c
        statement = update(kind.table).where(*(columns[key] == bindparam(f"old_{key}") for key in kind.keys))
        rows = [
            {kind.value: 7, **kind.refers(self.parent), **{f"old_{key}": value for key, value in kind.key(which % 4).items()}}
            for which in range(self.first, self.first + self.many)
        ]
        session.connection().execute(statement.values({name: bindparam(name) for name in rows[0] if not name.startswith("old_")}), rows)


@dataclass(frozen=True)
class Upsert(Write):
    """INSERT that may meet a row: which is then updated, kept, replaced, or given another key."""

    which: int = 0
    value: int = 0
    parent: int | None = None
    manner: Literal["update", "nothing", "replace", "key"] = "update"

    def run(self, session: Session) -> None:
        dialect, kind = session.get_bind().dialect.name, self.kind
        row = kind.row(self.which, self.value, self.parent)
        changed = {kind.value: self.value, **kind.refers(self.parent)}
        if self.manner == "key":
            changed = kind.key(self.value % 4)
        if self.manner == "replace" and dialect != "postgresql":
            columns = ", ".join(row)
            if dialect == "sqlite" and self.value % 2:
                session.execute(sqlite.insert(kind.table).prefix_with("OR REPLACE").values(row))
            else:
                session.execute(text(f"REPLACE INTO {kind.name} ({columns}) VALUES ({', '.join(f':{name}' for name in row)})"), row)  # noqa: S608
        elif dialect in {"mysql", "mariadb"}:
            added = mysql.insert(kind.table).values(row)
            session.execute(added.prefix_with("IGNORE") if self.manner == "nothing" else added.on_duplicate_key_update(changed))
        else:
            other = (sqlite if dialect == "sqlite" else postgresql).insert(kind.table).values(row)
            ways = {"nothing": other.on_conflict_do_nothing()}
            session.execute(ways.get(self.manner, other.on_conflict_do_update(index_elements=list(kind.keys), set_=changed)))


@dataclass(frozen=True)
class Copy(Write):
    """INSERT … SELECT: a row again, under another key."""

    which: int = 0
    other: int = 3

    def run(self, session: Session) -> None:
        kind, columns = self.kind, self.kind.table.c
        new = kind.key(self.other)
        copied = [literal(new[column.name], column.type) if column.name in new else column for column in columns]
        rows = select(*copied).where(_is(columns, kind.key(self.which)))
        session.execute(insert(kind.table).from_select([column.name for column in columns], rows))


# Text


@dataclass(frozen=True)
class Text(Write):
    """UPDATE or DELETE as text: parsed, with its tables told, or past SQLAlchemy's Core."""

    which: int = 0
    to: To | None = To()
    """``None``: DELETE."""
    manner: Literal["plain", "driver", "name", "table", "model"] = "plain"
    """Whether the tables are told, and as what."""

    def run(self, session: Session) -> None:
        kind, to = self.kind, To("value", 0) if self.to is not None and self.to.column == "sum" else self.to
        where = " AND ".join(f"{name} = {value!r}" for name, value in kind.key(self.which).items())
        sets = "" if to is None else ", ".join(f"{name} = {value!r}" for name, value in to.of(kind, kind.table.c).items())
        statement = f"UPDATE {kind.name} SET {sets} WHERE {where}" if sets else f"DELETE FROM {kind.name} WHERE {where}"  # noqa: S608
        if self.manner == "driver":
            session.connection().exec_driver_sql(statement)
        elif self.manner == "plain":
            session.execute(text(statement))
        else:
            told = {"name": kind.name, "table": kind.table, "model": kind.model}[self.manner]
            session.execute(text(statement), execution_options={"aa_cache_tables": [told]})
