"""The counts of the limiter's windows in Redis, each key checked and repaired by the script that counts."""

from __future__ import annotations

import time

from limits.aio.storage import RedisStorage
from redis.asyncio import ConnectionPool, Redis

from agents.services.storage.memory_window import bounded_key
from agents.services.storage.redis_replies import UnusableReply, milliseconds, number
from agents.settings import Settings

__all__ = ["RedisWindowStorage"]

_COUNT = """
local count = redis.call("INCRBY", KEYS[1], ARGV[1])
if count < tonumber(ARGV[1]) then
    redis.call("SET", KEYS[1], ARGV[1], "PX", ARGV[2])
    return tonumber(ARGV[1])
end
local left = redis.call("PTTL", KEYS[1])
if left < 0 or left > tonumber(ARGV[2]) then
    redis.call("PEXPIRE", KEYS[1], ARGV[2])
end
return count
"""


class RedisWindowStorage(RedisStorage):
    """A storage for the fixed windows of ``limits``.

    The base class sets a key's expiry with its first count alone: a key that has lost it, or was written by another program
    with a longer one, would deny its workspace for ever. It also takes each reply for a number.
    """

    def __init__(self, settings: Settings, pool: ConnectionPool) -> None:
        super().__init__(
            settings.redis_url.get_secret_value(),
            implementation="redispy",
            connection_pool=pool,  # type: ignore[arg-type] # the annotation lacks this type, which the documentation names
        )
        self._redis = Redis(connection_pool=pool)
        self._count = self._redis.register_script(_COUNT)

    async def incr(self, key: str, expiry: float, amount: int = 1) -> int:
        """Adds to the key's window and returns its count. The window ends ``expiry`` seconds after it began, at the latest.

        Raises:
            UnusableReply: Redis does not reply with a count.
        """
        count = number(await self._count(keys=[self._key(key)], args=[amount, milliseconds(expiry)]))
        if count < amount:
            raise UnusableReply("a count below the one that was added")
        return count

    async def get(self, key: str) -> int:
        """Returns the count of the key's window. Raises ``UnusableReply``."""
        reply = await self._redis.get(self._key(key))
        return 0 if reply is None else number(reply)

    async def get_expiry(self, key: str) -> float:
        """Returns when the key's window ends, as wall-clock time; the time now without a window. Raises ``UnusableReply``."""
        left = number(await self._redis.pttl(self._key(key)))
        return time.time() + max(left, 0) / 1000

    def _key(self, key: str) -> str:
        return f"{self.PREFIX}:{bounded_key(key)}"
