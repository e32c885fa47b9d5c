"""The cache of agents' answers, in memory or in Redis."""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext

from cashews import Cache
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from agents.services.storage.redis_guard import RedisGuard, RedisUnavailable
from agents.settings import Settings
from telemetry.agentos.recorder import Recorder

__all__ = ["AnswerCache"]


class AnswerCache:
    """A cache of answers whose operations are measured. An outage of Redis counts as ``error`` and is treated as a miss."""

    def __init__(self, settings: Settings, recorder: Recorder, guard: RedisGuard | None) -> None:
        self._recorder = recorder
        self._guard = guard
        self._ttl = settings.cache_ttl
        self._cache = Cache()
        if guard is None:
            self._cache.setup("mem://", size=settings.cache_size, check_interval=min(settings.cache_ttl, 30))
        else:
            self._cache.setup(
                settings.redis_url.get_secret_value(),
                suppress=False,  # with the default an outage would count as a miss
                pickle_type="json",  # never unpickle the content of a shared store
                socket_timeout=settings.redis_timeout,
                socket_connect_timeout=settings.redis_timeout,
                wait_for_connection_timeout=settings.redis_timeout,
                max_connections=50,
                retry=Retry(NoBackoff(), 0),
            )

    @asynccontextmanager
    async def lifespan(self) -> AsyncIterator[None]:
        """Opens the cache; closes it on exit."""
        await self._cache.init()
        try:
            yield
        finally:
            await self._cache.close()

    @staticmethod
    def key(*parts: str) -> str:
        """Returns the key of these parts: of a fixed length, without their text."""
        return "agentos:answer:" + hashlib.sha256(json.dumps(parts).encode()).hexdigest()

    async def get(self, key: str) -> str | None:
        """Returns the stored answer, ``None`` if there is none."""
        try:
            async with self._recorder.cache_call("get") as call, self._guarded():
                found = await self._cache.get(key)
                call.result("miss" if found is None else "hit")
                return None if found is None else str(found)
        except RedisUnavailable:
            return None

    async def set(self, key: str, answer: str) -> None:
        """Stores an answer for ``AGENTOS_CACHE_TTL``."""
        try:
            async with self._recorder.cache_call("set") as call, self._guarded():
                await self._cache.set(key, answer, expire=self._ttl)
                call.result("ok")
        except RedisUnavailable:
            return

    async def delete(self, key: str) -> None:
        """Deletes an answer."""
        try:
            async with self._recorder.cache_call("delete") as call, self._guarded():
                await self._cache.delete(key)
                call.result("ok")
        except RedisUnavailable:
            return

    def _guarded(self) -> AbstractAsyncContextManager[None]:
        return nullcontext() if self._guard is None else self._guard.use()
