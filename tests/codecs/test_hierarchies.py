"""One codec per inheritance hierarchy: a row is complete whichever class it is asked through."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import Column, Engine, ForeignKey, Integer, String, Table, create_engine, event, func, join, select
from sqlalchemy.ext.declarative import AbstractConcreteBase, ConcreteBase
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, column_property, mapped_column

from aa_cache_integration.codecs.identity import base_table_name
from aa_cache_integration.codecs.mapper import codec_for
from aa_cache_integration.exceptions import ModelError, SerializationError

if TYPE_CHECKING:
    from collections.abc import Iterator


class Base(DeclarativeBase):
    pass


class Person(Base):
    __tablename__ = "people"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    kind: Mapped[str] = mapped_column("type")
    __mapper_args__ = {"polymorphic_on": "kind", "polymorphic_identity": "person"}  # noqa: RUF012 -- SQLAlchemy's own way


class Manager(Person):
    __tablename__ = "managers"
    id: Mapped[int] = mapped_column("manager_id", ForeignKey("people.id"), primary_key=True)
    name2: Mapped[str | None] = mapped_column("name")
    secret: Mapped[str | None] = mapped_column(deferred=True)
    __mapper_args__ = {"polymorphic_identity": "manager"}  # noqa: RUF012 -- SQLAlchemy's own way


class Chief(Manager):
    __tablename__ = "chiefs"
    id: Mapped[int] = mapped_column(ForeignKey("managers.manager_id"), primary_key=True)
    car: Mapped[str | None]
    __mapper_args__ = {"polymorphic_identity": "chief"}  # noqa: RUF012 -- SQLAlchemy's own way


class Guest(Person):
    """In the table of its base."""

    invited_by: Mapped[str | None]
    __mapper_args__ = {"polymorphic_identity": "guest"}  # noqa: RUF012 -- SQLAlchemy's own way


class Log(Base):
    __tablename__ = "logs"
    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str]
    __mapper_args__ = {"polymorphic_on": "kind", "polymorphic_identity": "log"}  # noqa: RUF012 -- SQLAlchemy's own way


class LoginLog(Log):
    __mapper_args__ = {"polymorphic_identity": "login"}  # noqa: RUF012 -- SQLAlchemy's own way


Guest.logins = column_property(select(func.count(LoginLog.id)).correlate_except(LoginLog).scalar_subquery())  # type: ignore[attr-defined]


@pytest.fixture
def engine() -> Iterator[Engine]:
    engine = create_engine("sqlite://")
    Base.metadata.create_all(engine)
    with Session(engine) as session:
        session.add_all([Person(id=1, name="p"), Manager(id=2, name="m", name2="boss", secret="s"), Chief(id=3, name="c", car="x")])  # noqa: S106
        session.add_all([Guest(id=4, name="g", invited_by="p"), LoginLog(id=1), Log(id=2)])
        session.commit()
    yield engine
    engine.dispose()


def payloads(engine: Engine, *identities: int) -> dict[tuple[Any, ...], bytes]:
    codec = codec_for(Person, engine.dialect)
    with engine.connect() as connection:
        rows = connection.execute(codec.statement([(identity,) for identity in identities])).all()
    return {codec.row_identity(row): codec.encode_row(row) for row in rows}


def columns_of(instance: Any) -> dict[str, Any]:
    return {key: value for key, value in vars(instance).items() if not key.startswith("_sa_")}


def test_all_classes_of_a_hierarchy_share_one_codec(engine: Engine) -> None:
    codecs = {id(codec_for(model, engine.dialect)) for model in (Person, Manager, Chief, Guest)}
    assert len(codecs) == 1


def test_the_codec_names_all_tables_of_the_hierarchy_and_those_it_reads(engine: Engine) -> None:
    codec = codec_for(Guest, engine.dialect)
    assert codec.table == "people"
    assert set(codec.tables) == {"people", "managers", "chiefs"}
    assert codec.read_tables == ("logs",)


def test_one_statement_reads_rows_of_all_classes_whole(engine: Engine) -> None:
    statements: list[str] = []
    event.listen(engine, "before_cursor_execute", lambda *args: statements.append(args[2]))
    found = payloads(engine, 1, 2, 3, 4)
    assert len(statements) == 1
    codec = codec_for(Person, engine.dialect)
    for identity, model in [(1, Person), (2, Manager), (3, Chief), (4, Guest)]:
        with Session(engine) as session:
            expected = columns_of(session.get_one(model, identity))
        copy = codec.decode(found[identity,], Person)
        assert type(copy) is model
        assert columns_of(copy) == expected
        assert "secret" not in expected


@pytest.mark.parametrize("asked", [Person, Manager, Chief, Guest])
def test_a_row_of_another_class_is_none(engine: Engine, asked: type[Any]) -> None:
    for (identity,), data in payloads(engine, 1, 2, 3, 4).items():
        with Session(engine) as session:
            expected = session.get(asked, identity)
            copy = codec_for(asked, engine.dialect).decode(data, asked)
            assert type(copy) is type(expected)


def test_any_class_s_row_can_be_added_to_a_session_without_sql(engine: Engine) -> None:
    data = payloads(engine, 3)[3,]
    with Session(engine) as session:
        chief = codec_for(Chief, engine.dialect).decode(data, Chief)
        session.add(chief)
        assert session.get(Person, 3) is chief
        assert session.get(Chief, 3) is chief
        assert not session.in_transaction() or not session.dirty


def test_a_deferred_attribute_of_a_subclass_is_loaded_in_a_session(engine: Engine) -> None:
    manager = codec_for(Person, engine.dialect).decode(payloads(engine, 2)[2,], Manager)
    assert manager is not None
    with Session(engine) as session:
        session.add(manager)
        assert manager.secret == "s"  # noqa: S105 -- no secret


def test_a_subquery_over_orm_classes_keeps_their_own_criteria(engine: Engine) -> None:
    guest = codec_for(Person, engine.dialect).decode(payloads(engine, 4)[4,], Guest)
    assert guest is not None
    assert guest.logins == 1  # type: ignore[attr-defined] # of two logs, one is a LoginLog


def test_instances_of_subclasses_are_encoded_too(engine: Engine) -> None:
    with Session(engine) as session:
        chief = session.get_one(Chief, 3)
        copy = codec_for(Person).decode(codec_for(Person).encode(chief), Person)
    assert type(copy) is Chief
    assert columns_of(copy) == columns_of(chief)


@pytest.mark.parametrize("value", ["'stranger'", "NULL"])
def test_a_row_of_no_known_class_is_refused(engine: Engine, value: str) -> None:
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE loose (id INTEGER PRIMARY KEY, name VARCHAR, type VARCHAR, invited_by VARCHAR)")
        connection.exec_driver_sql("DROP TABLE people")
        connection.exec_driver_sql("ALTER TABLE loose RENAME TO people")
        connection.exec_driver_sql(f"INSERT INTO people VALUES (1, 'n', {value}, NULL)")  # noqa: S608 -- the test's own literals
    with pytest.raises(SerializationError, match="belongs to no mapped class"):
        payloads(engine, 1)


def test_a_class_mapped_later_makes_a_new_codec(engine: Engine) -> None:
    class Local(DeclarativeBase):
        pass

    class Animal(Local):
        __tablename__ = "animals"
        id: Mapped[int] = mapped_column(primary_key=True)
        kind: Mapped[str]
        __mapper_args__ = {"polymorphic_on": "kind", "polymorphic_identity": "animal"}  # noqa: RUF012 -- SQLAlchemy's own way

    before = codec_for(Animal, engine.dialect)
    old = before.encode(Animal(id=1, kind="animal"))

    class Cat(Animal):
        lives: Mapped[int | None]
        __mapper_args__ = {"polymorphic_identity": "cat"}  # noqa: RUF012 -- SQLAlchemy's own way

    after = codec_for(Animal, engine.dialect)
    assert after is not before
    assert after.fingerprint != before.fingerprint
    assert after is codec_for(Cat, engine.dialect)
    assert after.decode(after.encode(Cat(id=1, lives=9)), Animal).lives == 9  # type: ignore[union-attr]
    assert after.decode(old, Animal) is not None, "the layout of Animal itself is the same"


def test_each_concrete_class_is_a_hierarchy_of_its_own() -> None:
    class Local(DeclarativeBase):
        pass

    class Shape(ConcreteBase, Local):
        __tablename__ = "shapes"
        id: Mapped[int] = mapped_column(primary_key=True)
        __mapper_args__ = {"polymorphic_identity": "shape", "concrete": True}  # noqa: RUF012 -- SQLAlchemy's own way

    class Circle(Shape):
        __tablename__ = "circles"
        id: Mapped[int] = mapped_column(primary_key=True)
        radius: Mapped[int]
        __mapper_args__ = {"polymorphic_identity": "circle", "concrete": True}  # noqa: RUF012 -- SQLAlchemy's own way

    codec = codec_for(Circle)
    assert codec.tables == ("circles",)
    copy = codec.decode(codec.encode(Circle(id=1, radius=2)), Circle)
    assert copy is not None
    assert copy.radius == 2
    assert codec.decode(codec.encode(Circle(id=1, radius=2)), Shape) is not None
    with pytest.raises(ModelError, match=r"polymorphic union.*concrete subclasses"):
        codec_for(Shape)


def test_an_abstract_concrete_base_is_refused_and_its_subclasses_are_not() -> None:
    class Local(DeclarativeBase):
        pass

    class Shape(AbstractConcreteBase, Local):
        strict_attrs = True

    class Circle(Shape):
        __tablename__ = "circles"
        id: Mapped[int] = mapped_column(primary_key=True)
        __mapper_args__ = {"polymorphic_identity": "circle", "concrete": True}  # noqa: RUF012 -- SQLAlchemy's own way

    Local.registry.configure()
    assert codec_for(Circle).tables == ("circles",)
    with pytest.raises(ModelError):
        codec_for(Shape)


def test_subclasses_that_nothing_tells_apart_are_refused() -> None:
    class Local(DeclarativeBase):
        pass

    class Animal(Local):
        __tablename__ = "animals"
        id: Mapped[int] = mapped_column(primary_key=True)

    class Cat(Animal):
        __tablename__ = "cats"
        id: Mapped[int] = mapped_column(ForeignKey("animals.id"), primary_key=True)

    with pytest.raises(ModelError, match="no `polymorphic_on`"):
        codec_for(Cat)


def test_a_class_mapped_to_a_join_has_all_its_tables() -> None:
    class Local(DeclarativeBase):
        pass

    left = Table("left", Local.metadata, Column("id", Integer, primary_key=True), Column("a", String))
    right = Table("right", Local.metadata, Column("id", ForeignKey("left.id"), primary_key=True), Column("b", String))

    class Both(Local):
        __table__ = join(left, right)
        id = column_property(left.c.id, right.c.id)

    engine = create_engine("sqlite://")
    Local.metadata.create_all(engine)
    codec = codec_for(Both, engine.dialect)
    assert codec.tables == ("left", "right")
    with engine.begin() as connection:
        connection.execute(left.insert().values(id=1, a="a"))
        connection.execute(right.insert().values(id=1, b="b"))
        both: Any = codec.decode(codec.encode_row(connection.execute(codec.statement([(1,)])).one()), Both)
    engine.dispose()
    assert (both.id, both.a, both.b) == (1, "a", "b")


def test_a_class_mapped_to_a_select_is_refused() -> None:
    class Local(DeclarativeBase):
        pass

    table = Table("things", Local.metadata, Column("id", Integer, primary_key=True))

    class View(Local):
        __table__ = select(table).subquery()
        __mapper_args__ = {"primary_key": [__table__.c.id]}  # noqa: RUF012 -- SQLAlchemy's own way

    with pytest.raises(ModelError, match="not to a table"):
        codec_for(View)


def test_the_base_table_has_its_schema_in_its_name() -> None:
    class Local(DeclarativeBase):
        pass

    class Thing(Local):
        __tablename__ = "things"
        __table_args__ = {"schema": "shop"}  # noqa: RUF012 -- SQLAlchemy's own way
        id: Mapped[int] = mapped_column(primary_key=True)

    assert codec_for(Thing).table == "shop.things"
    assert base_table_name(Thing.__mapper__) == "shop.things"
    assert base_table_name(Chief.__mapper__) == "people"
