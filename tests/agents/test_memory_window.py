"""The counts of the limiter's windows in memory, on a clock that the tests move."""

from __future__ import annotations

import tracemalloc

from agents.services.storage.memory_window import MemoryWindows
from agents.services.storage.window import Full, Window
from tests.helpers.clock import Clock


def window(key: str, amount: int = 2, seconds: int = 60) -> Window:
    return Window(key, amount, seconds)


async def test_a_window_takes_its_amount_and_ends():
    """A window of two a minute takes two requests, and two again a minute after the first."""
    clock = Clock()
    store = MemoryWindows(clock)
    assert [await store.take([window("w")]) for _ in range(3)] == [None, None, Full(0, 60)]
    clock.now += 59.5
    assert await store.take([window("w")]) == Full(0, 0.5)
    clock.now += 0.5
    assert await store.take([window("w")]) is None


async def test_a_refused_request_counts_nowhere():
    """Where one window is full the others are not counted."""
    store = MemoryWindows(Clock())
    both = [window("a", 1), window("b", 3)]
    assert [await store.take(both) for _ in range(5)] == [None, *[Full(0, 60)] * 4]
    assert [await store.take([window("b", 3)]) for _ in range(3)] == [None, None, Full(0, 60)]


async def test_the_window_that_ends_last_is_named():
    """Of several full windows the answer names the one that ends last."""
    store = MemoryWindows(Clock())
    both = [window("a", 1, 10), window("b", 1, 100)]
    assert [await store.take(both) for _ in range(2)] == [None, Full(1, 100)]
    assert await store.take(both[::-1]) == Full(0, 100)


async def test_ended_windows_take_no_memory():
    """The next request removes 10,000 windows that have ended."""
    clock = Clock()
    store = MemoryWindows(clock)
    for number in range(10_000):
        await store.take([window(f"key {number}")])
    clock.now += 60
    await store.take([window("another")])
    assert list(store.counts) == ["another"]


async def test_a_renewed_window_does_not_end_with_its_old_one():
    """A window that begins again after its end lasts its whole time again."""
    clock = Clock()
    store = MemoryWindows(clock)
    await store.take([window("a", 1), window("b", 9, 100)])
    clock.now += 70
    assert await store.take([window("a", 1)]) is None
    clock.now += 40
    assert await store.take([window("a", 1)]) == Full(0, 20)


async def test_no_more_windows_than_the_limit():
    """Beyond the limit the window that would end first gives way, and its key begins a new one."""
    store = MemoryWindows(Clock(), max_windows=3)
    for key, seconds in (("a", 60), ("b", 30), ("c", 90), ("d", 60)):
        await store.take([window(key, 1, seconds)])
    assert list(store.counts) == ["a", "c", "d"]
    assert await store.take([window("a", 1)]) == Full(0, 60)
    assert await store.take([window("b", 1)]) is None


async def test_many_windows_take_no_more_than_is_said():
    """Windows with keys of the longest length take less than 500 bytes each and their keys, longer keys no more."""
    store = MemoryWindows(Clock(), max_windows=1000)
    tracemalloc.start()
    try:
        for number in range(2000):
            await store.take([window(f"{number:0256}" if number % 2 else f"{number}" + "x" * 30_000)])
        taken = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert len(store.counts) == 1000
    assert taken < 1000 * 524
