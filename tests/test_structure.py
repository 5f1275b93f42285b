"""The rooms keep their directions, and the public names are exactly those that are agreed (docs/design.md, "Rooms")."""

from __future__ import annotations

import ast
import importlib
import inspect
import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

PACKAGE: Final = "aa_cache_integration"
ROOT: Final = Path(__file__).parents[1]

LEVELS: Final = {
    "exceptions": 0,
    "config": 0,
    "events": 0,
    "_layers": 0,  # these three judge values for config, and settings for conf
    "_lookup": 0,
    "_validation": 0,
    "conf": 1,
    "core": 1,
    "stores": 1,
    "codecs": 1,
    "planner": 2,  # these three are the manager's operations, once for sync and async
    "lookups": 2,
    "operations": 2,
    "manager": 3,
    "pauses": 3,
    "registry": 4,
    "orm": 5,
    "apps": 6,
    "cli": 7,
    "pytest_plugin": 7,
    "contrib": 7,
}
"""A room imports its own level and those below it."""

UPWARD: Final = {("manager", "orm"), ("registry", "orm")}
"""The only imports that go up, all inside functions: the manager's ``fetch_*``, the registry's ``bind`` and what it tells of writes."""

LIBRARIES: Final = {
    "sqlalchemy": ("orm", "codecs"),
    "dynaconf": ("conf",),
    "structlog": ("events",),
    "redis": ("stores.redis",),
    "valkey": ("stores.valkey",),
    "pymemcache": ("stores.memcached",),
    "advanced_alchemy": ("contrib",),
    "litestar": ("contrib",),
    "fastapi": ("contrib",),
    "flask": ("contrib",),
    "pytest": ("pytest_plugin",),
    "pickle": (),
    "cloudpickle": (),
    "dill": (),
    "shelve": (),
    "marshal": (),
}
"""Which rooms or files may import a library."""

ALSO_FOR_TYPES: Final = frozenset({"sqlalchemy", "structlog", "dynaconf"})
"""What other rooms may import for annotations alone; the rest isn't installed everywhere."""

EXCEPTIONS: Final = {
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
}

PUBLIC: Final = EXCEPTIONS | {
    "DOGPILE_CACHE_INSTALLED",
    "CacheConfig",
    "CacheManager",
    "CacheRegistry",
    "NullRegion",
    "SyncCacheRegionProtocol",
    "caches",
    "default_deserializer",
    "default_serializer",
    "setup_cache_listeners",
}

OPERATIONS: Final = {
    "bump_model_version",
    "delete",
    "fetch_entities",
    "fetch_entity",
    "get",
    "get_entities",
    "get_entity",
    "get_list",
    "get_list_and_count",
    "get_many",
    "get_many_and_count",
    "get_model_version",
    "get_or_create",
    "invalidate_all",
    "invalidate_entities",
    "invalidate_entity",
    "set",
    "set_entities",
    "set_entity",
    "set_list",
    "set_list_and_count",
    "set_many",
    "set_many_and_count",
    "singleflight",
}


@dataclass(frozen=True)
class Import:
    """One module named by one import."""

    importer: str
    """The module that imports, without the package's name: ``stores.redis``."""
    imported: str
    """The module imported, with its full name."""
    line: int
    for_types: bool
    in_function: bool

    def __str__(self) -> str:
        return f"{self.importer} imports {self.imported} (line {self.line})"


class Reader(ast.NodeVisitor):
    """Collects the imports of one module: statements, and ``import_module("…")`` with a name that can be read."""

    def __init__(self, module: str, *, is_package: bool, known: frozenset[str]) -> None:
        self.module = module
        self.parent = f"{PACKAGE}.{module}" if is_package else f"{PACKAGE}.{module}".rpartition(".")[0]
        self.known = known
        self.found: list[Import] = []
        self._for_types = False
        self._in_function = False

    def _add(self, imported: str, node: ast.AST) -> None:
        self.found.append(Import(self.module, imported, getattr(node, "lineno", 0), self._for_types, self._in_function))

    def visit_Import(self, node: ast.Import) -> None:
        for alias in node.names:
            self._add(alias.name, node)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        base = node.module or ""
        if node.level:
            above = self.parent.rsplit(".", node.level - 1)[0] if node.level > 1 else self.parent
            base = f"{above}.{base}".rstrip(".")
        for alias in node.names:
            whole = f"{base}.{alias.name}"
            self._add(whole if whole in self.known else base, node)

    def visit_Call(self, node: ast.Call) -> None:
        called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        if called in {"import_module", "__import__"} and node.args:
            name = node.args[0]
            if isinstance(name, ast.Constant) and isinstance(name.value, str):
                self._add(name.value, node)
        self.generic_visit(node)

    def visit_If(self, node: ast.If) -> None:
        if ast.unparse(node.test) not in {"TYPE_CHECKING", "typing.TYPE_CHECKING"}:
            self.generic_visit(node)
            return
        outer, self._for_types = self._for_types, True
        for child in node.body:
            self.visit(child)
        self._for_types = outer
        for child in node.orelse:
            self.visit(child)

    def _visit_function(self, node: ast.AST) -> None:
        outer, self._in_function = self._in_function, True
        self.generic_visit(node)
        self._in_function = outer

    visit_FunctionDef = visit_AsyncFunctionDef = visit_Lambda = _visit_function  # noqa: N815 - ast's names


def files() -> list[Path]:
    return sorted((ROOT / PACKAGE).rglob("*.py"))


def module_of(file: Path) -> str:
    parts = file.relative_to(ROOT / PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def room_of(module: str) -> str:
    return module.partition(".")[0]


@cache
def imports() -> tuple[Import, ...]:
    known = frozenset(f"{PACKAGE}.{module_of(file)}".rstrip(".") for file in files())
    found: list[Import] = []
    for file in files():
        reader = Reader(module_of(file), is_package=file.name == "__init__.py", known=known)
        reader.visit(ast.parse(file.read_text(encoding="utf-8"), str(file)))
        found += reader.found
    return tuple(found)


def inner_imports() -> Iterator[tuple[Import, str]]:
    """The imports of one room's module by another's, with the module imported; the root's own, public names, aside."""
    for one in imports():
        if one.importer and room_of(one.imported) == PACKAGE:
            yield one, one.imported.removeprefix(PACKAGE).lstrip(".")


def test_the_reader_sees_every_form_of_import() -> None:
    source = (
        "import a.b\nfrom c import d\nfrom . import e\nfrom .f import g\nfrom .. import h\n"
        "import typing\nif typing.TYPE_CHECKING:\n    import t\nelse:\n    import u\n"
        "def function():\n    import v\n    importlib.import_module('w')\n"
    )
    reader = Reader("stores.redis", is_package=False, known=frozenset({f"{PACKAGE}.stores.e", f"{PACKAGE}.h"}))
    reader.visit(ast.parse(source))
    assert [one.imported for one in reader.found] == [
        *("a.b", "c", f"{PACKAGE}.stores.e", f"{PACKAGE}.stores.f", f"{PACKAGE}.h", "typing", "t", "u", "v", "w"),
    ]
    assert [one.imported for one in reader.found if one.for_types] == ["t"]
    assert [one.imported for one in reader.found if one.in_function] == ["v", "w"]


def test_every_room_has_its_place() -> None:
    unknown = {room_of(module_of(file)) for file in files()} - set(LEVELS) - {""}
    assert not unknown, f"give {unknown} a level here and a line in docs/design.md"


def test_imports_point_one_way() -> None:
    wrong = [
        str(one)
        for one, imported in inner_imports()
        if imported
        and not one.for_types
        and LEVELS.get(room_of(imported), 0) > LEVELS.get(room_of(one.importer), 0)
        and not ((room_of(one.importer), room_of(imported)) in UPWARD and one.in_function)
    ]
    assert not wrong


def test_no_module_imports_the_package_root() -> None:
    wrong = [str(one) for one, imported in inner_imports() if not imported]
    assert not wrong, "import from the room that has the name; the root is for applications"


def test_no_modules_import_each_other_in_a_circle() -> None:
    eager: dict[str, set[str]] = {}
    for one, imported in inner_imports():
        if not one.for_types and not one.in_function:
            eager.setdefault(one.importer, set()).add(imported)

    def walk(module: str, path: tuple[str, ...]) -> None:
        if module in path:
            pytest.fail(f"a circle: {' -> '.join((*path[path.index(module) :], module))}")
        if module not in done:
            for imported in sorted(eager.get(module, ())):
                walk(imported, (*path, module))
            done.add(module)

    done: set[str] = set()
    for module in sorted(eager):
        walk(module, ())


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_library_is_imported_only_where_it_belongs(library: str) -> None:
    wrong = [
        str(one)
        for one in imports()
        if one.imported.partition(".")[0] == library
        and not any(one.importer == place or one.importer.startswith(f"{place}.") for place in LIBRARIES[library])
        and not (one.for_types and library in ALSO_FOR_TYPES)
    ]
    assert not wrong


LONG: Final = {"aa_cache_integration/manager.py", "aa_cache_integration/registry.py"}
"""The lists of the public operations: one purpose each, and as long as there are operations."""


def test_no_file_is_longer_than_330_lines() -> None:
    long = {str(file.relative_to(ROOT)): lines for file in files() if (lines := len(file.read_text(encoding="utf-8").splitlines())) > 330}
    assert set(long) <= LONG, long


def test_the_root_exports_exactly_the_public_names() -> None:
    root = importlib.import_module(PACKAGE)
    assert set(root.__all__) - {"__version__"} == PUBLIC
    assert all(hasattr(root, name) for name in PUBLIC)
    assert set(dir(root)) >= PUBLIC, "completion in a shell shows them"


def test_the_root_exports_every_exception_there_is() -> None:
    exceptions = importlib.import_module(f"{PACKAGE}.exceptions")
    assert set(exceptions.__all__) == EXCEPTIONS
    defined = {name for name, value in vars(exceptions).items() if isinstance(value, type) and issubclass(value, Exception)}
    assert defined == EXCEPTIONS


@pytest.mark.parametrize("operation", sorted(OPERATIONS))
def test_the_sync_and_the_async_form_of_an_operation_take_the_same_arguments(operation: str) -> None:
    manager = importlib.import_module(f"{PACKAGE}.manager").CacheManager
    sync, async_ = (inspect.signature(getattr(manager, f"{operation}_{form}")) for form in ("sync", "async"))
    names = [
        [("session" if name == "async_session" else name, parameter.kind, parameter.default) for name, parameter in form.parameters.items()]
        for form in (sync, async_)
    ]
    assert names[0] == names[1]


def test_the_manager_has_no_operation_in_one_form_only_and_none_that_nobody_agreed_on() -> None:
    manager = importlib.import_module(f"{PACKAGE}.manager").CacheManager
    for form in ("_sync", "_async"):
        assert {name.removesuffix(form) for name in dir(manager) if name.endswith(form) and not name.startswith("_")} == OPERATIONS


SIDE_EFFECTS: Final = """
import logging, sys, threading
import sqlalchemy.event.api, sqlalchemy.orm, structlog

def state():
    ours = logging.getLogger("aa_cache_integration")
    return {
        "listeners": len(listeners),
        "threads": threading.active_count(),
        "handlers": [type(handler).__name__ for logger in (logging.root, ours) for handler in logger.handlers],
        "levels": [logging.root.level, ours.level],
        "structlog": structlog.is_configured(),
        "opened": len(opened),
    }

def watch(event, arguments):
    if event.startswith("socket.") or (event == "open" and str(arguments[0]).endswith((".toml", ".db", ".log"))):
        opened.append(event)

def listen(target, identifier, function):
    callers = (sys._getframe(2), sys._getframe(2).f_back)  # of event.listen, or of listens_for; SQLAlchemy has listeners of its own
    if any(caller and caller.f_globals["__name__"].startswith("aa_cache_integration") for caller in callers):
        listeners.append(identifier)
    return event_key(target, identifier, function)

opened, listeners = [], []
event_key, sqlalchemy.event.api._event_key = sqlalchemy.event.api._event_key, listen
sys.addaudithook(watch)
before = state()
exec(sys.argv[1])
after = state()
print(*(name for name in before if before[name] != after[name]))
"""


def run_python(folder: Path, *arguments: str) -> str:
    """Run Python in a process of its own that finds the package but isn't told of any settings; return what it prints."""
    result = subprocess.run(  # noqa: S603 - our own code
        [sys.executable, "-c", *arguments], cwd=folder, env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


ALL_NAMES: Final = f"import {PACKAGE}; [getattr({PACKAGE}, name) for name in {sorted(PUBLIC)}]"


def test_importing_the_root_and_every_public_name_has_no_side_effect(tmp_path: Path) -> None:
    (tmp_path / "settings.toml").write_text("this is [not TOML, and nobody reads it")
    assert run_python(tmp_path, SIDE_EFFECTS, ALL_NAMES) == ""


def test_importing_apps_wires_the_listeners_and_starts_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "settings.toml").touch()
    changed = run_python(tmp_path, SIDE_EFFECTS, f"import {PACKAGE}.apps").split()
    assert "listeners" in changed
    assert not {"threads", "handlers", "levels", "structlog"} & set(changed)


def test_no_optional_library_is_needed_before_a_cache_uses_it(tmp_path: Path) -> None:
    optional = ("redis", "valkey", "pymemcache", "sqlglot", "greenlet", "advanced_alchemy", "prometheus_client", "opentelemetry")
    absent = f"import sys; sys.modules.update(dict.fromkeys({optional}))"
    assert run_python(tmp_path, f"{absent}; {ALL_NAMES}; import {PACKAGE}.apps; print('fine')") == "fine"
