"""A schedule in words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from aa_cache_integration.core import envelope
from aa_cache_integration.stores.base import Announcement, Fill, Lease, LeaseAnswer

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tests.consistency.explorer_actors import Reader, Writer

__all__ = ("told",)


def told(path: Any, actors: Sequence[Reader | Writer]) -> tuple[str, ...]:
    """Return the steps of a path, first step first.

    Args:
        path: The last step and the path to it, and so on; a step is text, or an actor's index, operation, answer and what it came to.
        actors: Who they are.
    """
    lines: list[str] = []
    while path:
        step, path = path
        lines.append(step if isinstance(step, str) else _line(*step, actors))
    return tuple(reversed(lines))


def _line(index: int, operation: Any, answer: Any, came_to: Any, actors: Sequence[Reader | Writer]) -> str:
    asked = " ".join(filter(None, map(_short, operation.arguments)))
    line = f"{actors[index].name}: {operation.name} {asked}".rstrip() + (f" → {said}" if (said := _short(answer)) else "")
    if came_to and came_to.versions:
        line += "; returns " + " and ".join(f"v{version}" for version in came_to.versions)
    return line


def _short(thing: Any) -> str:
    if isinstance(thing, tuple):
        return "(" + ", ".join(filter(None, map(_short, thing))) + ")"
    for kind, words in _WORDS.items():
        if isinstance(thing, kind):
            return str(words(thing))
    return ""


def _stored(raw: bytes) -> str:
    record, value = envelope.parse_record(raw), envelope.parse_value(raw)
    if record:
        return record.token.partition(".")[0] + "".join(f"+{intent.writer}" for intent in record.intents)
    if value:
        return f"v{value[0].payload.decode() or 0} of " + " ".join(token.partition(".")[0] for token in value[0].tokens)
    return raw.partition(b"|")[2].decode()


_WORDS: Final[dict[type, Callable[[Any], str | None]]] = {
    bytes: _stored,
    str: str,
    int: lambda number: str(number) if number < 100 else "",  # a version or a yes, and no time
    type(None): str,
    Announcement: lambda announcement: " ".join((*announcement.cells, *announcement.records)),
    Lease: lambda lease: lease.cell + (" for the snapshot" if lease.before else ""),
    LeaseAnswer: lambda answer: "granted " + _short(answer.records) if answer.granted else answer.reason,
    Fill: lambda fill: f"{fill.cell} v{fill.tail.rpartition(b'|')[2][1:].decode() or 0}",
}
