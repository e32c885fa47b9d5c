"""The counts of the limiter's windows in Redis, all of a request checked, repaired and counted by one script."""

from __future__ import annotations

from collections.abc import Sequence

from redis.asyncio import ConnectionPool, Redis

from agents.services.storage.redis_replies import UnusableReply, milliseconds, number
from agents.services.storage.window import Full, Window, bounded_key

__all__ = ["RedisWindows"]

_PREFIX = "LIMITS:"
_TAKE = """
local full, longest = 0, 0
local counts = {}
for place, key in ipairs(KEYS) do
    local amount, lasts = tonumber(ARGV[2 * place - 1]), tonumber(ARGV[2 * place])
    local found = redis.pcall("GET", key)
    if type(found) == "table" or (found and not string.find(found, "^%d%d?%d?%d?%d?%d?%d?%d?%d?%d?%d?%d?%d?%d?%d?$")) then
        redis.call("DEL", key)
        found = false
    end
    counts[place] = found and tonumber(found) or 0
    if found then
        local left = redis.call("PTTL", key)
        if left < 0 or left > lasts then
            redis.call("PEXPIRE", key, lasts)
            left = lasts
        end
        if counts[place] >= amount and left >= longest then
            full, longest = place, left
        end
    end
end
if full == 0 then
    for place, key in ipairs(KEYS) do
        if counts[place] == 0 then
            redis.call("SET", key, 1, "PX", ARGV[2 * place])
        else
            redis.call("INCR", key)
        end
    end
end
return {full, longest}
"""


class RedisWindows:
    """Windows in Redis; a decision is one command.

    A key that has lost its expiry, or was written by another program with a longer one or another content, would deny its
    workspace for ever or fail each of its requests: the script repairs it.

    Args:
        pool: Connections whose replies are bytes.
    """

    def __init__(self, pool: ConnectionPool) -> None:
        self._take = Redis(connection_pool=pool).register_script(_TAKE)

    async def take(self, wanted: Sequence[Window]) -> Full | None:
        """Counts a request in all windows or in none; see ``Windows``.

        Raises:
            UnusableReply: Redis does not reply with a window and its time.
            redis.exceptions.RedisError: Redis refuses the command, or does not answer.
        """
        keys = [f"{_PREFIX}{bounded_key(window.key)}" for window in wanted]
        numbers = [each for window in wanted for each in (window.amount, milliseconds(window.seconds))]
        reply = await self._take(keys=keys, args=numbers)
        if not isinstance(reply, list) or len(reply) != 2:
            raise UnusableReply("a window and its time are needed")
        place, left = number(reply[0]), number(reply[1])
        if not 0 <= place <= len(wanted) or left < 0:
            raise UnusableReply("a window that was not asked for")
        return Full(place - 1, left / 1000) if place else None
