"""A text takes time by its length alone, and so much memory and no more, whoever wrote it (DESIGN 6)."""

# ruff: noqa: S608 - these are only read

from __future__ import annotations

import time

import pytest

from aa_cache_integration.orm import text
from aa_cache_integration.orm.changes import Write
from aa_cache_integration.orm.effects import NOTHING
from aa_cache_integration.orm.scanner import scanned
from aa_cache_integration.orm.text import written_by_text

MANY = 1_000_000
SLOW = {
    "dashes": "insert into p values ('" + "-" * MANY + "')",
    "comments of HTML": "insert into p values ('" + "<!-- of a page --><p>text</p>" * (MANY // 30) + "')",
    "comments of HTML and carriage returns": "insert into p values ('" + "<!-- of a page -->\r" * (MANY // 20) + "')",
    "words": "insert into p values ('" + "word and " * (MANY // 9) + "')",
    "variables": "insert into p values ('" + "@a " * (MANY // 3) + "')",
    "comments in variables": "insert into p values ('" + "@a/*" * (MANY // 4) + "')",
    "the beginnings of comments": "select '" + "/ *" * (MANY // 3) + "'",
    "a comment without an end": "select '/*" + "x" * MANY + "'",
    "empty statements": ";" * MANY,
    "statements": "do it ;" * (MANY // 7),
    "blanks": "set" + " " * MANY + "x",
    "words for making": "create " * (MANY // 7),
    "zeros of a format": "update p set n = '%" + "0" * 19_000 + "'",
    "zeros after a percent sign": "update p set n = 1 %" + "0" * 19_000,
}


@pytest.mark.parametrize("statement", SLOW.values(), ids=SLOW)
@pytest.mark.parametrize("dialect", ["sqlite", "postgresql", "mariadb"])
def test_the_time_for_a_text_grows_with_its_length_alone(statement: str, dialect: str) -> None:
    began = time.process_time()
    assert written_by_text(statement, dialect) != NOTHING or "select" in statement
    assert time.process_time() - began < 4  # seconds; well under one, but for a machine that is busy


def test_a_long_text_is_not_kept() -> None:
    short, long = (f"update p set n = '{'x' * size}'" for size in (100, 100_000))
    for statement, kept in ((short, 1), (long, 0)):
        before = text._remembered.cache_info().currsize
        assert written_by_text(statement, "sqlite") == Write(unknown=True)
        assert text._remembered.cache_info().currsize - before in {0, kept}


TYPES = ["array[", "date(", "timestamp(", "decimal(", "char(", "struct(", "binary(", "bytea["]


@pytest.mark.parametrize("opens", TYPES)
def test_types_in_types_are_read_as_deep_as_a_parser_reads_them_soon(opens: str) -> None:
    def nested(depth: int) -> str:
        return f"update p set n = {opens * depth}1{(']' if opens.endswith('[') else ')') * depth}"

    assert len(scanned(nested(6), "postgresql")) == len(scanned("; ".join([nested(2)] * 100), "postgresql")) // 100 == 1
    for statement in (nested(14), "; ".join([nested(6)] * 20)):
        with pytest.raises(ValueError, match="can't be told"):
            scanned(statement, "postgresql")


@pytest.mark.parametrize("chain", ["[1]", "(1)", ".f(1)"])
def test_brackets_behind_brackets_are_read_as_far_as_a_parser_reads_them_soon(chain: str) -> None:
    assert scanned(f"update p set n = b{chain * 10}", "postgresql")
    with pytest.raises(ValueError, match="can't be told"):
        scanned(f"update p set n = b{chain * 200}", "postgresql")
