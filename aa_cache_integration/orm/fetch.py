"""The session-aware read-through: rows by primary key from the cache, else from the session's database and into the cache."""

from __future__ import annotations

import importlib.util
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, cast

from sqlalchemy.orm import scoped_session

from aa_cache_integration import events
from aa_cache_integration.codecs.identity import identity_text, normalize
from aa_cache_integration.codecs.mapper import codec_for
from aa_cache_integration.core import envelope
from aa_cache_integration.core.plans import Filling, Hit, Miss
from aa_cache_integration.exceptions import BindError, MissingDependencyError
from aa_cache_integration.orm.isolation import view_of
from aa_cache_integration.orm.routing import connect, has_own_state, route, sees_uncommitted, warn_once

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from sqlalchemy import Select
    from sqlalchemy.engine import Connection
    from sqlalchemy.orm import Session

    from aa_cache_integration.codecs.mapper import EntityCodec
    from aa_cache_integration.core.plans import Bypass, Grant, Plan, Request
    from aa_cache_integration.operations import Operations
    from aa_cache_integration.orm.routing import Route

__all__ = ("Asynchronous", "Blocking", "fetch")

T = TypeVar("T")
Row = Any
_OP = "fetch_entity"


class Database(Protocol):
    """How a session is spoken to."""

    async def run(self, function: Callable[..., T], *arguments: Any) -> T:
        """Call a function with the synchronous session."""
        ...


class Blocking:
    """A Session."""

    def __init__(self, session: Any) -> None:
        """Speak to this session."""
        self._session: Session = session() if isinstance(session, scoped_session) else session

    async def run(self, function: Callable[..., T], *arguments: Any) -> T:
        """See `Database.run`."""
        return function(self._session, *arguments)


class Asynchronous:
    """An AsyncSession."""

    def __init__(self, session: Any) -> None:
        """Speak to this session.

        Raises:
            MissingDependencyError: greenlet isn't installed.
        """
        if importlib.util.find_spec("greenlet") is None:
            raise MissingDependencyError('AsyncSession needs greenlet: pip install "aa-cache-integration[asyncio]"')
        self._session = session if hasattr(session, "run_sync") else session()  # an async_scoped_session has no run_sync

    async def run(self, function: Callable[..., T], *arguments: Any) -> T:
        """See `Database.run`."""
        return cast("T", await self._session.run_sync(function, *arguments))


async def fetch(operations: Operations, database: Database, model_class: type[T], idents: Sequence[Any]) -> list[T | None]:
    """Read rows by primary key under the rules of DESIGN 5.3.

    Args:
        operations: The manager's operations on this face.
        database: The session.
        model_class: The mapped class.
        idents: The primary keys; the answer is in their order.
    """
    codec = codec_for(model_class)
    wanted = [normalize(model_class, ident) for ident in idents]
    return [] if not wanted else await _Fetch(operations, database, codec, model_class).rows(wanted)


class _Fetch:
    """One call."""

    def __init__(self, operations: Operations, database: Database, codec: EntityCodec, model_class: type[Any]) -> None:
        self._operations = operations
        self._database = database
        self._codec = codec
        self._model_class = model_class
        self._respelled: set[tuple[str, ...]] = set()
        self._way: Route
        self._fit = True
        """Whether what was read may be put in the cache."""

    async def rows(self, wanted: list[tuple[Any, ...]]) -> list[Any]:
        """Return an instance of its own for each identity."""
        codec = self._codec
        idents = [identity_text(values, codec.mapper) for values in wanted]
        unique = dict(zip(idents, wanted, strict=True))
        exact = self._operations.state.config.snapshot_reads == "exact"
        way = self._way = await self._database.run(partial(route, exact=exact), codec, tuple(unique.values()), self._is_dirty)
        codec = self._codec = codec_for(self._model_class, way.dialect)
        reason = self._bypass(way)
        if reason:
            self._tell_bypass(way, reason, len(unique))
            found = await self._load(unique)
            return [self._instance(found[ident]) for ident in idents]
        requests = {ident: self._request(ident, way) for ident in unique}
        found_there = await self._operations.protocol.read(list(requests.values()), _OP, snapshot=way.snapshot)
        outcomes = dict(zip(requests, found_there, strict=True))
        payloads = await self._fill_misses(unique, requests, outcomes)
        return self._answers(idents, requests, outcomes, payloads)

    def _tables(self) -> tuple[str, ...]:
        return self._operations.planner.depends_on((*self._codec.tables, *self._codec.read_tables))

    def _is_dirty(self, connection: Connection) -> bool:
        return sees_uncommitted(connection, self._tables(), self._operations.planner)

    def _bypass(self, way: Route) -> str:
        """Return why the cache isn't asked.

        Raises:
            BindError: The engine belongs to another group than the manager.
        """
        own = self._operations.state.config.bind_group
        if way.bypass not in {"engine not bound", "ignored engine", "several shards"} and way.bind_group != own:
            raise BindError(
                f"The session's engine is bound to the group {way.bind_group!r}, but this cache serves {own!r}:"
                f" use caches.for_bind_group({way.bind_group!r})"
            )
        if way.bypass:
            return way.bypass
        if self._codec.volatile:
            return "volatile column"
        return "untracked table" if any(map(self._operations.planner.untracked, self._tables())) else ""

    def _tell_bypass(self, way: Route, reason: str, count: int) -> None:
        emitter = self._operations.state.emitter
        if reason == "engine not bound" and warn_once(way.dialect):
            emitter.emit(
                events.REJECTED, model=self._codec.table, op=_OP, reason="the session's engine isn't bound: add caches.bind(engine)"
            )
        emitter.emit(events.BYPASS, model=self._codec.table, op=_OP, reason=reason, count=count)

    def _request(self, ident: tuple[str, ...], way: Route) -> Request:
        plan = self._operations.planner.row(self._codec, ident, way.read_group, vary=way.vary)
        return self._operations.entity_request(plan, self._model_class, self._codec)

    async def _fill_misses(
        self,
        unique: Mapping[tuple[str, ...], tuple[Any, ...]],
        requests: Mapping[tuple[str, ...], Request],
        outcomes: Mapping[tuple[str, ...], Hit | Miss | Bypass],
    ) -> dict[tuple[str, ...], bytes | None]:
        """Read what the cache didn't have, and put it there; return the rows' payloads."""
        missing = {ident: values for ident, values in unique.items() if not isinstance(outcomes[ident], Hit)}
        if not missing:
            return {}
        grants = [grant for _, grant in _grants(outcomes)]
        protocol = self._operations.protocol
        try:
            # A replica may lag behind the hits, so it answers for all.
            found = await self._load(missing if self._way.fills else unique)
        except BaseException:
            await protocol.give_back(grants)
            raise
        fit = self._fit and self._way.fills
        await protocol.give_back([grant for ident, grant in _grants(outcomes) if ident in self._respelled or not fit])
        if not self._way.fills:
            return found
        hits = [(requests[ident], outcome) for ident, outcome in outcomes.items() if isinstance(outcome, Hit)]
        fillings = self._fillings(missing, outcomes, found) if fit else []
        if (fillings or hits) and not await protocol.fill(fillings, _OP, hits) and hits:
            return await self._load(unique)
        return found

    def _fillings(
        self,
        missing: Mapping[tuple[str, ...], tuple[Any, ...]],
        outcomes: Mapping[tuple[str, ...], Hit | Miss | Bypass],
        found: Mapping[tuple[str, ...], bytes | None],
    ) -> list[Filling]:
        fillings: list[Filling] = []
        for ident in missing:
            outcome = outcomes[ident]
            if not isinstance(outcome, Miss) or ident in self._respelled:
                continue
            plan: Plan = outcome.grant.plan
            payload = found[ident]
            if payload is None:
                ttl = self._operations.expiration_time(plan, negative=True)
                fillings.append(Filling(outcome.grant, envelope.NEGATIVE, b"", ttl))
            else:
                fillings.append(Filling(outcome.grant, envelope.ENTITY, payload, self._operations.expiration_time(plan)))
        return fillings

    async def _load(self, wanted: Mapping[tuple[str, ...], tuple[Any, ...]]) -> dict[tuple[str, ...], bytes | None]:
        """Return each row's payload, read in one statement; ``None`` for a row that doesn't exist.

        A database may find a row under another spelling of its key than its own (a collation that knows no case): such a row is the
        answer, but what was asked for is remembered as ``respelled``, for nothing may be stored there.
        """
        rows = await self._select(list(wanted.values()))
        found: dict[tuple[str, ...], bytes | None] = dict.fromkeys(wanted)
        strangers: list[bytes] = []
        for row in rows:
            ident = identity_text(self._codec.row_identity(row), self._codec.mapper)
            if ident in found:
                found[ident] = self._payload(row)
            else:
                strangers.append(self._payload(row))
        # Of several text keys, one row may be the answer to two spellings.
        are_texts = any(isinstance(value, str) for values in wanted.values() for value in values)
        doubtful = are_texts and len(found) > 1 and None in found.values()
        if strangers or doubtful:
            await self._respell(wanted, found, strangers)
        return found

    async def _respell(
        self, wanted: Mapping[tuple[str, ...], tuple[Any, ...]], found: dict[tuple[str, ...], bytes | None], strangers: list[bytes]
    ) -> None:
        """Give the rows that were found under another spelling to those who asked for them."""
        unanswered = [ident for ident, payload in found.items() if payload is None]
        self._respelled.update(unanswered)
        if len(wanted) == 1:
            found[unanswered[0]] = strangers[0]
            return
        for ident in unanswered:
            rows = await self._select([wanted[ident]])
            found[ident] = self._payload(rows[0]) if rows else None

    async def _select(self, wanted: list[tuple[Any, ...]]) -> Sequence[Row]:
        rows, committed = await self._database.run(_select, self._way, self._codec.statement(wanted), self._is_dirty)
        self._fit = self._fit and committed
        return rows

    def _payload(self, row: Row) -> bytes:
        payload = self._codec.encode_row(row)
        if not self._operations.own_form:
            return payload
        return self._operations.encode_row(self._codec.decode(payload, self._codec.mapper.class_))

    def _instance(self, payload: bytes | None) -> Any:
        return None if payload is None else self._operations.decode_row(payload, self._model_class, self._codec)

    def _answers(
        self,
        idents: Sequence[tuple[str, ...]],
        requests: Mapping[tuple[str, ...], Request],
        outcomes: Mapping[tuple[str, ...], Hit | Miss | Bypass],
        payloads: Mapping[tuple[str, ...], bytes | None],
    ) -> list[Any]:
        answers: list[Any] = []
        used: set[tuple[str, ...]] = set()
        for ident in idents:
            outcome = outcomes[ident]
            if ident in payloads:
                answers.append(self._instance(payloads[ident]))
            elif isinstance(outcome, Hit):
                answers.append(requests[ident].another(outcome) if ident in used else outcome.value)
            else:
                answers.append(None)
            used.add(ident)
        return answers


def _grants(outcomes: Mapping[tuple[str, ...], Hit | Miss | Bypass]) -> list[tuple[tuple[str, ...], Grant]]:
    return [(ident, outcome.grant) for ident, outcome in outcomes.items() if isinstance(outcome, Miss)]


def _select(session: Session, way: Route, statement: Select[Any], is_dirty: Callable[[Connection], bool]) -> tuple[Sequence[Row], bool]:
    """Return the rows, and whether others may be given them: all committed, and by a connection that sees what its fellows see."""
    rows = [row for shard in reversed(way.other_shards) for row in connect(session, shard).execute(statement)]
    connection = connect(session, way.bind)
    covered = way.covers(view_of(connection))  # a connection that the pool has kept may see more than was known
    rows += connection.execute(statement)  # last, for where a row is in several shards the first of them counts
    return rows, covered and not is_dirty(connection) and not has_own_state(connection)
