"""What a statement of text may do, as `text` tells it (DESIGN 6)."""

from __future__ import annotations

from typing import Final, Literal

from aa_cache_integration.orm.changes import Write

__all__ = (
    "ANYTHING",
    "BEGINS",
    "BEGINS_OTHERWISE",
    "COMMIT",
    "COMMITS_PREPARED",
    "CONTROLS",
    "CONTROLS_STATE",
    "NOTHING",
    "RELEASE",
    "SAVEPOINT",
    "SESSION_STATE",
    "TRANSACTION_STATE",
    "UNKNOWN",
    "UNKNOWN_STATE",
    "wider",
)

NOTHING: Final = Write()
UNKNOWN: Final = Write(unknown=True)
COMMIT: Final = Write(control="commit")
COMMITS_PREPARED: Final = Write(control="commit prepared")
SAVEPOINT: Final = Write(control="savepoint")
RELEASE: Final = Write(control="release")
BEGINS: Final = Write(begins=True)
BEGINS_OTHERWISE: Final = Write(begins=True, session_state="transaction")
"""A BEGIN of the application's own may name another isolation level; SQLite's can't."""
TRANSACTION_STATE: Final = Write(session_state="transaction")
SESSION_STATE: Final = Write(session_state="connection")
"""After these a connection may see other rows than its fellows under the same names (DESIGN 3.5)."""
CONTROLS: Final = Write(controls=True)
CONTROLS_STATE: Final = Write(controls=True, session_state="connection")
UNKNOWN_STATE: Final = Write(unknown=True, session_state="connection")
ANYTHING: Final = Write(unknown=True, controls=True, session_state="connection")

_STATES: Final[tuple[Literal["", "transaction", "connection"], ...]] = ("", "transaction", "connection")


def wider(one: Write, other: Write) -> Write:
    """Return what a statement may do that may be either."""
    if one == other:
        return one
    if (one.control, one.begins) != (other.control, other.begins):
        return ANYTHING
    return Write(
        unknown=one.unknown or other.unknown,
        session_state=_STATES[max(map(_STATES.index, (one.session_state, other.session_state)))],
        control=one.control,
        controls=one.controls or other.controls,
        begins=one.begins,
    )
