"""Random tokens: for records, leases and writers."""

from __future__ import annotations

import hashlib
import os
import random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ("joined", "new_token")

_BITS = 72

# They must be distinct in all processes, not secret, so one reading of the system's randomness is enough for a process.
_random = random.Random(os.urandom(32))  # noqa: S311 - not for cryptography


def new_token() -> str:
    """Return a token that no other call in any process returns."""
    return f"{_random.getrandbits(_BITS):018x}"


def joined(tokens: Iterable[str]) -> str:
    """Return one token that is another whenever one of these is."""
    return hashlib.blake2b(" ".join(tokens).encode(), digest_size=12).hexdigest()


def _after_fork() -> None:
    _random.seed(os.urandom(32))


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
