"""Lua scripts of a cluster: whatever must happen at once in one slot.

A fence lies in the slot of the key that it is for and holds ``epoch:seq:lease``: the place of what was published there last, and the highest
epoch of a leader that published there or announced that it will. ``:due`` follows while the message of that publication is still to be sent.
"""

from __future__ import annotations

from hotbandd.adapters.store.scripts import COMMANDS

_PLACE = """
local function place(fence)
  local stored = redis.call('GET', fence)
  if not stored then return 0, 0, 0, '' end
  local epoch, seq, lease, due = string.match(stored, '^(%d+):(%d+):(%d+)(.*)$')
  if not epoch or (due ~= '' and due ~= ':due') then error({err = 'CORRUPT ' .. fence .. ' expected epoch:seq:lease'}) end
  return tonumber(epoch), tonumber(seq), tonumber(lease), due
end
local function keep(fence, epoch, seq, lease, due)
  redis.call('SET', fence, string.format('%.0f:%.0f:%.0f', epoch, seq, lease) .. due)
end
local function behind(epoch, seq, other_epoch, other_seq)
  return epoch < other_epoch or (epoch == other_epoch and seq < other_seq)
end
"""

# KEYS: the fence of a document, the document. ARGV: epoch of the lease; epoch and seq; whether an equal one is written again; epoch and seq
# that are known to have been there; the ts that may not be later, empty where it may; whether what it was decided on changed; whether a
# message is due; then the command that sets the document, if any. Returns what became of it.
PUBLISH = (
    COMMANDS
    + _PLACE
    + """
local lease, epoch, seq = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local last_epoch, last_seq, highest = place(KEYS[1])
if highest > lease or behind(epoch, seq, last_epoch, last_seq) then return 'fenced' end
if behind(last_epoch, last_seq, tonumber(ARGV[5]), tonumber(ARGV[6])) then return 'fenced' end
if epoch == last_epoch and seq == last_seq and ARGV[4] == '' then return 'duplicate' end
if ARGV[7] ~= '' then
  local stored = redis.pcall('GET', KEYS[2])
  local ok, document = pcall(cjson.decode, stored)
  if ok and type(document) == 'table' and type(document.ts) == 'number' and document.ts > tonumber(ARGV[7]) then
    return 'older'
  end
end
if ARGV[8] ~= '' then return 'changed' end
local commands = read(10)
keep(KEYS[1], epoch, seq, lease, ARGV[9])
run(commands)
return 'published'
"""
)

# KEYS: the fence of a key, the key. ARGV: epoch of the lease; epoch and seq of what is written, empty for members, which are told apart by
# their scores; then the commands. Returns 1; 0 where a later one is there; -1 where a later leader is.
FOLLOW = (
    COMMANDS
    + _PLACE
    + """
local lease, epoch, seq = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local last_epoch, last_seq, highest = place(KEYS[1])
if highest > lease then return -1 end
if epoch and behind(epoch, seq, last_epoch, last_seq) then return 0 end
local commands = read(4)
keep(KEYS[1], epoch or last_epoch, seq or last_seq, lease, '')
run(commands)
return 1
"""
)

# KEYS: the fence of a document. ARGV: epoch and seq; channels, each with its message. Sends what is still due of that publication.
SEND = (
    _PLACE
    + """
local epoch, seq, lease, due = place(KEYS[1])
if due == '' or epoch ~= tonumber(ARGV[1]) or seq ~= tonumber(ARGV[2]) then return 0 end
keep(KEYS[1], epoch, seq, lease, '')
for at = 3, #ARGV, 2 do redis.call('PUBLISH', ARGV[at], ARGV[at + 1]) end
return 1
"""
)

# KEYS: a fence. ARGV: epoch of a lease, below which nobody publishes from now on. Returns the highest epoch there, 0 where it is no fence.
RAISE = (
    _PLACE
    + """
local ok, epoch, seq, highest, due = pcall(place, KEYS[1])
if not ok then return '0' end
local lease = tonumber(ARGV[1])
if highest < lease then keep(KEYS[1], epoch, seq, lease, due) end
return string.format('%.0f', math.max(epoch, highest))
"""
)
