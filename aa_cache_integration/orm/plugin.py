"""``create_engine(url, plugins=["aa_cache"])``: binds the engine as it is made."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy.engine import CreateEnginePlugin

from aa_cache_integration.registry import caches

if TYPE_CHECKING:
    from sqlalchemy.engine import URL, Engine

__all__ = ("AaCachePlugin",)

_GROUP = "aa_cache_bind_group"


class AaCachePlugin(CreateEnginePlugin):
    """SQLAlchemy's engine plugin ``aa_cache``; the group is the URL's ``aa_cache_bind_group``, else the execution option ``bind_group``."""

    def __init__(self, url: URL, kwargs: dict[str, Any]) -> None:
        """Take the group from the URL's query or the engine's execution options."""
        options = kwargs.get("execution_options") or {}
        group = url.query.get(_GROUP, options.get("bind_group"))
        self._bind_group = group if group is None else str(group)

    def update_url(self, url: URL) -> URL:
        """Keep our query argument from the driver."""
        return url.difference_update_query([_GROUP])

    def engine_created(self, engine: Engine) -> None:
        """Bind the engine and wire the listeners."""
        caches.bind(engine, self._bind_group)
