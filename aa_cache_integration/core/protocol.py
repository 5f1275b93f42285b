"""The consistency protocol of DESIGN 5: every decision, once, over one face of a store."""

from __future__ import annotations

import contextlib
import math
import time
from typing import TYPE_CHECKING, Any

from aa_cache_integration import events
from aa_cache_integration.core import envelope, leases
from aa_cache_integration.core.access import ask
from aa_cache_integration.core.fillings import fill_of, is_kept, milliseconds
from aa_cache_integration.core.judge import Blocked, Leased, Usable, Vacant, judge
from aa_cache_integration.core.plans import Bypass, Filling, Grant, Hit, Miss, Plan, Request
from aa_cache_integration.core.snapshots import Limits, limits
from aa_cache_integration.core.tokens import joined, new_token
from aa_cache_integration.exceptions import StoreUnavailableError
from aa_cache_integration.stores.base import Announcement, Lease

if TYPE_CHECKING:
    from collections.abc import Awaitable, Mapping, Sequence

    from aa_cache_integration.core.plans import Snapshot
    from aa_cache_integration.core.state import SharedState
    from aa_cache_integration.stores.base import Store

__all__ = ("Protocol",)

Outcome = Hit | Miss | Bypass

_MOST_RULES = 20
_FIRST_WAIT, _LONGEST_WAIT = 0.001, 0.05
_REFUSED_FOR_NOW = frozenset({"write intent", "later than the snapshot"})
"""Why a lease is refused that waiting wouldn't bring."""


class Protocol:
    """The steps of readers and writers over one face of a store."""

    def __init__(self, store: Store, state: SharedState) -> None:
        """Join a face of the store with what all faces of a manager share."""
        self._store = store
        self._state = state

    # Readers: DESIGN 5.3

    async def read(self, requests: Sequence[Request], op: str, *, wait: bool = True, snapshot: Snapshot | None = None) -> list[Outcome]:
        """Look up cells in one round trip; ask for leases on those that are vacant.

        Args:
            requests: The cells and how to take their values.
            op: The operation's name, for events.
            wait: Wait for another reader's fill, up to ``lease_wait``; ``False``: bypass at once.
            snapshot: What the reader's transaction keeps to; ``None``: nothing, it reads what is committed.
        """
        if not self._state.serves:
            return [Bypass("disabled")] * len(requests)
        started = time.perf_counter()
        try:
            if self._state.debts and not await self._pay_debts():
                return [self.tell_bypass(request.plan, op, "invalidation owed") for request in requests]
            allowed = await self._limits(snapshot, several=len(requests) > 1)
            if allowed is None:
                return [self.tell_bypass(request.plan, op, "store clock set") for request in requests]
            found = await self._read(requests, op, allowed, wait=wait)
        except StoreUnavailableError:
            return [self.tell_bypass(request.plan, op, "store unreachable") for request in requests]
        took_ms = (time.perf_counter() - started) * 1000
        for request, outcome in zip(requests, found, strict=True):
            if isinstance(outcome, Hit):
                self._tell(events.HIT, request.plan, op, took_ms=took_ms)
        return found

    async def _read(self, requests: Sequence[Request], op: str, allowed: Limits, *, wait: bool) -> list[Outcome]:
        # What another fills meanwhile is later than a snapshot that is taken already, so waiting for it gains nothing.
        wait = wait and allowed.readable is None
        give_up = time.monotonic() + (self._state.config.lease_wait if wait else 0)
        pause = _FIRST_WAIT
        while True:
            outcomes: dict[int, Outcome] = {}
            vacant = await self._look(requests, outcomes, op, allowed)
            await self._ask_leases(requests, vacant, outcomes, op, allowed)
            pending = [index for index in range(len(requests)) if index not in outcomes]
            # Where the database must be asked in any case, waiting gains nothing, and two readers that hold what the other waits for lose.
            asks = any(not isinstance(outcome, Hit) for outcome in outcomes.values())
            if pending and (asks or time.monotonic() >= give_up):
                outcomes.update((index, self.tell_bypass(requests[index].plan, op, "lease held")) for index in pending)
                pending = []
            if not pending:
                return [outcomes[index] for index in range(len(requests))]
            # After the wait all are looked up again: hits of two moments may never have been true together (DESIGN 5.3.5).
            await self._store.sleep(pause)
            pause = min(pause * 2, _LONGEST_WAIT)

    async def _look(self, requests: Sequence[Request], outcomes: dict[int, Outcome], op: str, allowed: Limits) -> dict[int, Vacant]:
        """Look at all cells in one step; fill ``outcomes``, return the vacant ones."""
        plans = [request.plan for request in requests]
        keys = list(dict.fromkeys(key for plan in plans for key in (plan.cell, *plan.records)))
        there = dict(zip(keys, await ask(self._state, self._store.lookup(keys)), strict=True))
        vacant: dict[int, Vacant] = {}
        for index, plan in enumerate(plans):
            verdict = self._verdict(requests[index], there)
            if isinstance(verdict, Usable) and (allowed.readable is None or verdict.filled < allowed.readable):
                outcomes[index] = Hit(verdict.value, there[plan.cell] or b"")
            elif isinstance(verdict, Usable):
                outcomes[index] = self.tell_bypass(plan, op, "later than the snapshot")
            elif isinstance(verdict, Blocked):
                outcomes[index] = self.tell_bypass(plan, op, "write intent")
            elif isinstance(verdict, Leased):
                mine = leases.held(self._state.number, plan.cell)
                if isinstance(mine, Grant) and mine.lease == verdict.lease and allowed.covers(mine):
                    outcomes[index] = self._miss(mine, op, "lease held")
            else:
                vacant[index] = verdict
                if verdict.rejected:
                    self._tell(events.REJECTED, plan, op, reason=verdict.reason)
            self._compare_rules(there[plan.records[0]], plan, op)
        return vacant

    def _verdict(self, request: Request, there: Mapping[str, bytes | None]) -> Usable | Blocked | Leased | Vacant:
        plan = request.plan
        return judge(request, there[plan.cell], [there[key] for key in plan.records], self._state.clock.now(), self._state.signer)

    async def _ask_leases(
        self, requests: Sequence[Request], vacant: Mapping[int, Vacant], outcomes: dict[int, Outcome], op: str, allowed: Limits
    ) -> None:
        """Ask for the leases of vacant cells (DESIGN 5.3.2); what was refused for another's lease or fill stays pending."""
        if not vacant:
            return
        asked = {index: self._lease(requests[index].plan, verdict.seen, allowed.fillable) for index, verdict in vacant.items()}
        since = self._state.clock.sent()
        _, answers = await self._ask(self._store.lease(list(asked.values()), self._state.making(new_token())))
        for (index, lease), answer in zip(asked.items(), answers, strict=True):
            plan = requests[index].plan
            if answer.granted:
                records = [envelope.parse_record(raw) for raw in answer.records]
                tokens = tuple(record.token if record else "" for record in records)
                free = not any(record is None or record.intents for record in records)
                grant = Grant(plan, lease.lease, tokens, free, since if allowed.since is None else allowed.since, allowed.fillable)
                outcomes[index] = self._miss(grant, op, vacant[index].reason)
            elif answer.reason in _REFUSED_FOR_NOW:
                outcomes[index] = self.tell_bypass(plan, op, answer.reason)

    def _lease(self, plan: Plan, seen: bytes | None, before: int) -> Lease:
        required = len(plan.records) if self._state.config.intent_loss_guard or before else plan.required
        return Lease(plan.cell, new_token(), seen, plan.records, required, milliseconds(self._state.config.lease_timeout), before)

    async def fill(self, fillings: Sequence[Filling], op: str, unchanged: Sequence[tuple[Request, Hit]] = ()) -> bool:
        """Put values in cells (DESIGN 5.3.4); return whether the ``unchanged`` hits still were, in the same step (DESIGN 5.3.5).

        Never raises for the store's sake: what can't be put isn't put.
        """
        kept = [filling for filling in fillings if is_kept(filling, self._state)]
        dropped = [filling.under for filling in fillings if filling not in kept]
        try:
            await self.give_back([under for under in dropped if isinstance(under, Grant)])
            await self._delete_unkept([under for under in dropped if isinstance(under, Plan)])
            if not kept and not unchanged:
                return True
            return await self._put(kept, op, unchanged)
        except StoreUnavailableError:
            for filling in kept:
                self.tell_bypass(filling.plan, op, "store unreachable")
            return False

    async def _delete_unkept(self, plans: Sequence[Plan]) -> None:
        """Take an explicit put that is to live for no time as what it says: the old value is no more."""
        if plans and self._state.serves:
            await self.settle(Announcement(new_token(), tuple(plan.cell for plan in plans), ()))

    async def _put(self, kept: Sequence[Filling], op: str, unchanged: Sequence[tuple[Request, Hit]]) -> bool:
        if self._state.signer.signs:
            kept = await self._with_tokens(kept)
        look = list(dict.fromkeys(key for request, _ in unchanged for key in (request.plan.cell, *request.plan.records)))
        fills = [fill_of(filling, self._state) for filling in kept]
        _, put, seen = await self._ask(self._store.fill(fills, self._state.making(new_token()), look))
        for filling, done in zip(kept, put, strict=True):
            if done:
                self._tell(events.FILL, filling.plan, op)
            else:
                self.tell_bypass(filling.plan, op, "lease lost" if isinstance(filling.under, Grant) else "write intent")
        there = dict(zip(look, seen, strict=True))
        return not self._state.debts and all(
            there[request.plan.cell] == hit.raw and isinstance(self._verdict(request, there), Usable) for request, hit in unchanged
        )

    async def _with_tokens(self, fillings: Sequence[Filling]) -> list[Filling]:
        """Give explicit puts the tokens of their records, which a signature must cover."""
        plans = [filling.under for filling in fillings if isinstance(filling.under, Plan)]
        keys = list(dict.fromkeys(key for plan in plans for key in plan.records))
        if not keys:
            return list(fillings)
        _, raws = await self._ask(self._store.records(keys, self._state.making(new_token())))
        records = {key: envelope.parse_record(raw) for key, raw in zip(keys, raws, strict=True)}
        signed: list[Filling] = []
        for filling in fillings:
            under = filling.under
            if isinstance(under, Plan):
                found = [records[key] for key in under.records]
                if any(record is None or record.intents for record in found):
                    continue
                under = Grant(under, "", tuple(record.token for record in found if record), free=True)
            signed.append(Filling(under, filling.kind, filling.payload, filling.ttl))
        return signed

    async def give_back(self, grants: Sequence[Grant]) -> None:
        """Empty the cells of leases that won't be filled, so that others needn't wait (DESIGN 5.3)."""
        if not grants:
            return
        try:
            await ask(self._state, self._store.release([(grant.plan.cell, grant.lease) for grant in grants]))
        except StoreUnavailableError:
            return  # the lease passes by itself

    async def token(self, keys: Sequence[str], snapshot: Snapshot | None = None) -> str:
        """Return the records' token; where what the reader is about to read may not be found under it, one that nothing depends on.

        That is while a record is under write intent (DESIGN 5.2), and where one changed after the reader's snapshot.
        """
        try:
            _, raws = await self._ask(self._store.records(keys, self._state.making(new_token())))
            allowed = await self._limits(snapshot)
        except StoreUnavailableError:
            return new_token()
        if allowed is None or self._state.debts:
            return new_token()
        records = [record for raw in raws if (record := envelope.parse_record(raw)) and not record.intents]
        settled = len(records) == len(keys) and not (allowed.fillable and any(r.changed >= allowed.fillable for r in records))
        return joined(record.token for record in records) if settled else new_token()

    # Writers: DESIGN 5.4

    async def announce(self, announcement: Announcement) -> None:
        """Put write intents, before COMMIT (DESIGN 5.4.1).

        Raises:
            StoreUnavailableError: They couldn't be put, and ``unreachable_commit`` is ``"refuse"``; with ``"proceed"`` the
                invalidation is owed from now on (DESIGN 5.8).
        """
        if self._state.config.consistency == "eventual":
            return
        try:
            await self.hold(announcement, self._state.config.write_intent_timeout)
        except StoreUnavailableError:
            if self._state.config.unreachable_commit == "refuse":
                raise
            self._state.debts.owe(announcement, math.inf)

    async def hold(self, announcement: Announcement, seconds: float) -> None:
        """Put write intents that count for so long, or for longer than they did: those of a pause, whatever ``consistency`` is."""
        await self._ask(self._store.announce(announcement, milliseconds(seconds), self._state.making(new_token())))

    async def settle(self, announcement: Announcement) -> None:
        """Drop the writer's intents, empty its cells, renew its records (DESIGN 5.4.3). What the store refuses is owed."""
        try:
            await self._ask(self._store.settle(announcement, self._state.making(new_token())))
        except StoreUnavailableError:
            self._state.debts.owe(announcement)
            return
        except Exception:
            raise
        except BaseException:
            self._state.debts.owe(announcement)  # cancelled or interrupted: nobody knows whether it got there
            raise
        self._state.debts.forgive(announcement)
        if self._state.debts:
            with contextlib.suppress(StoreUnavailableError):
                await self._pay_debts()  # a process that never reads pays too

    async def withdraw(self, announcement: Announcement) -> None:
        """Settle after a ROLLBACK: what couldn't be announced is owed no more, for nothing was committed."""
        owed = self._state.debts.pending(announcement)
        self._state.debts.forgive(announcement)
        if not owed:
            await self.settle(announcement)

    def leave_to_deadline(self, announcement: Announcement) -> None:
        """Leave the intents of a COMMIT whose outcome is unknown to their deadline (DESIGN 5.4); owe it then where none were put."""
        if self._state.config.consistency == "eventual" or self._state.debts.pending(announcement):
            self._state.debts.owe(announcement, self._state.config.write_intent_timeout)

    async def _pay_debts(self) -> bool:
        """Settle what is owed and may be; return whether nothing is owed any more.

        Each by its own writer's name, so that intents that did arrive don't stand until their deadline.
        """
        for debt in self._state.debts.payable():
            await ask(self._state, self._store.settle(debt, self._state.making(new_token())))
            self._state.debts.forgive(debt)
        return not self._state.debts

    # What all steps share

    async def _limits(self, snapshot: Snapshot | None, *, several: bool = False) -> Limits | None:
        """Return what a reader may do; ``None``: nothing. A process that only hits is told no time, so it asks, once a minute at most."""
        started = self._state.clock.sent() if several and not self._store.atomic_lookup else None
        is_dated = started is not None or (snapshot is not None and snapshot.since is not None)
        if is_dated and not self._state.clock.fresh:
            await self._ask(self._store.records([], self._state.making(new_token())))
        return limits(snapshot, self._state, started)

    async def _ask(self, step: Awaitable[Any]) -> Any:
        """Take a step whose answer is, or begins with, the store's time, and learn that."""
        sent = self._state.clock.sent()
        answer = await ask(self._state, step)
        self._state.clock.learn(answer if isinstance(answer, int) else answer[0], sent)
        return answer

    def _compare_rules(self, namespace: bytes | None, plan: Plan, op: str) -> None:
        """Warn, once for each, of processes that share the namespace but not its rules (DESIGN 5.7)."""
        record = envelope.parse_record(namespace)
        known = self._state.known_rules
        if record is not None and record.rules not in known and len(known) < _MOST_RULES:
            known.add(record.rules)
            self._tell(events.REJECTED, plan, op, reason="another process has other settings for this namespace")

    def _miss(self, grant: Grant, op: str, reason: str) -> Miss:
        self._tell(events.MISS, grant.plan, op, reason=reason)
        return Miss(grant)

    def tell_bypass(self, plan: Plan, op: str, reason: str) -> Bypass:
        """Tell of a read or put that the cache takes no part in, and return it as an outcome."""
        self._tell(events.BYPASS, plan, op, reason=reason)
        return Bypass(reason)

    def _tell(self, name: str, plan: Plan, op: str, *, reason: str | None = None, took_ms: float | None = None) -> None:
        emitter = self._state.emitter
        if emitter.wants(name):
            emitter.emit(name, model=plan.model, op=op, key=plan.cell, bind_group=plan.bind_group, reason=reason, took_ms=took_ms)
