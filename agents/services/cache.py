"""The cache of agents' answers, in memory or in Redis."""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from typing import Protocol

from redis.asyncio import BlockingConnectionPool, Redis

from agents.services.storage.bounded_store import BoundedStore
from agents.services.storage.redis_guard import RedisGuard, RedisUnavailable
from agents.services.storage.redis_replies import UnusableReply, connection_options, milliseconds
from agents.settings import Settings
from telemetry.agentos.recorder import Recorder

__all__ = ["AnswerCache"]

_PREFIX = "agentos:answer:2:"
"""Of all keys. The number is the version of the values' format: versions that run side by side do not read each other's."""
_CONNECTIONS = 50
_SURROGATES = "surrogatepass"
"""The JSON of a model can hold half a surrogate pair, which UTF-8 otherwise cannot."""


class _Store(Protocol):
    """Where the answers are, as bytes by key."""

    async def get(self, key: str) -> bytes | None: ...
    async def set(self, key: str, answer: bytes) -> None: ...
    async def delete(self, key: str) -> None: ...
    async def close(self) -> None: ...


class AnswerCache:
    """A cache of answers whose operations are measured. A failure of Redis counts as ``error`` and is treated as a miss.

    An answer that has more bytes than ``AGENTOS_CACHE_ANSWER_BYTES`` is not stored, which counts as ``ok``.
    """

    def __init__(self, settings: Settings, recorder: Recorder, guard: RedisGuard | None) -> None:
        self._recorder = recorder
        self._guard = guard
        self._longest = min(settings.cache_answer_bytes, settings.cache_bytes)
        self._store: _Store = _MemoryStore(settings) if guard is None else _RedisStore(settings, self._longest)

    @asynccontextmanager
    async def lifespan(self) -> AsyncIterator[None]:
        """Closes the cache on exit."""
        try:
            yield
        finally:
            await self._store.close()

    @staticmethod
    def key(*parts: str) -> str:
        """Returns the key of these parts: of a fixed length, without their text."""
        return _PREFIX + hashlib.sha256(json.dumps(parts).encode()).hexdigest()

    async def get(self, key: str) -> str | None:
        """Returns the stored answer, ``None`` if there is none."""
        try:
            async with self._recorder.cache_call("get") as call:
                async with self._guarded():
                    found = _text(await self._store.get(key))
                call.result("miss" if found is None else "hit")
                return found
        except RedisUnavailable:
            return None

    async def set(self, key: str, answer: str) -> None:
        """Stores an answer for ``AGENTOS_CACHE_TTL``."""
        data = answer.encode("utf-8", _SURROGATES)
        try:
            async with self._recorder.cache_call("set") as call:
                if len(data) <= self._longest:
                    async with self._guarded():
                        await self._store.set(key, data)
                call.result("ok")
        except RedisUnavailable:
            return

    async def delete(self, key: str) -> None:
        """Deletes an answer."""
        try:
            async with self._recorder.cache_call("delete") as call:
                async with self._guarded():
                    await self._store.delete(key)
                call.result("ok")
        except RedisUnavailable:
            return

    def _guarded(self) -> AbstractAsyncContextManager[None]:
        return nullcontext() if self._guard is None else self._guard.use()


def _text(answer: bytes | None) -> str | None:
    """The text of stored bytes; ``None`` for bytes that are no text."""
    try:
        return None if answer is None else answer.decode("utf-8", _SURROGATES)
    except UnicodeDecodeError:
        return None


class _MemoryStore:
    """Answers in the memory of the process."""

    def __init__(self, settings: Settings) -> None:
        self._answers = BoundedStore(settings.cache_size, settings.cache_bytes, settings.cache_ttl)

    async def get(self, key: str) -> bytes | None:
        return self._answers.get(key)

    async def set(self, key: str, answer: bytes) -> None:
        self._answers.remove(key)
        if BoundedStore.size_of(key, answer) <= self._answers.max_bytes:
            self._answers.put(key, answer)

    async def delete(self, key: str) -> None:
        self._answers.remove(key)

    async def close(self) -> None:
        return


class _RedisStore:
    """Answers in Redis, each behind a line with the format's version and the digest of key and answer.

    So a value that is cut off, of another key or of another program is no answer. It is read only as far as an answer can
    reach: a huge one costs no more time than the longest answer.
    """

    def __init__(self, settings: Settings, longest: int) -> None:
        options = {"max_connections": _CONNECTIONS, **connection_options(settings), "timeout": settings.redis_timeout}
        self._redis = Redis(connection_pool=BlockingConnectionPool(**options))
        self._ttl_ms = milliseconds(settings.cache_ttl)
        self._longest = longest + len(_sealed("", b""))

    async def get(self, key: str) -> bytes | None:
        value = await self._redis.getrange(key, 0, self._longest)
        if not isinstance(value, bytes):
            raise UnusableReply("bytes are needed")
        answer = value.partition(b"\n")[2]
        return answer if value == _sealed(key, answer) else None

    async def set(self, key: str, answer: bytes) -> None:
        if await self._redis.set(key, _sealed(key, answer), px=self._ttl_ms) is not True:
            raise UnusableReply("OK is needed")

    async def delete(self, key: str) -> None:
        if type(await self._redis.unlink(key)) is not int:
            raise UnusableReply("a number is needed")

    async def close(self) -> None:
        await self._redis.aclose(close_connection_pool=True)


def _sealed(key: str, answer: bytes) -> bytes:
    """The value that holds an answer in Redis."""
    digest = hashlib.sha256(key.encode() + b"\n" + answer).hexdigest()
    return b"agentos-answer/2 " + digest.encode() + b"\n" + answer
