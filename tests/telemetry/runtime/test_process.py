"""What is read about the process: kept when it cannot be read, and right in forked children."""

from __future__ import annotations

import gc
import os
import time
from collections.abc import Iterable
from typing import Any

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from telemetry.runtime.process import Process, collections
from tests.helpers.clock import Clock
from tests.helpers.fork import in_child


class Kernel(Collector):
    """Stands in for ``/proc``: what it says, and how often it was asked."""

    def __init__(self) -> None:
        self.cpu: float | None = 1.5
        self.started = time.time() - 50
        self.reads = 0

    def collect(self) -> Iterable[Metric]:
        self.reads += 1
        if self.cpu is not None:
            yield CounterMetricFamily("process_cpu_seconds", "CPU", value=self.cpu)
            yield GaugeMetricFamily("process_start_time_seconds", "Start", value=self.started)


def test_one_reading_serves_all_rows_of_a_collect() -> None:
    """Facts are read again after 10 ms, not for each row."""
    clock, kernel = Clock(), Kernel()
    process = Process(kernel, clock=clock)
    kernel.cpu = 2.5
    assert [process.facts()["process_cpu_seconds_total"] for _ in range(5)] == [1.5] * 5
    clock.now += 0.01
    assert [process.facts()["process_cpu_seconds_total"] for _ in range(5)] == [2.5] * 5
    assert kernel.reads == 2


def test_a_fact_that_cannot_be_read_now_keeps_its_value() -> None:
    """Without free descriptors nothing of /proc can be opened: a total that disappeared would be a fall in the merged one."""
    clock, kernel = Clock(), Kernel()
    process = Process(kernel, clock=clock)
    kernel.cpu = None
    clock.now += 1
    assert process.facts()["process_cpu_seconds_total"] == 1.5


def test_without_proc_there_are_no_facts() -> None:
    """On macOS nothing is read, nothing raises, and the age counts from here."""
    clock, kernel = Clock(), Kernel()
    kernel.cpu = None
    process = Process(kernel, clock=clock)
    clock.now += 7
    assert (process.facts(), process.age()) == ({}, 7)


def test_the_age_is_the_time_since_the_process_started() -> None:
    """A process that started 50 s ago is 52 s old after two more."""
    clock = Clock()
    process = Process(Kernel(), clock=clock)
    clock.now += 2
    assert round(process.age() or 0) == 52


def test_collections_are_those_of_the_interpreter() -> None:
    """Each run of the garbage collector counts in its generation, from the start of the process on."""
    process = Process()
    before = process.collections()
    assert before == collections()
    gc.collect(2)
    assert process.collections()["2"] == before["2"] + 1


def test_a_process_forked_before_starts_its_counts_here() -> None:
    """A worker that shares its program with its parent has inherited the parent's counts: they are left out."""
    counts = {"0": 7.0, "1": 3.0, "2": 1.0}
    process = Process(Kernel(), lambda: counts, forked=True)
    counts = {"0": 9.0, "1": 3.0, "2": 1.0}
    assert process.collections() == {"0": 2, "1": 0, "2": 0}


def test_what_has_been_counted_is_left_out() -> None:
    """Of a process whose past is in the totals already, only what comes afterwards counts."""
    clock, kernel = Clock(), Kernel()
    counts = {"0": 7.0}
    process = Process(kernel, lambda: counts, counted=True, clock=clock)
    assert process.facts()["process_cpu_seconds_total"] == 0
    kernel.cpu, counts = 4.0, {"0": 9.0}
    clock.now += 1
    assert (process.facts()["process_cpu_seconds_total"], process.collections()) == (2.5, {"0": 2})


def test_a_forked_child_is_a_process_of_its_own() -> None:
    """A child has its own CPU time, an age of 0 and no collections; its parent counts on."""
    gc.disable()  # so that none runs in the child by itself
    try:
        burn_until(0.2)
        process = Process()
        assert process.facts()["process_cpu_seconds_total"] >= 0.2

        def work() -> Any:
            own = process.facts()["process_cpu_seconds_total"] <= time.process_time() + 0.02  # two of the kernel's ticks
            young = (process.age() or 0) < 20
            before = process.collections()
            gc.collect(1)
            return own, young, before, process.collections()

        none = {"0": 0, "1": 0, "2": 0}
        assert in_child(work) == repr((True, True, none, {**none, "1": 1}))
        assert process.facts()["process_cpu_seconds_total"] >= 0.2
    finally:
        gc.enable()


def test_a_child_shows_nothing_before_it_is_reset() -> None:
    """A thread of a child that reads before the reset gets no values: its parent's would fall afterwards."""
    process = Process(Kernel(), lambda: {"0": 5.0})
    process._pid = os.getpid() + 1
    assert (process.facts(), process.age(), process.collections()) == ({}, None, {})


def burn_until(seconds: float) -> None:
    """Uses the processor until this process has used so many seconds of it."""
    while time.process_time() < seconds:
        sum(range(1000))
