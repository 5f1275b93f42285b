"""The command: ``python -m tests.torture``, from the root of the repository. ``./scripts/torture`` makes its environment first."""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from tests.servers import ServerError
from tests.torture.options import parsed
from tests.torture.report import failures, render
from tests.torture.supervisor import run

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ("main",)


def main(arguments: Sequence[str] | None = None) -> int:
    """Torture the cache.

    Returns:
        The exit status: 1 for a read that was not allowed, too few hits or too little done; 2 for what can't be run.
    """
    options = parsed(arguments)
    if options.keep_logs is not None:
        options.keep_logs.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="aa-cache-torture-", dir=options.keep_logs))
    try:
        verdict = run(options, folder)
    except ServerError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    finally:
        if options.keep_logs is None:
            shutil.rmtree(folder, ignore_errors=True)
    sys.stdout.write(render(options, verdict) + "\n")
    found = failures(options, verdict)
    for failure in found:
        sys.stderr.write(f"failed: {failure}\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
