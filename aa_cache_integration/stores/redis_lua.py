"""The atomic steps as scripts that run inside Redis: what `steps` does under a lock, in Lua.

Each script takes its keys in KEYS, its bytes in ARGV[2] and after, and everything else packed in ARGV[1], so that one call carries any
number of cells. A key that holds something else than a string is treated as one that holds bytes that aren't ours.
"""

from __future__ import annotations

from typing import Final

from aa_cache_integration.core import envelope

__all__ = ("ANNOUNCE", "FILL", "LEASE", "RECORDS", "RELEASE", "SETTLE")

_COMMON: Final = (
    envelope.LUA
    + """
local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
local args = cmsgpack.unpack(ARGV[1])
local function get(key)
  local raw = redis.pcall('GET', key)
  if type(raw) == 'table' then
    if not string.find(raw.err, 'WRONGTYPE', 1, true) then error(raw.err) end
    return false
  end
  return raw
end
local function put(key, raw, ttl)
  redis.call('SET', key, raw, 'PX', ttl)
end
local function raise_ttl(key, raw, ttl)
  local left = redis.call('PTTL', key)
  if left > ttl then ttl = left end
  redis.call('SET', key, raw, 'PX', ttl)
end
local function micros(n) return string.format('%.0f', n) end
local function record(key)
  local raw = get(key)
  local found = parse_record(raw)
  if not found then
    local born = {}
    if args.quarantine > 0 then born = {'~@' .. micros(now + args.quarantine * 1000)} end
    found = {token = stamped(args.token, now), changed = micros(now), rules = args.rules, list = born}
  else
    found.list = open_intents(found.intents, now, nil)
    if #found.list > 0 or found.intents == '' then
      found.raw = raw
      return found
    end
    found.token = stamped(args.token, now)
    if tonumber(found.changed) < now then found.changed = micros(now) end
  end
  found.raw = record_bytes(found.token, found.changed, found.rules, found.list)
  raise_ttl(key, found.raw, args.record_ttl)
  return found
end
local function standing(raw, except)
  if not raw or not is_intents(raw) then return {} end
  return open_intents(raw, now, except)
end
"""
)

LEASE: Final = (
    _COMMON
    + """
local answers, at = {}, 1
for i, request in ipairs(args.requests) do
  local cell, mine = KEYS[at], lease_cell(request.lease)
  local there, reason = get(cell), nil
  if there and there ~= mine then
    if is_lease(there) then reason = 'lease held'
    elseif #standing(there, nil) > 0 then reason = 'write intent'
    elseif not is_intents(there) and there ~= ARGV[i + 1] then reason = 'changed' end
  end
  local records = {}
  if not reason then
    for j = 1, request.records do
      local found = record(KEYS[at + j])
      if j <= request.required and #found.list > 0 then reason = 'write intent'
      elseif not reason and request.before > 0 and tonumber(found.changed) >= request.before then reason = 'later than the snapshot' end
      records[j] = found.raw
    end
  end
  if not reason then
    for j = 1, request.records do
      local left = redis.call('PTTL', KEYS[at + j])
      if left < args.record_ttl then redis.call('PEXPIRE', KEYS[at + j], args.record_ttl) end
    end
    put(cell, mine, request.ttl)
    answers[i] = {'', records}
  else
    answers[i] = {reason, {}}
  end
  at = at + 1 + request.records
end
return {micros(now), answers}
"""
)

RECORDS: Final = (
    _COMMON
    + """
local out = {}
for i, key in ipairs(KEYS) do out[i] = record(key).raw end
return {micros(now), out}
"""
)

FILL: Final = (
    _COMMON
    + """
local put_ok, at = {}, 1
for i, value in ipairs(args.fills) do
  local cell, ok, tokens = KEYS[at], true, value.tokens
  local there = get(cell)
  if value.lease ~= '' then
    ok = there == lease_cell(value.lease)
  elseif #standing(there, nil) > 0 then
    ok = false
  elseif value.records > 0 then
    local current = {}
    for j = 1, value.records do
      local found = record(KEYS[at + j])
      if #found.list > 0 then ok = false end
      current[j] = found.token
    end
    tokens = table.concat(current, ' ')
  end
  if ok then put(cell, value_bytes(now, tokens, ARGV[i + 1]), value.ttl) end
  put_ok[i] = ok and 1 or 0
  at = at + 1 + value.records
end
local seen = {}
for i = at, #KEYS do seen[#seen + 1] = get(KEYS[i]) end
return {micros(now), put_ok, seen}
"""
)

RELEASE: Final = (
    _COMMON
    + """
for i, cell in ipairs(KEYS) do
  if get(cell) == lease_cell(args.leases[i]) then redis.call('DEL', cell) end
end
return 1
"""
)

ANNOUNCE: Final = (
    _COMMON
    + """
local mine = args.writer .. '@' .. micros(now + args.timeout * 1000)
for i, key in ipairs(KEYS) do
  if i <= args.cells then
    local list = standing(get(key), args.writer)
    list[#list + 1] = mine
    raise_ttl(key, intents_cell(list), args.timeout)
  else
    local found = record(key)
    local list = open_intents(table.concat(found.list, ' '), now, args.writer)
    list[#list + 1] = mine
    raise_ttl(key, record_bytes(found.token, found.changed, found.rules, list), math.max(args.record_ttl, args.timeout))
  end
end
return {micros(now)}
"""
)

SETTLE: Final = (
    _COMMON
    + """
for i, key in ipairs(KEYS) do
  if i <= args.cells then
    local list = standing(get(key), args.writer)
    if #list > 0 then raise_ttl(key, intents_cell(list), 1) else redis.call('DEL', key) end
  else
    local found = record(key)
    local list = open_intents(table.concat(found.list, ' '), now, args.writer)
    local changed = found.changed
    if tonumber(changed) < now then changed = micros(now) end
    raise_ttl(key, record_bytes(stamped(args.token, now), changed, args.rules, list), args.record_ttl)
  end
end
return {micros(now)}
"""
)
