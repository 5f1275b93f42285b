"""What both faces of one manager share: settings, clock, breaker, debts."""

from __future__ import annotations

import hashlib
import itertools
from typing import TYPE_CHECKING

import msgspec

from aa_cache_integration.core.breaker import Breaker
from aa_cache_integration.core.clock import StoreClock
from aa_cache_integration.core.debts import Debts
from aa_cache_integration.core.envelope import Signer
from aa_cache_integration.core.keys import Keys
from aa_cache_integration.stores.base import Making

if TYPE_CHECKING:
    from aa_cache_integration.config import CacheConfig
    from aa_cache_integration.events import Emitter

__all__ = ("SharedState",)

_numbers = itertools.count()
_RECORDS_LIVE_MS = 10 * 365 * 24 * 3600 * 1000


class SharedState:
    """The state of one manager that doesn't belong to a face of its store."""

    def __init__(self, config: CacheConfig, emitter: Emitter) -> None:
        """Begin with nothing owed and the store believed reachable."""
        self.config = config
        self.emitter = emitter
        self.clock = StoreClock(config.clock_skew)
        self.breaker = Breaker()
        self.signer = Signer(config.signing_keys)
        self.debts = Debts(Keys(config.key_prefix, None).namespaces[:1])
        self.number = next(_numbers)
        """What tells this manager from all others of the process; an ``id`` is given again once its object is gone."""
        self.serves = config.enabled
        """Whether reads and fills go to the store; invalidations always do."""
        self.rules = _fingerprint(config)
        self.known_rules = {self.rules}

    def renew_locks(self) -> None:
        """See `Breaker.renew_lock`."""
        self.breaker.renew_lock()
        self.debts.renew_lock()

    def making(self, token: str) -> Making:
        """Return how records are made and renewed in one step.

        Args:
            token: A new random one.
        """
        quarantine = round(self.config.write_intent_timeout * 1000) if self.config.intent_loss_guard else 0
        return Making(token, self.rules, _RECORDS_LIVE_MS, quarantine)


def _fingerprint(config: CacheConfig) -> str:
    """Return a digest of the settings that all processes of a namespace must share (DESIGN 5.7)."""
    shared = (
        config.consistency,
        sorted(config.untracked),
        sorted((table, sorted(model.also_changes), sorted(model.depends_on)) for table, model in config.models.items()),
        config.write_intent_timeout,
        config.lease_timeout,
        config.intent_loss_guard,
    )
    return hashlib.blake2b(msgspec.json.encode(shared), digest_size=5).hexdigest()
