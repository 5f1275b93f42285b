"""The Redis server that ``--redis`` names: whether it answers, and taking our keys away again."""

from __future__ import annotations

import contextlib
from urllib.parse import urlsplit

__all__ = ("UnreachableError", "check", "described", "remove_keys")


class UnreachableError(Exception):
    """The URL can't be used; the message says why."""


def described(url: str) -> str:
    """Return the URL without what is secret in it."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return "URL"
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def check(url: str) -> None:
    """See that the server answers.

    Raises:
        UnreachableError: It doesn't, or the URL isn't one of Redis.
    """
    try:
        import redis  # noqa: PLC0415 - only --redis needs it
    except ImportError as error:
        raise UnreachableError('--redis needs redis-py: pip install "aa-cache-integration[redis]"') from error
    try:
        with redis.Redis.from_url(url, socket_timeout=3, socket_connect_timeout=3) as client:
            client.ping()
    except (redis.RedisError, ValueError, OSError) as error:
        raise UnreachableError(f"--redis {described(url)} can't be used: {error}") from error


def remove_keys(url: str, prefix: str) -> None:
    """Delete every key that begins with the prefix; nothing else on the server is touched.

    Keys of a server that is gone meanwhile stay until they expire, as all of the cache's do.
    """
    import redis  # noqa: PLC0415 - only --redis needs it

    with contextlib.suppress(redis.RedisError), redis.Redis.from_url(url, socket_timeout=10) as client:
        keys = list(client.scan_iter(match=f"{prefix}*", count=1000))
        for start in range(0, len(keys), 1000):
            client.unlink(*keys[start : start + 1000])
