"""Importing this module wires the cache into SQLAlchemy: the settings are read and checked, the global listeners installed."""

from __future__ import annotations

from aa_cache_integration.orm import listeners
from aa_cache_integration.registry import caches, registries

__all__ = ("ready", "shutdown")


def ready() -> None:
    """Read the settings and wire; runs when this module is imported. Idempotent and thread-safe, opens no connection.

    Raises:
        SettingsError: The settings hold problems; all of them are named.
    """
    caches.load()
    listeners.setup_cache_listeners()


def shutdown() -> None:
    """Unwire, and close every connection of the declared caches; `ready` wires again."""
    listeners.remove_cache_listeners()
    for registry in registries():
        registry.close()


ready()
