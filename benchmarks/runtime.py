"""What the metrics of the process cost: ``python -m benchmarks.runtime``

A collect reads ``/proc`` once for all rows. A watched event loop runs a timer ten times a second.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from statistics import median
from time import perf_counter, process_time

from prometheus_client import ProcessCollector

from benchmarks.measure import Row, compare, one_core, show
from telemetry import RUNTIME, AgentOSTelemetry, Catalogue, Telemetry, runtime_metrics
from telemetry.agentos.catalogue import AGENTOS
from telemetry.runtime.process import facts_of

_IDLE_SECONDS = 5.0
_ROUNDS = 3
_FILES = 1000
_GOAL = 0.005
"""Share of a core that an idle loop's timer may take."""


def main() -> None:
    """Prints the table."""
    with one_core():
        show("process and runtime", [scrape(), reading(), idle()])


def scrape() -> Row:
    """A scrape with the rows and one without them."""
    plain, observed = AgentOSTelemetry(), AgentOSTelemetry(Catalogue([*AGENTOS, *RUNTIME]))
    runtime_metrics(observed)
    for each in (plain, observed):
        each.recorder.record_a2a_request("navi", "query", "success", 0.1)
    what = "scrape with the rows of the process"
    return compare(what, observed.reader.expose, "without them", plain.reader.expose, None, number=200)


def reading() -> Row:
    """A reading of ``/proc``, whose open files are counted one by one."""
    collector = ProcessCollector(registry=None)

    def seconds(number: int = 500) -> float:
        start = process_time()
        for _ in range(number):
            facts_of(collector)
        return (process_time() - start) / number

    with _open_files(_FILES):
        crowded = seconds()
    few = seconds()
    detail = f"{crowded * 1e6:.0f} us / {few * 1e6:.0f} us"
    return Row(f"reading of a process with {_FILES:,} open files", "with few", crowded / few, None, detail)


@contextmanager
def _open_files(number: int) -> Iterator[None]:
    descriptors = [os.open(Path(os.devnull), os.O_RDONLY) for _ in range(number)]
    try:
        yield
    finally:
        for descriptor in descriptors:
            os.close(descriptor)


def idle() -> Row:
    """The share of a core that a loop takes which is watched and does nothing else."""
    telemetry = Telemetry(Catalogue(RUNTIME))
    runtime = runtime_metrics(telemetry)

    async def rest(watched: bool) -> float:
        with runtime.watch_loop() if watched else nullcontext():
            start, used = perf_counter(), process_time()
            await asyncio.sleep(_IDLE_SECONDS)
            return (process_time() - used) / (perf_counter() - start)

    shares = [(asyncio.run(rest(True)), asyncio.run(rest(False))) for _ in range(_ROUNDS)]
    watched, without = (median(side) for side in zip(*shares, strict=True))
    detail = f"share of a core; without {without * 100:.3f} %"
    return Row("watched event loop that is idle", "a core", watched, _GOAL, detail)


if __name__ == "__main__":
    main()
