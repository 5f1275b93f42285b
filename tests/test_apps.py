"""Importing ``apps`` wires, ``shutdown`` unwires; each in a process of its own, for what is wired is a fact of the process."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[1]

SETTINGS: Final = """
[default.caches.default]
backend = "dogpile.cache.memory"

[default.caches.eu]
backend = "dogpile.cache.memory"
bind_group = "eu"
"""

PRELUDE: Final = """
import asyncio, threading
from sqlalchemy import create_engine, event
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column
from aa_cache_integration import CacheRegistry, caches
from aa_cache_integration.events import set_hooks

class Base(DeclarativeBase): pass
class Tea(Base):
    __tablename__ = "teas"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]

class Told(list):
    def wants(self, name): return True
    def __call__(self, event): self.append(event)
    def tables(self):
        found = [(event.cache, event.model or event.reason) for event in self if event.name == "cache.invalidate"]
        self.clear()
        return found

told = Told()
set_hooks([told])
engine = create_engine("sqlite:///teas.db")

def write(ident, engine=engine):
    with Session(engine) as session:
        session.add(Tea(id=ident, name="x"))
        session.commit()
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A working directory with settings."""
    (tmp_path / "settings.toml").write_text(SETTINGS)
    return tmp_path


def run(folder: Path, code: str) -> list[str]:
    """Run code after the prelude in a process of its own; return the lines that it prints."""
    result = subprocess.run(  # noqa: S603 - our own code
        [sys.executable, "-W", "error", "-c", PRELUDE + code],
        cwd=folder,
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout.splitlines()


def test_nothing_is_told_before_apps_is_imported_and_all_writes_are_after(folder: Path) -> None:
    code = """
Base.metadata.create_all(engine)
caches["default"]
write(1)
print(told.tables())
import aa_cache_integration.apps
write(2)
print(told.tables())
"""
    assert run(folder, code) == ["[]", "[('default', 'teas')]"]


def test_wiring_is_idempotent_and_thread_safe(folder: Path) -> None:
    code = """
Base.metadata.create_all(engine)
def wire():
    barrier.wait()
    import aa_cache_integration.apps as apps
    apps.ready()
barrier = threading.Barrier(8)
threads = [threading.Thread(target=wire) for _ in range(8)]
for thread in threads: thread.start()
for thread in threads: thread.join()
from aa_cache_integration import setup_cache_listeners
setup_cache_listeners()
caches.bind(engine)
write(1)
print(told.tables())
"""
    assert run(folder, code) == ["[('default', 'teas')]"]


def test_a_process_that_only_writes_tells_the_declared_caches_that_nobody_has_built(folder: Path) -> None:
    code = """
Base.metadata.create_all(engine)
import aa_cache_integration.apps
write(1)
print(told.tables())
write(2, engine.execution_options(bind_group="eu"))
print(told.tables())
"""
    assert run(folder, code) == ["[('default', 'teas')]", "[('eu', 'teas')]"]


def test_importing_opens_no_connection_and_builds_no_cache(folder: Path) -> None:
    code = """
import sys
sys.addaudithook(lambda name, arguments: name.startswith(("socket.", "sqlite3.")) and print(name, arguments))
import aa_cache_integration.apps
from aa_cache_integration.manager import live_managers
print(len(live_managers()))
"""
    assert run(folder, code) == ["0"]


def test_bad_settings_are_an_error_at_import_that_names_all_of_them(folder: Path) -> None:
    (folder / "settings.toml").write_text('[default.caches.default]\nbackend = "nonsense"\nexpiration_tme = 5\n')
    code = """
from aa_cache_integration import SettingsError
try:
    import aa_cache_integration.apps
except SettingsError as error:
    print(len(error.problems))
write_before = told.tables()
Base.metadata.create_all(engine)
write(1)
print(told.tables())
"""
    assert run(folder, code) == ["2", "[]"]


def test_shutdown_unwires_and_ready_wires_again(folder: Path) -> None:
    code = """
Base.metadata.create_all(engine)
from aa_cache_integration import apps
caches.bind(engine)
write(1)
print(told.tables())
apps.shutdown()
apps.shutdown()
write(2)
print(told.tables())
apps.ready()
write(3)
print(told.tables())
with Session(engine) as session:
    for _ in range(2):
        print(caches["default"].fetch_entity_sync(session, Tea, 3).name)
print([event.name for event in told])
"""
    assert run(folder, code) == [
        "[('default', 'teas')]",
        "[]",
        "[('default', 'teas')]",
        "x",
        "x",
        "['cache.miss', 'cache.fill', 'cache.hit']",
    ]


def test_a_transaction_that_was_open_at_shutdown_commits_in_peace(folder: Path) -> None:
    code = """
Base.metadata.create_all(engine)
from aa_cache_integration import apps
with Session(engine) as session:
    session.add(Tea(id=1, name="x"))
    session.flush()
    apps.shutdown()
    session.commit()
apps.ready()
write(2)
with Session(engine) as session:
    print(session.query(Tea).count())
"""
    assert run(folder, code) == ["2"]


def test_a_registry_that_nobody_loaded_isnt_read_at_a_commit(folder: Path) -> None:
    code = """
def load():
    raise AssertionError("read in the middle of a commit")
lazy = CacheRegistry(load)
from aa_cache_integration.orm.listeners import setup_cache_listeners
setup_cache_listeners()
Base.metadata.create_all(engine)
write(1)
print(told.tables(), caches.is_loaded)
"""
    assert run(folder, code) == ["[] False"]


def test_binding_wires_as_importing_apps_does(folder: Path) -> None:
    code = """
Base.metadata.create_all(engine)
CacheRegistry.from_mapping({"mine": {"backend": "dogpile.cache.memory"}}).bind(engine)
registry = CacheRegistry.from_mapping({"kept": {"backend": "dogpile.cache.memory"}})
write(1)
print(told.tables())
"""
    assert "[('kept', 'teas')]" in run(folder, code)
