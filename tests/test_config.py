"""The configuration of one cache: names, order and defaults that others rely on."""

from __future__ import annotations

import ast
import inspect
from dataclasses import fields

import pytest

from aa_cache_integration import config
from aa_cache_integration.config import CacheConfig, LoggingConfig, ModelConfig

KINDS = (CacheConfig, ModelConfig, LoggingConfig)


def test_the_first_eight_fields_are_advanced_alchemys_by_name_order_and_default() -> None:
    reference = pytest.importorskip("advanced_alchemy.cache", reason="advanced-alchemy is in the dev group: pip install advanced-alchemy")
    theirs = [(f.name, f.default) for f in fields(reference.CacheConfig)]
    assert [(f.name, f.default) for f in fields(CacheConfig)][:8] == theirs
    assert reference.CacheConfig().arguments == CacheConfig().arguments == {}


def test_the_first_eight_may_be_given_by_position_and_ours_by_name_only() -> None:
    given = CacheConfig("dogpile.cache.memory", 5, {"a": 1}, "x:", False, None, None, None)  # noqa: FBT003 - the point of it
    assert (given.backend, given.expiration_time, given.arguments, given.key_prefix, given.enabled) == (
        "dogpile.cache.memory",
        5,
        {"a": 1},
        "x:",
        False,
    )
    assert all(f.kw_only for f in fields(CacheConfig)[8:])
    with pytest.raises(TypeError):
        CacheConfig("dogpile.cache.memory", 5, {}, "x:", False, None, None, None, "eu")  # type: ignore[call-arg]  # noqa: FBT003


def test_two_configurations_share_no_containers() -> None:
    one, other = CacheConfig(), CacheConfig()
    one.arguments["a"] = 1
    assert other.arguments == {}
    assert one.models is not other.models


@pytest.mark.parametrize("kind", KINDS)
def test_every_field_has_a_docstring(kind: type) -> None:
    tree = next(
        node for node in ast.walk(ast.parse(inspect.getsource(config))) if isinstance(node, ast.ClassDef) and node.name == kind.__name__
    )
    documented = {
        node.target.id
        for node, after in zip(tree.body, tree.body[1:], strict=False)
        if isinstance(node, ast.AnnAssign)
        and isinstance(node.target, ast.Name)
        and isinstance(after, ast.Expr)
        and isinstance(after.value, ast.Constant)
    }
    assert documented == {f.name for f in fields(kind)}


def test_a_repr_shows_no_secrets() -> None:
    shown = repr(CacheConfig(arguments={"password": "hunter2"}, signing_keys=("hunter2",)))
    assert "hunter2" not in shown
    assert "expiration_time=3600" in shown
