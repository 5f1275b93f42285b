"""Every exception that this package raises.

::

    CacheError
    ├── ConfigurationError            also a ValueError
    │   ├── SettingsError             every problem of the settings in one report
    │   ├── BackendError              a backend that is unknown or whose client isn't installed
    │   ├── BindError                 an engine that can't serve the bind group it was given
    │   └── MissingDependencyError    also an ImportError; names the extra to install
    ├── UnknownCacheError             also a KeyError; lists the known aliases
    ├── ModelError                    also a TypeError; a class or column that can't be cached
    ├── IdentityError                 also a ValueError; a primary key of the wrong shape or type
    ├── SerializationError            also a ValueError; a value with no safe form, or bytes of another model
    └── StoreUnavailableError         the cache server can't be reached
        └── CommitRefusedError        nothing was committed: ``unreachable_commit = "refuse"``
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = (
    "BackendError",
    "BindError",
    "CacheError",
    "CommitRefusedError",
    "ConfigurationError",
    "IdentityError",
    "MissingDependencyError",
    "ModelError",
    "SerializationError",
    "SettingsError",
    "StoreUnavailableError",
    "UnknownCacheError",
)


class CacheError(Exception):
    """Base of all errors of this package."""


class ConfigurationError(CacheError, ValueError):
    """A cache was declared in a way that can't work."""


class SettingsError(ConfigurationError):
    """The layered settings hold problems; all of them are in the message and in ``problems``."""

    def __init__(self, problems: Sequence[str]) -> None:
        """Keep the problems.

        Args:
            problems: One line each: the setting's path, what was expected, what was found, the layer.
        """
        self.problems = tuple(problems)
        noun = "problem" if len(self.problems) == 1 else "problems"
        super().__init__(f"{len(self.problems)} {noun} in the settings:\n" + "\n".join(f"  - {p}" for p in self.problems))


class BackendError(ConfigurationError):
    """A backend is unknown, or can't be built from its arguments."""


class BindError(ConfigurationError):
    """An engine can't serve the bind group that it was given."""


class MissingDependencyError(ConfigurationError, ImportError):
    """An optional library isn't installed; the message names the extra that brings it."""


class UnknownCacheError(CacheError, KeyError):
    """No cache is declared under this alias or for this bind group."""

    def __str__(self) -> str:
        """Return the message without the quotes that ``KeyError`` puts around it."""
        return str(self.args[0]) if self.args else ""


class ModelError(CacheError, TypeError):
    """A class isn't mapped, or has a column that no cache may hold."""


class IdentityError(CacheError, ValueError):
    """A primary key has the wrong shape or type for its model."""


class SerializationError(CacheError, ValueError):
    """A value has no safe serialised form, or bytes don't belong to the model they were read for."""


class StoreUnavailableError(CacheError):
    """The cache's server can't be reached or didn't answer in time."""


class CommitRefusedError(StoreUnavailableError):
    """The commit was rolled back because its write intents couldn't be put; nothing was committed."""
