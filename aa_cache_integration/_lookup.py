"""Things that settings name: backends, their client libraries, and callables by dotted path."""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import entry_points
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from aa_cache_integration._layers import nearest

if TYPE_CHECKING:
    from collections.abc import Callable

    from aa_cache_integration._layers import Path as Where
    from aa_cache_integration._layers import Report

__all__ = ("check_backend", "imported", "known_backends")


class _Client(NamedTuple):
    """What a backend needs beside dogpile.cache."""

    backends: tuple[str, ...]
    module: str
    needs: str
    remedy: str


def _extra(name: str) -> str:
    return f'pip install "aa-cache-integration[{name}]"'


_CLIENTS: Final = (
    _Client(("dogpile.cache.redis",), "redis", "the redis library", _extra("redis")),
    _Client(("dogpile.cache.valkey",), "valkey", "the valkey library", _extra("valkey")),
    _Client(("dogpile.cache.pymemcache",), "pymemcache", "the pymemcache library", _extra("memcached")),
    _Client(("dogpile.cache.memcached",), "memcache", "python-memcached", "pip install python-memcached, or use dogpile.cache.pymemcache"),
    _Client(("dogpile.cache.pylibmc",), "pylibmc", "pylibmc", "pip install pylibmc, or use dogpile.cache.pymemcache"),
    _Client(("dogpile.cache.bmemcached",), "bmemcached", "python-binary-memcached", "pip install python-binary-memcached"),
    _Client(("dogpile.cache.dbm",), "fcntl", "the file locks of Unix", "use dogpile.cache.memory or a server on Windows"),
)


def check_backend(report: Report, path: Where, backend: str) -> None:
    """Check that dogpile.cache knows the backend and that its client library is here; imports neither."""
    known = known_backends()
    if known and backend not in known:
        report.add(path, f"unknown backend{nearest(backend, known)}", backend, hint="; known: " + ", ".join(known))
        return
    for library in _CLIENTS:
        if backend.startswith(library.backends) and not _is_installed(library.module):
            report.add(path, f"{backend!r} needs {library.needs}: {library.remedy}")


def known_backends() -> tuple[str, ...]:
    """Return the names of dogpile.cache's backends and of those that installed packages add; ``()`` without dogpile.cache."""
    try:
        from dogpile.cache.backends import _backend_loader  # noqa: PLC0415 - only when settings load
    except ImportError:
        return ()
    added = {entry.name for entry in entry_points(group="dogpile.cache")}
    return tuple(sorted({*_backend_loader._unloaded, *_backend_loader.impls, *added}))  # noqa: SLF001 - dogpile has no public list


def _is_installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ValueError:  # it is imported, by something that gave it no spec
        return True


def imported(report: Report, path: Where, dotted: str) -> Callable[..., Any]:
    """Return what ``pkg.mod:name`` or ``pkg.mod.name`` names; a stand-in when that fails and the report says why."""
    module_name, colon, attributes = dotted.partition(":")
    if not colon:
        module_name, _, attributes = dotted.rpartition(".")
    if not module_name or not attributes:
        report.add(path, 'expected a dotted path such as "package.module:function"', dotted)
        return _nothing
    try:
        found: Any = import_module(module_name)
    except ModuleNotFoundError as error:
        report.add(path, f"no module named {error.name!r}", dotted)
        return _nothing
    except Exception as error:  # noqa: BLE001 - whatever the application's module does when it is imported
        report.add(path, f"{module_name} can't be imported ({type(error).__name__}: {error})", dotted)
        return _nothing
    for name in attributes.split("."):
        if not hasattr(found, name):
            report.add(path, f"{module_name} has no {attributes!r}{nearest(name, dir(found))}", dotted)
            return _nothing
        found = getattr(found, name)
    if not callable(found):
        report.add(path, f"expected a callable, and {dotted} is a {type(found).__name__}", dotted)
        return _nothing
    return found  # type: ignore[no-any-return]


def _nothing(*_: Any) -> None:
    """Stand in for a callable that couldn't be found."""
