"""Dialects by the name that payloads carry: ``postgresql+psycopg``, or ``default`` for SQLAlchemy's default dialect."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING

from sqlalchemy.engine.default import DefaultDialect
from sqlalchemy.engine.url import make_url
from sqlalchemy.exc import ArgumentError, InvalidRequestError

from aa_cache_integration.exceptions import SerializationError

if TYPE_CHECKING:
    from sqlalchemy import Dialect

__all__ = ("DEFAULT", "name_of", "named")

DEFAULT = "default"
_NAME = re.compile(r"\w{1,60}(\+\w{1,60})?", re.ASCII)


def name_of(dialect: Dialect) -> str:
    """Return the name of a dialect and its driver."""
    driver = getattr(dialect, "driver", None)
    return f"{dialect.name}+{driver}" if driver else dialect.name


@lru_cache(maxsize=64)
def named(name: str) -> Dialect:
    """Return a dialect by name, from SQLAlchemy's registry; no driver is imported.

    Raises:
        SerializationError: There is no such dialect here.
    """
    if name == DEFAULT:
        return DefaultDialect()
    if not _NAME.fullmatch(name):
        raise SerializationError(f"the payload's dialect has the malformed name {name!r}")
    try:
        return make_url(f"{name}://").get_dialect()()
    except (ArgumentError, InvalidRequestError, ImportError) as error:
        raise SerializationError(f"the payload is of the dialect {name!r}, which isn't installed here") from error
