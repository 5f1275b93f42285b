"""How a coroutine is run to its end: one that never suspends by synchronous code, one that does whatever is cancelled meanwhile."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Coroutine

__all__ = ("drive", "shielded")

T = TypeVar("T")


def drive(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine over a blocking store to its end.

    Raises:
        RuntimeError: It suspended, so it wasn't written over a blocking store: a mistake of this package.
    """
    try:
        coroutine.send(None)
    except StopIteration as done:
        return done.value  # type: ignore[no-any-return]
    coroutine.close()
    raise RuntimeError("a coroutine over a blocking store suspended")


async def shielded(step: Coroutine[Any, Any, T]) -> T:
    """Await a step to its end whatever is cancelled meanwhile; a cancellation is delivered at the task's next await."""
    task = asyncio.ensure_future(step)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError as error:  # noqa: PERF203 - one round for each cancellation
            if task.cancelled():
                raise
            cancelled = error
        except Exception:  # noqa: BLE001, S110 - raised below, by the task itself
            pass
    if cancelled is not None:
        _deliver(cancelled)
    return task.result()


def _deliver(cancelled: asyncio.CancelledError) -> None:
    current = asyncio.current_task()
    if current is None:
        return
    uncancel = getattr(current, "uncancel", None)
    if uncancel is not None:
        uncancel()
    current.cancel(*cancelled.args)
