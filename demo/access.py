"""The two ways of reading that are compared: from the database alone, and through the cache."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy.ext.asyncio import AsyncSession
    from sqlalchemy.orm import Session

    from aa_cache_integration import CacheManager
    from demo.models import Place
    from demo.operations import Listing, Read

__all__ = ("Access", "Cached", "Plain")


class Access(Protocol):
    """How an application reads."""

    def one(self, session: Session, read: Read) -> Place | None:
        """Return one place."""
        ...

    async def one_async(self, session: AsyncSession, read: Read) -> Place | None:
        """Return one place."""
        ...

    def many(self, session: Session, listing: Listing) -> Sequence[Any]:
        """Return a list of places."""
        ...

    async def many_async(self, session: AsyncSession, listing: Listing) -> Sequence[Any]:
        """Return a list of places."""
        ...

    async def aclose(self) -> None:
        """Close the connections of the running event loop, and all others."""
        ...


class Plain:
    """From the database."""

    def one(self, session: Session, read: Read) -> Place | None:
        """See `Access.one`."""
        return session.get(read.model, read.ident, populate_existing=True)

    async def one_async(self, session: AsyncSession, read: Read) -> Place | None:
        """See `Access.one_async`."""
        return await session.get(read.model, read.ident, populate_existing=True)

    def many(self, session: Session, listing: Listing) -> Sequence[Any]:
        """See `Access.many`."""
        return session.scalars(listing.statement()).all()

    async def many_async(self, session: AsyncSession, listing: Listing) -> Sequence[Any]:
        """See `Access.many_async`."""
        return (await session.scalars(listing.statement())).all()

    async def aclose(self) -> None:
        """There is nothing to close."""


class Cached:
    """From the cache, else from the database and into the cache."""

    def __init__(self, cache: CacheManager) -> None:
        """Read through this cache."""
        self._cache = cache

    def one(self, session: Session, read: Read) -> Place | None:
        """See `Access.one`."""
        return self._cache.fetch_entity_sync(session, read.model, read.ident)

    async def one_async(self, session: AsyncSession, read: Read) -> Place | None:
        """See `Access.one_async`."""
        return await self._cache.fetch_entity_async(session, read.model, read.ident)

    def many(self, session: Session, listing: Listing) -> Sequence[Any]:
        """See `Access.many`."""
        found = self._cache.get_list_sync(listing.key, listing.model)
        if found is None:
            found = list(session.scalars(listing.statement()))
            self._cache.set_list_sync(listing.key, found)
        return found

    async def many_async(self, session: AsyncSession, listing: Listing) -> Sequence[Any]:
        """See `Access.many_async`."""
        found = await self._cache.get_list_async(listing.key, listing.model)
        if found is None:
            found = list(await session.scalars(listing.statement()))
            await self._cache.set_list_async(listing.key, found)
        return found

    async def aclose(self) -> None:
        """See `Access.aclose`."""
        await self._cache.aclose()
