"""Engines that earlier tests have bound, and the caches that writes tell."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from sqlalchemy.orm import configure_mappers

from aa_cache_integration import manager
from aa_cache_integration.orm import binding

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ("no_bindings",)


@pytest.fixture
def no_bindings() -> Iterator[None]:
    """Begin with no engine bound and no cache to tell: the default group of one test is another database than the next one's."""
    configure_mappers()
    binding._bindings.clear()
    manager._live.clear()
    yield
    binding._bindings.clear()
    manager._live.clear()
