"""How every step of the store is taken: through the breaker, with its events (DESIGN 5.8)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from aa_cache_integration import events
from aa_cache_integration.exceptions import StoreUnavailableError

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from aa_cache_integration.core.state import SharedState

__all__ = ("ask",)

T = TypeVar("T")


async def ask(state: SharedState, step: Awaitable[T]) -> T:
    """Take a step.

    Raises:
        StoreUnavailableError: The store can't be reached; or it couldn't a moment ago, and wasn't asked.
    """
    if not state.breaker.allows():
        _close(step)
        raise StoreUnavailableError("the store was unreachable a moment ago")
    try:
        answer = await step
    except StoreUnavailableError as error:
        if state.breaker.failed():
            state.emitter.emit(events.DEGRADED, reason=str(error))
        raise
    if state.breaker.succeeded():
        state.emitter.emit(events.RECOVERED)
    return answer


def _close(step: Any) -> None:
    close = getattr(step, "close", None)
    if close is not None:
        close()
