"""Which commands a Redis server is sent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    import redis

__all__ = ("Counted", "commands_counter")

Counted = dict[str, int]

_CALLED_BY_SCRIPTS: Final = frozenset({"get", "set", "del", "time", "pttl", "pexpire"})
_HOUSEKEEPING: Final = frozenset({"info", "config|resetstat", "client|setinfo", "hello", "client|maint_notifications"})


def commands_counter(client: redis.Redis) -> Callable[[], Counted]:
    """Return what tells which commands clients have sent since it was asked last; what scripts call inside the server isn't among them."""

    def counts() -> Counted:
        found: dict[str, Any] = client.info("commandstats")  # type: ignore[assignment]
        client.config_resetstat()
        calls = {name.partition("_")[2]: stats["calls"] for name, stats in found.items()}
        return {name: count for name, count in calls.items() if name not in _CALLED_BY_SCRIPTS | _HOUSEKEEPING}

    counts()
    return counts
