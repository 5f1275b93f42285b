"""What a statement of text does to transactions and sessions, told by the words in it; what can't be told may do anything (DESIGN 6)."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from aa_cache_integration.orm.blanks import MYSQL, blanked, is_doubtful, leading_word, squeezed, stripped
from aa_cache_integration.orm.effects import (
    ANYTHING,
    BEGINS,
    BEGINS_OTHERWISE,
    COMMIT,
    COMMITS_PREPARED,
    CONTROLS,
    NOTHING,
    RELEASE,
    SAVEPOINT,
    SESSION_STATE,
    UNKNOWN,
    UNKNOWN_STATE,
    wider,
)
from aa_cache_integration.orm.functions import calls_unknown, is_call
from aa_cache_integration.orm.scanner import LONGEST, scanned, uncommented
from aa_cache_integration.orm.session_state import STATE_WORDS, asked_or_set, hides_state, set_by

if TYPE_CHECKING:
    from aa_cache_integration.orm.changes import Write

__all__ = ("written_by_text",)

_CONTROL: Final = {"commit": COMMIT, "end": COMMIT, "savepoint": SAVEPOINT, "release": RELEASE}
_READING_WORDS: Final = frozenset({"select", "values", "show", "pragma", "describe", "desc", "rollback"})
"""What a text statement begins with when it writes no row. ``SELECT … INTO`` and ``EXPLAIN ANALYZE`` aren't told from what they hold."""
_DML_WORDS: Final = frozenset({"insert", "update", "delete", "replace", "merge", "with", "truncate"})
_DDL_WORDS: Final = frozenset({"create", "alter", "drop", "rename", "comment", "grant", "revoke"})
_NO_ORDERS: Final = _DML_WORDS | _DDL_WORDS | {"explain", "analyze", "copy", "load", "lock", "handler"}
"""In a statement that begins so, SET, USE and the like are no orders to the session."""
_WRITES_NO_ROWS: Final = {
    "postgresql": frozenset(
        {
            *("analyse", "analyze", "checkpoint", "vacuum"),
            *("close", "deallocate", "fetch", "listen", "lock", "move", "notify", "unlisten"),
        }
    ),
    "sqlite": frozenset({"analyze", "reindex"}),  # VACUUM may number rows anew
}
"""What statements of one database begin with that write none; elsewhere the same word may commit, or run what follows."""
_EVALUATES: Final = frozenset({"set", "show", "describe", "desc", "explain"})
"""In MySQL and MariaDB the expressions in these are evaluated."""
_COMMITS_BEFORE: Final = _DDL_WORDS | {"truncate", "call", "lock", "unlock", "analyze", "optimize", "repair", "check", "flush", "execute"}
_COMMIT_BY_THEMSELVES: Final = MYSQL | {"oracle"}
"""Dialects in which such statements commit what was written before them."""
_SETS_VARIABLES: Final = frozenset({"call", "execute", "get", "load"})
"""In MySQL and MariaDB a variable that is named in these may be set."""

_RUNS_IT: Final = re.compile(r"\banaly[sz]e\b|\bu&", re.IGNORECASE)
_LITERAL: Final = re.compile(
    r"(?:execute\s+immediate|prepare\s+\S+\s+from)\s*(?:'[^'\\]*'|\"[^\"\\]*\")(?:\s*using\b.*)?|execute\s+(?!immediate\b).*",
    re.IGNORECASE | re.DOTALL,
)
"""MySQL's statements that run others, where these can be read."""
_SELECT_INTO: Final = re.compile(r"\binto\b", re.IGNORECASE)
_CHANGES_ROWS: Final = re.compile(r"\b(?:insert|update|delete|merge|into)\b", re.IGNORECASE)
_CURSOR_FOR: Final = re.compile(r"\bfor\b", re.IGNORECASE)
_COPIES_TABLE: Final = re.compile(
    r"copy\s+(?:[\w$]+|\"[^\"]+\")(?:\s*\.\s*(?:[\w$]+|\"[^\"]+\"))?\s*(?:\([^()]*\)\s*)?to\s+stdout\b.*", re.IGNORECASE | re.DOTALL
)
_COPIES_QUERY: Final = re.compile(r"copy\s*\((.*)\)\s*to\s+stdout\b(?!.*\bprogram\b)", re.IGNORECASE | re.DOTALL)
_TWO_PHASE: Final = re.compile(r"(?:xa\s+(\w+)|(commit)\s+prepared|rollback\s+prepared|prepare\s+transaction)\b", re.IGNORECASE)
_COMPUTES: Final = re.compile(r"\bexecute\b", re.IGNORECASE)
"""In PostgreSQL's DO: what it runs may be put together from pieces."""
_ENDS: Final = re.compile(r"\b(?:commit|rollback)\b", re.IGNORECASE)
_CHAINS: Final = re.compile(r"\bchain\b", re.IGNORECASE)
_CONTROL_WORDS: Final = re.compile(
    r"\b(?:begin|start|commit|end|rollback|abort|prepare|savepoint|release|chain|xa|autocommit|completion_type)\b", re.IGNORECASE
)
_MAKES_TEMPORARY: Final = re.compile(r"(?:create\s+(?:or\s+replace\s+)?|into\s+)(?:local\s+|global\s+)?temp", re.IGNORECASE)
_IN_TEMP: Final = re.compile(r"\btemp[\"'`\]]?\s*\.", re.IGNORECASE)
"""SQLite's schema of temporary tables."""
_HAS_BODY: Final = re.compile(r"create\b[^;]*?\b(?:trigger|function|procedure|event|package|routine)\b", re.IGNORECASE)
_STATE_ELSEWHERE: Final = re.compile(r"\b(?:set|use|attach|detach|temp|temporary|set_config|search_path)\b|\bpg_temp", re.IGNORECASE)
_UPDATE_SETS: Final = re.compile(r"\bupdate\b[^;]*?\bset\b", re.IGNORECASE)
_LONG: Final = 5_000
_MOST_PIECES: Final = 2_000
_EXECUTED_COMMENT: Final = re.compile(r"/\*M?!")


def written_by_text(statement: str, dialect: str = "") -> Write:
    """Return what a statement does, DDL among them.

    Args:
        statement: Its text.
        dialect: The name of the database's dialect.
    """
    return (_remembered if len(statement) <= LONGEST else _written)(statement, dialect)


def _written(statement: str, dialect: str) -> Write:
    if is_doubtful(statement) or (dialect in MYSQL and _EXECUTED_COMMENT.search(statement)):
        return ANYTHING
    try:
        pieces = [" ".join(tokens) for tokens in scanned(statement, dialect)]
    except ValueError:  # what is in its strings isn't known, nor what is in its comments
        told, without_comments = _unread(statement, dialect), blanked(statement, dialect)
        return told if without_comments == statement else wider(told, _unread(without_comments, dialect))
    text = uncommented(statement, dialect)
    if len(pieces) > 1 and not _is_one_with_a_body(pieces, dialect):
        return _several(pieces, text, dialect, certain=True)
    return wider(_one(text, dialect), _one(" ; ".join(pieces), dialect))


_remembered: Final = lru_cache(maxsize=1000)(_written)


def _unread(statement: str, dialect: str) -> Write:
    """Return what a text does that databases may read in several ways, by as many statements as it may have."""
    if statement.count(";") > _MOST_PIECES:
        return ANYTHING
    pieces = [piece for part in statement.split(";") if (piece := stripped(part, dialect))]
    if len(pieces) > 1 and not _is_one_with_a_body(pieces, dialect):
        return _several(pieces, statement, dialect, certain=False)
    return _one(statement, dialect)


def _is_one_with_a_body(pieces: list[str], dialect: str) -> bool:
    """Whether a text makes a trigger or a routine, and does no more: its body holds statements of its own, up to the first END."""
    words = [piece.lower() for piece in pieces]
    makes = dialect != "postgresql" and _HAS_BODY.match(pieces[0]) is not None  # there a body is a string
    return makes and "end" in words and words.index("end") == len(words) - 1


def _several(pieces: list[str], statement: str, dialect: str, *, certain: bool) -> Write:
    """Return what several statements do together.

    Args:
        pieces: Each, with nothing in its strings.
        statement: The whole text.
        dialect: The name of the database's dialect.
        certain: Whether these are its statements, and no more.
    """
    told = [_one(piece, dialect) for piece in pieces]
    words = {leading_word(piece) for piece in pieces}
    commits = dialect in _COMMIT_BY_THEMSELVES and not words.isdisjoint(_COMMITS_BEFORE)
    if commits or any(write.control or write.begins or write.controls for write in told) or any(map(_may_control, pieces)):
        return ANYTHING
    hidden = SESSION_STATE if hides_state(statement) else NOTHING
    others = [write for write in told if write != NOTHING]
    if certain and all(write == others[0] and not write.unknown for write in others):
        return wider(others[0] if others else NOTHING, hidden)
    if words - _NO_ORDERS - _READING_WORDS - STATE_WORDS:  # whose strings may be run: DO, EXECUTE
        if _CONTROL_WORDS.search(statement):
            return ANYTHING
        if _STATE_ELSEWHERE.search(statement):
            return UNKNOWN_STATE
    return UNKNOWN_STATE if any(write.session_state for write in told) else wider(UNKNOWN, hidden)


def _may_control(piece: str) -> bool:
    return leading_word(piece) not in _NO_ORDERS | {"select", "values"} and _CONTROL_WORDS.search(piece) is not None


def _one(text: str, dialect: str) -> Write:
    text = squeezed(stripped(text, dialect)).rstrip("; \t\r\n\f")
    word = leading_word(text)
    told = _controlled_by(word, text, dialect) or _read_or_written(word, text, dialect)
    calls = dialect in MYSQL and word in _EVALUATES and calls_unknown(text, dialect)
    return wider(told, UNKNOWN) if calls else told


def _read_or_written(word: str, text: str, dialect: str) -> Write:
    hidden = hides_state(text)
    if _only_reads(word, text, dialect):
        return SESSION_STATE if hidden else NOTHING
    runs_others = dialect in MYSQL and word in {"execute", "prepare"}
    if (word == "do" and _ENDS.search(text)) or (runs_others and (_CONTROL_WORDS.search(text, len(word)) or not _LITERAL.fullmatch(text))):
        return ANYTHING
    if hidden or _MAKES_TEMPORARY.search(text) or (word in _DDL_WORDS and _IN_TEMP.search(text)):
        return UNKNOWN_STATE
    if (dialect in MYSQL and word in _SETS_VARIABLES and "@" in text) or (word == "do" and _COMPUTES.search(text)):
        return UNKNOWN_STATE
    gives_orders = word not in _NO_ORDERS | {"select", "values"}
    return UNKNOWN_STATE if gives_orders and _STATE_ELSEWHERE.search(_without_updates(text)) else UNKNOWN


def _only_reads(word: str, text: str, dialect: str) -> bool:
    if word == "do":
        return dialect in MYSQL and not calls_unknown(text, dialect)
    if word in {"copy", "declare"}:
        return dialect == "postgresql" and _hands_out(word, text, dialect)
    if word in {"select", "values"} and is_call(text, dialect):
        return False
    if word in {"explain", "describe", "desc"}:
        return _RUNS_IT.search(text) is None
    reads = word in _READING_WORDS and not (word == "select" and _SELECT_INTO.search(text))
    return reads or word in _WRITES_NO_ROWS.get(dialect, ())


def _hands_out(word: str, text: str, dialect: str) -> bool:
    """Whether PostgreSQL's COPY or DECLARE gives rows to the client, and no more."""
    if word == "copy" and _COPIES_TABLE.fullmatch(text):
        return True
    copied = _COPIES_QUERY.match(text) if word == "copy" else None
    query = copied[1] if copied else "".join(_CURSOR_FOR.split(text, 1)[1:]) if word == "declare" else ""
    return bool(query) and _CHANGES_ROWS.search(query) is None and not calls_unknown(query, dialect)


def _without_updates(text: str) -> str:
    """Return a text without the SET of its UPDATEs; a long one as it is, for looking would take too long."""
    return text if len(text) > _LONG else _UPDATE_SETS.sub(" ", text)


def _controlled_by(word: str, text: str, dialect: str) -> Write | None:
    """Return what a statement does that controls the transaction or the session; ``None`` for one that doesn't."""
    two_phase = _TWO_PHASE.match(text)
    if two_phase:
        return _in_two_phases((two_phase[1] or two_phase[2] or "").lower())
    if word in {"commit", "end", "rollback", "abort"} and _CHAINS.search(text):
        return CONTROLS
    if word in {"begin", "start"}:
        return BEGINS if dialect == "sqlite" else BEGINS_OTHERWISE
    if word in STATE_WORDS:
        return set_by(text, dialect)
    return asked_or_set(text) if word == "pragma" else _CONTROL.get(word)


def _in_two_phases(verb: str) -> Write:
    """Return what a statement of the two-phase protocol does; what its transaction wrote is known already."""
    if verb == "commit":
        return COMMITS_PREPARED
    return BEGINS if verb in {"begin", "start"} else NOTHING
