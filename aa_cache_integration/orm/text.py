"""What a statement of text does to transactions and sessions, told by the words in it; what can't be told may do anything (DESIGN 6)."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from aa_cache_integration.orm.changes import Write
from aa_cache_integration.orm.functions import is_call
from aa_cache_integration.orm.scanner import scanned

__all__ = ("NOTHING", "RELEASE", "SAVEPOINT", "SESSION_STATE", "UNKNOWN", "hides_state", "leading_word", "stripped", "written_by_text")

NOTHING: Final = Write()
UNKNOWN: Final = Write(unknown=True)
SAVEPOINT: Final = Write(control="savepoint")
RELEASE: Final = Write(control="release")
SESSION_STATE: Final = Write(session_state="connection")
"""After these a connection may see other rows than its fellows under the same names (DESIGN 3.5)."""
_COMMIT: Final = Write(control="commit")
_COMMITS_PREPARED: Final = Write(control="commit prepared")
_BEGINS: Final = Write(begins=True)
_BEGINS_OTHERWISE: Final = Write(begins=True, session_state="transaction")
"""A BEGIN of the application's own may name another isolation level; SQLite's can't."""
_TRANSACTION_STATE: Final = Write(session_state="transaction")
_CONTROLS: Final = Write(controls=True)
_CONTROLS_STATE: Final = Write(controls=True, session_state="connection")
_UNKNOWN_STATE: Final = Write(unknown=True, session_state="connection")
_ANYTHING: Final = Write(unknown=True, controls=True, session_state="connection")

_CONTROL: Final = {"commit": _COMMIT, "end": _COMMIT, "savepoint": SAVEPOINT, "release": RELEASE}
_READING_WORDS: Final = frozenset({"select", "values", "show", "pragma", "describe", "desc", "rollback"})
"""What a text statement begins with when it writes no row. ``SELECT … INTO`` and ``EXPLAIN ANALYZE`` aren't told from what they hold."""
_STATE_WORDS: Final = frozenset({"set", "use", "attach", "detach", "reset", "discard"})
_DML_WORDS: Final = frozenset({"insert", "update", "delete", "replace", "merge", "with", "truncate"})
_DDL_WORDS: Final = frozenset({"create", "alter", "drop", "rename", "comment", "grant", "revoke"})
_NO_ORDERS: Final = _DML_WORDS | _DDL_WORDS | {"explain", "analyze", "copy", "load", "lock", "handler"}
"""In a statement that begins so, SET, USE and the like are no orders to the session."""

_WRITES_NO_ROWS: Final = {"postgresql": frozenset({"analyse", "analyze", "checkpoint", "listen", "lock", "notify", "unlisten", "vacuum"})}
"""What statements of one database begin with that write none; elsewhere the same word may commit, or run what follows."""
_RUNS_IT: Final = re.compile(r"\banaly[sz]e\b", re.IGNORECASE)
_SETS_NO_ROWS: Final = re.compile(  # what a statement may take of time, space and ways, and what is logged of it
    r"(?:set\s+(?:(?:session|local)\s+|@@(?:session\.)?)?|pragma\s+)"
    r"(?:application_name|auto_vacuum|automatic_index|busy_timeout|cache_size|client_min_messages|deadlock_timeout|enable_\w+|foreign_keys|"
    r"idle(?:_in_transaction)?_session_timeout|(?:innodb_)?lock_(?:wait_)?timeout|interactive_timeout|jit|journal_(?:mode|size_limit)|"
    r"log_(?:duration|min_\w+|statement)|(?:maintenance_)?work_mem|max_(?:execution|statement)_time|mmap_size|net_(?:read|write)_timeout|"
    r"(?:random|seq)_page_cost|statement_timeout|synchronous(?:_commit)?|temp_(?:buffers|store)|threads|wait_timeout|wal_autocheckpoint)"
    r"\s*(?:=|\bto\b)\s*(?:-?\w+|'[\w .:/-]*'|%s|%\(\w+\)s|\$1)",
    re.IGNORECASE,
)
_MYSQL: Final = frozenset({"mysql", "mariadb"})
_SELECT_INTO: Final = re.compile(r"\binto\b", re.IGNORECASE)
_SETS_TRANSACTION: Final = re.compile(r"set\s+(?:local|transaction|constraints)\b", re.IGNORECASE)
_SETS_LOCAL: Final = re.compile(r"set\s+local\b", re.IGNORECASE)
_SETS_MORE: Final = re.compile(r"\b(?:autocommit|implicit_transactions)\b", re.IGNORECASE)
_SET_STATEMENT: Final = re.compile(r"set\s+statement\b", re.IGNORECASE)
_TWO_PHASE: Final = re.compile(r"(?:xa\s+(\w+)|(commit)\s+prepared|rollback\s+prepared|prepare\s+transaction)\b", re.IGNORECASE)
_ENDS: Final = re.compile(r"\b(?:commit|rollback)\b", re.IGNORECASE)
_CHAINS: Final = re.compile(r"\bchain\b", re.IGNORECASE)
_CONTROL_WORDS: Final = re.compile(
    r"\b(?:begin|start|commit|end|rollback|abort|prepare|savepoint|release|chain|xa|autocommit)\b", re.IGNORECASE
)
_COMMENT: Final = re.compile(r"/\*.*?\*/|--[^\n]*", re.DOTALL)
_MAKES_TEMPORARY: Final = re.compile(r"(?:create\s+(?:or\s+replace\s+)?(?:local\s+|global\s+)?|into\s+)temp", re.IGNORECASE)
_IN_TEMP: Final = re.compile(r"\btemp[\"'`\]]?\s*\.", re.IGNORECASE)
"""SQLite's schema of temporary tables."""
_HAS_BODY: Final = re.compile(r"create\b[^;]*?\b(?:trigger|function|procedure|event|package|routine)\b", re.IGNORECASE)
_DOUBTFUL: Final = re.compile(r"/\*(?:(?!\*/).)*/\*|--[^\n\r]*\r(?!\n)", re.DOTALL)
"""A comment that ends elsewhere for some databases: where they nest, or end with a carriage return."""
_STATE_IN_DML: Final = re.compile(r"\bset_config\b|\bpg_(?:temp|settings\b)|\bu&\"", re.IGNORECASE)
_STATE_ELSEWHERE: Final = re.compile(r"\b(?:set|use|attach|detach|temp|temporary|set_config|search_path)\b|\bpg_temp", re.IGNORECASE)
_LONG: Final = 5_000
_UPDATE_SETS: Final = re.compile(r"\bupdate\b[^;]*?\bset\b", re.IGNORECASE)
_EXECUTED_COMMENT: Final = re.compile(r"/\*M?!")

_BLANK: Final = re.compile(r"(?:\s+|--[^\n]*(?:\n|$)|/\*.*?\*/|\()*", re.DOTALL)
_BLANK_IN_MYSQL: Final = re.compile(r"(?:\s+|--[^\n]*(?:\n|$)|#[^\n]*(?:\n|$)|/\*.*?\*/|\()*", re.DOTALL)
_WORD: Final = re.compile(r"[a-zA-Z]+")


def stripped(statement: str, dialect: str) -> str:
    """Return a statement without the comments, blanks and brackets before its first word."""
    blank = (_BLANK_IN_MYSQL if dialect in _MYSQL else _BLANK).match(statement)
    return statement[blank.end() :] if blank else statement


def leading_word(statement: str, dialect: str = "") -> str:
    """Return the word that a statement begins with, in lower case."""
    match = _WORD.match(stripped(statement, dialect))
    return match.group().lower() if match else ""


def hides_state(text: str) -> bool:
    """Whether a statement that reads or writes rows may change what the connection sees: by PostgreSQL's function for what SET does."""
    return _STATE_IN_DML.search(text) is not None


@lru_cache(maxsize=1000)
def written_by_text(statement: str, dialect: str = "") -> Write:
    """Return what a statement does, DDL among them.

    Args:
        statement: Its text.
        dialect: The name of the database's dialect.
    """
    if _DOUBTFUL.search(statement) or (dialect in _MYSQL and _EXECUTED_COMMENT.search(statement)):
        return _ANYTHING
    pieces = _pieces(statement, dialect)
    if len(pieces) > 1 and not _is_one_with_a_body(pieces, dialect):
        return _several(pieces, statement, dialect)
    return _one(stripped(statement, dialect).rstrip("; \t\r\n\f"), dialect)


def _pieces(statement: str, dialect: str) -> list[str]:
    """Return the statements of a text, with nothing in their strings; where databases may read its quotes in several ways, too many."""
    try:
        return [" ".join(tokens) for tokens in scanned(statement, dialect)]
    except ValueError:
        return [piece for part in statement.split(";") if (piece := stripped(part, dialect))]


def _is_one_with_a_body(pieces: list[str], dialect: str) -> bool:
    """Whether a text makes a trigger or a routine, and does no more: its body holds statements of its own, up to the first END."""
    words = [piece.lower() for piece in pieces]
    makes = dialect != "postgresql" and _HAS_BODY.match(pieces[0]) is not None  # there a body is a string
    return makes and "end" in words and words.index("end") == len(words) - 1


def _several(pieces: list[str], statement: str, dialect: str) -> Write:
    """Return what several statements do together.

    Args:
        pieces: Each, with nothing in its strings.
        statement: The whole text.
        dialect: The name of the database's dialect.
    """
    told = [_one(piece, dialect) for piece in pieces]
    if any(write.control or write.begins or write.controls for write in told) or any(map(_may_control, pieces)):
        return _ANYTHING
    if any(leading_word(piece) not in _NO_ORDERS | _READING_WORDS for piece in pieces):  # whose strings may be run: DO, EXECUTE
        if _CONTROL_WORDS.search(statement):
            return _ANYTHING
        if _STATE_ELSEWHERE.search(statement):
            return _UNKNOWN_STATE
    return _UNKNOWN_STATE if any(write.session_state for write in told) or hides_state(statement) else UNKNOWN


def _may_control(piece: str) -> bool:
    return leading_word(piece) not in _NO_ORDERS | {"select", "values"} and _CONTROL_WORDS.search(piece) is not None


def _one(text: str, dialect: str) -> Write:
    two_phase = _TWO_PHASE.match(text)
    if two_phase:
        return _in_two_phases((two_phase[1] or two_phase[2] or "").lower())
    word = leading_word(text)
    control = _controlled_by(word, text, dialect)
    if control is not None:
        return control
    if _only_reads(word, text, dialect):
        return SESSION_STATE if _STATE_IN_DML.search(text) else NOTHING
    if word == "do" and _ENDS.search(text):
        return _ANYTHING
    if _MAKES_TEMPORARY.search(_COMMENT.sub(" ", text)) or _STATE_IN_DML.search(text) or (word in _DDL_WORDS and _IN_TEMP.search(text)):
        return _UNKNOWN_STATE
    gives_orders = word not in _NO_ORDERS | {"select", "values"}
    return _UNKNOWN_STATE if gives_orders and _STATE_ELSEWHERE.search(_without_updates(text)) else UNKNOWN


def _only_reads(word: str, text: str, dialect: str) -> bool:
    if word == "explain":
        return _RUNS_IT.search(text) is None
    if word in {"select", "values"} and is_call(text, dialect):
        return False
    reads = word in _READING_WORDS and not (word == "select" and _SELECT_INTO.search(text))
    return reads or word in _WRITES_NO_ROWS.get(dialect, ())


def _without_updates(text: str) -> str:
    """Return a text without the SET of its UPDATEs; a long one as it is, for looking would take too long."""
    return text if len(text) > _LONG else _UPDATE_SETS.sub(" ", text)


def _controlled_by(word: str, text: str, dialect: str) -> Write | None:
    """Return what a statement does that controls the transaction or the session; ``None`` for one that doesn't."""
    if word in {"commit", "end", "rollback", "abort"} and _CHAINS.search(text):
        return _CONTROLS
    if word in _CONTROL:
        return _CONTROL[word]
    if word in {"begin", "start"}:
        return _BEGINS if dialect == "sqlite" else _BEGINS_OTHERWISE
    if word in _STATE_WORDS or (word == "pragma" and ("=" in text or "read_uncommitted" in text.lower())):
        return _set_by(text, dialect)
    return None


def _set_by(text: str, dialect: str) -> Write:
    if _SETS_NO_ROWS.fullmatch(text):
        return NOTHING
    if _SET_STATEMENT.match(text):
        return _ANYTHING
    if _SETS_MORE.search(text):
        return _CONTROLS_STATE
    ends = _SETS_TRANSACTION.match(text) and not (dialect in _MYSQL and _SETS_LOCAL.match(text))  # there LOCAL means the session
    return _TRANSACTION_STATE if ends else SESSION_STATE


def _in_two_phases(verb: str) -> Write:
    """Return what a statement of the two-phase protocol does; what its transaction wrote is known already."""
    if verb == "commit":
        return _COMMITS_PREPARED
    return _BEGINS if verb in {"begin", "start"} else NOTHING
