"""The guard of Redis, on a clock that the tests move."""

from __future__ import annotations

import asyncio

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ReadOnlyError, ResponseError

from agents.services.storage.redis_guard import RedisGuard, RedisUnavailable
from agents.services.storage.redis_replies import UnusableReply
from tests.helpers.clock import Clock


async def fail(guard: RedisGuard) -> None:
    with pytest.raises(RedisUnavailable):
        async with guard.use():
            raise RedisConnectionError


async def test_hung_use_ends_at_the_timeout():
    """A use that does not end is ended by the timeout."""
    guard = RedisGuard(timeout=0.01)
    with pytest.raises(RedisUnavailable):
        async with guard.use():
            await asyncio.Event().wait()


async def test_no_use_during_the_pause():
    """After a failure the next use fails at once, without entering its block."""
    clock = Clock()
    guard = RedisGuard(timeout=1, pause=5, clock=clock)
    await fail(guard)
    clock.now += 4.9
    with pytest.raises(RedisUnavailable):
        async with guard.use():
            pytest.fail("used during the pause")


async def test_use_after_the_pause():
    """After the pause uses reach Redis again."""
    clock = Clock()
    guard = RedisGuard(timeout=1, pause=5, clock=clock)
    await fail(guard)
    clock.now += 5
    passed = 0
    for _ in range(2):
        async with guard.use():
            passed += 1
    assert passed == 2


@pytest.mark.parametrize(
    "error", [ValueError, KeyError, RecursionError, AttributeError, UnicodeDecodeError("utf-8", b"", 0, 1, "")]
)
async def test_each_exception_is_a_failure_of_redis(error):
    """What the client raises at a broken reply is a failure and begins a pause, whatever its class."""
    guard = RedisGuard(timeout=1)
    with pytest.raises(RedisUnavailable):
        async with guard.use():
            raise error
    with pytest.raises(RedisUnavailable):
        async with guard.use():
            pytest.fail("used during the pause")


@pytest.mark.parametrize("error", [ResponseError("WRONGTYPE"), ReadOnlyError("x"), UnusableReply("x")])
async def test_a_prompt_reply_begins_no_pause(error):
    """A reply that cannot be used is a failure of its own use alone."""
    guard = RedisGuard(timeout=1)
    with pytest.raises(RedisUnavailable):
        async with guard.use():
            raise error
    async with guard.use():
        pass


async def test_unusable_replies_are_logged_once_a_minute(caplog):
    """Of the replies of a minute the first one is logged, by its class and code."""
    clock = Clock()
    guard = RedisGuard(timeout=1, clock=clock)
    for seconds in (0, 59, 1):
        clock.now += seconds
        with pytest.raises(RedisUnavailable):
            async with guard.use():
                raise ResponseError("WRONGTYPE Operation against a key")
    line = "Redis answers with what cannot be used, which counts as an error: ResponseError WRONGTYPE"
    assert [record.message for record in caplog.records] == [line] * 2


async def test_callers_cancellation_is_no_failure_of_redis():
    """The cancellation of a caller begins no pause."""
    guard = RedisGuard(timeout=60)
    inside = asyncio.Event()

    async def use() -> None:
        async with guard.use():
            inside.set()
            await asyncio.Event().wait()

    using = asyncio.create_task(use())
    await inside.wait()
    using.cancel()
    with pytest.raises(asyncio.CancelledError):
        await using
    async with guard.use():
        pass


async def test_outage_is_logged_once(caplog):
    """An outage logs one line at its begin and one at its end, however many uses fail in between."""
    clock = Clock()
    guard = RedisGuard(timeout=1, pause=1, clock=clock)
    for _ in range(5):
        await fail(guard)
        clock.now += 1
    async with guard.use():
        pass
    assert [record.message for record in caplog.records] == [
        "Redis is away, going on without it: ConnectionError",
        "Redis is back",
    ]
