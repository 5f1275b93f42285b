"""A second-level cache for SQLAlchemy: declared in settings, transparent, told in structured logs, never wrong.

Importing this package has no side effect and loads nothing heavy: each name is imported when it is first asked for. Importing
`aa_cache_integration.apps` wires it.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from aa_cache_integration.codecs.json import default_deserializer, default_serializer
    from aa_cache_integration.config import CacheConfig
    from aa_cache_integration.exceptions import (
        BackendError,
        BindError,
        CacheError,
        CommitRefusedError,
        ConfigurationError,
        IdentityError,
        MissingDependencyError,
        ModelError,
        SerializationError,
        SettingsError,
        StoreUnavailableError,
        UnknownCacheError,
    )
    from aa_cache_integration.manager import CacheManager
    from aa_cache_integration.orm.listeners import setup_cache_listeners
    from aa_cache_integration.registry import CacheRegistry, caches
    from aa_cache_integration.stores.null import DOGPILE_CACHE_INSTALLED, NullRegion, SyncCacheRegionProtocol

__version__ = "0.1.0"

__all__ = (
    "DOGPILE_CACHE_INSTALLED",
    "BackendError",
    "BindError",
    "CacheConfig",
    "CacheError",
    "CacheManager",
    "CacheRegistry",
    "CommitRefusedError",
    "ConfigurationError",
    "IdentityError",
    "MissingDependencyError",
    "ModelError",
    "NullRegion",
    "SerializationError",
    "SettingsError",
    "StoreUnavailableError",
    "SyncCacheRegionProtocol",
    "UnknownCacheError",
    "caches",
    "default_deserializer",
    "default_serializer",
    "setup_cache_listeners",
)

_HOMES = {
    "CacheConfig": "config",
    "CacheManager": "manager",
    "CacheRegistry": "registry",
    "DOGPILE_CACHE_INSTALLED": "stores.null",
    "NullRegion": "stores.null",
    "SyncCacheRegionProtocol": "stores.null",
    "caches": "registry",
    "default_deserializer": "codecs.json",
    "default_serializer": "codecs.json",
    "setup_cache_listeners": "orm.listeners",
}
"""Where each name lives; the others are exceptions."""


def __getattr__(name: str) -> Any:
    """Import a public name from its home."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home = importlib.import_module(f"{__name__}.{_HOMES.get(name, 'exceptions')}")
    value = globals()[name] = getattr(home, name)
    return value


def __dir__() -> list[str]:
    """List the public names."""
    return [*__all__, "__version__"]
