"""Which values of a primary key are one key for the database exactly where they are one here (DESIGN 6)."""

from __future__ import annotations

import enum
import uuid
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import Date, Enum, Integer, TypeDecorator, Uuid

from aa_cache_integration.codecs import dialects

if TYPE_CHECKING:
    from sqlalchemy import Dialect

__all__ = ("Believed", "in_dialect", "is_sqlalchemys", "is_text")

_PLAIN_TEXTS: Final = frozenset({"string", "text", "unicode", "unicode_text", "enum", "VARCHAR", "NVARCHAR", "TEXT", "CLOB"})
"""``CHAR`` pads; ``CITEXT`` and ``INET`` may give back what they didn't get."""


def is_text(value: Any) -> bool:
    """Whether a value is a text for the database and here."""
    return isinstance(value, str) and not isinstance(value, enum.Enum)


def is_sqlalchemys(kind: Any) -> bool:
    """Whether a type is SQLAlchemy's own, and none of the application's."""
    return type(kind).__module__.startswith("sqlalchemy.")


def in_dialect(declared: Any, dialect: Dialect) -> Any:
    """Return the type that a column has in one kind of database: ``with_variant``."""
    return declared._variant_mapping.get(dialect.name, declared)  # noqa: SLF001 - has no public reader


@dataclass(frozen=True)
class Believed:
    """The values of one column of which equal ones are one key, and unequal ones are not."""

    kinds: frozenset[type]
    """Their types. A number that is compared with a text isn't among them: some databases compare the two as numbers."""
    declared: Any
    """The column's type."""
    dialect: Dialect
    is_plain: bool
    """Whether no code of the application's own makes another value of it."""

    @classmethod
    def of(cls, declared: Any, dialect: Dialect) -> Believed:
        """Return what is believed of a column of this type."""
        is_plain = all(map(is_sqlalchemys, (declared, in_dialect(declared, dialect))))
        return cls(frozenset(_kinds(declared, dialect)), declared, dialect, is_plain)

    def holds(self, value: Any) -> bool:
        """Whether this is one of the values."""
        if isinstance(value, (enum.Enum, uuid.UUID)):
            return any(issubclass(kind, (enum.Enum, uuid.UUID)) and isinstance(value, kind) for kind in self.kinds)
        # A bool is an int for Python, and a datetime a date.
        return (str if is_text(value) else type(value)) in self.kinds and (self.is_plain or self._is_given_alike(value))

    def _is_given_alike(self, value: Any) -> bool:
        """Whether a type of the application's own gives this database the value by which cells are named, which go by no database."""
        try:
            named, given = (_given(self.declared, dialect, value) for dialect in (dialects.named(dialects.DEFAULT), self.dialect))
            return bool(type(named) is type(given) and named == given)
        except Exception:  # noqa: BLE001 - code of the application's types
            return False


def _kinds(declared: Any, dialect: Dialect) -> set[type]:
    kind = in_dialect(declared, dialect)
    if kind._has_bind_expression or kind._has_column_expression:  # noqa: SLF001 - SQL that makes another value of it
        return set()
    stored = declared._unwrapped_dialect_impl(dialect)  # noqa: SLF001 - a decorator's choice for this database; has no public reader
    known: tuple[tuple[type, Any], ...] = ((int, Integer), (date, Date), (uuid.UUID, (Uuid, TypeDecorator)))
    found: set[type] = {value for value, types in known if isinstance(stored, types) or isinstance(kind, types)}
    if isinstance(stored, Enum) and ((stored.native_enum and dialect.supports_native_enum) or not _folds(stored.collation, dialect)):
        found.add(enum.Enum)
    return found | {str} if _is_plain_text(kind, dialect) else found


def _is_plain_text(declared: Any, dialect: Dialect) -> bool:
    """Whether the database gives a text back as it got it, and takes no two spellings for one."""
    kind = in_dialect(declared, dialect)
    if isinstance(kind, TypeDecorator):
        return _is_plain_text(kind.load_dialect_impl(dialect), dialect)
    return is_sqlalchemys(kind) and kind.__visit_name__ in _PLAIN_TEXTS and not _folds(kind.collation, dialect)


def _folds(collation: str | None, dialect: Dialect) -> bool:
    """Whether a collation takes several spellings for one: of another case, or with blanks behind."""
    if dialect.name in {"mysql", "mariadb"}:
        return collation is None or not (collation.lower() == "binary" or collation.lower().endswith("nopad_bin"))
    if collation is None:
        return dialect.name not in {"postgresql", "sqlite", "oracle"}
    return collation.upper() not in {"BINARY", "C", "POSIX", "UCS_BASIC"}


def _given(declared: Any, dialect: Dialect, value: Any) -> Any:
    """Return what code of the application's own makes of a value on its way to a database."""
    kind = in_dialect(declared, dialect)
    while isinstance(kind, TypeDecorator):
        if type(kind).process_bind_param is not TypeDecorator.process_bind_param:
            value = kind.process_bind_param(value, dialect)
        kind = in_dialect(kind.impl, dialect)
    processor = None if is_sqlalchemys(kind) else kind.bind_processor(dialect)
    return value if processor is None else processor(value)
