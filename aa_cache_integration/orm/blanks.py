"""What databases skip in a statement's text: blanks, comments, and empty statements before it (DESIGN 6)."""

from __future__ import annotations

import re
from typing import Final

__all__ = ("MYSQL", "blanked", "is_doubtful", "leading_word", "squeezed", "stripped")

MYSQL: Final = frozenset({"mysql", "mariadb"})
_BEFORE: Final = re.compile(r"(?:[\s;\ufeff]+|--[^\n]*(?:\n|$)|/\*.*?\*/|\()*", re.DOTALL)
_BEFORE_IN_MYSQL: Final = re.compile(r"(?:[\s;\ufeff]+|--[^\n]*(?:\n|$)|#[^\n]*(?:\n|$)|/\*.*?\*/|\()*", re.DOTALL)
_COMMENT: Final = re.compile(r"/\*.*?(?:\*/|\Z)|--[^\n]*|\ufeff", re.DOTALL)
_COMMENT_IN_MYSQL: Final = re.compile(r"/\*.*?(?:\*/|\Z)|--[^\n]*|#[^\n]*|\ufeff", re.DOTALL)
_NESTED: Final = re.compile(r"/\*(?:(?!\*/).)*/\*", re.DOTALL)
_BLANKS: Final = re.compile(r"\s{2,}")
_WORD: Final = re.compile(r"[a-zA-Z]+")


def stripped(statement: str, dialect: str) -> str:
    """Return a statement without what stands before its first word: comments, blanks, brackets, empty statements, a byte order mark."""
    before = (_BEFORE_IN_MYSQL if dialect in MYSQL else _BEFORE).match(statement)
    return statement[before.end() :] if before else statement


def leading_word(statement: str, dialect: str = "") -> str:
    """Return the word that a statement begins with, in lower case."""
    match = _WORD.match(stripped(statement, dialect))
    return match.group().lower() if match else ""


def blanked(text: str, dialect: str) -> str:
    """Return a text with blanks in place of its comments, and of whatever looks like one in its strings."""
    return (_COMMENT_IN_MYSQL if dialect in MYSQL else _COMMENT).sub(" ", text)


def squeezed(text: str) -> str:
    """Return a text with one blank, or line break, for many."""
    return _BLANKS.sub(lambda blanks: "\n" if "\n" in blanks[0] else " ", text)


def is_doubtful(text: str) -> bool:
    """Whether a comment ends elsewhere for some databases: where they nest, or end with a carriage return."""
    lines = text.replace("\r\n", "\n").split("\n") if "\r" in text and "--" in text else []
    return any("--" in line.rpartition("\r")[0] for line in lines) or _NESTED.search(text) is not None
