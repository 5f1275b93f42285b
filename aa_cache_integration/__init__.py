"""A second-level cache for SQLAlchemy: declared in settings, transparent, told in structured logs, never wrong.

Importing this package has no side effect; importing `aa_cache_integration.apps` wires it.
"""

from __future__ import annotations

from aa_cache_integration.codecs.json import default_deserializer, default_serializer
from aa_cache_integration.config import CacheConfig, ModelConfig
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
from aa_cache_integration.manager import DOGPILE_CACHE_INSTALLED, CacheManager
from aa_cache_integration.registry import CacheRegistry, caches, wire
from aa_cache_integration.stores.null import NullRegion, SyncCacheRegionProtocol

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
    "ModelConfig",
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


def setup_cache_listeners() -> None:
    """Register the listeners that see every write, on all engines and sessions; idempotent, opens no connection."""
    wire()
