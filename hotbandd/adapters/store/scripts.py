"""Lua scripts: whatever must happen at once on the server. Every key that a script touches is declared."""

from __future__ import annotations

_PUT = """
local function put(key, member, score)
  local old = redis.call('ZRANGEBYSCORE', key, score, score)
  if #old == 1 and old[1] == member then return end
  if #old > 0 then redis.call('ZREMRANGEBYSCORE', key, score, score) end
  redis.call('ZADD', key, score, member)
end
"""

COMMANDS = (
    _PUT
    + """
local types = {PUT = 'zset', ZREMRANGEBYSCORE = 'zset', ZADD = 'zset', HSET = 'hash'}
local function read(at)
  local commands = {}
  while at <= #ARGV do
    local words = tonumber(ARGV[at])
    local command = {unpack(ARGV, at + 1, at + words)}
    local expected = types[command[1]]
    if expected then
      local found = redis.call('TYPE', command[2]).ok
      if found ~= 'none' and found ~= expected then
        error({err = 'CORRUPT ' .. command[2] .. ' it is a ' .. found})
      end
    end
    commands[#commands + 1] = command
    at = at + words + 1
  end
  return commands
end
local function run(commands)
  for _, command in ipairs(commands) do
    if command[1] == 'PUT' then put(command[2], command[3], command[4]) else redis.call(unpack(command)) end
  end
end
"""
)

# KEYS: the sorted set. ARGV: members, each ended by a newline; their scores likewise, ascending. (As words of their own, packing them
# costs the client several times what all the rest does.)
# Where nothing lies between the first score and the last, as in a back-fill, there is nothing to replace. Returns the member of the highest
# score, that score, and the lowest one.
PUT = (
    _PUT
    + """
local scores, turned = {}, {}
for score in string.gmatch(ARGV[2], '([^\\n]*)\\n') do scores[#scores + 1] = score end
local anew = redis.call('ZCOUNT', KEYS[1], scores[1], scores[#scores]) == 0
local i = 0
for member in string.gmatch(ARGV[1], '([^\\n]*)\\n') do
  i = i + 1
  if anew then
    turned[2 * i - 1], turned[2 * i] = scores[i], member
  else
    put(KEYS[1], member, scores[i])
  end
end
if anew then redis.call('ZADD', KEYS[1], unpack(turned)) end
local newest = redis.call('ZREVRANGE', KEYS[1], 0, 0, 'WITHSCORES')
return {newest[1], newest[2], redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', '+inf', 'WITHSCORES', 'LIMIT', 0, 1)[2]}
"""
)

# KEYS: the sorted set, the hash of packed days. ARGV: the day, its first and last score; SHA-1 of the members between them, joined by
# newlines, and of the packed day, empty where there is none; the packed day to come. Returns whether it came.
PACK = """
local members = redis.call('ZRANGEBYSCORE', KEYS[1], ARGV[2], ARGV[3])
if redis.sha1hex(table.concat(members, '\\n')) ~= ARGV[4] then return 0 end
local old = redis.call('HGET', KEYS[2], ARGV[1])
if (old and redis.sha1hex(old) or '') ~= ARGV[5] then return 0 end
redis.call('HSET', KEYS[2], ARGV[1], ARGV[6])
redis.call('ZREMRANGEBYSCORE', KEYS[1], ARGV[2], ARGV[3])
return 1
"""

# A count that is none, as somebody else left it, tells nothing of a loss, and is counted on from the floor.
_COUNT = """
local function counted(key, floor)
  local stored = redis.pcall('GET', key)
  if not stored then return 0 end
  if type(stored) == 'string' and #stored <= 15 and string.match(stored, '^%d+$') then return tonumber(stored) end
  return floor
end
"""

_FENCE = """
local function ahead(fence, epoch, seq)
  local stored = redis.call('GET', fence)
  if not stored then return nil end
  local last_epoch, last_seq = string.match(stored, '^(%d+):(%d+)$')
  if not last_epoch then error({err = 'CORRUPT ' .. fence .. ' expected epoch:seq'}) end
  local by = tonumber(epoch) - tonumber(last_epoch)
  if by == 0 then by = tonumber(seq) - tonumber(last_seq) end
  return by
end
"""

# KEYS: leader, count, then every other key below. ARGV: lease; fence key, epoch, seq, and whether an equal one is written again;
# key and ts of the document that may not be later; a key and the value that it has to have (each empty where there is none); the
# floor of the count; then the commands, each preceded by its number of words. Returns what became of it, and the count.
# Types are checked first and the count is set first: a command that fails later would leave half a publication, and
# the server refuses for lack of memory only at a script's first write.
PUBLISH = (
    COMMANDS
    + _COUNT
    + _FENCE
    + """
local lease, fence, epoch, seq, again, newest, ts, given, value, floor = unpack(ARGV, 1, 10)
floor = tonumber(floor)
local count = counted(KEYS[2], floor)
if redis.call('GET', KEYS[1]) ~= lease or count < floor then return {'fenced', count} end
if fence ~= '' then
  local by = ahead(fence, epoch, seq)
  if by and by < 0 then return {'fenced', count} end
  if by == 0 and again == '' then return {'duplicate', count} end
end
if newest ~= '' then
  local stored = redis.pcall('GET', newest)
  local ok, document = pcall(cjson.decode, stored)
  if ok and type(document) == 'table' and type(document.ts) == 'number' and document.ts > tonumber(ts) then
    return {'duplicate', count}
  end
end
if given ~= '' and redis.pcall('GET', given) ~= value then return {'changed', count} end
local commands = read(11)
redis.call('SET', KEYS[2], string.format('%.0f', count + 1))
if fence ~= '' then redis.call('SET', fence, epoch .. ':' .. seq) end
run(commands)
return {'published', count + 1}
"""
)

# KEYS: every key below. ARGV: commands as above.
APPLY = (
    COMMANDS
    + """
run(read(1))
"""
)

# KEYS: a newest manifold. ARGV: document, its ts, life in ms, channel. Returns whether it was written.
HYDRATE = """
local stored = redis.call('GET', KEYS[1])
if stored then
  local ok, document = pcall(cjson.decode, stored)
  if ok and type(document) == 'table' and type(document.ts) == 'number' and document.ts >= tonumber(ARGV[2]) then
    return 0
  end
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[3])
redis.call('PUBLISH', ARGV[4], ARGV[1])
return 1
"""

# KEYS: leader, epoch. ARGV: holder, life in ms, an epoch to be above. Returns the lease in force.
ACQUIRE = """
local current = redis.call('GET', KEYS[1])
if current and string.match(current, '^(.*):%d+$') ~= ARGV[1] then return current end
local now = redis.call('TIME')
local epoch = math.max(now[1] * 1000 + math.floor(now[2] / 1000), tonumber(ARGV[3]) + 1)
local kept = redis.call('GET', KEYS[2])
if kept and string.match(kept, '^%d+$') and #kept <= 15 then epoch = math.max(epoch, tonumber(kept) + 1) end
local text = string.format('%.0f', epoch)
local lease = ARGV[1] .. ':' .. text
redis.call('SET', KEYS[2], text)
redis.call('SET', KEYS[1], lease, 'PX', ARGV[2])
return lease
"""

# KEYS: leader, epoch, and the count where there is one. ARGV: lease, life in ms, floor of the count. The epoch is written because a server
# without memory, which takes no publication, would prolong the lease for ever.
RENEW = (
    _COUNT
    + """
local floor = tonumber(ARGV[3])
if redis.call('GET', KEYS[1]) ~= ARGV[1] or (KEYS[3] and counted(KEYS[3], floor) < floor) then return 0 end
redis.call('SET', KEYS[2], redis.call('GET', KEYS[2]) or string.match(ARGV[1], '%d+$'))
return redis.call('PEXPIRE', KEYS[1], ARGV[2])
"""
)

# KEYS: a lock. ARGV: who holds it, life in ms.
PROLONG = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])
"""

# KEYS: a lock, or the leader. ARGV: who holds it, or the lease.
RELEASE = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('DEL', KEYS[1])
"""
