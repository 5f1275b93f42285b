"""The byte format of cells and records: the only place that knows it, in Python and in Lua.

A value stands in dogpile.cache's envelope (``metadata|payload``), so that a region reads plain values and takes the rest for a miss::

    value     {"ct":1700000000.000001,"v":2,"d":"<token> <token>"}|<kind><payload>
    lease     {}|L <id>
    intents   {}|W <writer>@<deadline> <writer>@<deadline>
    record    {}|R <token> <changed> <rules> <writer>@<deadline>

``ct`` is the store's time at the fill, in seconds; ``d`` the tokens of the records that the value depends on; ``s`` a signature.
Deadlines and times of change are the store's, in microseconds since the epoch. ``rules`` is a fingerprint of the settings that every
process of a namespace must share. The format's version is in the kinds and the letters: a changed meaning takes a new letter.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Final

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = (
    "COUNTED",
    "ENTITY",
    "LIST",
    "LUA",
    "NEGATIVE",
    "PLAIN",
    "Intent",
    "Record",
    "Signer",
    "Value",
    "cell_intents",
    "intents_cell",
    "is_dogpile",
    "is_lease",
    "is_value",
    "lease_cell",
    "lease_of",
    "parse_record",
    "parse_value",
    "record_bytes",
    "stamped",
    "tail",
    "value_bytes",
)

PLAIN: Final = b"p"
"""A plain value, in the safe typed form."""
ENTITY: Final = b"e"
"""A row, in the internal codec's form or the configured serializer's."""
NEGATIVE: Final = b"n"
"""No such row."""
LIST: Final = b"l"
"""A list of rows."""
COUNTED: Final = b"c"
"""A list of rows and a count."""

_LEASE: Final = b"{}|L "
_INTENTS: Final = b"{}|W "
_RECORD: Final = b"{}|R "
_DOGPILE_VERSION: Final = 2


class _Header(msgspec.Struct):
    ct: float
    v: int
    d: str = ""
    s: str = ""


_header = msgspec.json.Decoder(_Header)


@dataclass(frozen=True, slots=True)
class Intent:
    """A writer's announcement and the store's time (µs) until which it counts."""

    writer: str
    deadline: int


@dataclass(frozen=True, slots=True)
class Record:
    """What a value depends on."""

    token: str
    changed: int
    rules: str
    intents: tuple[Intent, ...] = ()


@dataclass(frozen=True, slots=True)
class Value:
    """A filled cell."""

    filled: int
    """The store's time at the fill, in microseconds."""
    tokens: tuple[str, ...]
    kind: bytes
    payload: bytes


def is_lease(raw: bytes) -> bool:
    """Whether a reader's lease stands in the cell."""
    return raw.startswith(_LEASE)


def lease_of(raw: bytes) -> str:
    """Return the lease in a cell for which `is_lease` is true."""
    return raw[len(_LEASE) :].decode(errors="replace")


def is_value(raw: bytes) -> bool:
    """Whether the cell may be replaced by a reader: a value, or bytes that aren't ours."""
    return not raw.startswith((_LEASE, _INTENTS))


def lease_cell(lease: str) -> bytes:
    """Return the cell that holds a lease."""
    return _LEASE + lease.encode()


def _write_intents(intents: Iterable[Intent]) -> str:
    return " ".join(f"{intent.writer}@{intent.deadline}" for intent in intents)


def _read_intents(words: Sequence[str]) -> tuple[Intent, ...]:
    pairs = (word.rpartition("@") for word in words)
    return tuple(Intent(writer, int(deadline)) for writer, _, deadline in pairs)


def intents_cell(intents: Iterable[Intent]) -> bytes:
    """Return the cell that holds write intents."""
    return _INTENTS + _write_intents(intents).encode()


def cell_intents(raw: bytes | None) -> tuple[Intent, ...]:
    """Return the write intents in a cell; none when something else stands there."""
    if raw is None or not raw.startswith(_INTENTS):
        return ()
    try:
        return _read_intents(raw[len(_INTENTS) :].decode().split())
    except ValueError:
        return ()


def stamped(token: str, now: int) -> str:
    """Return the token that a record gets in a step at the store's time ``now`` (µs).

    A client whose connection breaks sends a step again, and both may be taken, with other writers' steps between them: the second must
    not bring back the first one's token.
    """
    return f"{token}.{now}"


def record_bytes(record: Record) -> bytes:
    """Return a record as the store holds it."""
    text = f"{record.token} {record.changed} {record.rules}"
    if record.intents:
        text += " " + _write_intents(record.intents)
    return _RECORD + text.encode()


@lru_cache(maxsize=4096)
def parse_record(raw: bytes | None) -> Record | None:
    """Return the record in these bytes; ``None`` when there is none, or bytes that aren't ours.

    The same few records stand behind most lookups, so what their bytes mean is remembered; what stands in the store never is.
    """
    if raw is None or not raw.startswith(_RECORD):
        return None
    try:
        token, changed, rules, *intents = raw[len(_RECORD) :].decode().split(" ")
        return Record(token, int(changed), rules, _read_intents(intents) if intents else ())
    except ValueError:
        return None


def tail(kind: bytes, payload: bytes, signature: str = "") -> bytes:
    """Return what follows the tokens in a value; the store writes what stands before it (see `value_bytes`)."""
    return b'","s":"' + signature.encode() + b'"}|' + kind + payload


def value_bytes(now: int, tokens: Sequence[str], value_tail: bytes) -> bytes:
    """Return a value's bytes, filled at the store's time ``now`` (µs)."""
    head = f'{{"ct":{now // 1_000_000}.{now % 1_000_000:06d},"v":{_DOGPILE_VERSION},"d":"{" ".join(tokens)}'
    return head.encode() + value_tail


def parse_value(raw: bytes) -> tuple[Value, str] | None:
    """Return the value in a cell and its signature; ``None`` for bytes that aren't a value of ours."""
    head, bar, rest = raw.partition(b"|")
    if not bar or not rest:
        return None
    header = _read_header(head)
    if header is None or not header.d:
        return None
    return Value(round(header.ct * 1_000_000), tuple(header.d.split(" ")), rest[:1], rest[1:]), header.s


def is_dogpile(raw: bytes) -> bool:
    """Whether a region can read these bytes: ``metadata|payload`` as dogpile.cache writes it."""
    return _read_header(raw.partition(b"|")[0]) is not None


def _read_header(head: bytes) -> _Header | None:
    try:
        header = _header.decode(head)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    return header if header.v == _DOGPILE_VERSION else None


class Signer:
    """Authenticates values with keyed BLAKE2, bound to their key; without keys it signs and verifies nothing."""

    __slots__ = ("_secrets",)

    def __init__(self, signing_keys: Sequence[str]) -> None:
        """Prepare the secrets: the first signs, all verify."""
        self._secrets = tuple(hashlib.blake2b(key.encode()).digest() for key in signing_keys)

    @property
    def signs(self) -> bool:
        """Whether there are keys."""
        return bool(self._secrets)

    def sign(self, cell: str, tokens: Sequence[str], kind: bytes, payload: bytes) -> str:
        """Return the signature of a value, ``""`` without keys."""
        return self._digest(self._secrets[0], cell, tokens, kind + payload) if self._secrets else ""

    def verifies(self, cell: str, value: Value, signature: str) -> bool:
        """Whether a value found under ``cell`` was signed by one of the keys."""
        if not self._secrets:
            return True
        expected = (self._digest(secret, cell, value.tokens, value.kind + value.payload) for secret in self._secrets)
        found = signature.encode(errors="replace")  # whatever stands there: only ASCII could be compared as text
        return any(hmac.compare_digest(digest.encode(), found) for digest in expected)

    @staticmethod
    def _digest(secret: bytes, cell: str, tokens: Sequence[str], content: bytes) -> str:
        digest = hashlib.blake2b(key=secret, digest_size=16)
        for part in (cell.encode(errors="surrogatepass"), " ".join(tokens).encode()):
            digest.update(len(part).to_bytes(4, "big") + part)
        digest.update(content)
        return digest.hexdigest()


LUA: Final = """
local function open_intents(words, now, except)
  local out = {}
  for writer, deadline in string.gmatch(words, '(%S+)@(%d+)') do
    if writer ~= except and tonumber(deadline) > now then out[#out + 1] = writer .. '@' .. deadline end
  end
  return out
end
local function is_lease(raw) return string.sub(raw, 1, 5) == '{}|L ' end
local function is_intents(raw) return string.sub(raw, 1, 5) == '{}|W ' end
local function lease_cell(id) return '{}|L ' .. id end
local function intents_cell(list) return '{}|W ' .. table.concat(list, ' ') end
local function parse_record(raw)
  if not raw then return nil end
  local token, changed, rules, rest = string.match(raw, '^{}|R (%S+) (%d+) (%S+)(.*)$')
  if not token then return nil end
  return {token = token, changed = changed, rules = rules, intents = rest}
end
local function record_bytes(token, changed, rules, list)
  local raw = '{}|R ' .. token .. ' ' .. changed .. ' ' .. rules
  if #list > 0 then raw = raw .. ' ' .. table.concat(list, ' ') end
  return raw
end
local function stamped(token, now) return token .. '.' .. string.format('%.0f', now) end
local function value_bytes(now, tokens, tail)
  return string.format('{"ct":%d.%06d,"v":2,"d":"', math.floor(now / 1000000), now % 1000000) .. tokens .. tail
end
"""
"""The same format for scripts that run inside Redis; a test holds the two against each other."""
