"""Events as log lines: through loggers of our own (a ``[logging]`` table), or through the application's.

Nothing here calls ``structlog.configure`` or touches a handler: what an application logs, and how, stays its own.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
import weakref
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import structlog

from aa_cache_integration.events.model import FIELDS, LEVELS
from aa_cache_integration.exceptions import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable

    from structlog.typing import EventDict, Processor

    from aa_cache_integration.config import LoggingConfig
    from aa_cache_integration.events.model import CacheEvent, EventHook

__all__ = ("hook_for",)

LOGGER: Final = "aa_cache_integration"
"""The name of our logger, in structlog and in stdlib logging."""

NUMBERS: Final = {"debug": 10, "info": 20, "warning": 30, "error": 40, "critical": 50}
"""The levels by name, as stdlib logging numbers them."""


def hook_for(config: LoggingConfig | None = None) -> EventHook:
    """Build the hook that logs events.

    Args:
        config: The ``[logging]`` table. ``None``: the application's structlog, or stdlib logging while structlog isn't configured.

    Raises:
        ConfigurationError: The file can't be appended to, or ``format`` or ``level`` is unknown.
    """
    if config is None:
        return _ApplicationLog()
    if config.level not in NUMBERS:
        raise ConfigurationError(f"logging.level: expected one of {', '.join(NUMBERS)}, found {config.level!r}")
    write = _to_stderr if config.file is None else _File(config.file).append
    if config.format == "json":
        return _OwnLog(structlog.processors.JSONRenderer(), NUMBERS[config.level], write)
    if config.format == "console":
        colors = config.file is None and _colorful()
        renderer = structlog.dev.ConsoleRenderer(colors=colors, sort_keys=False, repr_native_str=True)  # quoted: a key may hold anything
        return _OwnLog(renderer, NUMBERS[config.level], write)
    raise ConfigurationError(f"logging.format: expected one of json, console, found {config.format!r}")


class _OwnLog:
    """Events through structlog, with processors of our own and none of the application's settings."""

    __slots__ = ("_log", "_wanted")

    def __init__(self, renderer: Processor, level: int, write: Callable[[str], None]) -> None:
        self._wanted = frozenset(name for name, at in LEVELS.items() if NUMBERS[at] >= level)
        self._log = structlog.wrap_logger(
            _Lines(write),
            processors=[
                structlog.contextvars.merge_contextvars,  # so that a hit can be told by the request it served
                structlog.processors.add_log_level,
                structlog.processors.TimeStamper(fmt="iso", utc=True),
                _in_order,
                renderer,
            ],
            wrapper_class=structlog.make_filtering_bound_logger(level),
            context_class=dict,
        ).bind()

    def wants(self, name: str) -> bool:
        return name in self._wanted

    def __call__(self, event: CacheEvent) -> None:
        getattr(self._log, event.level)(event.name, **event.fields())


class _ApplicationLog:
    """Events through whatever the application logs with at that moment."""

    __slots__ = ("_plain", "_render", "_structlog")

    def __init__(self) -> None:
        self._structlog = structlog.get_logger(LOGGER)
        self._plain = logging.getLogger(LOGGER)
        self._render = structlog.processors.LogfmtRenderer()

    def wants(self, name: str) -> bool:
        level = NUMBERS[LEVELS[name]]
        return _enabled(self._bound(), level) if structlog.is_configured() else self._plain.isEnabledFor(level)

    def __call__(self, event: CacheEvent) -> None:
        fields = event.fields()
        if structlog.is_configured():
            getattr(self._bound(), event.level)(event.name, **fields)
            return
        text = self._render(None, event.level, dict(fields))
        extra = {f"aa_cache.{name}": value for name, value in fields.items()}  # with the prefix none meets an attribute of the record
        self._plain.log(NUMBERS[event.level], "%s %s", event.name, text, extra=extra)

    def _bound(self) -> Any:
        bound = self._structlog.bind()  # anew each time: structlog may have been configured since
        return bound.sync_bl if isinstance(bound, structlog.stdlib.AsyncBoundLogger) else bound  # nobody would await the other


def _enabled(bound: Any, level: int) -> bool:
    """Whether a bound logger of structlog would log at this level; yes where its class can't tell."""
    kind = type(bound)  # asked of the class, for structlog.BoundLogger passes any other name on to the logger it wraps
    ask = getattr(kind, "is_enabled_for", None) or getattr(kind, "isEnabledFor", None)
    if ask is None:
        return True
    try:
        return bool(ask(bound, level))
    except AttributeError:  # structlog.stdlib.BoundLogger over a logger that isn't stdlib's
        return True


def _in_order(_logger: object, _method: str, event: EventDict) -> EventDict:
    """Put what every line has first, then the fields of the event, then what the application bound."""
    first = ("timestamp", "level", "event", *FIELDS)
    return {**{name: event[name] for name in first if name in event}, **event}


class _Lines:
    """The logger that structlog wraps: a line is written as a whole."""

    __slots__ = ("critical", "debug", "error", "info", "warning")

    def __init__(self, write: Callable[[str], None]) -> None:
        self.debug = self.info = self.warning = self.error = self.critical = write


def _to_stderr(line: str) -> None:
    stream = sys.stderr  # looked up at each event: it may be redirected, or missing
    if stream is not None:
        stream.write(line + "\n")
        stream.flush()


class _File:
    """A file that lines are appended to, each in one unbuffered write: lines of threads and processes never mix, and a fork repeats none.

    It is kept open, and opened anew when logrotate has moved it away or somebody has removed it.
    """

    def __init__(self, file: str) -> None:
        """Open it.

        Raises:
            ConfigurationError: It can't be appended to.
        """
        self._path = Path(file).absolute()
        self._new_lock()
        _open_files.add(self)
        try:
            self._stream = self._path.open("ab", buffering=0)
        except (OSError, ValueError) as error:
            why = error.strerror if isinstance(error, OSError) else error
            raise ConfigurationError(
                f"logging.file: can't append to {str(self._path)!r}: {why}; make the folder, or name a file that may be written"
            ) from error
        weakref.finalize(self, self._stream.close)

    def _new_lock(self) -> None:
        self._lock = threading.Lock()

    def append(self, line: str) -> None:
        """Append one line."""
        data = (line + "\n").encode("utf-8", "backslashreplace")
        with self._lock:
            if self._was_moved():
                self._stream.close()
                self._stream = self._path.open("ab", buffering=0)
                weakref.finalize(self, self._stream.close)
            self._stream.write(data)

    def _was_moved(self) -> bool:
        if self._stream.closed:  # what replaced it couldn't be opened
            return True
        try:
            return not os.path.samestat(os.stat(self._path), os.fstat(self._stream.fileno()))  # noqa: PTH116 - at each event
        except FileNotFoundError:
            return True


_open_files: weakref.WeakSet[_File] = weakref.WeakSet()


def _after_fork() -> None:
    for file in list(_open_files):
        file._new_lock()  # noqa: SLF001 - of this file


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def _colorful() -> bool:
    stream = sys.stderr
    return stream is not None and stream.isatty() and "NO_COLOR" not in os.environ and sys.platform != "win32"
