"""The counts of the limiter's windows in memory, on clocks that the tests move."""

from __future__ import annotations

import tracemalloc

import pytest
from limits import parse
from limits.aio.strategies import FixedWindowRateLimiter

from agents.services.storage.memory_window import MonotonicMemoryStorage
from tests.helpers.clock import Clock

ONE = parse("2/minute")


def clocks() -> tuple[Clock, Clock]:
    """A monotonic clock and a wall clock, far apart."""
    clock, wall = Clock(), Clock()
    wall.now = 1e9
    return clock, wall


@pytest.mark.parametrize("jump", [-3600.0, 0.0, 3600.0])
async def test_a_jump_of_the_wall_clock_changes_no_window(jump):
    """A window of a minute lasts a minute when the wall clock jumps back or forth by an hour."""
    clock, wall = clocks()
    strategy = FixedWindowRateLimiter(MonotonicMemoryStorage(clock, wall))
    assert [await strategy.hit(ONE, "w") for _ in range(3)] == [True, True, False]
    wall.now += jump
    clock.now += 59.9
    assert await strategy.hit(ONE, "w") is False
    clock.now += 0.1
    assert await strategy.hit(ONE, "w") is True


async def test_the_end_of_a_window_is_in_wall_time():
    """The end of a window is a time of the wall clock, as in the storage of Redis."""
    clock, wall = clocks()
    strategy = FixedWindowRateLimiter(MonotonicMemoryStorage(clock, wall))
    await strategy.hit(ONE, "w")
    clock.now += 20
    wall.now += 20 - 3600
    stats = await strategy.get_window_stats(ONE, "w")
    assert (stats.remaining, stats.reset_time - wall.now) == (1, 40)


async def test_ended_windows_take_no_memory():
    """The next request removes 10,000 windows that have ended."""
    clock = Clock()
    store = MonotonicMemoryStorage(clock)
    for number in range(10_000):
        await store.incr(f"key {number}", 60)
    clock.now += 60
    await store.incr("another", 60)
    assert (len(store.windows), await store.get("key 1"), await store.get("another")) == (1, 0, 1)


async def test_a_renewed_window_does_not_end_with_its_old_one():
    """A window that begins again after its end lasts its whole time again."""
    clock = Clock()
    store = MonotonicMemoryStorage(clock)
    await store.incr("a", 60)
    await store.incr("b", 100)
    clock.now += 70
    assert await store.incr("a", 60) == 1
    clock.now += 40
    assert await store.incr("a", 60) == 2


async def test_no_more_windows_than_the_limit():
    """Beyond the limit the window that would end first gives way, and its key begins a new one."""
    clock = Clock()
    store = MonotonicMemoryStorage(clock, max_windows=3)
    for key, expiry in (("a", 60), ("b", 30), ("c", 90), ("d", 60)):
        await store.incr(key, expiry)
    assert list(store.windows) == ["a", "c", "d"]
    assert [await store.incr(key, 60) for key in ("a", "b")] == [2, 1]


async def test_long_keys_take_little():
    """Keys of 30,000 characters have windows of their own and take 1 KB each at most."""
    store = MonotonicMemoryStorage(Clock())
    names = [f"{number}" + "x" * 30_000 for number in range(100)]
    tracemalloc.start()
    try:
        counts = [await store.incr(name, 60) for name in (*names, *names)]
        taken = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert counts == [1] * 100 + [2] * 100
    assert await store.get(names[0]) == 2
    assert await store.get_expiry(names[0]) > await store.get_expiry("none")
    assert taken < 100 * 1024


async def test_many_windows_take_no_more_than_is_said():
    """100,000 windows with keys of the longest length take less than 500 bytes each and their keys."""
    store = MonotonicMemoryStorage(Clock(), max_windows=1000)
    tracemalloc.start()
    try:
        for number in range(2000):
            await store.incr(f"{number:0256}", 60)
        taken = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert len(store.windows) == 1000
    assert taken < 1000 * 524
