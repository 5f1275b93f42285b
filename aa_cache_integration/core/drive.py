"""How a coroutine that never suspends is run by synchronous code."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Coroutine

__all__ = ("drive",)

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
