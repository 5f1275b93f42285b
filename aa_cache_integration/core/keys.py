"""How every key is written. No two distinct things share one.

::

    {prefix}{model}:get:{id}                      an entity of the default group
    {prefix}{model}:{group}:get:{id}              an entity of another group
    {prefix}{model}:{group}:get:{id}:{vary}       the same, as one kind of connection sees it
    {prefix}{key}                                 a plain key or list of the default group
    {prefix}@{group}:{key}                        … of another group, or a key that reads like one of the others here
    {prefix}~namespace                            the record that everything under the prefix depends on
    {prefix}~{group}:namespace                    the record that everything of a group depends on
    {prefix}~{group}:bulk:{table}                 renewed by writes whose rows aren't known
    {prefix}~{group}:rows:{table}                 renewed by every write

Parts are escaped, so a ``:`` is always a border, and the parts of a composite identity are joined by ``,``. A plain key and a list that the
application gives one name are one thing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ("Keys",)

_ESCAPES = str.maketrans({"%": "%25", ":": "%3A", ",": "%2C"})


def _part(text: str) -> str:
    return text.translate(_ESCAPES)


def _first(text: str) -> str:
    """Escape what stands directly after the prefix: ``@`` and ``~`` have a meaning there."""
    part = _part(text)
    return f"%{ord(part[0]):02X}{part[1:]}" if part.startswith(("@", "~")) else part


class Keys:
    """The keys of one bind group under one prefix."""

    __slots__ = ("_plain", "_record", "group", "namespace", "namespaces", "prefix")

    def __init__(self, prefix: str, group: str | None) -> None:
        """Fix what all keys of the group have in common.

        Args:
            prefix: What every key begins with.
            group: The bind group; ``None`` is the default one.
        """
        self.prefix = prefix
        self.group = group
        self._record = f"{prefix}~{_part(group or '')}:"
        self._plain = f"{prefix}@{_part(group or '')}:"
        self.namespace = f"{self._record}namespace"
        self.namespaces = (f"{prefix}~namespace", self.namespace)

    def entity(self, model: str, identity: Sequence[str], vary: str = "") -> str:
        """Return the cell of an entity.

        Args:
            model: The base table of the mapper, with its schema when it has one.
            identity: The canonical text of each primary-key value.
            vary: What the connection's state adds, if anything.
        """
        ident = ",".join(_part(value) for value in identity)
        if vary:
            return f"{self.prefix}{_first(model)}:{_part(self.group or '')}:get:{ident}:{_part(vary)}"
        if self.group is None:
            return f"{self.prefix}{_first(model)}:get:{ident}"
        return f"{self.prefix}{_first(model)}:{_part(self.group)}:get:{ident}"

    def plain(self, key: str) -> str:
        """Return the cell of a key that the application chose."""
        if self.group is None and not key.startswith(("@", "~")) and ":get:" not in key:
            return self.prefix + key
        return self._plain + key

    def bulk(self, table: str) -> str:
        """Return the record renewed by writes on a table whose rows aren't known."""
        return f"{self._record}bulk:{_part(table)}"

    def rows(self, table: str) -> str:
        """Return the record renewed by every write on a table."""
        return f"{self._record}rows:{_part(table)}"
