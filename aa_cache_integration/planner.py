"""Which cell a thing has and which records it depends on (DESIGN 5.2): known to readers and writers alike, so written once."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, TypeVar

from aa_cache_integration.codecs.identity import base_table_name, find_mapper, identity_of
from aa_cache_integration.codecs.mapper import codec_for
from aa_cache_integration.config import ModelConfig
from aa_cache_integration.core.keys import Keys
from aa_cache_integration.core.plans import Plan
from aa_cache_integration.exceptions import IdentityError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from aa_cache_integration.codecs.mapper import EntityCodec
    from aa_cache_integration.config import CacheConfig

__all__ = ("Planner",)

T = TypeVar("T")

_UNDECLARED = ModelConfig()
_MOST_NAMES = 10_000


class Planner:
    """The cells and records of one manager."""

    def __init__(self, config: CacheConfig) -> None:
        """Plan by these settings."""
        self._config = config
        self._keys: dict[str | None, Keys] = {}
        self._models: dict[str, ModelConfig] = {}
        self._untracked: dict[str, bool] = {}

    @property
    def groups(self) -> tuple[str | None, ...]:
        """The bind groups that this manager has been used for in this process, its own among them."""
        return tuple({self._config.bind_group, *self._keys})

    def keys(self, group: str | None) -> Keys:
        """Return the keys of a bind group.

        Args:
            group: The group; ``None`` is the manager's own.
        """
        group = group or self._config.bind_group or None
        found = self._keys.get(group)
        if found is None:
            found = self._keys[group] = Keys(self._config.key_prefix, group)
        return found

    def model(self, table: str) -> ModelConfig:
        """Return what is declared of a table: by its name first, then by the first glob that fits, then by one that differs in case."""
        found = self._models.get(table)
        if found is None:
            declared = self._config.models
            globs = (config for glob, config in declared.items() if fnmatchcase(table, glob))
            folded = (config for glob, config in declared.items() if fnmatchcase(table.casefold(), glob.casefold()))
            found = declared.get(table) or next(globs, None) or next(folded, _UNDECLARED)
            _keep(self._models, table, found)
        return found

    def caused(self, tables: Iterable[str]) -> set[str]:
        """Return the tables that the database is declared to change by itself when these are written, over any depth; of these perhaps too.

        What is written to a view is written to what it reads.
        """
        found: set[str] = set()
        waiting = list(dict.fromkeys(tables))
        seen = set(waiting)
        while waiting:
            model = self.model(waiting.pop())
            found.update(model.also_changes, model.depends_on)
            waiting.extend(found - seen)
            seen |= found
        return found

    def depends_on(self, tables: Iterable[str]) -> tuple[str, ...]:
        """Return the tables and, for those that are views, all that they are declared to read, over any depth."""
        found = dict.fromkeys(tables)
        waiting = list(found)
        while waiting:
            read = [table for table in self.model(waiting.pop()).depends_on if table not in found]
            found.update(dict.fromkeys(read))
            waiting.extend(read)
        return tuple(found)

    def untracked(self, table: str) -> bool:
        """Whether a table's writes aren't announced, so that nothing of it can be cached."""
        found = self._untracked.get(table)
        if found is None:
            found = any(fnmatchcase(table, glob) for glob in self._config.untracked)
            _keep(self._untracked, table, found)
        return found

    def plain(self, key: str) -> Plan:
        """Plan a key that the application chose: it depends on the namespaces alone."""
        keys = self.keys(None)
        _check_name("key", key)
        return Plan(keys.plain(key), keys.namespaces, len(keys.namespaces), bind_group=keys.group)

    def listing(self, key: str, model_classes: Iterable[type[Any]], group: str | None) -> Plan:
        """Plan a list of rows under a key that the application chose: it depends on every write to their tables."""
        keys = self.keys(group)
        _check_name("key", key)
        codecs = [codec_for(model_class) for model_class in model_classes]
        tables = self.depends_on(table for codec in codecs for table in (*codec.tables, *codec.read_tables))
        records = (*keys.namespaces, *(keys.rows(table) for table in tables))
        model = codecs[0].table if codecs else None
        return Plan(keys.plain(key), records, len(records), model, keys.group)

    def entity(self, model_name: str, entity_id: Any, model_class: type[Any], group: str | None, vary: str = "") -> Plan:
        """Plan one row.

        A ``model_name`` that isn't a table of the class names a cell of the application's own making: the tracking of writes doesn't
        know it, so it depends on every write to the tables.

        Raises:
            ModelError: The class isn't mapped, or has a column that no cache may hold.
            IdentityError: The key has the wrong shape or type.
        """
        codec = codec_for(model_class)
        _check_name("model_name", model_name)
        known = model_name in codec.tables
        ident = identity_of(model_class if known else None, entity_id)
        return self.row(codec, ident, group, vary=vary, name=None if known else model_name)

    def row(self, codec: EntityCodec, ident: tuple[str, ...], group: str | None, *, vary: str = "", name: str | None = None) -> Plan:
        """Plan one row whose identity is written already.

        Args:
            codec: The codec of its mapper.
            ident: The canonical text of its primary key.
            group: The bind group; ``None`` is the manager's own.
            vary: What the connection's state adds. Writers can't know it, so such a cell depends on every write to the tables.
            name: A name of the application's own for the cell, in place of the table.
        """
        keys = self.keys(group)
        read = self.depends_on((*codec.tables, *codec.read_tables))
        others = [table for table in read if table not in codec.tables or table in codec.read_tables]
        rows = tuple(keys.rows(table) for table in codec.tables)
        records = (*keys.namespaces, *(keys.bulk(table) for table in codec.tables), *(keys.rows(table) for table in others))
        cell = keys.entity(name or codec.table, ident, vary)
        required = len(records) + (len(rows) if vary or name else 0)
        return Plan(cell, (*records, *rows), required, codec.table, keys.group)

    def version(self, model_name: str, group: str | None) -> tuple[str, ...]:
        """Return the records that change with a table: first its own, which an unknown name has too; those it reads; the namespaces."""
        _check_name("model_name", model_name)
        keys = self.keys(group)
        return (*(keys.rows(table) for table in self.depends_on([model_name])), *keys.namespaces)

    def cell(self, model_name: str, entity_id: Any, group: str | None) -> str:
        """Return an entity's cell when only its name is known: a table's, or one of the application's own.

        Raises:
            IdentityError: The key has the wrong shape or type.
        """
        _check_name("model_name", model_name)
        mapper = find_mapper(model_name)
        ident = identity_of(mapper, entity_id)
        return self.keys(group).entity(model_name if mapper is None else base_table_name(mapper), ident)


def _keep(known: dict[str, T], name: str, value: T) -> None:
    """Keep what was found for a name, but not for ever: text may name tables that are made and dropped."""
    if len(known) > _MOST_NAMES:
        known.clear()
    known[name] = value


def _check_name(argument: str, name: object) -> None:
    if isinstance(name, str):
        try:
            name.encode()
        except UnicodeEncodeError as error:
            raise IdentityError(f"{argument} {name!r} has no UTF-8 form, so it can't be part of a key") from error
    else:
        raise IdentityError(f"{argument} must be a string, not {name!r} ({type(name).__name__})")
