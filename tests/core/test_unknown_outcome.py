"""A COMMIT whose outcome is unknown is owed where no intents stand for it (DESIGN 5.4, 5.8)."""

from __future__ import annotations

import pytest

from aa_cache_integration import CacheConfig, CacheManager
from aa_cache_integration.stores.base import Announcement


@pytest.mark.parametrize(("consistency", "found"), [("eventual", False), ("strict", True)])
def test_without_intents_an_unknown_outcome_is_owed(consistency: str, found: bool) -> None:
    manager = CacheManager(CacheConfig("dogpile.cache.memory", consistency=consistency))  # type: ignore[arg-type]
    manager.set_sync("key", 1)
    manager.operations().protocol.leave_to_deadline(Announcement("writer", (), ()))
    assert (manager.get_sync("key") == 1) is found
