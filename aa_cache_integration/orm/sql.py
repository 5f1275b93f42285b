"""Which tables a statement of text writes, where that is certain (DESIGN 6).

sqlglot parses what our own scanner leaves of the text. What it makes of that must account for every INSERT, UPDATE, DELETE, … in it.
"""

from __future__ import annotations

import logging
import re
import threading
from collections import Counter
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, Literal

from aa_cache_integration.orm.functions import may_write
from aa_cache_integration.orm.scanner import LONGEST, READ_AS, require, scanned, simplified

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ("Target", "targets_of")

_Verb = Literal["insert", "update", "delete"]

_PLAIN: Final = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_ -]*[A-Za-z0-9_-])?")
_ROOTS: Final = {"insert": "Insert", "update": "Update", "delete": "Delete", "merge": "Merge", "truncate": "TruncateTable"}
_LEADS: Final = _ROOTS.keys() | {"select", "values", "table", "with"}
_BEGINS_ANOTHER: Final = re.compile(  # statement in SQL Server, which needs no ";" between them
    "alter|backup|begin|bulk|close|commit|create|dbcc|deallocate|declare|deny|disable|drop|enable|exec(ute)?|fetch|go(to)?|grant|if|kill|"
    "load|open|re(adtext|ceive|configure|store|vert|voke)|rollback|save|send|shutdown|use|while|(update|write)text"
)
_NODES: Final = re.compile(  # that a statement may be made of, beside expressions that aren't strange
    "Alias|Aliases|AtTimeZone|CTE|CharacterSet|ColumnDef|Cube|DataType|DataTypeParam|Delete|Distinct|Except|Fetch|Filter|From|Group|GroupingSets|Having|"
    "Identifier|Insert|Intersect|Interval|IntervalSpan|Join|Lateral|Limit|Lock|Merge|Offset|OnConflict|Order|Ordered|Returning|Rollup|Schema|"
    "Select|Star|Subquery|Table|TableAlias|TruncateTable|Tuple|Union|Update|Values|Var|When|Whens|Where|WindowSpec|With|WithinGroup"
)
_STRANGE: Final = re.compile("Adjacent|NestedJSONSelect|Parameter|PropertyEQ|SessionParameter")
_ARGUMENTS: Final = {  # what may be said in a statement, and of a table that is written
    "Insert": {"with", "this", "expression", "conflict", "returning", "default"},
    "Update": {"with", "this", "expressions", "from", "where", "returning", "order", "limit"},
    "Delete": {"with", "tables", "this", "using", "where", "returning", "order", "limit"},
    "Merge": {"with", "this", "using", "on", "whens", "returning"},
    "TruncateTable": {"expressions", "identity", "option"},
    "Table": {"this", "db", "alias", "only", "indexed", "partition"},
}
_MERGES: Final[dict[str, tuple[_Verb, ...]]] = {"INSERT": ("insert",), "UPDATE": ("update",), "DELETE": ("delete",), "DO NOTHING": ()}
_here: Final = threading.local()


@dataclass(frozen=True)
class Target:
    """A table that a statement writes; its name is as it stands in the text, without quotes."""

    name: str
    schema: str | None
    verb: Literal["insert", "update", "delete"]
    columns: frozenset[str] | None
    """Of an UPDATE: the names of the columns that are set, in lower case; ``None`` where they aren't certain, and for other verbs."""


def targets_of(statement: str, dialect: str) -> tuple[Target, ...] | None:
    """Return the tables that a statement of text writes.

    An INSERT that may change rows that are there already is told as an UPDATE or DELETE too.

    Args:
        statement: Its text, with the driver's parameter markers.
        dialect: The name of the database's dialect.

    Returns:
        Nothing for one that only reads; ``None`` where it can't be told, as without sqlglot: the statement may write anything.
    """
    return _targets_of(statement, dialect) if len(statement) <= LONGEST else None


@lru_cache(maxsize=1000)
def _targets_of(statement: str, dialect: str) -> tuple[Target, ...] | None:
    try:
        statements, read = scanned(statement, dialect), READ_AS[dialect]
        require(not any(may_write(tokens, dialect) for tokens in statements))
        return tuple(dict.fromkeys(target for tokens in statements for target in _written(tokens, read, alone=len(statements) == 1)))
    except Exception:  # noqa: BLE001 - sqlglot isn't installed, or raises whatever it likes: not told
        return None


def _written(pieces: list[str], dialect: str, *, alone: bool) -> Iterator[Target]:
    """Yield what one statement writes."""
    pieces, replaces = simplified(pieces, dialect)
    words = [piece.lower() for piece in pieces]
    lead = next((word for word in words if word != "("), "")
    require(lead in _LEADS and not (dialect == "tsql" and any(map(_BEGINS_ANOTHER.fullmatch, words))))
    # MySQL's and Oracle's TRUNCATE commits, and what commits is told by the word that a text begins with.
    require(lead != "truncate" or dialect not in {"mysql", "oracle"} or alone)
    tree = _parsed(" ".join(pieces), dialect)
    nodes = list(tree.walk())
    require(all(map(_is_understood, nodes)) and _kind(tree) == _ROOTS.get(lead, _kind(tree)))
    _check_account(words, nodes, dialect)
    ctes = {node.alias.casefold() for node in nodes if _kind(node) == "CTE"}
    for node in nodes:
        if _kind(node) in _ROOTS.values() and _kind(node.parent) != "When":
            require(node is tree or (_kind(node.parent) == "CTE" and node.arg_key == "this"))
            for target in _written_by(node, dialect, replaces=replaces):
                require(target.schema is not None or target.name.casefold() not in ctes)
                yield target


def _parsed(text: str, dialect: str) -> Any:
    import sqlglot  # noqa: PLC0415 - optional, and slow to import

    logging.getLogger("sqlglot").addFilter(_passes)  # once, however often
    _here.parsing = True
    try:
        (tree,) = sqlglot.parse(text, read=dialect)
    finally:
        _here.parsing = False
    return tree


def _passes(_record: logging.LogRecord) -> bool:
    """Drop what sqlglot logs where we parse; what the application lets it parse is logged as ever."""
    return not getattr(_here, "parsing", False)


def _kind(node: Any) -> str:
    return type(node).__name__


def _said(node: Any) -> dict[str, Any]:
    """Return the arguments of a node; their names end in ``_`` in some versions of sqlglot."""
    return {name.rstrip("_"): value for name, value in node.args.items() if value}


def _is_understood(node: Any) -> bool:
    """Whether a part of a statement is known to write nothing by itself, or is read off."""
    kind = _kind(node)
    if kind.startswith("Anonymous"):
        return True  # `functions` knows whose it is
    return bool(_NODES.fullmatch(kind)) or ("Condition" in {base.__name__ for base in type(node).__mro__} and not _STRANGE.fullmatch(kind))


def _check_account(words: list[str], nodes: list[Any], dialect: str) -> None:
    """Refuse a statement with a word for writing of which the parser made something else, as an alias."""
    pairs = list(zip(words, [*words[1:], ""], strict=True))
    in_text = Counter(word for word, then in pairs if word in _ROOTS and (word, then) != ("truncate", "("))
    in_tree: Counter[str] = Counter()
    for node in nodes:
        kind = _kind(node)
        in_tree.update(verb for verb, root in _ROOTS.items() if root == kind)
        in_tree["update"] += kind == "Lock" and "update" in _said(node)
        in_tree["update"] += kind == "OnConflict" and str(node.args.get("action")).upper() != "DO NOTHING"
        in_tree["delete"] += kind == "Var" and _kind(node.parent) == "When" and node.name.upper() == "DELETE"
        require(kind != "Returning" or "into" not in _said(node))
    require(+in_text == +in_tree and all(then != "into" or word in {"insert", "merge"} for word, then in pairs))
    require(dialect != "tsql" or words.count("set") == in_tree["update"])


def _written_by(node: Any, dialect: str, *, replaces: bool) -> Iterator[Target]:
    """Yield what one INSERT, UPDATE, DELETE, MERGE or TRUNCATE writes."""
    kind, said = _kind(node), _said(node)
    require(said.keys() <= _ARGUMENTS[kind])
    if kind == "Insert":
        yield from _inserted(said, dialect, replaces=replaces)
    elif kind == "Update":
        columns = _columns_set(said["expressions"], dialect)
        require("from" not in said or dialect in {"sqlite", "postgres"})  # SQL Server's tells what an alias in the target's place means
        for table in [said["this"]] if dialect != "mysql" else _joined([said["this"]]):
            if table is said["this"] or _kind(table) != "Subquery":  # all that are joined: only the metadata tells whose a column is
                yield _target(table, "update", columns, joined=dialect == "mysql")
                yield from [_target(table, "delete")] if replaces else []
    elif kind == "Delete":
        yield from (_target(table, "delete", joined=dialect == "mysql") for table in _deleted(said, dialect))
    elif kind == "Merge":
        for then in (when.args["then"] for when in said["whens"].expressions):
            yield from (_target(said["this"], verb) for verb in _MERGES[(str(then) if _kind(then) == "Var" else _kind(then)).upper()])
    else:
        require(str(said.get("option", "RESTRICT")).upper() == "RESTRICT")
        yield from (_target(table, "delete") for table in said["expressions"])


def _inserted(said: dict[str, Any], dialect: str, *, replaces: bool) -> Iterator[Target]:
    into, columns = (said["this"].this, said["this"].expressions) if _kind(said["this"]) == "Schema" else (said["this"], [])
    target = _target(into, "insert")
    require(all(_kind(column) == "Identifier" for column in columns))  # else these are the arguments of a function
    # A column of the table's own name takes orders to a full-text index of SQLite.
    require(dialect != "sqlite" or target.name.casefold() not in {column.name.casefold() for column in columns})
    yield target
    if "conflict" in said and str(said["conflict"].args.get("action")).upper() != "DO NOTHING":
        yield _target(into, "update")
    yield from [_target(into, "delete")] if replaces else []


def _deleted(said: dict[str, Any], dialect: str) -> Iterator[Any]:
    """Yield the tables of a DELETE; MySQL's may name several of those that it joins, by their aliases."""
    named = said.get("tables", [])
    if dialect == "mysql" and (named or "using" in said):
        scope = list(_joined([said["this"]] if named else said["using"]))
        yield from (_named(table, scope) for table in named or _joined([said["this"]]))
    else:
        require(len(named) == ("this" not in said))  # Oracle's and SQL Server's may go without FROM
        yield named[0] if named else said["this"]


def _joined(tables: Iterable[Any]) -> Iterator[Any]:
    """Yield the tables and subqueries that are joined."""
    for table in tables:
        require(_kind(table) == "Table" or (_kind(table) == "Subquery" and _kind(table.this) in {"Select", "Union"}))
        yield table
        yield from _joined(join.this for join in table.args.get("joins") or ())


def _named(name: Any, scope: list[Any]) -> Any:
    """Return the table that is meant by a name, which may be an alias."""
    wanted = _target(name, "delete", joined=True)
    found = [table for table in scope if table.alias_or_name.casefold() == wanted.name.casefold()]
    require(len(found) == 1 and not name.alias and wanted.schema is None)
    return found[0]


def _target(table: Any, verb: _Verb, columns: frozenset[str] | None = None, *, joined: bool = False) -> Target:
    """Return a table as a target, if it is nothing but a table."""
    said = _said(table)
    parts = [said[part] for part in ("this", "db") if part in said]
    require(_kind(table) == "Table" and said.keys() <= _ARGUMENTS["Table"] | ({"joins"} if joined else set()))
    require(all(_kind(part) == "Identifier" and "temporary" not in _said(part) and _PLAIN.fullmatch(part.name) for part in parts))
    require("alias" not in said or "columns" not in _said(said["alias"]))  # else these are the arguments of a function
    return Target(parts[0].name, parts[1].name if len(parts) > 1 else None, verb, columns)


def _columns_set(assignments: list[Any], dialect: str) -> frozenset[str] | None:
    """Return the names of the columns that an UPDATE sets; ``None`` where they aren't certain."""
    allowed = {"this", "table", "db"} if dialect == "mysql" else {"this"}  # elsewhere ``x.y`` is a field of the column x
    names: set[str] = set()
    for pair in assignments:
        if _kind(pair) != "EQ":
            return None
        for column in pair.this.expressions if _kind(pair.this) == "Tuple" else [pair.this]:
            if _kind(column) != "Column" or not _said(column).keys() <= allowed or not _PLAIN.fullmatch(column.name):
                return None
            names.add(column.name.lower())
    return frozenset(names)
