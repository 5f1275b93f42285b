"""From layered settings to ``CacheConfig``: the only file that knows Dynaconf.

Dynaconf gives a value its type and its tokens their meaning (``@format {env[HOST]}``, ``@int``, ``@none``, ``@del``),
each layer by itself. Laying the layers over one another is ours (``_layers``), because Dynaconf's own way would make a
cache wrong without a word: it takes ``Default`` for ``default``, puts a higher layer's list behind the lower one, loads
``settings.local.toml`` after ``.secrets.toml``, forgets which layer a value came from, runs a ``dynaconf_hooks.py``
that happens to lie there, and obeys every ``*_FOR_DYNACONF`` variable that is meant for another application.
"""

from __future__ import annotations

import os
import re
import sys
import threading
from dataclasses import dataclass
from pathlib import Path as FilePath
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from dynaconf import Dynaconf
from dynaconf.utils.parse_conf import DynaconfFormatError, boolean_fix, parse_conf_data

from aa_cache_integration._layers import DELETE, Append, Layers, Origin, Path, Report, is_secret, nearest
from aa_cache_integration._validation import build_caches, build_logging, validate
from aa_cache_integration.exceptions import SettingsError

if sys.version_info >= (3, 11):
    import tomllib
else:  # the same parser, as Dynaconf carries it
    from dynaconf.vendor import tomllib

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aa_cache_integration.config import CacheConfig, LoggingConfig

__all__ = ("Settings", "from_mapping", "load", "validate")

_PREFIX: Final = "AA_CACHE_"
_FILE_VARIABLE: Final = "AA_CACHE_SETTINGS"
_ENV_VARIABLE: Final = "ENV_FOR_AA_CACHE"
_TOP: Final = ("caches", "logging")
_KUBERNETES: Final = re.compile(r"(SERVICE_(HOST|PORT)|PORT)(_[A-Z0-9_]+)?")
"""What Kubernetes sets in every pod beside a service called ``aa-cache``."""
_REFUSED: Final = ("@insert", "@reset", "@empty")
_FOLDS_VARIABLES: Final = os.name == "nt"

_lock = threading.Lock()

# Dynaconf's own annotations are narrower than what these return.
_parse: Any = parse_conf_data
_fix_booleans: Any = boolean_fix


@dataclass(frozen=True)
class Settings:
    """What the layers amount to; later changes of files and variables don't change it."""

    caches: Mapping[str, CacheConfig]
    """One configuration for each alias, in the order in which they are declared."""
    logging: LoggingConfig | None
    """The ``[logging]`` table, ``None`` when there is none."""
    source: str
    """What was read, in words for people."""


def load() -> Settings:
    """Read the layers and check every setting.

    Lowest first: built-in defaults, ``settings.toml`` ``[default]``, its ``[<environment>]``, ``settings.local.toml``,
    ``.secrets.toml`` (each with the same two tables), environment variables (``AA_CACHE_CACHES__default__enabled=false``).
    The environment is named by ``ENV_FOR_AA_CACHE``, else ``development``; the file by ``AA_CACHE_SETTINGS``, else
    ``settings.toml`` of the working directory, which may be missing.

    Raises:
        SettingsError: With every problem there is, one line each.
    """
    with _lock:  # one snapshot; Dynaconf keeps state in its modules
        reader = _Reader(dict(os.environ))
        reader.read()
    report, tree = reader.report, reader.layers.tree
    caches = build_caches(report, tree.get("caches", {}), implied_default=True)
    logging = build_logging(report, tree.get("logging"), reader.file.parent)
    return _settings(report, caches, logging, ", ".join(reader.sources) or f"built-in defaults (there is no {reader.file})")


def from_mapping(
    caches: Mapping[str, Mapping[str, Any] | CacheConfig], *, logging: Mapping[str, Any] | LoggingConfig | None = None
) -> Settings:
    """Check settings that are given in code, in the shape of Django's ``CACHES``.

    Args:
        caches: alias → what would stand under ``caches.<alias>``, or a ``CacheConfig``. Nothing is added to it.
        logging: What would stand under ``logging``; a relative file is in the working directory.

    Raises:
        SettingsError: With every problem there is, one line each.
    """
    report = Report()
    built = build_caches(report, caches, implied_default=False)
    return _settings(report, built, build_logging(report, logging, FilePath.cwd()), "a mapping")


def _settings(report: Report, caches: dict[str, CacheConfig], logging: LoggingConfig | None, source: str) -> Settings:
    if report.problems:
        raise SettingsError(report.problems)
    return Settings(MappingProxyType(caches), logging, source)


class _Reader:
    """Reads the layers of one moment."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self.environ = environ
        self.layers = Layers()
        self.report = Report(self.layers.origin)
        self.sources: list[str] = []
        self.named_file = environ.get(_FILE_VARIABLE, "").strip()
        self.file = FilePath(self.named_file or "settings.toml").expanduser().absolute()
        self.named_envs = [name for name in (part.strip() for part in environ.get(_ENV_VARIABLE, "").split(",")) if name]
        self.envs = [name for name in dict.fromkeys(self.named_envs or ["development"]) if name.casefold() != "default"]
        # Only the context in which tokens are evaluated: it reads no file and no variable by itself.
        self.dynaconf = Dynaconf(
            environments=True,
            merge_enabled=True,
            force_env=",".join(self.envs) or "default",
            auto_cast=True,
            load_dotenv=False,
            settings_files=[str(self.file)],
            dynaconf_skip_loaders=True,
        )

    def read(self) -> None:
        """Read the files, then the variables."""
        local, secrets = self.file.with_name(f"{self.file.stem}.local{self.file.suffix}"), self.file.with_name(".secrets.toml")
        read = {path: self._toml(path, secret=path == secrets) for path in dict.fromkeys((self.file, local, secrets))}
        files = {path: content for path, content in read.items() if content is not None}
        if self.named_file and self.file not in files:
            self.report.problems.append(f"{_FILE_VARIABLE}: there is no file {self.file}")
        if not self.report.problems:
            self._check_environments({name.casefold(): name for content in files.values() for name in content})
        for path, content in files.items():
            self._file(path, content, secret=path == secrets)
        for name in sorted(self.environ):
            if name.startswith(_PREFIX) and name != _FILE_VARIABLE:
                self._variable(name, self.environ[name])

    def _check_environments(self, known: Mapping[str, str]) -> None:
        """Refuse an environment that was asked for by name and that no file has."""
        for env in self.named_envs:
            if known and env.casefold() not in {"default", *known}:
                names = ", ".join(known.values())
                self.report.problems.append(
                    f"{_ENV_VARIABLE}: no environment {env!r} in {self.file.name}, which has {names}{nearest(env, known.values())}"
                )

    def _toml(self, path: FilePath, *, secret: bool) -> dict[str, Any] | None:
        """Return the file's content, ``None`` where there is no file."""
        try:
            if not path.is_file():
                return None
            self.sources.append(str(path))
            content: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8-sig"))
        except UnicodeDecodeError:
            self.report.problems.append(f"{path}: the file isn't UTF-8")
        except ValueError as error:
            what, _, where = str(error).partition(" (at ")
            what = "" if secret else f": {what}"
            self.report.problems.append(f"{path}, {where.rstrip(')') or 'at its end'}: not valid TOML{what}")
        except OSError as error:
            self.report.problems.append(f"{path}: can't be read ({error.strerror})")
        else:
            return content
        return {}

    def _file(self, path: FilePath, content: Mapping[str, Any], *, secret: bool) -> None:
        """Lay the ``[default]`` and the environment's table of one file."""
        for name, table in content.items():
            if name.casefold() in _TOP or (not isinstance(table, dict) and not name.startswith("dynaconf_")):
                example = f"[default.{name}]" if name.casefold() in _TOP else "[default]"
                self.report.add((name,), f"stands outside of an environment's table such as {example}", origin=Origin(path.name))
        for env in ("default", *self.envs):
            tables = [name for name, table in content.items() if name.casefold() == env.casefold() and isinstance(table, dict)]
            if len(tables) > 1:
                self.report.problems.append(f"{path.name}: environments {' and '.join(tables)} differ only by case")
            for name in tables[:1]:
                origin = Origin(f"{path.name} [{name}]", secret=secret)
                self._lay(content[name], origin)

    def _lay(self, table: Mapping[str, Any], origin: Origin) -> None:
        for name, value in table.items():
            top = name.casefold()
            if top in _TOP:
                self.layers.lay({top: self._evaluated(value, (top,), origin)}, origin)
            elif not name.startswith("dynaconf_"):
                hint = f"; if {origin.name.partition(' ')[0]} is another application's, name a file of your own by {_FILE_VARIABLE}"
                self.report.unknown((name,), _TOP, origin=origin, hint="" if nearest(name, _TOP) else hint)

    def _variable(self, name: str, text: str) -> None:
        """Lay one environment variable."""
        first, *rest = name[len(_PREFIX) :].split("__")
        origin = Origin(f"env {name}")
        if first.casefold() not in _TOP:
            if not _KUBERNETES.fullmatch(name[len(_PREFIX) :]):
                known = (*(top.upper() for top in _TOP), _FILE_VARIABLE[len(_PREFIX) :])
                self.report.problems.append(
                    f"{name}: unknown setting{nearest(first, known)}; known: {', '.join(_PREFIX + top for top in known)}"
                )
            return
        path = (first.casefold(), *rest)
        if not all(path):
            self.report.problems.append(f"{name}: a part of the name is empty; parts are joined by two underscores")
            return
        if _FOLDS_VARIABLES:
            path = _spelled(path, self.layers.tree)
        value: Any = self._parsed(_fix_booleans(text), path, origin, typed=True)
        if is_secret(path[-1]) and not isinstance(value, (str, list, dict)) and not text.startswith("@"):
            value = text  # a password of digits is a password
        tree: Any = value
        for part in reversed(path):
            tree = {part: tree}
        self.layers.lay(tree, origin)
        self.sources.append(origin.name)

    def _evaluated(self, value: Any, path: Path, origin: Origin) -> Any:
        """Give the tokens in a value their meaning."""
        if isinstance(value, dict):
            return {str(key): self._evaluated(inner, (*path, str(key)), origin) for key, inner in value.items()}
        if isinstance(value, list):
            return [self._evaluated(inner, path, origin) for inner in value]
        return self._parsed(value, path, origin) if isinstance(value, str) and value.startswith("@") else value

    def _parsed(self, text: str, path: Path, origin: Origin, *, typed: bool = False) -> Any:
        """Let Dynaconf read a text: its ``@token``, or (``typed``, for variables) a value as TOML writes it."""
        word = text.partition(" ")[0]
        if word in _REFUSED:
            self.report.add(
                path, f"{word} isn't supported: tables merge, lists replace; @merge adds to a list, @del takes away", origin=origin
            )
            return DELETE
        try:
            value: Any = _parse(text, tomlfy=typed, box_settings=self.dynaconf)
            if getattr(value, "_dynaconf_lazy_format", False):
                value = value(self.dynaconf)
        except Exception as error:  # noqa: BLE001 - each word has its own; none may stop the report
            names = isinstance(error, DynaconfFormatError) and isinstance(error.__cause__, KeyError)
            reason = f"there is no {error.__cause__}" if names else type(error).__name__
            self.report.add(path, f"{word} can't be evaluated: {reason}", origin=origin)
            return DELETE
        if word == "@del":
            return DELETE
        if word in {"@merge", "@merge_unique"}:
            value = value.unwrap()
            if not isinstance(value, dict):
                return Append(tuple(value), unique=word == "@merge_unique")
        return value if isinstance(value, str) else self._evaluated(value, path, origin)


def _spelled(path: Path, tree: Mapping[str, Any]) -> Path:
    """Spell a variable's name as the files do, where the system knows variables in upper case only (Windows)."""
    spelled: list[str] = []
    here: Any = tree
    for part in path:
        known = {key.casefold(): key for key in here} if isinstance(here, dict) else {}
        spelled.append(known.get(part.casefold(), part.lower()))
        here = here.get(spelled[-1]) if isinstance(here, dict) else None
    return tuple(spelled)
