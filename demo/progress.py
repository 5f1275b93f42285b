"""A progress bar: one line that is drawn anew on a terminal, else a line now and then."""

from __future__ import annotations

import sys
import time

__all__ = ("Progress",)

_WIDTH = 30
_SPARSE = 5.0
"""Seconds between two lines where there is no terminal."""


class Progress:
    """The progress of one phase, on standard error."""

    def __init__(self, label: str, *, total: int | None = None, seconds: float | None = None) -> None:
        """Begin.

        Args:
            label: What is going on.
            total: Operations there will be; or, instead:
            seconds: Seconds that it will take.
        """
        self._label, self._total, self._seconds = label, total, seconds
        self._stream = sys.stderr
        self._tty = self._stream.isatty()
        self._began = self._told = time.monotonic()

    def show(self, done: int) -> None:
        """Show how many operations are done."""
        current = time.monotonic()
        if self._tty or current - self._told >= _SPARSE:
            self._told = current
            self._draw(done, current - self._began)

    def end(self, done: int) -> None:
        """Show the end."""
        self._draw(done, time.monotonic() - self._began, ended=True)
        if self._tty:
            self._stream.write("\n")

    def _draw(self, done: int, elapsed: float, *, ended: bool = False) -> None:
        share = 1.0 if ended else min(1.0, done / self._total if self._total else elapsed / (self._seconds or 1))
        bar = "█" * int(share * _WIDTH)
        text = f"{self._label:<24} {bar:░<{_WIDTH}} {share:4.0%}  {done:>9,} operations  {elapsed:5.1f} s"
        encoding = self._stream.encoding or "ascii"
        if encoding.lower().replace("-", "") != "utf8":
            text = text.replace("█", "#").replace("░", ".")
        self._stream.write(f"\r{text}\x1b[K" if self._tty else f"{text}\n")
        self._stream.flush()
