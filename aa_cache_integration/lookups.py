"""How operations that know no session look up and put: as the transactions see it that are open in their context (DESIGN 5.5)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from aa_cache_integration.codecs.mapper import codec_for
from aa_cache_integration.core import envelope, transactions
from aa_cache_integration.core.plans import Bypass, Hit, Miss, Plan, Request
from aa_cache_integration.core.tokens import new_token

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aa_cache_integration.core.plans import Grant
    from aa_cache_integration.core.protocol import Protocol
    from aa_cache_integration.planner import Planner

__all__ = ("Lookups", "Put")


@dataclass(frozen=True)
class Put:
    """A value that is to be put in its cell."""

    plan: Plan
    kind: bytes
    payload: bytes = b""
    ttl: float = 0.0
    """Seconds."""
    classes: tuple[type[Any], ...] = ()
    """Whose rows are in it."""


class Lookups:
    """Lookups over one face of a manager's store."""

    def __init__(self, planner: Planner, protocol: Protocol) -> None:
        """Join a manager's cells and records, and the protocol over this face."""
        self._planner = planner
        self._protocol = protocol

    async def look(self, requests: Sequence[Request], model_class: type[Any], group: str | None, op: str) -> Sequence[Hit | Miss | Bypass]:
        """Look up rows of a class, or lists of them.

        Args:
            requests: The cells.
            model_class: What is in them.
            group: The bind group; ``None`` is the manager's own.
            op: The operation's name, for events.
        """
        view = transactions.view(self._planner.keys(group).group, self._tables([model_class]), self._planner)
        if view.bypass:
            return [self._protocol.tell_bypass(request.plan, op, view.bypass) for request in requests]
        outcomes = await self._protocol.read(requests, op, wait=False, snapshot=view.snapshot)
        if view.fills:
            return outcomes
        await self._protocol.give_back([outcome.grant for outcome in outcomes if isinstance(outcome, Miss)])
        return [Bypass("replica") if isinstance(outcome, Miss) else outcome for outcome in outcomes]

    def refusal(self, put: Put, right: Grant | Bypass | None, group: str | None) -> str:
        """Return why a value isn't put; ``""``: it is.

        Args:
            put: The value.
            right: What the lookup before came to in this context; ``None``: there was none.
            group: The bind group; ``None`` is the manager's own.
        """
        if isinstance(right, Bypass):
            return right.reason
        if right is not None and not set(put.plan.records) <= set(right.plan.records):
            return "other lookup"  # a lease holds for what was looked up under it: one for a plain key knows no tables
        group = self._planner.keys(group).group
        if not put.classes:  # plain values, an empty list: of any table
            computed = put.kind != envelope.PLAIN or right is not None
            return "own writes" if computed and transactions.has_written(group, None, self._planner) else ""
        view = transactions.view(group, self._tables(put.classes), self._planner)
        if view.bypass or not view.fills:
            return view.bypass or "replica"
        # A snapshot that the lookup didn't know of: it was taken in another context.
        since = None if view.snapshot is None else view.snapshot.since
        return "later than the snapshot" if right is not None and since is not None and since < right.since else ""

    async def version(self, model_name: str, group: str | None) -> str:
        """Return a table's token, or one that is valid for nobody (see `Protocol.token`)."""
        records = self._planner.version(model_name, group)
        view = transactions.view(self._planner.keys(group).group, self._planner.depends_on([model_name]), self._planner)
        return new_token() if view.bypass or not view.fills else await self._protocol.token(records, view.snapshot)

    def _tables(self, classes: Sequence[type[Any]]) -> tuple[str, ...]:
        """Return the tables that the rows of these classes are read from."""
        codecs = [codec_for(model_class) for model_class in classes]
        return self._planner.depends_on(table for codec in codecs for table in (*codec.tables, *codec.read_tables))
