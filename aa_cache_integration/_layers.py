"""Layers of settings laid over one another; a value remembers its layer, and a report tells of it without secrets."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

__all__ = ("DELETE", "Append", "Layers", "Origin", "Path", "Report", "is_secret", "nearest", "written")

Path = tuple[str, ...]


@dataclass(frozen=True)
class Origin:
    """The layer a value came from, in words for people."""

    name: str
    """``settings.toml [production]``, ``env AA_CACHE_CACHES__default__enabled``, …"""
    secret: bool = False
    """Nothing of this layer is ever shown."""


@dataclass(frozen=True)
class Append:
    """A list that goes behind the lower layers' one (Dynaconf's ``@merge``); a plain list replaces it."""

    items: tuple[Any, ...]
    unique: bool = False
    """Leave out what the lower layers have already."""


DELETE: Final = object()
"""Takes the lower layers' value away (Dynaconf's ``@del``)."""

_SECRET_NAME: Final = re.compile(r"pass(word|wd|phrase)?|pwd|secret|token|credential|auth|private|(^|_)keys?$", re.IGNORECASE)
_SECRET_TEXT: Final = re.compile(r"://|(pass(word|wd)?|pwd|secret|token|key)\s*[=:]", re.IGNORECASE)
_SHOWN: Final = 60
_ABSENT: Final = object()
_MERGE: Final = "dynaconf_merge"
_MERGE_UNIQUE: Final = "dynaconf_merge_unique"


def written(path: Path) -> str:
    """Return a setting's path as one would write it in TOML."""
    return ".".join(part if part.replace("_", "").replace("-", "").isalnum() else f'"{part}"' for part in path)


@dataclass
class Layers:
    """What the layers so far amount to.

    Tables merge, anything else replaces, and names are compared as they are written: Dynaconf's own merge would take
    ``Default`` for ``default`` and would put a higher layer's list behind the lower one.
    """

    tree: dict[str, Any] = field(default_factory=dict)
    origins: dict[Path, Origin] = field(default_factory=dict)

    def lay(self, table: Mapping[str, Any], origin: Origin) -> None:
        """Lay one more layer over those that are there."""
        _lay(self.tree, table, (), origin, self.origins)

    def origin(self, path: Path) -> Origin | None:
        """Return the layer of the setting, or of the nearest table around it."""
        for length in range(len(path), 0, -1):
            if found := self.origins.get(path[:length]):
                return found
        return None


def _lay(lower: dict[str, Any], upper: Mapping[str, Any], path: Path, origin: Origin, origins: dict[Path, Origin]) -> None:
    if upper.get(_MERGE) is False:
        lower.clear()
    for key, value in upper.items():
        if key in {_MERGE, _MERGE_UNIQUE}:
            continue
        here = (*path, key)
        if value is DELETE:
            lower.pop(key, None)
            continue
        if isinstance(value, dict):
            if not isinstance(lower.get(key), dict):
                lower[key] = {}
                origins[here] = origin
            _lay(lower[key], value, here, origin, origins)
            continue
        lower[key] = _list(lower.get(key), value)
        origins[here] = origin


def _list(lower: Any, upper: Any) -> Any:
    if isinstance(upper, list) and (_MERGE in upper or _MERGE_UNIQUE in upper):
        upper = Append(tuple(item for item in upper if item not in (_MERGE, _MERGE_UNIQUE)), unique=_MERGE_UNIQUE in upper)
    if not isinstance(upper, Append):
        return upper
    base = list(lower) if isinstance(lower, list) else []
    return base + [item for item in upper.items if not (upper.unique and item in base)]


def nearest(name: str, known: Iterable[str]) -> str:
    """Return ``"; did you mean …?"`` when one of the known names is like this one, else an empty string."""
    folded = {k.casefold(): k for k in known}
    wanted = name.casefold()
    found = get_close_matches(wanted, folded, n=1, cutoff=0.6) or [
        k for k in folded if len(wanted) > 1 and (k.startswith(wanted) or wanted.startswith(k))
    ]
    return f"; did you mean {folded[found[0]]!r}?" if found else ""


@dataclass
class Report:
    """Collects problems; knows from which layer each value came."""

    origin: Callable[[Path], Origin | None] = lambda _: None
    problems: list[str] = field(default_factory=list)

    def add(self, path: Path, expected: str, value: Any = _ABSENT, *, hint: str = "", origin: Origin | None = None) -> None:
        """Add a line: where, what was expected, what was found, the layer.

        Args:
            path: The setting's path.
            expected: What would have been right.
            value: What was found, when there is something; its text is left out where it may be a secret.
            hint: What to do about it.
            origin: The layer, where ``path`` alone doesn't tell.
        """
        origin = origin or self.origin(path)
        found = "" if value is _ABSENT else f", found {_shown(path, value, origin)}"
        layer = f" ({origin.name})" if origin else ""
        self.problems.append(f"{written(path) or 'settings'}: {expected}{found}{hint}{layer}")

    def unknown(self, path: Path, known: Iterable[str], *, hint: str = "", origin: Origin | None = None) -> None:
        """Add a line for a name that means nothing."""
        names = tuple(known)
        self.add(path, "unknown setting" + (nearest(path[-1], names) or f"; known here: {', '.join(names)}"), hint=hint, origin=origin)


def is_secret(name: str) -> bool:
    """Whether what stands under this name is likely to be a secret."""
    return _SECRET_NAME.search(name) is not None


def _shown(path: Path, value: Any, origin: Origin | None) -> str:
    if value is None:
        return "None"
    kind = type(value).__name__
    if not isinstance(value, (bool, int, float, str)):
        return kind
    hidden = (origin is not None and origin.secret) or "arguments" in path or (path and is_secret(path[-1]))
    if hidden or (isinstance(value, str) and _SECRET_TEXT.search(value)):
        return f"{kind} (not shown)"
    text = repr(value)
    return f"{kind} {text if len(text) <= _SHOWN else text[:_SHOWN] + '…'}"
