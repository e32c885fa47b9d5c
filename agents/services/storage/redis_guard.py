"""The guard of Redis: an outage of Redis does not slow every request, and no reply of Redis fails one."""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from redis.exceptions import ResponseError

from agents.services.storage.redis_replies import UnusableReply

__all__ = ["RedisGuard", "RedisUnavailable"]

_log = logging.getLogger(__name__)

_PROMPT_REPLIES = (ResponseError, UnusableReply)
"""Redis answered, but refused the command (a key of another type, memory used up) or said something else."""
_CODE = re.compile(r"[A-Z]{1,32}\b")
_REPLY_LOG_SECONDS = 60.0


class RedisUnavailable(Exception):
    """Redis did not do what it was asked, or not in time, or was not used because it failed a moment ago."""


class RedisGuard:
    """A deadline for each use of Redis, and after a failure a pause without any use.

    Limiter and cache share one guard: after a failure of the limiter's use the cache does not wait as well, so a request is
    delayed by one ``timeout`` at most. After ``pause`` seconds the next use tries again. A prompt reply that cannot be used
    begins no pause: it may concern one key, and costs no time.

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
        self._quiet_until = float("-inf")

    @asynccontextmanager
    async def use(self) -> AsyncIterator[None]:
        """Lets the block use Redis. The block calls the client of Redis and nothing else: each exception is a failure of Redis.

        The client's parser raises whatever a broken reply leads to (``ValueError``, ``RecursionError``, ``AttributeError``),
        and closes its connection then.

        Raises:
            RedisUnavailable: In place of all exceptions, and during the pause.
        """
        if self._clock() < self._closed_until:
            raise RedisUnavailable("not asked, it failed a moment ago")
        try:
            async with asyncio.timeout(self._timeout):
                yield
        except Exception as error:
            if isinstance(error, _PROMPT_REPLIES):
                self._tell_of_reply(error)
            else:
                self._close(error)
            raise RedisUnavailable(type(error).__name__) from error
        if self._away:
            self._away = False
            _log.warning("Redis is back")

    def _close(self, error: Exception) -> None:
        self._closed_until = self._clock() + self._pause
        if not self._away:
            self._away = True
            _log.warning("Redis is away, going on without it: %s", type(error).__name__)

    def _tell_of_reply(self, error: Exception) -> None:
        """Logs a reply, at most once a minute. Of the reply's text it shows the code alone: the rest can repeat a password."""
        now = self._clock()
        if now < self._quiet_until:
            return
        self._quiet_until = now + _REPLY_LOG_SECONDS
        code = _CODE.match(getattr(error, "status_code", None) or str(error))
        what = f"{type(error).__name__} {code[0]}" if code else type(error).__name__
        _log.warning("Redis answers with what cannot be used, which counts as an error: %s", what)
