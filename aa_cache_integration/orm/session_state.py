"""What a statement of text does to what its connection sees: SET, RESET, USE, PRAGMA, and functions and variables in others (DESIGN 6)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from aa_cache_integration.orm.blanks import MYSQL, blanked
from aa_cache_integration.orm.effects import ANYTHING, CONTROLS_STATE, NOTHING, SESSION_STATE, TRANSACTION_STATE

if TYPE_CHECKING:
    from aa_cache_integration.orm.changes import Write

__all__ = ("STATE_WORDS", "asked_or_set", "hides_state", "set_by")

STATE_WORDS: Final = frozenset({"set", "use", "attach", "detach", "reset", "discard"})

_LIMITS: Final = (  # what a statement may take of time, space and ways, and what is logged of it
    r"(?:application_name|client_min_messages|deadlock_timeout|enable_\w+|idle(?:_in_transaction)?_session_timeout|interactive_timeout|jit|"
    r"(?:innodb_)?lock_(?:wait_)?timeout|log_(?:duration|min_\w+|statement)|(?:maintenance_)?work_mem|max_(?:execution|statement)_time|"
    r"net_(?:read|write)_timeout|(?:random|seq)_page_cost|statement_timeout|synchronous_commit|temp_buffers|wait_timeout)"
)
_VALUE: Final = r"""(?:-?\s*[\w.]+|'[^'\\]*'|"\w*"|%s|%\(\w+\)s|\$1)"""
_SETS_LIMIT: Final = re.compile(
    rf"set\s+(?:(?:session|local)\s+|@@(?:session\.)?)?{_LIMITS}\s*(?:=|\bto\b)\s*{_VALUE}|reset\s+{_LIMITS}", re.IGNORECASE
)
_PRAGMA: Final = r"pragma\s+(?:[\w\"`\[\]]+\s*\.\s*)?"
_SETS_PRAGMA: Final = re.compile(
    rf"{_PRAGMA}(?:analysis_limit|application_id|auto_vacuum|automatic_index|busy_timeout|cache_(?:size|spill)|(?:checkpoint_)?fullfsync|"
    r"defer_foreign_keys|foreign_keys|(?:hard|soft)_heap_limit|journal_(?:mode|size_limit)|locking_mode|mmap_size|page_size|secure_delete|"
    rf"shrink_memory|synchronous|temp_store|threads|user_version|wal_autocheckpoint)\s*(?:=\s*{_VALUE}|\(\s*{_VALUE}\s*\))",
    re.IGNORECASE,
)
_ASKS_PRAGMA: Final = re.compile(  # or puts the file in order
    rf"{_PRAGMA}(?:collation_list|compile_options|database_list|foreign_key_(?:check|list)|freelist_count|function_list|incremental_vacuum|"
    r"index_(?:info|list|xinfo)|(?:integrity|quick)_check|module_list|optimize|page_count|pragma_list|table_(?:info|list|xinfo)|"
    r"wal_checkpoint)\s*[=(][^;]*",
    re.IGNORECASE,
)
_SETS_TRANSACTION: Final = re.compile(r"set\s+(?:local|transaction|constraints)\b", re.IGNORECASE)
_SETS_LOCAL: Final = re.compile(r"set\s+local\b", re.IGNORECASE)
_SETS_CONTROL: Final = re.compile(r"\b(?:autocommit|completion_type|implicit_transactions)\b", re.IGNORECASE)
_SET_STATEMENT: Final = re.compile(r"set\s+statement\b", re.IGNORECASE)
_HIDDEN: Final = re.compile(
    r"\bset_(?:config|limit)\b|\bpg_(?:temp|settings\b)|\bu&\"|"
    r"\binto\s*@|@\s*(?:[\w.$]+|`[^`]*`|'[^']*'|\"[^\"]*\")\s*:=",  # user variables of MySQL
    re.IGNORECASE,
)


def hides_state(text: str) -> bool:
    """Whether a statement that reads or writes rows may change what the connection sees: by a function or a variable."""
    without_comments = blanked(text, "mysql")
    return _HIDDEN.search(text) is not None or (without_comments != text and _HIDDEN.search(without_comments) is not None)


def set_by(text: str, dialect: str) -> Write:
    """Return what SET, RESET, USE, ATTACH and the like do."""
    if _SETS_LIMIT.fullmatch(text):
        return NOTHING
    if _SET_STATEMENT.match(text):
        return ANYTHING
    if _SETS_CONTROL.search(text):
        return CONTROLS_STATE
    ends = _SETS_TRANSACTION.match(text) and not (dialect in MYSQL and _SETS_LOCAL.match(text))  # there LOCAL means the session
    return TRANSACTION_STATE if ends else SESSION_STATE


def asked_or_set(text: str) -> Write:
    """Return what a PRAGMA does."""
    if _ASKS_PRAGMA.fullmatch(text) or _SETS_PRAGMA.fullmatch(text):
        return NOTHING
    return SESSION_STATE if "=" in text or "(" in text or "read_uncommitted" in text.lower() else NOTHING
