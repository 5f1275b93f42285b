"""What is looked up in the metadata once, until a table, a column, a foreign key or a mapper is made."""

from __future__ import annotations

from functools import wraps
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ("forget", "once")

T = TypeVar("T")

_found: dict[tuple[Any, ...], Any] = {}


def once(find: Callable[..., T]) -> Callable[..., T]:
    """Keep what a function finds for its arguments."""

    @wraps(find)
    def look_up(*arguments: Any) -> T:
        known = _found
        wanted = (find, *arguments)
        if wanted not in known:
            known[wanted] = find(*arguments)
        return known[wanted]  # type: ignore[no-any-return]

    return look_up


def forget() -> None:
    """Look everything up anew."""
    global _found  # noqa: PLW0603 - replaced, so that who looks something up meanwhile leaves nothing behind
    _found = {}
