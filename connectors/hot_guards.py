"""The Lua that Redis runs for the hot store: compare, write and announce in one step.

Scripts by content (EVALSHA) rather than a function library: two releases running side by side
during a roll-out each find their own text, and it works on every Redis-compatible server. Each
touches the one key it declares. The shebang makes Redis refuse a script as a whole when it is
out of memory, instead of stopping it half-way.
"""

from dataclasses import dataclass, field
from hashlib import sha1

RANK_WIDTH = 20
"""Digits of each part of a rank: a signed 64-bit integer, shifted to be positive."""


def rank(*parts: int) -> str:
    """Return `parts` as digits that compare as text in the order the integers compare.

    Lua's numbers are doubles: an offset or a sequence beyond 2**53 would lose its last digits.
    """
    return "".join(f"{part + 2**63:0{RANK_WIDTH}d}" for part in parts)


@dataclass(frozen=True, slots=True)
class Guard:
    """A script and the name Redis knows it by."""

    text: str
    digest: str = field(init=False)

    def __post_init__(self) -> None:
        # Redis names scripts by SHA-1; nothing is kept secret by it.
        object.__setattr__(self, "digest", sha1(self.text.encode()).hexdigest())  # noqa: S324


PUT_BARS = Guard("""#!lua
-- KEYS[1] sorted set: score open_time, member rank (40 digits) .. JSON.
-- ARGV: how many to keep, channel, then open_time and member of each bar.
local key, keep = KEYS[1], tonumber(ARGV[1])
-- Of a full series nothing older than its oldest bar comes in: the trim would drop it again.
local oldest = tonumber(redis.call('ZRANGE', key, -keep, -keep, 'WITHSCORES')[2])
local applied = 0
for i = 3, #ARGV, 2 do
  local time, member = ARGV[i], ARGV[i + 1]
  if not oldest or tonumber(time) >= oldest then
    local held = redis.call('ZRANGE', key, time, time, 'BYSCORE')[1]
    if not held or string.sub(held, 1, 40) < string.sub(member, 1, 40) then
      if held then redis.call('ZREM', key, held) end
      redis.call('ZADD', key, time, member)
      redis.call('PUBLISH', ARGV[2], string.sub(member, 41))
      applied = applied + 1
    end
  end
end
if applied > 0 then redis.call('ZREMRANGEBYRANK', key, 0, -keep - 1) end
return applied
""")

PUT_QUOTE = Guard("""#!lua
-- KEYS[1] hash: the fields of the quote that are not null, and _rank.
-- ARGV: rank, channel, JSON, then each field and its value.
local held = redis.call('HGET', KEYS[1], '_rank')
if held and held >= ARGV[1] then return 0 end
redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[1], '_rank', ARGV[1], unpack(ARGV, 4))
redis.call('PUBLISH', ARGV[2], ARGV[3])
return 1
""")

ALL = (PUT_BARS, PUT_QUOTE)
