"""A statement of text taken apart for `sql`, where it can be read in one way alone.

Databases differ in how they read quotes, backslashes and comments, by version and by setting. So the text isn't handed to sqlglot as it
stands: what may be read in two ways is refused, and words, names and punctuation alone are kept, with ``1`` for values and ``-`` for
operators.
"""

from __future__ import annotations

import re
from typing import Final

__all__ = ("LONGEST", "READ_AS", "require", "scanned", "simplified", "uncommented")

READ_AS: Final = {"sqlite": "sqlite", "postgresql": "postgres", "mysql": "mysql", "mariadb": "mysql", "oracle": "oracle", "mssql": "tsql"}
"""sqlglot's names of SQLAlchemy's dialects."""
LONGEST: Final = 20_000
"""Characters of a text that is looked at."""
_DEEPEST: Final = 30  # brackets and CASEs within each other, as parsers recurse
_TYPE: Final = re.compile(  # what sqlglot takes for a type at first, and then, with all that is in the bracket behind it, for a function
    "array|bin|bit|blob|bool|byte|char|clob|cstring|date|dec|double|enum|fixed|float|geo|hstore|image|inet|int|json|list|long|map|money|name|"
    "null|num|object|oid|range|real|ref|reg|row|serial|set|short|signed|str|te?xt|time|union|uniqueid|unknown|uuid|variant|vector|xml|year"
)
_MOST_TRIES: Final = (
    5_000  # of these, each is tried up to three times for each that it stands in; of brackets behind brackets, for all before
)
_COMMENT: Final = r"(?P<comment>--[^\n]*|/\*.*?\*/)"
_POSTGRES_STRINGS: Final = r"(?P<escaped>[eE]'(?:[^'\\]|''|\\.)*')|(?P<dollar>\$(?P<tag>(?:[A-Za-z_]\w*)?)\$.*?\$(?P=tag)\$)"
_FORMAT: Final = r"%\(\w+\)[sdbt]|%[sdbt]"
_MODULO: Final = r"%%|%(?![#0\- +]*(?:[1-9*.][\d.*]*)?[A-Za-z(])"  # no driver takes these for the beginning of a marker
_OPERATOR: Final = r"->>?|\|\|?|&&?|<<|>>|\+|-(?!-)|/(?!\*)|\^|~|!"
_POSTGRES_OPERATOR: Final = r"#>>?|#-(?!-)|@[>?@]|<@|\?[|&]?|!?~\*|!~|<->|@|\#"
_PARTS: Final = {  # comments and strings of its own, quoted names, markers, operators
    "sqlite": (_COMMENT, r'"[^"]+"|`[^`]+`|\[[^\]]+\]', r"\?\d*|[:@$]\w+(?![(:])", f"%|{_OPERATOR}"),
    "postgres": (f"{_COMMENT}|{_POSTGRES_STRINGS}", r'"[^"]+"', rf"{_FORMAT}|\$\d+|:\w+", f"{_MODULO}|{_POSTGRES_OPERATOR}|{_OPERATOR}"),
    "mysql": (r"(?P<comment>--(?=\s|\Z)[^\n]*|\#[^\n]*|/\*.*?\*/)", r"`[^`]+`", rf"{_FORMAT}|\?|[:@]\w+", f"{_MODULO}|{_OPERATOR}"),
    "oracle": (_COMMENT, r'"[^"]+"', r":\w+", _OPERATOR),
    "tsql": (_COMMENT, r"\[[^\[\]]+\]", rf"{_FORMAT}|\?|[:@]\w+", f"{_MODULO}|{_OPERATOR}"),
}
_SCANNER: Final = r"""(?P<space>[ \t\r\n\f]+)|{0}|(?P<string>[bxnBXN]?'[^']*(?:''[^']*)*')|(?P<name>(?:{1})(?!["`\[\]'\w$]))
|(?P<marker>(?:{2})(?![\w$]))|(?P<number>(?:0[xX][\da-fA-F]+|(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)(?![\w.$\#@]))
|(?P<word>[A-Za-z_]\w*(?!['"`$\w]|&['"]))|(?P<mark>::|=>|[(),;\[\].]|\*(?!/))|(?P<equal>==?(?!>))
|(?P<compare><=>|<>|!=|<=|>=|<(?!@|->|<)|>(?!>))|(?P<operator>{3})|(?P<unknown>.)""".replace("\n", "")
_SCANNERS: Final = {name: re.compile(_SCANNER.format(*parts), re.DOTALL | re.ASCII) for name, parts in _PARTS.items()}
_STRINGS: Final = ("string", "escaped", "dollar")  # written as one that isn't taken for a table's name, as SQLite does with strings
_WRITTEN_AS: Final = {"marker": "1", "number": "1", "compare": "<", "equal": "=", "operator": "-"} | dict.fromkeys(_STRINGS, "'~'")
_FORMATTED: Final = re.compile(r"%[#0\- +]*(?:[1-9*.][\d.*]*)?[hlL]?[sradbtc(]")
_FORMATTING: Final = {"postgres", "mysql", "tsql"}  # some of their drivers put the values into the text, between quotes too
_MODIFIERS: Final = {"low_priority", "high_priority", "delayed", "ignore"}  # of MySQL; to sqlglot these are names of tables


def require(certain: object) -> None:
    """Go no further unless this is certain.

    Raises:
        ValueError: It isn't.
    """
    if not certain:
        raise ValueError("what is written can't be told")


def scanned(text: str, dialect: str) -> list[list[str]]:
    """Return the tokens of each statement of a text, as sqlglot shall see them.

    Args:
        text: The text, with the driver's parameter markers.
        dialect: SQLAlchemy's name of the dialect.

    Raises:
        ValueError: It may be read in more ways than one, or is too long.
    """
    require(dialect in READ_AS and len(text) <= LONGEST)
    dialect = READ_AS[dialect]
    require(dialect != "mysql" or ("/*!" not in text and "/*M!" not in text))  # comments that are run
    statements: list[list[str]] = [[]]
    for match in _SCANNERS[dialect].finditer(text):
        kind, piece = match.lastgroup or "", match[0]
        _check_piece(kind, piece, dialect)
        if kind in {"space", "comment"}:
            continue
        quote = "`" if dialect == "mysql" else '"'
        piece = f"{quote}{piece[1:-1]}{quote}" if kind == "name" else _WRITTEN_AS.get(kind, piece)
        if piece == ";":
            statements.append([])
        elif not (piece.lower() in {"-", "not"} and statements[-1][-1:] == [piece]):  # parsers recurse in these
            statements[-1].append(piece)
    _check_nesting([piece.lower() for pieces in statements for piece in pieces])
    return [pieces for pieces in statements if pieces]


def uncommented(text: str, dialect: str) -> str:
    """Return a text that `scanned` can read with blanks in place of its comments, and with its strings as they are."""
    return "".join(" " if match.lastgroup == "comment" else match[0] for match in _SCANNERS[READ_AS[dialect]].finditer(text))


def _check_piece(kind: str, piece: str, dialect: str) -> None:
    """Refuse what the database, or the driver before it, may read in another way."""
    require(kind != "unknown" and "\0" not in piece)
    # Comments: some end a line at a carriage return, some nest, some take orders.
    require(kind != "comment" or ("\r" not in piece.rstrip("\r") and "/*" not in piece[2:] and "set_var" not in piece.lower()))
    require(kind != "string" or "\\" not in piece or dialect not in {"postgres", "mysql"})
    require(kind != "name" or not any(character in "\"`[]'\\" or character < " " for character in piece[1:-1]))
    require(kind not in {"comment", "name", *_STRINGS} or dialect not in _FORMATTING or not _FORMATTED.search(piece.replace("%%", "")))


def _check_nesting(words: list[str]) -> None:
    """Refuse what would take a parser too deep, or too long."""
    cases, tries, chained, fields = 0, 0, 0, 0
    brackets: list[tuple[int, int]] = []  # that are open: how many types each stands in, and how many brackets stand before it
    for before, word in zip(["", *words], words, strict=False):
        cases += (word == "case") - (word == "end")
        if word in {"(", "["}:
            types = (brackets[-1][0] if brackets else 0) + bool(_TYPE.search(before))
            chained = chained + 1 if before in {")", "]"} else 0
            brackets.append((types, chained))
            tries += (3**types if types else 0) + chained**2
        elif word in {")", "]"} and brackets:
            _, chained = brackets.pop()
        elif word == "." and before in {")", "]"}:
            fields += 1
            tries += fields
        require(cases + len(brackets) <= _DEEPEST and tries <= _MOST_TRIES)


def simplified(pieces: list[str], dialect: str) -> tuple[list[str], bool]:
    """Take out of a statement what sqlglot can't read or misreads; return also whether it replaces rows."""
    found: list[str] = []
    replaces = False
    words = [*(piece.lower() for piece in pieces), "", "", ""]
    rest = iter(range(len(pieces)))
    for at in rest:
        takes_place = words[at] == "replace" and words[at + 1] != "(" and dialect in {"sqlite", "mysql"}
        found.append("insert" if takes_place else pieces[at])
        replaces = replaces or takes_place
        if takes_place or words[at] in {"insert", "update", "delete"}:
            if dialect == "sqlite" and words[at + 1] == "or":
                require(words[at + 2] in {"abort", "fail", "ignore", "replace"})  # ROLLBACK ends the transaction
                replaces = replaces or words[at + 2] == "replace"
                next(rest)
                next(rest)
            while dialect == "mysql" and words[at + 1] in _MODIFIERS:
                at = next(rest)  # noqa: PLW2901 - on to the next
    return found, replaces
