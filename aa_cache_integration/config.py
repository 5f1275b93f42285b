"""What one cache is told: a plain dataclass, whether it comes from settings or from code."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ("CacheConfig", "LoggingConfig", "ModelConfig", "validate")


@dataclass(frozen=True)
class LoggingConfig:
    """The ``[logging]`` table: where this package's own log goes, and how it looks."""

    format: Literal["json", "console"] = "json"
    """One JSON object a line, or coloured text for people."""
    level: Literal["debug", "info", "warning", "error"] = "info"
    """The least level that is written; hits and misses are told at ``"debug"``."""
    file: str | None = None
    """Path of the log file, relative to the settings file's folder; ``None``: standard error."""


@dataclass(frozen=True)
class ModelConfig:
    """What is declared of one table, under ``models.<table>``."""

    ops: tuple[Literal["get", "query"], ...] = ("get", "query")
    """What is cached transparently: ``"get"`` (by primary key), ``"query"`` (by statement)."""
    expiration_time: int | None = None
    """Seconds that a value of this table lives; ``None``: the cache's own, ``-1``: for ever."""
    negative_ttl: int | None = None
    """Seconds that a cached "does not exist" lives; ``None``: the cache's own."""
    also_changes: tuple[str, ...] = ()
    """Tables that the database itself changes with this one (triggers)."""
    depends_on: tuple[str, ...] = ()
    """Tables that this one, a view, reads."""


@dataclass
class CacheConfig:
    """Configuration of one cache.

    The first eight fields, their order and their meaning are those of ``advanced_alchemy.cache.CacheConfig``.

    Example:
        A memory cache::

            config = CacheConfig(backend="dogpile.cache.memory", expiration_time=300)

        Redis::

            config = CacheConfig(
                backend="dogpile.cache.redis",
                expiration_time=3600,
                arguments={"host": "localhost", "port": 6379, "db": 0},
            )
    """

    backend: str = "dogpile.cache.null"
    """dogpile.cache's name of the backend: ``dogpile.cache.memory``, ``dogpile.cache.redis``, …"""
    expiration_time: int = 3600
    """Seconds that a value lives. ``0``: nothing is kept. ``-1``: for ever."""
    arguments: dict[str, Any] = field(default_factory=dict, repr=False)
    """The backend's own arguments, under dogpile.cache's names. Not in the ``repr``: passwords may be among them."""
    key_prefix: str = "aa:"
    """What every key begins with; caches with the same prefix, group and server share their entries."""
    enabled: bool = True
    """``False``: reads and fills bypass the cache; invalidations still go out to the processes that share it."""
    serializer: Callable[[Any], bytes] | None = None
    """Instance → bytes, in place of the internal codec; ``default_serializer`` where only a deserializer is given.

    In settings: a dotted path, as for the next two.
    """
    deserializer: Callable[[bytes, type[Any]], Any] | None = None
    """(bytes, model class) → instance; ``default_deserializer`` where only a serializer is given."""
    region_factory: Callable[[CacheConfig], Any] | None = None
    """Builds the region (an object with dogpile's ``get``/``set``/``delete``) in place of dogpile.cache."""

    bind_group: str | None = field(default=None, kw_only=True)
    """The database, shard or replica set this cache serves; ``None``: the default group."""
    models: Mapping[str, ModelConfig] = field(default_factory=dict, kw_only=True)
    """Declarations by table name; globs allowed (``catalog_*``)."""
    max_entries: int | None = field(default=100_000, kw_only=True)
    """Entries that the memory backend holds before it evicts the least recently used; ``None``: no bound."""
    jitter: float = field(default=0.0, kw_only=True)
    """Fraction (0 to 1) by which an entry's time to live is shortened at random, so that not all expire together."""
    negative_ttl: int | None = field(default=60, kw_only=True)
    """Seconds that a cached "does not exist" lives; ``None``: as long as a value; ``0``: not cached."""
    consistency: Literal["strict", "eventual"] = field(default="strict", kw_only=True)
    """``"eventual"`` puts no write intents before COMMIT: one round trip less, and stale hits between COMMIT and settle."""
    write_intent_timeout: float = field(default=30.0, kw_only=True)
    """Seconds after which the intents of a writer that never settled count no more; longer than any COMMIT."""
    lease_timeout: float = field(default=10.0, kw_only=True)
    """Seconds that a reader's right to fill a cell lasts."""
    lease_wait: float = field(default=2.0, kw_only=True)
    """Seconds that a reader waits for another reader's fill before it asks the database itself."""
    unreachable_commit: Literal["proceed", "refuse"] = field(default="proceed", kw_only=True)
    """What a COMMIT does whose intents can't be put: go on and owe the invalidation, or roll back and raise."""
    snapshot_reads: Literal["relaxed", "exact"] = field(default="relaxed", kw_only=True)
    """``"exact"``: no hit in a REPEATABLE READ transaction before its snapshot is taken."""
    intent_loss_guard: bool = field(default=False, kw_only=True)
    """Close the gap that a store leaves which loses standing write intents, at the price of fewer fills."""
    clock_skew: float = field(default=0.1, kw_only=True)
    """Seconds by which the clocks of this process and of the store may drift apart."""
    bulk_threshold: int = field(default=1000, kw_only=True)
    """Changed rows of one table above which a transaction announces the whole table."""
    untracked: tuple[str, ...] = field(default=(), kw_only=True)
    """Tables (globs) whose writes are not announced, and that therefore can't be cached."""
    max_threads: int = field(default=40, kw_only=True)
    """Threads that await blocking clients and creators; also the size of a network client's pool."""
    signing_keys: tuple[str, ...] = field(default=(), kw_only=True, repr=False)
    """Secrets that authenticate every payload (keyed BLAKE2): the first signs, all verify."""


def validate(config: CacheConfig) -> list[str]:
    """Check the types and ranges of a configuration that was built in code.

    Args:
        config: The configuration; it isn't changed, nothing is imported and nothing is connected.

    Returns:
        One line for each problem, ``[]`` when there is none.
    """
    from aa_cache_integration import _validation  # noqa: PLC0415 - its rules are written about the classes above

    return _validation.validate(config)
