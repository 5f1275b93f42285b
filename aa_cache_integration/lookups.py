"""How operations that know no session look up and put: as the transactions see it that are open in their context (DESIGN 5.5)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aa_cache_integration.codecs.mapper import codec_for
from aa_cache_integration.core import transactions
from aa_cache_integration.core.plans import Bypass, Hit, Miss, Plan, Request
from aa_cache_integration.core.tokens import new_token

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aa_cache_integration.core.protocol import Protocol
    from aa_cache_integration.planner import Planner

__all__ = ("Lookups",)


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

    def is_dirty(self, plan: Plan, classes: Sequence[type[Any]], group: str | None, op: str) -> bool:
        """Whether an open transaction has written to these classes' tables, so that what it read may never be committed; tell of it.

        Of no class (plain values, an empty list) it may be of any table.
        """
        tables = self._tables(classes) if classes else None
        dirty = transactions.has_written(self._planner.keys(group).group, tables, self._planner)
        if dirty:
            self._protocol.tell_bypass(plan, op, "own writes")
        return dirty

    async def version(self, model_name: str, group: str | None) -> str:
        """Return a table's token, or one that is valid for nobody (see `Protocol.token`)."""
        records = self._planner.version(model_name, group)
        view = transactions.view(self._planner.keys(group).group, [model_name], self._planner)
        return new_token() if view.bypass or not view.fills else await self._protocol.token(records, view.snapshot)

    def _tables(self, classes: Sequence[type[Any]]) -> tuple[str, ...]:
        """Return the tables that the rows of these classes are read from."""
        codecs = [codec_for(model_class) for model_class in classes]
        return self._planner.depends_on(table for codec in codecs for table in (*codec.tables, *codec.read_tables))
