"""Which managers a write must be told to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aa_cache_integration.manager import live_managers
from aa_cache_integration.registry import registries

if TYPE_CHECKING:
    from collections.abc import Iterable

    from aa_cache_integration.manager import CacheManager

__all__ = ("managers_of",)


def managers_of(group: str | None) -> Iterable[CacheManager]:
    """Return every manager that a write in this group must be told to: the declared, the live, and those used for the group.

    A declared one is built for it, for a process that only writes must tell the others' cache too. A registry that nobody has loaded
    isn't read in the middle of a commit.
    """
    declared = (group or "").partition("#")[0] or None
    loaded = (registry for registry in registries() if registry.is_loaded)
    found = {id(manager): manager for registry in loaded for manager in registry.managers_for_group(declared)}
    for manager in live_managers():
        if group == manager.config.bind_group or group in manager.planner.groups:
            found[id(manager)] = manager
    return found.values()
