"""The byte format: one in Python and in Lua, stable, and deaf to what isn't ours."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import pytest
import redis
from dogpile.cache import make_region
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from aa_cache_integration.core import envelope
from aa_cache_integration.core.envelope import Intent, Record, Signer

if TYPE_CHECKING:
    from tests.servers import RedisServer

NAMES = st.text(alphabet="abcXYZ019_-~.", min_size=1, max_size=12)
TIMES = st.integers(min_value=0, max_value=2**51)
INTENTS = st.lists(st.builds(Intent, NAMES, TIMES), max_size=4).map(tuple)
RECORDS = st.builds(Record, NAMES, TIMES, NAMES, INTENTS)
on_a_server = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200, deadline=None)

CHANGED = """
The stored format changed. Entries written by the version before are read by this one, and the other way round during a rolling deploy.
If their meaning has changed, give it a new letter (L, W, R) or kind (p, e, n, l), so that the old one is a miss.
Then write the new bytes here.
"""


def test_the_stored_format_is_what_other_versions_of_this_package_read() -> None:
    intents = (Intent("w1", 1_700_000_030_000_000), Intent("w2", 1_700_000_031_000_000))
    value = envelope.value_bytes(1_700_000_000_000_001, ("t1", "t2"), envelope.tail(envelope.ENTITY, b"\x00row", "5162"))
    assert value == b'{"ct":1700000000.000001,"v":2,"d":"t1 t2","s":"5162"}|e\x00row', CHANGED
    assert envelope.lease_cell("id") == b"{}|L id", CHANGED
    assert envelope.intents_cell(intents) == b"{}|W w1@1700000030000000 w2@1700000031000000", CHANGED
    record = Record("token.17", 1_700_000_000_000_000, "rules", intents)
    assert envelope.record_bytes(record) == b"{}|R token.17 1700000000000000 rules w1@1700000030000000 w2@1700000031000000", CHANGED
    assert (envelope.PLAIN, envelope.ENTITY, envelope.NEGATIVE, envelope.LIST) == (b"p", b"e", b"n", b"l"), CHANGED
    signature = Signer(["secret"]).sign("aa:users:get:1", ("t1", "t2"), envelope.ENTITY, b"row")
    assert signature == "6b04fd2d792a4ab74c28b7ce49c934f6", CHANGED


@given(RECORDS)
def test_a_record_comes_back(record: Record) -> None:
    assert envelope.parse_record(envelope.record_bytes(record)) == record


@given(st.lists(st.builds(Intent, NAMES, TIMES), min_size=1, max_size=4).map(tuple))
def test_intents_come_back(intents: tuple[Intent, ...]) -> None:
    assert envelope.cell_intents(envelope.intents_cell(intents)) == intents


@given(TIMES, st.lists(NAMES, min_size=1, max_size=5).map(tuple), st.sampled_from([b"p", b"e", b"n", b"l"]), st.binary(max_size=50))
def test_a_value_comes_back_with_the_microsecond_of_its_fill(now: int, tokens: tuple[str, ...], kind: bytes, payload: bytes) -> None:
    parsed = envelope.parse_value(envelope.value_bytes(now, tokens, envelope.tail(kind, payload, "signature")))
    assert parsed is not None
    value, signature = parsed
    assert (value.filled, value.tokens, value.kind, value.payload, signature) == (now, tokens, kind, payload, "signature")


def test_dogpile_reads_our_values_and_we_know_its_own() -> None:
    region = make_region(serializer=lambda value: value, deserializer=bytes).configure("dogpile.cache.memory")
    region.backend.set_serialized("ours", envelope.value_bytes(1_700_000_000_000_001, ("t",), envelope.tail(envelope.PLAIN, b"x")))
    assert region.get("ours") == b"px"
    region.set("theirs", b"px")
    assert envelope.is_dogpile(region.backend.get_serialized("theirs"))


PREFIXES = st.sampled_from([b"", b"{}|", b"{}|L ", b"{}|W ", b"{}|R ", b'{"ct":1.0,"v":2,"d":"a b"}|', b'{"ct":1.0,"v":2,"d":"', b'{"ct":'])


@given(st.builds(bytes.__add__, PREFIXES, st.binary(max_size=80) | st.text(max_size=40).map(lambda text: text.encode(errors="replace"))))
@example(b'{"ct":1e999,"v":2,"d":"a b"}|pp')
@example(b'{"ct":NaN,"v":2,"d":"a b"}|pp')
@example(b'{"ct":1.0,"v":2,"d":"\\ud800"}|pp')
@example(b'{"ct":1.0,"v":2,"d":"a","s":"\xc3\xa9"}|pp')
@example(b'{"x":' + b"[" * 200_000 + b"|p")
@example(b"{}|R t 99999999999999999999999999999999 r x@1")
@example(b"{}|R t " + b"9" * 5000 + b" r")
@example(b"{}|W w@" + b"9" * 5000)
@example(b"\x80\x04\x95cos\nsystem\n")
def test_bytes_that_are_not_ours_never_raise(raw: bytes) -> None:
    envelope.parse_record(raw)
    envelope.cell_intents(raw)
    envelope.is_dogpile(raw)
    envelope.is_value(raw)
    if envelope.is_lease(raw):
        envelope.lease_of(raw)
    parsed = envelope.parse_value(raw)
    if parsed is not None:
        Signer(["key"]).verifies("cell", *parsed)


class Lua:
    """The functions of `envelope.LUA`, called on a real Redis."""

    def __init__(self, server: RedisServer) -> None:
        self._client = redis.Redis(server.host, server.port)

    def __call__(self, expression: str, *arguments: bytes, **packed: Any) -> Any:
        script = f"{envelope.LUA}\nlocal args = cmsgpack.unpack(ARGV[1])\nlocal function n(x) return string.format('%.0f', x) end\n"
        return self._client.eval(script + expression, 0, msgspec.msgpack.encode(packed), *arguments)

    def close(self) -> None:
        self._client.close()


@pytest.fixture
def lua(redis_server: RedisServer) -> Any:
    functions = Lua(redis_server)
    yield functions
    functions.close()


@on_a_server
@given(RECORDS)
def test_lua_writes_and_reads_the_same_records(lua: Lua, record: Record) -> None:
    raw = envelope.record_bytes(record)
    words = [f"{intent.writer}@{intent.deadline}" for intent in record.intents]
    made = lua(
        "return record_bytes(args.token, n(args.changed), args.rules, args.words)",
        token=record.token,
        changed=record.changed,
        rules=record.rules,
        words=words,
    )
    assert made == raw
    read = lua("local r = parse_record(ARGV[2]) return {r.token, r.changed, r.rules, r.intents}", raw)
    assert [part.decode() for part in read[:3]] == [record.token, str(record.changed), record.rules]
    assert read[3].decode().split() == words


@on_a_server
@given(st.lists(st.builds(Intent, NAMES, TIMES), min_size=1, max_size=4).map(tuple), TIMES, NAMES)
def test_lua_writes_the_same_intents_and_sees_the_same_ones_standing(lua: Lua, intents: tuple[Intent, ...], now: int, writer: str) -> None:
    raw = envelope.intents_cell(intents)
    words = [f"{intent.writer}@{intent.deadline}" for intent in intents]
    assert lua("return intents_cell(args.words)", words=words) == raw
    assert lua("return is_intents(ARGV[2]) and not is_lease(ARGV[2]) and 1 or 0", raw) == 1
    standing = [f"{intent.writer}@{intent.deadline}".encode() for intent in intents if intent.deadline > now and intent.writer != writer]
    assert lua("return open_intents(ARGV[2], args.now, args.writer)", raw, now=now, writer=writer) == standing


@on_a_server
@given(TIMES, st.lists(NAMES, max_size=4), st.binary(max_size=40), NAMES)
def test_lua_writes_the_same_values_leases_and_tokens(lua: Lua, now: int, tokens: list[str], payload: bytes, name: str) -> None:
    tail = envelope.tail(envelope.PLAIN, payload, "signature")
    assert lua("return value_bytes(args.now, args.tokens, ARGV[2])", tail, now=now, tokens=" ".join(tokens)) == envelope.value_bytes(
        now, tokens, tail
    )
    assert lua("return lease_cell(args.id)", id=name) == envelope.lease_cell(name)
    assert lua("return stamped(args.token, args.now)", token=name, now=now).decode() == envelope.stamped(name, now)


@on_a_server
@given(st.builds(bytes.__add__, PREFIXES, st.binary(max_size=60)))
def test_lua_and_python_tell_the_same_bytes_apart(lua: Lua, raw: bytes) -> None:
    is_lease, is_intents = lua("return {is_lease(ARGV[2]) and 1 or 0, is_intents(ARGV[2]) and 1 or 0}", raw)
    assert bool(is_lease) == envelope.is_lease(raw)
    assert bool(is_lease or is_intents) == (not envelope.is_value(raw))


def signed(signer: Signer, cell: str = "cell", tokens: tuple[str, ...] = ("t",), payload: bytes = b"x") -> tuple[envelope.Value, str]:
    signature = signer.sign(cell, tokens, envelope.ENTITY, payload)
    parsed = envelope.parse_value(envelope.value_bytes(1, tokens, envelope.tail(envelope.ENTITY, payload, signature)))
    assert parsed is not None
    return parsed


def test_a_signed_value_is_verified() -> None:
    signer = Signer(["key"])
    assert signer.verifies("cell", *signed(signer))


@pytest.mark.parametrize("changed", [{"tokens": ("u",)}, {"payload": b"y"}, {"cell": "other"}])
def test_a_signature_holds_for_its_cell_tokens_and_payload_alone(changed: dict[str, Any]) -> None:
    signer = Signer(["key"])
    _, signature = signed(signer)
    value, _ = signed(signer, **changed)
    assert not signer.verifies(changed.get("cell", "cell"), value, signature)


@pytest.mark.parametrize("signature", ["", "0" * 32, "é", "\ud800"])
def test_another_signature_is_refused(signature: str) -> None:
    value, _ = signed(Signer(["key"]))
    assert not Signer(["key"]).verifies("cell", value, signature)


def test_another_key_is_refused() -> None:
    assert not Signer(["key"]).verifies("cell", *signed(Signer(["other"])))


def test_keys_are_rotated_by_putting_the_new_one_first() -> None:
    before, during, after = Signer(["old"]), Signer(["new", "old"]), Signer(["new"])
    assert during.verifies("cell", *signed(before))
    assert after.verifies("cell", *signed(during))
    assert not after.verifies("cell", *signed(before))


def test_without_keys_nothing_is_signed_and_all_is_taken() -> None:
    signer = Signer([])
    assert not signer.signs
    value, signature = signed(signer)
    assert signature == ""
    assert signer.verifies("cell", value, "anything")
