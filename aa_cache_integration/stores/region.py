"""The dogpile region of a manager: values in our safe form, and nothing shown that isn't a plain value."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dogpile.cache import make_region
from dogpile.cache.api import NO_VALUE, CantDeserializeException
from dogpile.cache.proxy import ProxyBackend

from aa_cache_integration.core import envelope
from aa_cache_integration.exceptions import BackendError, CacheError, SerializationError

if TYPE_CHECKING:
    from aa_cache_integration.config import CacheConfig
    from aa_cache_integration.stores.build import PlainCodec

__all__ = ("configured",)


def configured(
    config: CacheConfig, plain: PlainCodec, arguments: dict[str, Any], *, backend: str | None = None, guarded: bool = True
) -> Any:
    """Configure a dogpile region whose values are in our safe form; ``guarded`` hides what isn't a plain value."""

    def dumps(value: Any) -> bytes:
        return envelope.PLAIN + plain.dumps(value)

    def loads(data: bytes) -> Any:
        if data[:1] != envelope.PLAIN:
            raise CantDeserializeException
        try:
            return plain.loads(data[1:])
        except SerializationError as error:
            raise CantDeserializeException from error

    region = make_region(serializer=dumps, deserializer=loads)
    try:
        return region.configure(
            backend or config.backend,
            expiration_time=None if config.expiration_time < 0 else config.expiration_time,
            arguments=arguments,
            wrap=[_RedisGuard if config.backend == "dogpile.cache.redis" else _Guard] if guarded else [],
        )
    except CacheError:
        raise
    except Exception as error:
        # A back end is any plugin's code; whatever its constructor raises is a mistake in the configuration.
        raise BackendError(f"The backend {config.backend!r} can't be built: {type(error).__name__}: {error}") from error


class _Guard(ProxyBackend):
    """Hides from the region what it can't read: leases, intents, records, foreign bytes."""

    def get_serialized(self, key: str) -> Any:
        return self._readable(self.proxied.get_serialized(key))

    def get_serialized_multi(self, keys: Any) -> Any:
        return [self._readable(found) for found in self.proxied.get_serialized_multi(keys)]

    @staticmethod
    def _readable(found: Any) -> Any:
        return found if isinstance(found, bytes) and envelope.is_dogpile(found) else NO_VALUE


class _RedisGuard(_Guard):
    """Puts with SET, in one command for each key as dogpile.cache does: its SETEX is deprecated, and redis-py warns of it."""

    proxied: Any

    def set_serialized(self, key: str, value: bytes) -> None:
        self.proxied.writer_client.set(key, value, ex=self.proxied.redis_expiration_time)

    def set_serialized_multi(self, mapping: Any) -> None:
        pipeline = self.proxied.writer_client.pipeline()
        for key, value in mapping.items():
            pipeline.set(key, value, ex=self.proxied.redis_expiration_time)
        pipeline.execute()
