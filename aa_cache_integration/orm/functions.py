"""Functions that statements call: the database's own only compute, while one of the application's may write (DESIGN 6)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from aa_cache_integration.orm.blanks import blanked
from aa_cache_integration.orm.built_in import ELSEWHERE, FAMILIES, INFIX, MSSQL, MYSQL, OPENERS, POSTGRESQL, SQLITE, SYNTAX
from aa_cache_integration.orm.scanner import scanned

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ("calls_unknown", "is_call", "may_write")

_BUILT_IN: Final = {"postgresql": POSTGRESQL, "mysql": MYSQL, "mariadb": MYSQL, "sqlite": SQLITE, "mssql": MSSQL}
_ANY: Final = POSTGRESQL | MYSQL
_READS_WITHOUT_WRITING: Final = frozenset({"sqlite", "mssql", "oracle"})
"""Dialects in which a function that is called in a SELECT can't write."""
_BEHIND: Final = {
    "by": {"group", "order", "partition"},
    "conflict": {"on"},
    "cube": {"by"},
    "filter": {")"},
    "insert": {"then"},
    "materialized": {"as", "not"},
    "over": {")", "nulls"},
    "rollup": {"by"},
    "sets": {"grouping"},
    "varying": {"bit", "char", "character"},
}
"""Words of the grammar that are such only behind these."""
_OWN_SCHEMAS: Final = frozenset({"pg_catalog", "information_schema"})
_QUERIES: Final = frozenset({"select", "with", "values"})
_INSERTS: Final = frozenset({"into", "insert", "replace", "ignore", "low_priority", "high_priority", "delayed"})
_WRITING: Final = frozenset({"insert", "update", "delete", "merge", "replace", "truncate"})
_NO_TABLES: Final = frozenset({"dual"})
_NAME: Final = re.compile(r"[`\"].*[`\"]|(?![0-9]+\Z)[\w$\x80-\U0010ffff]+", re.DOTALL)
_PIECES: Final = re.compile(r"[\w$\x80-\U0010ffff]+|\S")
_PIECES_WITHOUT_STRINGS: Final = re.compile(r"""[`"][^`"]+[`"]|[\w$\x80-\U0010ffff]+|\S""")
_UNREAD: Final = frozenset({"1", '"', "`"})
"""What the scanner makes of a name that it takes for a marker, and the end of a quoted one where it can't read the text."""
_IN_TWO_WAYS: Final = (re.compile(r"'[^']*'"), re.compile(r"'(?:[^'\\]|\\.)*'", re.DOTALL))
"""Strings, as databases read them where a backslash means nothing, and where it means something."""
_MORE_WAYS: Final = re.compile(r"--|/\*|#|\$\w*\$")


def is_call(statement: str, dialect: str) -> bool:
    """Whether a SELECT reads no table and calls a function that may be the application's own, so that it may write anything.

    In PostgreSQL that is how a function is called, and a procedure was until there was ``CALL``. One that is called beside what a SELECT
    reads isn't told: it would empty the cache with each such read, and hardly any of these writes.

    Args:
        statement: Its text.
        dialect: The name of the database's dialect.
    """
    if not calls_unknown(statement, dialect):
        return False
    try:
        return not _reads_table(_scanned(statement, dialect))
    except ValueError:  # believed if it is so however the strings are read
        parts = [_PIECES_WITHOUT_STRINGS.findall(strings.sub(" '' ", statement)) for strings in _IN_TWO_WAYS]
        return _MORE_WAYS.search(statement) is not None or not all(map(_reads_table, parts))


def calls_unknown(statement: str, dialect: str) -> bool:
    """Whether a statement that reads calls a function that may be the application's own, whatever tables it reads.

    Args:
        statement: Its text.
        dialect: The name of the database's dialect.
    """
    if dialect in _READS_WITHOUT_WRITING or "(" not in statement:
        return False
    try:
        return not _are_built_in(_scanned(statement, dialect), dialect)
    except ValueError:  # so what is in its strings is looked at as well, and names that a comment hides
        texts = dict.fromkeys((statement, blanked(statement, dialect)))
        return not all(_are_built_in(_PIECES.findall(text), dialect) for text in texts)


def may_write(pieces: Sequence[str], dialect: str) -> bool:
    """Whether a function that a statement calls may write more than the statement says: not where it only reads tables.

    Args:
        pieces: What the scanner made of the statement.
        dialect: The name of the database's dialect.
    """
    if _are_built_in(pieces, dialect):
        return False
    return not _WRITING.isdisjoint(piece.lower() for piece in pieces) or not _reads_table(pieces)


def _are_built_in(pieces: Sequence[str], dialect: str) -> bool:
    """Whether all functions that are called are the database's own."""
    known = _BUILT_IN.get(dialect, _ANY)
    ends = _ends(pieces)
    distinct = {end for at, end in ends.items() if at and pieces[at - 1].lower() == "on"}
    return not any(piece == "(" and _calls_unknown(pieces, at, ends, distinct, known) for at, piece in enumerate(pieces))


def _scanned(statement: str, dialect: str) -> list[str]:
    return [piece for tokens in scanned(statement, dialect) for piece in (*tokens, ";")]


def _calls_unknown(pieces: Sequence[str], bracket: int, ends: dict[int, int], distinct: set[int], known: frozenset[str]) -> bool:
    """Whether a bracket opens the arguments of a function that isn't known.

    Args:
        pieces: The statement's.
        bracket: Where it stands.
        ends: Where each bracket is closed.
        distinct: Where those of ``DISTINCT ON (…)`` are, behind which what is selected begins.
        known: The functions that are known.
    """
    if not bracket or not _NAME.fullmatch(pieces[bracket - 1]):
        return bracket > 0 and pieces[bracket - 1] in _UNREAD
    name, first = _plain(pieces[bracket - 1]), bracket - 1
    while first > 1 and pieces[first - 1] == ".":
        first -= 2
    before = pieces[first - 1].lower() if first else ""
    if before in _INSERTS | {"as", "::"} or _names_query(pieces, ends.get(bracket, len(pieces))):
        return False  # columns, or a type
    if first < bracket - 1 and _plain(pieces[first]) not in _OWN_SCHEMAS:
        return True
    if first == bracket - 1 and _is_syntax(pieces[first].lower(), before, known):
        return False
    if before == ")" and first - 1 not in distinct:
        return False  # an alias, with its columns
    return not (name in known or name.startswith(FAMILIES)) or pieces[bracket - 1][:1] in {'"', "`"}


def _is_syntax(word: str, before: str, known: frozenset[str]) -> bool:
    """Whether a word before a bracket is one of the grammar.

    Args:
        word: The word.
        before: What stands before it.
        known: The functions that are known, by which the database is.
    """
    if word in INFIX:
        return before not in OPENERS and (before[-1:] in {")", "]", "'"} or before.isdigit() or _NAME.fullmatch(before) is not None)
    return word in SYNTAX or before in _BEHIND.get(word, ()) or (word in ELSEWHERE and known is not POSTGRESQL)


def _plain(name: str) -> str:
    return name.strip('"`').lower()


def _ends(pieces: Sequence[str]) -> dict[int, int]:
    """Return where each bracket is closed."""
    found: dict[int, int] = {}
    opened: list[int] = []
    for at, piece in enumerate(pieces):
        if piece == "(":
            opened.append(at)
        elif piece == ")" and opened:
            found[opened.pop()] = at
    return found


def _names_query(pieces: Sequence[str], end: int) -> bool:
    """Whether a bracket that ends here holds the columns of a CTE: ``AS (SELECT …)`` follows."""
    return [piece.lower() for piece in pieces[end + 1 : end + 2]] == ["as"] and _opens_query(pieces, end + 2)


def _opens_query(pieces: Sequence[str], at: int) -> bool:
    """Whether the query of a CTE begins here."""
    following = [piece.lower() for piece in pieces[at : at + 4]]
    while following[:1] in (["not"], ["materialized"]):
        del following[0]
    return following[:1] == ["("] and following[1:2] != [] and following[1] in _QUERIES | _WRITING | {"("}


def _queries_named(pieces: Sequence[str], ends: dict[int, int]) -> Iterator[str]:
    """Yield the names of the CTEs."""
    begins = {end: begin for begin, end in ends.items()}
    for at, piece in enumerate(pieces):
        if piece.lower() == "as" and at and _opens_query(pieces, at + 1):
            yield _plain(pieces[begins.get(at - 1, at) - 1])


def _reads_table(pieces: Sequence[str]) -> bool:
    """Whether a query among these names a table behind FROM or JOIN."""
    named = _NO_TABLES | set(_queries_named(pieces, _ends(pieces)))
    within: list[str] = [""]
    for at, piece in enumerate(pieces):
        if piece == "(":
            within.append(pieces[at + 1].lower() if at + 1 < len(pieces) else "")
        elif piece == ")" and len(within) > 1:
            within.pop()
        elif piece.lower() in {"from", "join"} and (len(within) == 1 or within[-1] in _QUERIES):
            before = pieces[at - 1].lower() if at else ""
            if before not in {"distinct", "as", "rows", "."} and _is_table(pieces, at + 1, named):
                return True
    return False


def _is_table(pieces: Sequence[str], at: int, named: frozenset[str] | set[str]) -> bool:
    while pieces[at : at + 1] and pieces[at].lower() in {"lateral", "only"}:
        at += 1
    if not pieces[at : at + 1] or not _NAME.fullmatch(pieces[at]) or [piece.lower() for piece in pieces[at : at + 2]] == ["rows", "from"]:
        return False
    first = at
    while pieces[at + 1 : at + 2] == ["."]:
        at += 2
    return pieces[at + 1 : at + 2] != ["("] and (at > first or _plain(pieces[first]) not in named)
