"""The store in memory: its limits, on a clock that the test moves."""

from __future__ import annotations

import tracemalloc

import pytest

from agents.services.storage.bounded_store import BoundedStore
from tests.helpers.clock import Clock

LARGE = 10**9


def test_as_many_entries_as_the_limit_stay():
    """Beyond the limit of entries the oldest one is evicted."""
    store = BoundedStore(2, LARGE, 60)
    for key in "abc":
        store.put(key, b"")
    assert store.live_keys() == ["b", "c"]


def test_as_many_bytes_as_the_limit_stay():
    """Entries that take exactly the limit stay; one byte more evicts the oldest, and as many as it needs."""
    size = BoundedStore.size_of("a", bytes(1000))
    store = BoundedStore(LARGE, 2 * size, 60)
    store.put("a", bytes(1000))
    store.put("b", bytes(1000))
    assert (store.live_keys(), store.bytes) == (["a", "b"], 2 * size)
    store.put("c", bytes(1001))
    assert (store.live_keys(), store.bytes) == (["c"], size + 1)


def test_a_key_counts_as_well_as_its_value():
    """Keys take bytes of the limit too."""
    store = BoundedStore(LARGE, 3000, 60)
    for letter in "abc":
        store.put(letter * 1000, b"")
    assert [key[0] for key in store.live_keys()] == ["b", "c"]


def test_the_newest_value_stays_whatever_its_size():
    """A value beyond the limit evicts all others and stays until the next one."""
    store = BoundedStore(LARGE, 1000, 60)
    for key, size in (("a", 1), ("b", 5000)):
        store.put(key, bytes(size))
    assert store.live_keys() == ["b"]
    store.put("c", b"")
    assert store.live_keys() == ["c"]


def test_a_value_put_again_is_the_newest_and_counts_once():
    """A key that is put again takes its bytes once, and is evicted last."""
    store = BoundedStore(2, LARGE, 60)
    for key, value in (("a", b"1"), ("b", b"1"), ("a", b"23"), ("c", b"1")):
        store.put(key, value)
    assert (store.live_keys(), store.get("a")) == (["a", "c"], b"23")
    assert store.bytes == BoundedStore.size_of("a", b"23") + BoundedStore.size_of("c", b"1")


def test_a_value_ends_with_its_time():
    """A value is found until its time is over, and the next one that is put removes it."""
    clock = Clock()
    store = BoundedStore(LARGE, LARGE, 60, clock)
    store.put("a", b"1")
    clock.now += 59.9
    assert store.get("a") == b"1"
    clock.now += 0.1
    assert (store.get("a"), store.live_keys(), len(store)) == (None, [], 1)
    store.put("b", b"2")
    assert (len(store), store.bytes) == (1, BoundedStore.size_of("b", b"2"))


def test_removed_values_take_nothing():
    """A removed value takes no bytes; removing a key that is not there changes nothing."""
    store = BoundedStore(LARGE, LARGE, 60)
    store.put("a", b"1")
    store.remove("a")
    store.remove("a")
    assert (store.live_keys(), store.bytes) == ([], 0)


@pytest.mark.parametrize("size", [0, 100, 10_000])
def test_the_bytes_are_those_of_the_process(size):
    """What the store counts is what its entries take in the process' memory, or a little more."""
    store = BoundedStore(LARGE, LARGE, 60)
    tracemalloc.start()
    try:
        for number in range(1000):
            store.put(f"agentos:answer:2:{number:064}", bytes(size))
        taken = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert taken <= store.bytes <= taken + 1000 * 120
