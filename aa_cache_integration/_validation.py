"""What every setting may be, and the configurations that come of settings in which nothing is wrong."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import fields, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from aa_cache_integration._layers import Report, nearest, written
from aa_cache_integration._lookup import check_backend, imported
from aa_cache_integration.config import CacheConfig, LoggingConfig, ModelConfig

if TYPE_CHECKING:
    from collections.abc import Callable

    from aa_cache_integration._layers import Path as Where

__all__ = ("build_caches", "build_logging", "validate")

DOTTED: Final = ("serializer", "deserializer", "region_factory")
"""Fields that hold a callable; in settings, the dotted path of one."""


def validate(config: CacheConfig) -> list[str]:
    """Check the types and ranges of a configuration that was built in code.

    Args:
        config: The configuration; it isn't changed, nothing is imported and nothing is connected.

    Returns:
        One line for each problem, ``[]`` when there is none.
    """
    report = Report()
    _check_cache(report, (), _unfolded(config))
    for name, declared in config.models.items() if isinstance(config.models, Mapping) else ():
        if isinstance(declared, Mapping):
            report.add(("models", str(name)), "expected a ModelConfig", declared)
    return report.problems


class _Rule(NamedTuple):
    """One field: the words for what it takes, the test, and the form it is kept in."""

    expected: str
    accepts: Callable[[Any], bool]
    convert: Callable[[Any], Any] = lambda value: value
    choices: tuple[str, ...] = ()


def _is_int(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _or_none(rule: _Rule) -> _Rule:
    return rule._replace(
        expected=f'{rule.expected}, or none (written "@none")',
        accepts=lambda value: value is None or rule.accepts(value),
        convert=lambda value: None if value is None else rule.convert(value),
    )


def _whole(least: int, unit: str) -> _Rule:
    return _Rule(f"expected an integer of {least} or more ({unit})", lambda value: _is_int(value) and value >= least)


def _real(words: str, within: Callable[[float], bool]) -> _Rule:
    def accepts(value: Any) -> bool:
        return (_is_int(value) or isinstance(value, float)) and math.isfinite(value) and within(value)

    return _Rule(f"expected a number {words}", accepts, float)


def _choice(*names: str) -> _Rule:
    return _Rule(
        "expected one of " + ", ".join(f'"{n}"' for n in names), lambda value: isinstance(value, str) and value in names, choices=names
    )


def _list_of(words: str, choices: tuple[str, ...] = ()) -> _Rule:
    def accepts(value: Any) -> bool:
        return isinstance(value, (list, tuple)) and all(isinstance(v, str) and v and (not choices or v in choices) for v in value)

    return _Rule(f"expected a list of {words}", accepts, tuple)


_TEXT: Final = _Rule("expected a string", lambda value: isinstance(value, str))
_NAME: Final = _Rule("expected a string that isn't empty", lambda value: isinstance(value, str) and bool(value.strip()))
_FLAG: Final = _Rule("expected true or false", lambda value: isinstance(value, bool))
_CALLABLE: Final = _or_none(_Rule("expected a callable", callable))
_TABLE: Final = _Rule(
    "expected a table of named arguments",
    lambda value: isinstance(value, Mapping) and all(isinstance(key, str) for key in value),
    lambda value: _copied(dict(value)),
)
_TTL: Final = _whole(-1, "seconds; -1 is for ever")
_POSITIVE: Final = _real("above 0 (seconds)", lambda value: value > 0)
_WAIT: Final = _real("of 0 or more (seconds)", lambda value: value >= 0)

_CACHE_RULES: Final[dict[str, _Rule]] = {
    "backend": _NAME,
    "expiration_time": _TTL,
    "arguments": _TABLE,
    "key_prefix": _TEXT,
    "enabled": _FLAG,
    **dict.fromkeys(DOTTED, _CALLABLE),
    "bind_group": _or_none(_NAME),
    "max_entries": _or_none(_whole(1, "entries")),
    "jitter": _real("from 0 up to, not including, 1 (a fraction of the time to live)", lambda value: 0 <= value < 1),
    "negative_ttl": _or_none(_TTL),
    "consistency": _choice("strict", "eventual"),
    "write_intent_timeout": _POSITIVE,
    "lease_timeout": _POSITIVE,
    "lease_wait": _WAIT,
    "unreachable_commit": _choice("proceed", "refuse"),
    "snapshot_reads": _choice("relaxed", "exact"),
    "intent_loss_guard": _FLAG,
    "clock_skew": _WAIT,
    "bulk_threshold": _whole(1, "rows"),
    "untracked": _list_of("table names or globs"),
    "max_threads": _whole(1, "threads"),
    "signing_keys": _list_of("secrets, none of them empty"),
}
_MODEL_RULES: Final[dict[str, _Rule]] = {
    "ops": _list_of('"get" and "query"', ("get", "query")),
    "expiration_time": _or_none(_TTL),
    "negative_ttl": _or_none(_TTL),
    "also_changes": _list_of("table names"),
    "depends_on": _list_of("table names"),
}
_LOGGING_RULES: Final[dict[str, _Rule]] = {
    "format": _choice("json", "console"),
    "level": _choice("debug", "info", "warning", "error"),
    "file": _or_none(_NAME),
}


def _check_cache(report: Report, path: Where, table: Mapping[str, Any]) -> dict[str, Any]:
    """Check one cache's table; dotted paths are callables by now.

    Returns:
        The arguments for ``CacheConfig``, of those values that are right.
    """
    rest = {key: value for key, value in table.items() if key != "models"}
    values = _check(report, path, rest, _CACHE_RULES, also=("models",))
    if "models" in table:
        values["models"] = _check_models(report, (*path, "models"), table["models"])
    _check_untracked(report, path, values)
    return values


def _unfolded(config: CacheConfig | ModelConfig | LoggingConfig) -> dict[str, Any]:
    return {f.name: getattr(config, f.name) for f in fields(config)}


def _copied(value: Any) -> Any:
    """Copy the containers, so that a snapshot stays one; clients and pools among them stay themselves."""
    if isinstance(value, dict):
        return {key: _copied(inner) for key, inner in value.items()}
    return [_copied(inner) for inner in value] if isinstance(value, list) else value


def _check(report: Report, path: Where, table: Mapping[str, Any], rules: Mapping[str, _Rule], also: tuple[str, ...] = ()) -> dict[str, Any]:
    values = {}
    for key, value in table.items():
        rule = rules.get(key)
        if rule is None:
            report.unknown((*path, str(key)), (*rules, *also))
        elif rule.accepts(value):
            values[key] = rule.convert(value)
        else:
            hint = nearest(value, rule.choices) if isinstance(value, str) else ""
            report.add((*path, key), rule.expected, value, hint=hint)
    return values


def _check_models(report: Report, path: Where, table: Any) -> dict[str, ModelConfig]:
    if not isinstance(table, Mapping):
        report.add(path, "expected tables by table name", table)
        return {}
    models = {}
    for name, declared in table.items():
        here = (*path, str(name))
        if not isinstance(name, str) or not name:
            report.add(here, "expected the name of a table", name)
            continue
        if isinstance(declared, ModelConfig):
            declared = _unfolded(declared)  # noqa: PLW2901 - the same thing, unfolded
        if not isinstance(declared, Mapping):
            report.add(here, "expected a table", declared)
            continue
        models[name] = ModelConfig(**_check(report, here, declared, _MODEL_RULES))
    return models


def _check_untracked(report: Report, path: Where, values: Mapping[str, Any]) -> None:
    for exempt in values.get("untracked", ()):
        for name, model in values.get("models", {}).items():
            if _overlap(exempt, name):
                report.add(
                    (*path, "untracked"), f"{exempt!r} exempts {written((*path, 'models', name))}: writes nobody announces can't be cached"
                )
            for table in model.depends_on:
                if _overlap(exempt, table):
                    report.add(
                        (*path, "models", name, "depends_on"),
                        f"{table!r} is untracked ({exempt!r}): its writes would leave this view stale",
                    )


def _overlap(one: str, other: str) -> bool:
    """Whether two globs have a name in common (a character class counts as any character)."""
    a, b = (re.sub(r"\[[^\]]+\]", "?", glob) for glob in (one, other))

    @cache
    def meet(i: int, j: int) -> bool:
        if i == len(a) and j == len(b):
            return True
        if i < len(a) and a[i] == "*":
            return meet(i + 1, j) or (j < len(b) and meet(i, j + 1))
        if j < len(b) and b[j] == "*":
            return meet(i, j + 1) or (i < len(a) and meet(i + 1, j))
        if i == len(a) or j == len(b):
            return False
        return (a[i] == b[j] or "?" in (a[i], b[j])) and meet(i + 1, j + 1)

    return meet(0, 0)


def build_caches(report: Report, table: Any, *, implied_default: bool) -> dict[str, CacheConfig]:
    """Check all caches of the settings and build their configurations.

    Args:
        report: Takes the problems; with one in it, what is returned is of no use.
        table: alias → a table of settings, or a ``CacheConfig``.
        implied_default: Add a ``default`` cache of built-in defaults where nothing serves the default group.
    """
    if not isinstance(table, Mapping):
        report.add(("caches",), "expected tables by alias", table)
        return {}
    caches = {}
    for alias, declared in table.items():
        path = ("caches", str(alias))
        if not isinstance(alias, str) or not alias.strip():
            report.add(path, "expected an alias, a string that isn't empty", alias)
        elif not isinstance(declared, (Mapping, CacheConfig)):
            report.add(path, "expected a table", declared)
        else:
            caches[alias] = _build_cache(report, path, declared)
    _check_aliases(report, caches, table)
    if implied_default and all(config.bind_group is not None for config in caches.values()):
        caches = {"default": CacheConfig(), **caches}
    return caches


def build_logging(report: Report, table: Any, folder: Path) -> LoggingConfig | None:
    """Check the ``[logging]`` table; a relative file is in ``folder``."""
    if table is None:
        return None
    if isinstance(table, LoggingConfig):
        table = _unfolded(table)
    if not isinstance(table, Mapping):
        report.add(("logging",), "expected a table", table)
        return None
    config = LoggingConfig(**_check(report, ("logging",), table, _LOGGING_RULES))
    return replace(config, file=str(folder / Path(config.file).expanduser())) if config.file else config


def _build_cache(report: Report, path: Where, declared: Mapping[str, Any] | CacheConfig) -> CacheConfig:
    table = dict(declared) if isinstance(declared, Mapping) else _unfolded(declared)
    for name in DOTTED:
        if isinstance(table.get(name), str):
            table[name] = imported(report, (*path, name), table[name])
    values = _check_cache(report, path, table)
    if values.get("region_factory") is None:
        check_backend(report, (*path, "backend"), values.get("backend", CacheConfig.backend))
    return CacheConfig(**values) if isinstance(declared, Mapping) else replace(declared, **values)


def _check_aliases(report: Report, caches: Mapping[str, CacheConfig], declared: Mapping[str, Any]) -> None:
    spelled: dict[str, str] = {}
    serving: dict[str | None, str] = {}
    for alias, config in caches.items():
        path = ("caches", alias)
        if (other := spelled.setdefault(alias.casefold(), alias)) != alias:
            report.add(path, f"differs from caches.{other} only by case: they are two caches{_from(report, ('caches', other))}")
        elif isinstance(declared[alias], Mapping) and declared[alias].get("bind_group") != config.bind_group:
            continue  # it is told already that this isn't a group
        elif (other := serving.setdefault(config.bind_group, alias)) != alias:
            group = "the default bind group (no bind_group)" if config.bind_group is None else f"bind group {config.bind_group!r}"
            report.add(
                (*path, "bind_group"), f"{group} is served by caches.{other} already{_from(report, ('caches', other, 'bind_group'))}"
            )


def _from(report: Report, path: Where) -> str:
    origin = report.origin(path)
    return f" (from {origin.name})" if origin else ""
