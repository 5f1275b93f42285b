"""The run as a whole: a few seconds of it, and one with a broken rule, which it must notice."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from tests.torture.options import parsed

ROOT: Final = Path(__file__).parents[2]


def torture(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run it for a few seconds; on a busy machine, which does nothing much in these, for longer."""
    for minutes in ("0.05", "0.2", "0.6"):
        command = [sys.executable, "-m", "tests.torture", "--db", "sqlite", "--store", "memory", "--minutes", minutes, *arguments]
        run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=120)  # noqa: S603 - our own
        if "nothing much was done" not in run.stderr and "fewer hits" not in run.stderr:
            break
    return run


def test_a_few_seconds_find_nothing_wrong() -> None:
    run = torture("--faults", "none")
    assert (run.returncode, run.stderr) == (0, "")
    assert run.stdout.splitlines()[-1].split() == ["violations", "0"]


def test_a_broken_rule_is_noticed() -> None:
    run = torture("--faults", "none", "--break", "own-writes")
    assert run.returncode == 1
    assert "own write not shown" in run.stdout


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--db", "sqlite", "--store", "memory", "--faults", "stop"], "has no server"),
        (["--db", "sqlite", "--store", "memory", "--faults", "connections"], "no connection"),
        (["--faults", "rain"], "unknown"),
        (["--store", "memory", "--processes", "2"], "--processes"),
        (["--db", "sqlite", "--isolation", "READ COMMITTED"], "--isolation"),
        (["--minutes", "0"], "--minutes"),
    ],
)
def test_what_makes_no_sense_is_refused(arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parsed(arguments)
    assert told in capsys.readouterr().err


def test_all_faults_are_those_that_make_sense() -> None:
    assert parsed(["--db", "sqlite", "--store", "memory"]).faults == {"kill", "kill-steps"}
    assert parsed(["--db", "mariadb", "--store", "memory"]).faults == {"kill", "kill-steps", "connections"}
    assert parsed(["--store", "redis"]).faults == {"kill", "kill-steps", "connections", "stop", "clock"}
