"""Who acts in a world: readers and writers, each a coroutine over the real protocol."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from aa_cache_integration.core import envelope
from aa_cache_integration.core.plans import Filling, Hit, Miss, Request, Snapshot
from aa_cache_integration.core.protocol import Protocol
from tests.consistency.explorer_faces import step

if TYPE_CHECKING:
    from aa_cache_integration.core.envelope import Value
    from aa_cache_integration.core.plans import Plan
    from aa_cache_integration.core.state import SharedState
    from aa_cache_integration.stores.base import Announcement
    from tests.consistency.explorer_faces import Face

__all__ = ("Answer", "Local", "Reader", "Writer")


class Local(NamedTuple):
    """All that an actor is: its operation (one read, or one write) is run again with the answers that it has had."""

    left: int
    """Operations that it has still to finish; ``0``: gone, one way or the other."""
    answers: tuple[Any, ...] = ()
    epoch: int = 0
    """What tells the tokens of this operation from earlier ones."""
    low: int = 0
    """The version that was committed when the operation began."""
    since: int | None = None
    version: int | None = None
    """Its snapshot, once that is taken: when, and which version it holds."""


class Answer(NamedTuple):
    """What an operation came to."""

    versions: tuple[int, ...] = ()
    """What was read of each cell."""
    since: int | None = None
    version: int | None = None
    committed: int = 0
    """The version that a writer committed."""


@dataclass(frozen=True)
class Reader:
    """Reads some cells, all of one statement, some times."""

    name: str
    plans: tuple[Plan, ...]
    reads: int = 1
    kind: bytes = envelope.ENTITY
    level: str = "read committed"
    """Or ``"snapshot"``: taken before the first read; or ``"late snapshot"``: at its first read of the database."""
    dated_before: bool = False
    """Whether a snapshot's time is captured a step before it is taken, as real code does it, and not in the same step."""
    absent: bool = False
    """Whether version 0 means that there is no row."""

    @property
    def cells(self) -> tuple[str, ...]:
        """What it reads."""
        return tuple(plan.cell for plan in self.plans)

    @property
    def records(self) -> tuple[str, ...]:
        """What that depends on."""
        return tuple(record for plan in self.plans for record in plan.records)

    def is_dated(self, *, split: bool) -> bool:
        """Whether its reads compare the store's times with a time of its own."""
        return self.level != "read committed" or (split and len(self.plans) > 1)

    async def act(self, face: Face, state: SharedState, local: Local) -> Answer:
        """Take the snapshot, or read once."""
        if self.level == "snapshot" and local.since is None:
            if not self.dated_before:
                since, version = await step("snapshot")
                return Answer((), since, version)
            since = await step("date")
            return Answer((), since, await step("see", held=since))
        if len(self.plans) > 1 and not face.atomic_lookup:
            state.clock.started = await step("date")  # type: ignore[attr-defined]
        return await self._read(Protocol(face, state), local)

    async def _read(self, protocol: Protocol, local: Local) -> Answer:
        """Read as `orm.fetch` does."""
        requests = [Request(plan, self.kind + envelope.NEGATIVE, _version) for plan in self.plans]
        snapshot = None if self.level == "read committed" else Snapshot(local.since)
        outcomes = await protocol.read(requests, "read", wait=False, snapshot=snapshot)
        hits = [(request, outcome) for request, outcome in zip(requests, outcomes, strict=True) if isinstance(outcome, Hit)]
        if len(hits) == len(requests):
            return Answer(tuple(hit.value for _, hit in hits), local.since, local.version)
        grants = [outcome.grant for outcome in outcomes if isinstance(outcome, Miss)]
        since, version = await self._select(local, (grants, hits))
        kind, payload = (envelope.NEGATIVE, b"") if self.absent and version == 0 else (self.kind, b"%d" % version)
        fillings = [Filling(grant, kind, payload, 3600) for grant in grants]
        if (fillings or hits) and not await protocol.fill(fillings, "read", hits) and hits:
            since, version = await self._select(local._replace(since=since, version=version), ())
            hits = []
        versions = {hit.value for _, hit in hits} | {version}
        return Answer(tuple(sorted(versions)), since, version if since else None)

    async def _select(self, local: Local, held: Any) -> tuple[int | None, int]:
        if local.since is not None and local.version is not None:
            _, version = await step("select", local.version, held=held)
            return local.since, version
        if self.level == "late snapshot":
            since, version = await step("snapshot", held=held)
            return since, version
        _, version = await step("select", held=held)
        return None, version


def _version(value: Value) -> int:
    return int(value.payload or b"0")


@dataclass(frozen=True)
class Writer:
    """Writes once."""

    name: str
    announcement: Announcement
    announces: bool = True
    """Whether it announces; else another program commits, and this one calls ``invalidate_all`` afterwards."""
    needs: int = 0
    """The version that must be committed before it can begin: an UPDATE needs the row that another inserts."""

    @property
    def cells(self) -> tuple[str, ...]:
        """What it announces or settles of cells."""
        return self.announcement.cells

    @property
    def records(self) -> tuple[str, ...]:
        """What it announces or settles of records."""
        return self.announcement.records

    async def act(self, face: Face, state: SharedState, local: Local) -> Answer:
        """Write: the locks are taken with the first step, for nobody sees a flush but the next writer."""
        protocol = Protocol(face, state)
        if self.announces:
            await protocol.announce(self.announcement)
        version = await step("commit")
        await protocol.settle(self.announcement)
        return Answer(committed=version)
