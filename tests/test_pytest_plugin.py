"""What the pytest plugin promises to every project that has the package installed."""

from __future__ import annotations

import importlib.metadata
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from aa_cache_integration import pytest_plugin

ROOT = Path(__file__).parents[1]

TESTS = """
import pathlib
import pytest

def keep(namespace, name):
    with pathlib.Path(__file__).with_name("seen").open("a") as seen:
        seen.write(f"{namespace} {name}\\n")

@pytest.mark.parametrize("number", range(8))
def test_numbered(aa_cache_namespace, number):
    keep(aa_cache_namespace, number)

@pytest.fixture
def cache(aa_cache_namespace):
    return aa_cache_namespace

def test_asked_for_twice(aa_cache_namespace, cache):
    assert cache == aa_cache_namespace
    keep(cache, "twice")
"""


def run_pytest(project: Path, *arguments: str, plugins: tuple[str, ...] = (), **environment: str) -> subprocess.CompletedProcess[str]:
    """Run pytest in a project of its own, with our plugin and no other that happens to be installed."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "COV_"))}
    named = [argument for name in ("aa_cache_integration.pytest_plugin", *plugins) for argument in ("-p", name)]
    return subprocess.run(  # noqa: S603 - our own command line
        [sys.executable, "-W", "error", "-m", "pytest", "-W", "error", *named, *arguments],
        cwd=project,
        env={**inherited, "PYTHONPATH": str(ROOT), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", **environment},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "test_it.py").write_text(TESTS)
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    return tmp_path


def namespaces(project: Path) -> list[str]:
    seen = project / "seen"
    found = [line.split()[0] for line in seen.read_text().splitlines()]
    seen.unlink()
    return found


def test_a_namespace_tells_run_worker_and_test(aa_cache_namespace: str) -> None:
    assert re.fullmatch(r"t:[0-9a-f]{12}:(gw\d+|main):[0-9a-f]{12}:", aa_cache_namespace)


def test_each_test_has_its_own_and_it_is_the_same_throughout_the_test(project: Path) -> None:
    result = run_pytest(project)
    assert result.returncode == 0, result.stdout
    found = namespaces(project)
    assert len(set(found)) == len(found) == 9
    assert {name.split(":")[2] for name in found} == {"main"}


def test_another_run_has_others(project: Path) -> None:
    run_pytest(project)
    first = namespaces(project)
    run_pytest(project)
    assert set(first).isdisjoint(namespaces(project))


def test_the_workers_of_one_run_share_its_part_and_differ_in_theirs(project: Path) -> None:
    pytest.importorskip("xdist", reason="pytest-xdist isn't installed; get it with: pip install pytest-xdist")
    result = run_pytest(project, "-n2", "--dist=each", plugins=("xdist.plugin",))
    assert result.returncode == 0, result.stdout
    found = namespaces(project)
    assert len(set(found)) == len(found) == 18
    assert len({name.split(":")[1] for name in found}) == 1
    assert {name.split(":")[2] for name in found} == {"gw0", "gw1"}


def test_a_run_inside_a_worker_of_another_run_is_a_run_of_its_own(project: Path) -> None:
    for _ in range(2):
        run_pytest(project, PYTEST_XDIST_TESTRUNUID="outer", PYTEST_XDIST_WORKER="gw7")
    found = namespaces(project)
    assert len(set(found)) == len(found) == 18


def test_a_test_that_is_run_again_gets_a_new_one(project: Path) -> None:
    (project / "conftest.py").write_text(
        "def pytest_runtest_protocol(item, nextitem):\n"
        "    from _pytest.runner import runtestprotocol\n"
        "    runtestprotocol(item, nextitem=nextitem, log=False)\n"
    )
    result = run_pytest(project)
    assert result.returncode == 0, result.stdout
    found = namespaces(project)
    assert len(set(found)) == len(found) == 18


def test_loading_the_plugin_loads_nothing_heavy(project: Path) -> None:
    (project / "test_it.py").write_text(
        "import sys\n"
        "def test_it(aa_cache_namespace):\n"
        "    heavy = {'sqlalchemy', 'dogpile', 'dynaconf', 'structlog', 'msgspec', 'asyncio', 'redis'}\n"
        "    assert not heavy & set(sys.modules)\n"
    )
    result = run_pytest(project)
    assert result.returncode == 0, result.stdout


def test_it_works_and_warns_of_nothing_without_xdist(project: Path) -> None:
    (project / "conftest.py").write_text("import sys\nsys.modules['xdist'] = None\n")
    result = run_pytest(project, "--strict-config", "--strict-markers")
    assert result.returncode == 0, result.stdout
    assert "warning" not in result.stdout.lower() + result.stderr.lower()


def test_pytest_finds_the_plugin_by_itself_where_the_package_is_installed() -> None:
    try:
        importlib.metadata.distribution("aa-cache-integration")
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("aa-cache-integration isn't installed in this environment; get it with: pip install -e . (./scripts/test does)")
    (entry,) = importlib.metadata.entry_points(group="pytest11", name="aa_cache")
    assert entry.load() is pytest_plugin
