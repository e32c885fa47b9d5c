"""Counts of failures are exact from any thread, and a forked child has its own."""

from __future__ import annotations

import os
import threading

from telemetry._base.diagnostics import Diagnostics, EventCount


def test_count_is_exact_from_any_thread() -> None:
    """Eight threads count while a ninth reads: no count is lost, and reading counts nothing."""
    counted, stop = EventCount(), threading.Event()

    def read_on() -> None:
        last = 0
        while not stop.is_set():
            last, before = counted.value, last
            assert last >= before

    def count() -> None:
        for _ in range(20_000):
            counted.increment()

    reader, threads = threading.Thread(target=read_on), [threading.Thread(target=count) for _ in range(8)]
    for thread in (reader, *threads):
        thread.start()
    for thread in threads:
        thread.join()
    stop.set()
    reader.join()
    assert (counted.value, counted.value) == (160_000, 160_000)


def test_forked_child_counts_from_zero() -> None:
    """A forked child starts at 0 with the counts that it inherited; the parent's are unchanged."""
    diagnostics = Diagnostics()
    one = diagnostics.counter_of(("row", "a")).increment
    one()
    read_end, write_end = os.pipe()
    child = os.fork()
    if child == 0:
        one()
        one()
        os.write(write_end, str(diagnostics.values("row")).encode())
        os._exit(0)
    os.waitpid(child, 0)
    assert os.read(read_end, 100).decode() == "{('a',): 2}"
    assert diagnostics.values("row") == {("a",): 1}
    os.close(read_end)
    os.close(write_end)
