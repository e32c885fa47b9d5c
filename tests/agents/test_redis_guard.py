"""The gate before Redis, on a clock of the test's."""

from __future__ import annotations

import asyncio

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError

from agents.services.storage.redis_guard import RedisGuard, RedisUnavailable


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


async def fail(gate: RedisGuard) -> None:
    with pytest.raises(RedisUnavailable):
        async with gate.use():
            raise RedisConnectionError


async def test_hung_use_ends_at_the_timeout():
    """A use that does not end is given up after the timeout."""
    gate = RedisGuard(timeout=0.01)
    with pytest.raises(RedisUnavailable):
        async with gate.use():
            await asyncio.Event().wait()


async def test_nobody_asks_again_during_the_pause():
    """After a failure the next use fails at once, without entering its block."""
    clock = Clock()
    gate = RedisGuard(timeout=1, pause=5, clock=clock)
    await fail(gate)
    clock.now += 4.9
    with pytest.raises(RedisUnavailable):
        async with gate.use():
            pytest.fail("asked during the pause")


async def test_use_after_the_pause_asks_again():
    """When the pause is over the next use goes through, and a good one leaves the gate open."""
    clock = Clock()
    gate = RedisGuard(timeout=1, pause=5, clock=clock)
    await fail(gate)
    clock.now += 5
    passed = 0
    for _ in range(2):
        async with gate.use():
            passed += 1
    assert passed == 2


async def test_callers_own_exception_passes():
    """What is no failure of Redis goes through as it is, and closes nothing."""
    gate = RedisGuard(timeout=1)
    with pytest.raises(KeyError):
        async with gate.use():
            raise KeyError
    async with gate.use():
        pass


async def test_callers_cancellation_is_no_failure_of_redis():
    """A caller who is cancelled while Redis works does not close the gate for the others."""
    gate = RedisGuard(timeout=60)
    inside = asyncio.Event()

    async def use() -> None:
        async with gate.use():
            inside.set()
            await asyncio.Event().wait()

    using = asyncio.create_task(use())
    await inside.wait()
    using.cancel()
    with pytest.raises(asyncio.CancelledError):
        await using
    async with gate.use():
        pass


async def test_outage_is_logged_once(caplog):
    """One line when Redis goes, one when it is back, however many uses fail in between."""
    clock = Clock()
    gate = RedisGuard(timeout=1, pause=1, clock=clock)
    for _ in range(5):
        await fail(gate)
        clock.now += 1
    async with gate.use():
        pass
    assert [record.message for record in caplog.records] == [
        "Redis is away, going on without it: ConnectionError",
        "Redis is back",
    ]
