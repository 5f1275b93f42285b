"""What a statement of text does, told by the word that it begins with; what can't be told may write anything."""

from __future__ import annotations

import re
from typing import Final

from aa_cache_integration.orm.autocommit import leading_word
from aa_cache_integration.orm.changes import Write

__all__ = ("NOTHING", "RELEASE", "SAVEPOINT", "SESSION_STATE", "UNKNOWN", "written_by_ddl", "written_by_text")

NOTHING: Final = Write()
UNKNOWN: Final = Write(unknown=True)
SAVEPOINT: Final = Write(control="savepoint")
RELEASE: Final = Write(control="release")
_COMMIT: Final = Write(control="commit")
_COMMITS_PREPARED: Final = Write(control="commit prepared")
_BEGINS: Final = Write(begins=True)
_BEGINS_OTHERWISE: Final = Write(begins=True, session_state="transaction")
"""A BEGIN of the application's own may name another isolation level; SQLite's can't."""
SESSION_STATE: Final = Write(session_state="connection")
"""After these a connection may see other rows than its fellows under the same names (DESIGN 3.5)."""
_TRANSACTION_STATE: Final = Write(session_state="transaction")
_TEMPORARY: Final = Write(unknown=True, session_state="connection")

_CONTROL: Final = {"commit": _COMMIT, "end": _COMMIT, "savepoint": SAVEPOINT, "release": RELEASE}
_READING_WORDS: Final = frozenset({"select", "values", "show", "pragma", "describe", "desc", "rollback"})
"""What a text statement begins with when it writes no row. ``SELECT … INTO`` and ``EXPLAIN ANALYZE`` aren't told from what they hold."""
_STATE_WORDS: Final = frozenset({"set", "use", "attach", "detach", "reset", "discard"})

_SELECT_INTO: Final = re.compile(r"\binto\b", re.IGNORECASE)
_MAKES_TEMPORARY: Final = re.compile(r"\s*create\s+(?:or\s+replace\s+)?(?:local\s+|global\s+)?temp", re.IGNORECASE)
_SETS_TRANSACTION: Final = re.compile(r"\s*set\s+(?:local|transaction|constraints)\b", re.IGNORECASE)
_TWO_PHASE: Final = re.compile(r"\s*(?:xa\s+(\w+)|(commit)\s+prepared|rollback\s+prepared|prepare\s+transaction)\b", re.IGNORECASE)


def written_by_ddl(statement: str) -> Write:
    """Return what a CREATE, ALTER or DROP does."""
    return _TEMPORARY if _MAKES_TEMPORARY.match(statement) else UNKNOWN


def written_by_text(statement: str, dialect: str = "") -> Write:
    """Return what a statement does.

    Args:
        statement: Its text.
        dialect: The name of the database's dialect.
    """
    two_phase = _TWO_PHASE.match(statement)
    if two_phase:
        return _in_two_phases((two_phase[1] or two_phase[2] or "").lower())
    more = statement.rstrip().rstrip(";").count(";")
    word = leading_word(statement)
    control = None if more else _controlled_by(word, statement, dialect)
    if control is not None:
        return control
    if _MAKES_TEMPORARY.match(statement):
        return _TEMPORARY
    reads = not more and word in _READING_WORDS and not (word == "select" and _SELECT_INTO.search(statement))
    if reads and "set_config" in statement.lower():
        return SESSION_STATE
    return NOTHING if reads else UNKNOWN


def _controlled_by(word: str, statement: str, dialect: str) -> Write | None:
    """Return what a statement does that controls the transaction or the session; ``None`` for one that doesn't."""
    if word in _CONTROL:
        return _CONTROL[word]
    if word in {"begin", "start"}:
        return _BEGINS if dialect == "sqlite" else _BEGINS_OTHERWISE
    if word in _STATE_WORDS or (word == "pragma" and ("=" in statement or "read_uncommitted" in statement.lower())):
        return _TRANSACTION_STATE if _SETS_TRANSACTION.match(statement) else SESSION_STATE
    return None


def _in_two_phases(verb: str) -> Write:
    """Return what a statement of the two-phase protocol does; what its transaction wrote is known already."""
    if verb == "commit":
        return _COMMITS_PREPARED
    return _BEGINS if verb in {"begin", "start"} else NOTHING
