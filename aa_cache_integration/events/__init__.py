"""What a cache tells of itself: the event, its names, and who is told."""

from __future__ import annotations

from aa_cache_integration.events.hooks import Emitter, HookFactory, get_hooks, set_hooks
from aa_cache_integration.events.logs import hook_for
from aa_cache_integration.events.model import (
    BYPASS,
    DEGRADED,
    FIELDS,
    FILL,
    HIT,
    INVALIDATE,
    LEVELS,
    MISS,
    RECOVERED,
    REJECTED,
    CacheEvent,
    EventHook,
)

__all__ = (
    "BYPASS",
    "DEGRADED",
    "FIELDS",
    "FILL",
    "HIT",
    "INVALIDATE",
    "LEVELS",
    "MISS",
    "RECOVERED",
    "REJECTED",
    "CacheEvent",
    "Emitter",
    "EventHook",
    "HookFactory",
    "get_hooks",
    "hook_for",
    "set_hooks",
)
