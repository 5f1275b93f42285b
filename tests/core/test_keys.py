"""No two distinct things share a key."""

from __future__ import annotations

from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from aa_cache_integration.core.keys import Keys

WORDS = st.text(alphabet="a1:,%@~gety%3A", max_size=8) | st.sampled_from(
    ["get", "bulk", "rows", "namespace", "", "@", "~", "users", "get:1"]
)
GROUPS = st.none() | WORDS.filter(bool)
IDENTITIES = st.lists(WORDS, min_size=1, max_size=3).map(tuple)
THINGS = st.one_of(
    st.tuples(st.just("entity"), GROUPS, WORDS, IDENTITIES, WORDS),
    st.tuples(st.just("plain"), GROUPS, WORDS),
    st.tuples(st.just("bulk"), GROUPS, WORDS),
    st.tuples(st.just("rows"), GROUPS, WORDS),
    st.tuples(st.just("namespace"), GROUPS),
    st.tuples(st.just("everything")),
)


def key_of(thing: tuple[Any, ...], prefix: str = "aa:") -> str:
    kind, *rest = thing
    if kind == "everything":
        return Keys(prefix, None).namespaces[0]
    group, *rest = rest
    keys = Keys(prefix, group)
    return keys.namespace if kind == "namespace" else str(getattr(keys, kind)(*rest))


@given(THINGS, THINGS)
@example(("entity", "get", "users", ("1",), ""), ("entity", None, "users", ("get:1",), ""))
@example(("entity", None, "users", ("1",), ""), ("plain", None, "users:get:1"))
@example(("entity", None, "@eu", ("1",), ""), ("plain", "eu", "get:1"))
@example(("entity", "rows", "~eu", ("1",), ""), ("rows", "eu", "get:1"))
@example(("entity", None, "users", ("1", "2"), ""), ("entity", None, "users", ("1,2",), ""))
@example(("entity", None, "users", ("1",), "admin"), ("entity", None, "users", ("1:admin",), ""))
@example(("plain", None, "@eu:key"), ("plain", "eu", "key"))
@example(("namespace", None), ("everything",))
def test_distinct_things_have_distinct_keys(one: tuple[Any, ...], other: tuple[Any, ...]) -> None:
    assert (key_of(one) == key_of(other)) == (one == other)


def test_the_keys_are_written_as_documented() -> None:
    default, eu = Keys("aa:", None), Keys("aa:", "eu")
    assert default.entity("users", ["1"]) == "aa:users:get:1"
    assert eu.entity("users", ["1"]) == "aa:users:eu:get:1"
    assert eu.entity("users", ["1"], "admin") == "aa:users:eu:get:1:admin"
    assert default.entity("users", ["1"], "admin") == "aa:users::get:1:admin"
    assert default.entity("shop.order_lines", ["1", "a:b"]) == "aa:shop.order_lines:get:1,a%3Ab"
    assert default.plain("users:1") == "aa:users:1"
    assert eu.plain("users:1") == "aa:@eu:users:1"
    assert default.plain("users:get:1") == "aa:@:users:get:1"
    assert default.namespaces == ("aa:~namespace", "aa:~:namespace")
    assert eu.namespaces == ("aa:~namespace", "aa:~eu:namespace")
    assert eu.bulk("users") == "aa:~eu:bulk:users"
    assert eu.rows("users") == "aa:~eu:rows:users"
