"""Writes that were made outside of SQLAlchemy, told by the application: `CacheRegistry.invalidate` and its fellows (DESIGN 6)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

from sqlalchemy import Table

from aa_cache_integration.codecs.build import mapper_of
from aa_cache_integration.codecs.family import members_of, root_of
from aa_cache_integration.codecs.identity import base_table_name, identity_of, normalize
from aa_cache_integration.codecs.registered import only_mapper_of
from aa_cache_integration.exceptions import IdentityError, ModelError, UnknownCacheError
from aa_cache_integration.orm import binding, commit, named
from aa_cache_integration.orm.cascades import changed_by_the_database, namesakes
from aa_cache_integration.orm.changes import ChangeSet, Pending, Write
from aa_cache_integration.orm.managers import managers_of
from aa_cache_integration.orm.spellings import Believed
from aa_cache_integration.pauses import Cover

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Dialect
    from sqlalchemy.orm import Mapper

    from aa_cache_integration.manager import CacheManager

__all__ = ("anything", "asettle", "covers", "rows", "settle", "tables")


def rows(model_class: Any, idents: tuple[Any, ...], bind_group: str | None) -> Write:
    """Return the write of these rows, and of what the database changes with them.

    Args:
        model_class: The mapped class.
        idents: Primary keys.
        bind_group: The group of the database.

    Raises:
        ModelError: The class isn't mapped.
        IdentityError: There is no key, or one of the wrong shape or type.
    """
    mapper = mapper_of(model_class)
    if not idents:
        raise IdentityError(f"invalidate({model_class.__name__}) names no row: give primary keys, or use invalidate_table")
    found = frozenset(identity_of(mapper, ident) for ident in idents)
    own = {table for member in members_of(root_of(mapper)) for table in member.tables if isinstance(table, Table)}
    caused = {other for table in own for set_ in (None, frozenset(table.columns.keys())) for other in changed_by_the_database(table, set_)}
    kept = list(binding.dialects_of(bind_group))
    are_exact = all(_is_exact(mapper, ident, kept) for ident in idents)
    caused |= {table for table in own if not are_exact or only_mapper_of(table) is None}
    bulk = frozenset(table.fullname for table in caused) | namesakes(own)
    return Write(frozenset(table.fullname for table in own) | bulk, bulk, {base_table_name(mapper): found})


def _is_exact(mapper: Mapper[Any], ident: Any, kept: list[Dialect]) -> bool:
    """Whether a key means one row, however it is spelled; where no engine is bound, nobody knows what its database takes for equal.

    Args:
        mapper: The mapper of the row.
        ident: The primary key.
        kept: The dialects of the databases in which it may be kept.
    """
    values = normalize(mapper, ident)
    if not kept:
        return all(type(value) is int or isinstance(value, UUID) for value in values)
    columns = mapper.primary_key
    return all(Believed.of(column.type, one).holds(value) for one in kept for column, value in zip(columns, values, strict=True))


def tables(names: tuple[Any, ...]) -> Write:
    """Return the write of whole tables, and of what the database changes with them.

    Args:
        names: Table names, tables or mapped classes.

    Raises:
        ModelError: It names something else, or nothing.
    """
    if not names:
        raise ModelError("invalidate_table() names no table: give table names, tables or mapped classes")
    return named.written_as_declared(names)


def anything() -> Write:
    """Return the write of nobody knows what."""
    return Write(unknown=True)


def _groups(bind_group: str | None) -> Iterator[tuple[CacheManager, str | None]]:
    """Yield each manager of a bind group, with the group and those of its databases in memory.

    Raises:
        UnknownCacheError: No cache serves the group.
    """
    managers = list(managers_of(bind_group))
    if not managers:
        raise UnknownCacheError(f"no cache serves the bind group {bind_group!r}, so there is nothing to tell")
    for manager in managers:
        for group in (bind_group, *(group for group in manager.planner.groups if group and group.startswith(f"{bind_group or ''}#"))):
            yield manager, group


def covers(bind_group: str | None) -> list[Cover]:
    """Return what must be paused for a bind group.

    Raises:
        UnknownCacheError: No cache serves the group.
    """
    return [Cover(manager, group) for manager, group in _groups(bind_group)]


def _pending(write: Write, bind_group: str | None) -> list[Pending]:
    changes = ChangeSet()
    changes.add(write)
    found: list[Pending] = []
    for manager, group in _groups(bind_group):
        announcement = changes.announcement(manager.planner, group, manager.config.bulk_threshold)
        if announcement is not None:
            found.append(Pending(manager, announcement, changes, group, op="invalidate"))
    return found


def settle(write: Write, bind_group: str | None) -> None:
    """Tell every cache of a bind group of a write that is committed.

    Raises:
        UnknownCacheError: No cache serves the group.
    """
    waiting = _pending(write, bind_group)
    try:
        while waiting:
            announcement = waiting[0].announcement
            commit.perform(waiting[0].manager, lambda protocol, due=announcement: protocol.settle(due), held=True)  # type: ignore[misc]
            commit.tell(waiting.pop(0))
    finally:
        _owe(waiting)


async def asettle(write: Write, bind_group: str | None) -> None:
    """See `settle`."""
    waiting = _pending(write, bind_group)
    try:
        while waiting:
            await waiting[0].manager.async_operations().protocol.settle(waiting[0].announcement)
            commit.tell(waiting.pop(0))
    finally:
        _owe(waiting)


def _owe(waiting: list[Pending]) -> None:
    """Owe what wasn't told, because an interrupt or a cancellation came between."""
    for item in waiting:
        item.manager.operations().state.debts.owe(item.announcement)
