"""The pytest plugin: a key namespace for each test, so that tests that run at once may share one server.

pytest loads this file in every project that has the package installed, so it imports nothing but pytest and the standard library.
"""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from typing import Final

import pytest

__all__ = ("aa_cache_namespace",)

_RUN: Final = pytest.StashKey[str]()
_USES: Final = pytest.StashKey[Counter[str]]()


def _digest(text: str) -> str:
    return hashlib.blake2b(text.encode("utf-8", "backslashreplace"), digest_size=6).hexdigest()


@pytest.fixture
def aa_cache_namespace(request: pytest.FixtureRequest) -> str:
    """A ``key_prefix`` that no other test uses: ``t:<run>:<worker>:<test>:``.

    The run's part is the same for all workers of pytest-xdist, and random without it. A test that is run again (by a plugin that repeats
    it) gets a new one.

    Example:
        A cache of the test's own on a shared server::

            def test_it(aa_cache_namespace):
                manager = CacheManager(CacheConfig(backend="dogpile.cache.redis", key_prefix=aa_cache_namespace))
    """
    config = request.config
    worker = getattr(config, "workerinput", {})  # set by pytest-xdist in its workers; its environment variables reach nested runs too
    run = config.stash.setdefault(_RUN, _digest(worker.get("testrunuid") or os.urandom(16).hex()))
    uses = config.stash.setdefault(_USES, Counter())
    test = request.node.nodeid
    uses[test] += 1
    return f"t:{run}:{worker.get('workerid', 'main')}:{_digest(f'{test}#{uses[test]}')}:"
