"""Stub."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Target:
    name: str
    schema: str | None
    verb: str
    columns: frozenset[str] | None


def targets_of(statement: str, dialect: str) -> tuple[Target, ...] | None:
    return None
