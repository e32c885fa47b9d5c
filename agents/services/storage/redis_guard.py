"""The guard of Redis: an outage of Redis does not slow every request."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from cashews.exceptions import CacheError
from limits.errors import StorageError
from redis.exceptions import RedisError

__all__ = ["RedisGuard", "RedisUnavailable"]

_log = logging.getLogger(__name__)

_FAILURES = (TimeoutError, OSError, RedisError, StorageError, CacheError)


class RedisUnavailable(Exception):
    """Redis did not answer in time, or was not used because it failed a moment ago."""


class RedisGuard:
    """A deadline for each use of Redis, and after a failure a pause without any use.

    Limiter and cache share one guard: after a failure of the limiter's use the cache does not wait as well, so a request is
    delayed by one ``timeout`` at most. After ``pause`` seconds the next use tries again.

    Args:
        timeout: Seconds for one use.
        pause: Seconds without any use after a failure.
        clock: Seconds on a monotonic clock.
    """

    def __init__(self, timeout: float, pause: float = 1.0, clock: Callable[[], float] = time.monotonic) -> None:
        self._timeout = timeout
        self._pause = pause
        self._clock = clock
        self._closed_until = float("-inf")
        self._away = False

    @asynccontextmanager
    async def use(self) -> AsyncIterator[None]:
        """Lets the block use Redis.

        Raises:
            RedisUnavailable: In place of all errors of Redis and its clients, and during the pause.
        """
        if self._clock() < self._closed_until:
            raise RedisUnavailable("not asked, it failed a moment ago")
        try:
            async with asyncio.timeout(self._timeout):
                yield
        except _FAILURES as error:
            self._closed_until = self._clock() + self._pause
            if not self._away:
                self._away = True
                _log.warning("Redis is away, going on without it: %s", type(error.__cause__ or error).__name__)
            raise RedisUnavailable(type(error).__name__) from error
        if self._away:
            self._away = False
            _log.warning("Redis is back")
