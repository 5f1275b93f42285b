"""What a manager does, once for its synchronous and its asynchronous face: between codecs and protocol."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar, cast

from aa_cache_integration import events
from aa_cache_integration.codecs import pages, plain
from aa_cache_integration.codecs.identity import identity_of, instance_identity
from aa_cache_integration.codecs.json import default_deserializer, default_serializer
from aa_cache_integration.codecs.mapper import codec_for
from aa_cache_integration.core import envelope, leases
from aa_cache_integration.core.plans import Bypass, Filling, Grant, Hit, Miss, Plan, Request
from aa_cache_integration.core.tokens import new_token
from aa_cache_integration.exceptions import IdentityError, ModelError, SerializationError
from aa_cache_integration.lookups import Lookups, Put
from aa_cache_integration.stores.base import Announcement
from aa_cache_integration.stores.null import NO_VALUE

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from aa_cache_integration.codecs.mapper import EntityCodec
    from aa_cache_integration.core.envelope import Value
    from aa_cache_integration.core.protocol import Protocol
    from aa_cache_integration.core.state import SharedState
    from aa_cache_integration.planner import Planner

__all__ = ("Operations",)

T = TypeVar("T")


class Operations:
    """The operations over one face of the store."""

    def __init__(self, state: SharedState, planner: Planner, protocol: Protocol, run: Callable[..., Awaitable[Any]]) -> None:
        """Join what a manager has.

        Args:
            state: What its faces share.
            planner: Its cells and records.
            protocol: The protocol over this face.
            run: Runs a creator in the manner of this face.
        """
        self.state = state
        self.planner = planner
        self.protocol = protocol
        self._config = state.config
        self._run = run
        self._owner = state.number
        self._lookups = Lookups(planner, protocol)

    # Plain keys

    async def get(self, key: str) -> Any:
        """See `CacheManager.get_sync`."""
        request = self._plain_request(key)
        (outcome,) = await self.protocol.read([request], "get", wait=False)
        return self._answer(request.plan, outcome, NO_VALUE)

    async def set(self, key: str, value: Any) -> None:
        """See `CacheManager.set_sync`."""
        payload = plain.dumps(value)
        await self._put([Put(self.planner.plain(key), envelope.PLAIN, payload, self._config.expiration_time)], None, "set")

    async def delete(self, key: str) -> None:
        """See `CacheManager.delete_sync`."""
        await self._invalidate("delete", cells=[self.planner.plain(key).cell])

    async def get_or_create(self, key: str, creator: Callable[[], Any], expiration_time: int | None) -> Any:
        """See `CacheManager.get_or_create_sync`."""
        request = self._plain_request(key, expiration_time)
        cell = request.plan.cell
        (outcome,) = await self.protocol.read([request], "get_or_create")
        leases.take(self._owner, cell)  # what a lookup before this one left is used up by it
        if isinstance(outcome, Hit):
            return outcome.value
        grants = [outcome.grant] if isinstance(outcome, Miss) else []
        for grant in grants:
            leases.keep(self._owner, cell, grant)  # what the creator writes makes it void
        try:
            value = await self._run(creator)
            right = leases.take(self._owner, cell)
            kept = isinstance(right, Grant) and not self._lookups.refusal(Put(request.plan, envelope.PLAIN), right, None)
            payload = self._written(value, request.plan) if kept else None
        except GeneratorExit:  # a coroutine that is closed can't await any more: the lease passes by itself
            raise
        except BaseException:
            leases.take(self._owner, cell)
            await self.protocol.give_back(grants)
            raise
        if payload is None:
            await self.protocol.give_back(grants)
            return value
        ttl = self._config.expiration_time if expiration_time is None else expiration_time
        await self.protocol.fill([Filling(grant, envelope.PLAIN, payload, ttl) for grant in grants], "get_or_create")
        return value

    def _written(self, value: Any, plan: Plan) -> bytes | None:
        """Return a plain value's bytes; ``None``, and an event, for one with no safe form."""
        try:
            return plain.dumps(value)
        except (SerializationError, ModelError) as error:
            self.state.emitter.emit(events.REJECTED, op="get_or_create", key=plan.cell, reason=str(error))
            return None

    def _plain_request(self, key: str, max_age: float | None = None) -> Request:
        return Request(self.planner.plain(key), envelope.PLAIN, lambda value: plain.loads(value.payload), max_age)

    # Entities

    async def get_entities(
        self, model_name: str, entity_ids: Sequence[Any], model_class: type[T], bind_group: str | None, op: str
    ) -> list[T | None]:
        """See `CacheManager.get_entities_sync`."""
        plans = [self.planner.entity(model_name, entity_id, model_class, bind_group) for entity_id in entity_ids]
        if not self.cacheable(model_class):
            return [None] * len(plans)
        unique = list(dict.fromkeys(plans))
        requests = [self.entity_request(plan, model_class) for plan in unique]
        outcomes = await self._lookups.look(requests, model_class, bind_group, op)
        answers = {request.plan: (request, outcome) for request, outcome in zip(requests, outcomes, strict=True)}
        found: list[Any] = []
        seen: set[Plan] = set()
        for plan in plans:
            request, outcome = answers[plan]
            if plan in seen and isinstance(outcome, Hit):
                found.append(request.another(outcome))
            else:
                found.append(self._answer(plan, outcome, None))
            seen.add(plan)
        return found

    async def set_entities(self, model_name: str, entities: Sequence[tuple[Any, Any]], bind_group: str | None, op: str) -> None:
        """See `CacheManager.set_entities_sync`."""
        puts: list[Put] = []
        for entity_id, entity in entities:
            plan = self.planner.entity(model_name, entity_id, type(entity), bind_group)
            self._check_identity(entity, entity_id)
            if self.cacheable(type(entity)):
                puts.append(Put(plan, envelope.ENTITY, self.encode_row(entity), self.expiration_time(plan), (type(entity),)))
        await self._put(puts, bind_group, op)

    @staticmethod
    def _check_identity(entity: Any, entity_id: Any) -> None:
        own = instance_identity(entity)
        if all(value is None for value in own):
            raise IdentityError(f"This {type(entity).__name__} has no primary key yet: flush it before it is cached")
        if identity_of(type(entity), own) != identity_of(type(entity), entity_id):
            raise IdentityError(f"This {type(entity).__name__} has the primary key {own!r}, not {entity_id!r}")

    async def invalidate_entities(self, model_name: str, entity_ids: Sequence[Any], bind_group: str | None, op: str) -> None:
        """See `CacheManager.invalidate_entities_sync`."""
        cells = [self.planner.cell(model_name, entity_id, bind_group) for entity_id in entity_ids]
        if cells:
            await self._invalidate(op, cells=list(dict.fromkeys(cells)), model=model_name, bind_group=bind_group)

    def entity_request(self, plan: Plan, model_class: type[Any], codec: EntityCodec | None = None) -> Request:
        """Return how a row is looked up and taken as an instance, or as ``None`` for one that doesn't exist.

        Args:
            plan: Its cell and records.
            model_class: The class that is asked for.
            codec: The codec of its rows, for a caller that wants whole rows alone.
        """

        def decode(value: Value) -> Any:
            return None if value.kind == envelope.NEGATIVE else self.decode_row(value.payload, model_class, codec)

        return Request(plan, envelope.ENTITY + envelope.NEGATIVE, decode)

    @property
    def own_form(self) -> bool:
        """Whether rows are kept in a form of the application's own; where half of it is given, the public form is the other half."""
        return self._config.serializer is not None or self._config.deserializer is not None

    def encode_row(self, entity: Any) -> bytes:
        """Return an instance's bytes, in the application's own form or the codec's."""
        if not self.own_form:
            return codec_for(type(entity)).encode(entity)
        payload: Any = (self._config.serializer or default_serializer)(entity)
        if not isinstance(payload, (bytes, bytearray)):
            raise SerializationError(f"the serializer returned {type(payload).__name__}, not bytes, for a {type(entity).__name__}")
        return bytes(payload)

    def decode_row(self, payload: bytes, model_class: type[T], codec: EntityCodec | None = None) -> T | None:
        """Return the instance in these bytes; ``None`` when it isn't one of this class.

        Raises:
            SerializationError: The bytes aren't usable.
        """
        if not self.own_form:
            if codec is not None:
                return codec.decode(payload, model_class, whole=True)
            return codec_for(model_class).decode(payload, model_class)
        try:
            entity = (self._config.deserializer or default_deserializer)(payload, model_class)
        except Exception as error:
            # The application's own deserializer may raise anything for bytes that it can't read: the entry is a miss.
            raise SerializationError(f"the deserializer raised {type(error).__name__}") from error
        if entity is None:  # which would say that there is no such row
            raise SerializationError("the deserializer returned None")
        return cast("T", entity)

    def cacheable(self, model_class: type[Any]) -> bool:
        """Whether every table of the class has its writes announced, and its rows' values are the rows' alone."""
        codec = codec_for(model_class)
        return not codec.volatile and not any(self.planner.untracked(table) for table in (*codec.tables, *codec.read_tables))

    def expiration_time(self, plan: Plan, *, negative: bool = False) -> float:
        """Return the seconds that a row, or the knowledge that there is none, lives."""
        declared = self.planner.model(plan.model or "")
        lives = self._config.expiration_time if declared.expiration_time is None else declared.expiration_time
        if not negative:
            return lives
        of_none = self._config.negative_ttl if declared.negative_ttl is None else declared.negative_ttl
        return lives if of_none is None else of_none

    # Lists

    async def get_page(
        self, key: str, model_class: type[T], bind_group: str | None, op: str, kinds: bytes
    ) -> tuple[list[T], int | None] | None:
        """See `CacheManager.get_list_sync` and `CacheManager.get_list_and_count_sync`."""
        plan = self.planner.listing(key, [model_class], bind_group)
        if not self.cacheable(model_class):
            return None

        def decode(value: Value) -> tuple[list[T], int | None]:
            payloads, count = pages.loads(value.payload)
            items = [self.decode_row(item, model_class) for item in payloads]
            if any(item is None for item in items):
                raise SerializationError(f"the list holds something else than {model_class.__name__}")
            return cast("list[T]", items), count

        request = Request(plan, kinds, decode)
        (outcome,) = await self._lookups.look([request], model_class, bind_group, op)
        return cast("tuple[list[T], int | None] | None", self._answer(plan, outcome, None))

    async def set_page(self, key: str, items: Sequence[Any], count: int | None, bind_group: str | None, op: str) -> None:
        """See `CacheManager.set_list_sync` and `CacheManager.set_list_and_count_sync`."""
        classes = list(dict.fromkeys(type(item) for item in items))
        plan = self.planner.listing(key, classes, bind_group)
        if not all(self.cacheable(model_class) for model_class in classes):
            return
        payload = pages.dumps([self.encode_row(item) for item in items], count)
        kind = envelope.LIST if count is None else envelope.COUNTED
        await self._put([Put(plan, kind, payload, self.expiration_time(plan), tuple(classes))], bind_group, op)

    # Versions and namespaces

    async def model_version(self, model_name: str, bind_group: str | None) -> str:
        """See `CacheManager.get_model_version_sync`."""
        return await self._lookups.version(model_name, bind_group)

    async def bump_model_version(self, model_name: str, bind_group: str | None) -> str:
        """See `CacheManager.bump_model_version_sync`."""
        own, *_ = self.planner.version(model_name, bind_group)
        await self._invalidate("bump_model_version", records=[own], model=model_name, bind_group=bind_group)
        return await self.model_version(model_name, bind_group)

    async def invalidate_all(self) -> None:
        """See `CacheManager.invalidate_all_sync`."""
        leases.forget(self._owner)
        await self._invalidate("invalidate_all", records=[self.planner.keys(None).namespaces[0]])

    # What they share

    def _answer(self, plan: Plan, outcome: Hit | Miss | Bypass, nothing: Any) -> Any:
        """Return a hit's value; of anything else, keep for the ``set_*`` that follows in this context what it may do.

        That a row doesn't exist is no more to the caller than a miss: what is put after it needs a lease, and there is none.
        """
        if isinstance(outcome, Hit) and (outcome.value is not None or nothing is not None):
            leases.take(self._owner, plan.cell)
            return outcome.value
        if isinstance(outcome, Hit):
            outcome = Bypass("known not to exist")
        if self.state.serves:
            leases.keep(self._owner, plan.cell, outcome.grant if isinstance(outcome, Miss) else outcome)
        return nothing

    async def _put(self, puts: Sequence[Put], bind_group: str | None, op: str) -> None:
        """Put values under the leases of the lookups that missed in this context, explicitly where there was no lookup."""
        fillings: list[Filling] = []
        given_up: list[Grant] = []
        for put in puts:
            right = leases.take(self._owner, put.plan.cell)
            refusal = self._lookups.refusal(put, right, bind_group)
            if not refusal:
                fillings.append(Filling(right if isinstance(right, Grant) else put.plan, put.kind, put.payload, put.ttl))
                continue
            self.protocol.tell_bypass(put.plan, op, refusal)
            grant = right.given_up if isinstance(right, Bypass) else right
            given_up += [] if grant is None else [grant]
        await self.protocol.give_back(given_up)
        await self.protocol.fill(fillings, op)

    async def _invalidate(
        self,
        op: str,
        *,
        cells: Sequence[str] = (),
        records: Sequence[str] = (),
        model: str | None = None,
        bind_group: str | None = None,
    ) -> None:
        """Empty cells and renew records for a write that is over."""
        for cell in cells:
            leases.take(self._owner, cell)
        await self.protocol.settle(Announcement(new_token(), tuple(cells), tuple(records)))
        emitter = self.state.emitter
        if emitter.wants(events.INVALIDATE):
            key = (*cells, *records)[0] if len(cells) + len(records) == 1 else None
            group = self.planner.keys(bind_group).group
            emitter.emit(events.INVALIDATE, model=model, op=op, key=key, bind_group=group, count=len(cells) + len(records))
