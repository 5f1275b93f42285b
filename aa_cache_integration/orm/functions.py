"""Functions that statements call: the database's own only compute, while one of the application's may write (DESIGN 6)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from aa_cache_integration.orm.scanner import scanned

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ("is_built_in", "is_call")

_BUILT_IN: Final = re.compile(  # as far as sqlglot has no class for them, and what is often called by itself
    "abs|age|array(_agg)?|avg|btrim|cardinality|changes|coalesce|concat|connection_id|count|crc32|cur(date|rval)|current_(database|schemas?|setting)|"
    "database|date_(format|part|trunc)|dateadd|datetime|digest|extract|field|find_in_set|found_rows|from_unixtime|gen_random_uuid|"
    "generate_series|get_lock|getdate|greatest|inet_(aton|server_(addr|port)|client_addr)|is(_free|_used)_lock|isnull|json_(agg|array|"
    "build_object|contains|each|group_array|insert|merge_patch|patch|quote|replace|tree|unquote|valid)|jsonb_(agg|array_elements(_text)?|"
    "build_object|insert|set|strip_nulls)|julianday|last(_insert_(id|rowid)|val)|least|length|lower|make_date|max|md5|min|newid|nextval|now|"
    "nullif|octet_length|pg_(try_)?advisory_(xact_)?(un)?lock(_all|_shared)?|pg_(backend_pid|is_in_recovery|notify|sleep)|"
    "(phrase|plain|websearch_)?to_tsquery|printf|quote|rand(om)?|randomblob|release_(all_)?locks?|round|row(_count|_to_json)|scope_identity|"
    "set_config|setval|setweight|sleep|sqlite_version|(clock|statement|transaction)_timestamp|strftime|sum|sys_guid|sysdate(time)?|time|"
    "to_(char|date|jsonb?|timestamp|tsvector)|total(_changes)?|ts_rank|txid_current|unix_timestamp|unnest|upper|user|uuid|values|version|zeroblob"
)
_NO_FUNCTIONS: Final = frozenset(
    {
        *("all", "and", "any", "array", "as", "between", "by", "case", "cast", "char", "decimal", "distinct", "else", "except", "exists"),
        *("filter", "from", "having", "ilike", "in", "intersect", "interval", "is", "join", "like", "limit", "not", "numeric", "offset"),
        *("on", "or", "over", "row", "select", "some", "then", "time", "timestamp", "union", "using", "values", "varchar", "when", "where"),
    }
)
"""What a bracket may follow too."""
_WITHOUT_WRITING: Final = frozenset({"sqlite", "mssql", "oracle"})
"""Dialects in which a function that is called in a SELECT can't write."""
_PIECES: Final = re.compile(r"""[`"][^`"]+[`"]|[\w$]+|\S""")


def is_built_in(name: str) -> bool:
    """Whether a function that is called by its name alone is the database's own, and known here."""
    return _BUILT_IN.fullmatch(name.lower()) is not None


def is_call(statement: str, dialect: str) -> bool:
    """Whether a SELECT reads no table and calls a function that may be the application's own, so that it may write anything.

    In PostgreSQL that is how a function is called, and a procedure was until there was ``CALL``. One that is called beside what a SELECT
    reads isn't told: it would empty the cache with each such read, and hardly any of these writes.

    Args:
        statement: Its text.
        dialect: The name of the database's dialect.
    """
    if dialect in _WITHOUT_WRITING or "(" not in statement:
        return False
    try:
        pieces = [piece for tokens in scanned(statement, dialect) for piece in tokens]
    except ValueError:  # so what is in its strings is looked at as well
        pieces = _PIECES.findall(statement)
    return not _reads_table(pieces) and any(_calls(pieces, at) for at, piece in enumerate(pieces) if piece == "(")


def _reads_table(pieces: Sequence[str]) -> bool:
    return any(piece.lower() in {"from", "join"} and not _is_function(pieces, at + 1) for at, piece in enumerate(pieces))


def _is_function(pieces: Sequence[str], at: int) -> bool:
    """Whether what begins here is no table: a function, with its schema or without, or a subquery."""
    if pieces[at : at + 1] in (["lateral"], ["LATERAL"]):
        at += 1
    while pieces[at + 1 : at + 2] == ["."]:
        at += 2
    return "(" in pieces[at : at + 2]


def _calls(pieces: Sequence[str], bracket: int) -> bool:
    """Whether a bracket opens the arguments of a function that may be the application's own."""
    name = pieces[bracket - 1] if bracket else ""
    if not (name[:1].isidentifier() or name[:1] in {"`", '"'}) or name.lower() in _NO_FUNCTIONS:
        return False
    schema = pieces[bracket - 3].lower() if bracket > 2 and pieces[bracket - 2] == "." else ""  # noqa: PLR2004 - schema, dot, name
    return schema not in {"", "pg_catalog"} or not is_built_in(name)
