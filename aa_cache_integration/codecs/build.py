"""Make detached instances that have an identity, as if a session had loaded and then released them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy.orm import Mapper, class_mapper
from sqlalchemy.orm.attributes import instance_dict, instance_state
from sqlalchemy.orm.exc import UnmappedClassError

from aa_cache_integration.exceptions import ModelError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from sqlalchemy.orm import ColumnProperty, InstanceState

__all__ = ("describe", "detached", "is_query_expression", "key_attributes", "mapper_of", "state_of")


def mapper_of(model: Any) -> Mapper[Any]:
    """Return the configured mapper of a mapped class or mapper.

    Raises:
        ModelError: It isn't one.
    """
    if isinstance(model, Mapper):
        return model
    try:
        if isinstance(model, type):
            return class_mapper(model)
    except UnmappedClassError:
        pass
    raise ModelError(f"{describe(model)} isn't a mapped class; give a class mapped by SQLAlchemy")


def state_of(model: Any) -> InstanceState[Any]:
    """Return the state of a mapped instance.

    Raises:
        ModelError: It isn't one.
    """
    mapper_of(type(model))
    return instance_state(model)


def describe(model: Any) -> str:
    """Name a class (or what was given in its place) in an error."""
    return f"{model.__module__}.{model.__qualname__}" if isinstance(model, type) else f"{model!r} (a {type(model).__name__})"


def key_attributes(mapper: Mapper[Any]) -> tuple[str, ...]:
    """Return the attributes of the primary key, in the order of ``mapper.primary_key``."""
    return tuple(mapper.get_property_by_column(column).key for column in mapper.primary_key)


def is_query_expression(prop: ColumnProperty[Any]) -> bool:
    """Tell a ``query_expression()``: its value belongs to one query, not to the row."""
    return dict(prop.strategy_key).get("query_expression", False) is True


def detached(
    mapper: Mapper[Any],
    values: Mapping[str, Any],
    identity: tuple[Any, ...] | None,
    *,
    complete: bool = False,
    fire_load: bool = True,
) -> Any:
    """Return a new detached instance; no ``__init__``, validator or property setter runs.

    Column attributes that aren't in ``values`` are unloaded: touching one raises SQLAlchemy's ``DetachedInstanceError``, or loads
    it once the instance is in a session. So are all relationships.

    Args:
        mapper: The mapper of the instance's own class.
        values: Loaded values by attribute key.
        identity: The primary key, in the order of ``mapper.primary_key``; None: it isn't known, and the instance is transient.
        complete: ``values`` has every attribute that isn't deferred, so that there is no need to look.
        fire_load: Dispatch the load event, as SQLAlchemy does when it has loaded a row (``reconstructor``, mutable tracking).
    """
    manager = mapper.class_manager
    instance = manager.new_instance()
    state, attributes = instance_state(instance), instance_dict(instance)
    attributes.update(values)
    if identity is not None:
        state.key = mapper.identity_key_from_primary_key(identity)
    if not complete:
        state.expired_attributes.update(_expirable(mapper, attributes))
    if fire_load:
        # without a session there is no QueryContext; Session.merge(load=False) passes None too
        manager.dispatch.load(state, None)
        if state.modified:
            state._commit_all(attributes)  # noqa: SLF001 -- what a load does when a handler has set attributes
    return instance


def _expirable(mapper: Mapper[Any], attributes: Mapping[str, Any]) -> Iterable[str]:
    """The absent attributes that need a mark to be loaded on access; deferred ones have a loader of their own."""
    return (prop.key for prop in mapper.column_attrs if prop.key not in attributes and not prop.deferred and not is_query_expression(prop))
