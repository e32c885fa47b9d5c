"""``make scale``: 200 simulated instances, scraped by one agent that writes to three Cortex nodes and to a single Prometheus.

The instances run in this process. First all servers run, then one node of Cortex is killed and started again, then the node
that the agent writes to, and with it the single Prometheus. At the end everything that can be compared exactly is compared.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from threading import Event

from stack.load.instances import Activity, Fleet, Life
from stack.load.scale import CORTEX, SINGLE, Comparison, Scale, compare, running_scale
from stack.servers.process import Server
from stack.servers.prometheus import QueriedServer

STORES = {CORTEX: "Cortex, 3 nodes", SINGLE: "one Prometheus"}
ROUNDS = 7
"""Each query is asked so often; the table has the median."""
QUERIES = {
    "requests a second": "sum(rate(a2a_requests_total[1m]))",
    "95th percentile by agent": (
        "histogram_quantile(0.95, sum by (agent, le) (rate(a2a_request_duration_seconds_bucket[1m])))"
    ),
    "error ratio": 'sum(rate(a2a_requests_total{status="error"}[1m])) / sum(rate(a2a_requests_total[1m]))',
    "all series of one instance": '{instance="INSTANCE"}',
    "recording rule without instance": "sum without (instance) (rate(a2a_request_duration_seconds_bucket[1m]))",
}
_CLOCK = Event()  # never set: waiting on it lets time pass
_MIB = 1024 * 1024
_MILLION = 1e6
Sizes = dict[str, dict[str, float]]
"""Bytes a sample by what is measured and store."""


@dataclass(frozen=True, slots=True)
class Reading:
    """Counters of one moment."""

    moment: float
    appended: int
    delivered: dict[str, int]


@dataclass(frozen=True, slots=True)
class Phase:
    """Samples a second of one phase, and the queries' median times in milliseconds by query and store."""

    name: str
    scraped: float
    stored: dict[str, float]
    waiting: dict[str, int]
    queries: dict[str, dict[str, float]]


class Run:
    """One run, phase by phase.

    Args:
        scale: The running servers.
        seconds: Length of a phase.
    """

    def __init__(self, scale: Scale, seconds: float) -> None:
        self._scale = scale
        self._seconds = seconds
        self._began = time.monotonic()
        self.phases: list[Phase] = []
        self.cpu: dict[str, float] = {}
        """Store -> processor seconds a million samples, while all servers run."""
        self.resident: dict[str, float] = {}
        """Store -> resident memory in MiB at that phase's end."""
        self.caught_up: dict[str, float] = {}
        """Store -> samples a second while it takes what an outage has kept back."""

    def say(self, line: str) -> None:
        """Prints a line of progress."""
        print(f"  {time.monotonic() - self._began:4.0f} s  {line}", flush=True)

    def all_running(self) -> None:
        """Measures ingest, processor time and memory, then the queries."""
        before = {store: _cpu(servers) for store, servers in self._servers().items()}
        start = self._read()
        self._pass("all servers run")
        end = self._read()
        for store, servers in self._servers().items():
            taken = end.delivered[store] - start.delivered[store]
            self.cpu[store] = (_cpu(servers) - before[store]) / taken * _MILLION
            self.resident[store] = sum(server.resident_bytes() for server in servers) / _MIB
        self._note("all run", start, end)

    def one_node_away(self) -> None:
        """Kills a node that the agent does not write to, and starts it again."""
        node = self._scale.beside
        node.kill()
        start = self._read()
        self._pass(f"{node.name} is killed")
        self._note("one node away", start, self._read())
        node.start()
        self._scale.cortex.await_ring()
        start = self._read()
        self._pass(f"{node.name} is back")
        self._note("node back", start, self._read())

    def stores_away(self) -> None:
        """Kills the node that the agent writes to, and the single Prometheus; then each takes alone what has been kept back."""
        stores: dict[str, Server] = {CORTEX: self._scale.written_to, SINGLE: self._scale.prometheus}
        for server in stores.values():
            server.kill()
        start = self._read()
        self._pass("the node that is written to and the single Prometheus are killed")
        self._note("no store reachable", start, self._read(), queries=False)
        for store, server in stores.items():
            server.start()
            ready, before = time.time(), self._read()
            self._scale.await_caught_up(store, ready)
            after = self._read()
            self.caught_up[store] = _rate(before.delivered[store], after.delivered[store], before, after)
            self.say(f"{STORES[store]}: caught up at {self.caught_up[store]:,.0f} samples a second")
        self._scale.cortex.await_ring()

    def _servers(self) -> dict[str, Sequence[Server]]:
        return {CORTEX: self._scale.cortex.nodes, SINGLE: [self._scale.prometheus]}

    def _read(self) -> Reading:
        agent = self._scale.agent
        delivered = {store: agent.delivered(store) for store in STORES}
        return Reading(time.monotonic(), agent.appended, delivered)

    def _pass(self, what: str) -> None:
        self.say(f"{what}: {self._seconds:.0f} s")
        _CLOCK.wait(self._seconds)

    def _note(self, name: str, start: Reading, end: Reading, *, queries: bool = True) -> None:
        stored = {store: _rate(start.delivered[store], end.delivered[store], start, end) for store in STORES}
        waiting = {store: end.appended - end.delivered[store] for store in STORES}
        scraped = _rate(start.appended, end.appended, start, end)
        self.phases.append(Phase(name, scraped, stored, waiting, self._times() if queries else {}))

    def _times(self) -> dict[str, dict[str, float]]:
        instance = self._scale.fleet.running()[0].name
        stores = self._scale.answering.items()
        return {
            what: {store: _median_time(server, query.replace("INSTANCE", instance)) for store, server in stores}
            for what, query in QUERIES.items()
        }


def _cpu(servers: Iterable[Server]) -> float:
    return sum(server.cpu_seconds() for server in servers)


def _rate(first: int, last: int, start: Reading, end: Reading) -> float:
    return (last - first) / (end.moment - start.moment)


def _median_time(server: QueriedServer, query: str) -> float:
    """Returns the query's median time in milliseconds."""
    times = []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        server.query(query)
        times.append(1000 * (time.perf_counter() - started))
    return median(times)


def main() -> int:
    """Prints the tables; returns 1 if a store lacks something or differs from the instances' logs."""
    arguments = argparse.ArgumentParser(prog="python -m benchmarks.scale", description=__doc__)
    arguments.add_argument("--instances", type=int, default=200, help="how many run at once (default: 200)")
    arguments.add_argument("--seconds", type=float, default=45.0, help="length of each of the four phases (default: 45)")
    arguments.add_argument("--interval", default="10s", help="time between two scrapes of an instance (default: 10s)")
    given = arguments.parse_args()
    began = time.time()
    print(f"{given.instances} instances, each scraped every {given.interval}; about {4 * given.seconds / 60 + 4:.0f} min")
    with (
        tempfile.TemporaryDirectory(prefix="scale-") as folder,
        running_scale(Path(folder), given.instances, given.interval) as scale,
    ):
        run = Run(scale, given.seconds)
        _phases(run, scale)
        run.say("comparing what the stores have with the logs of the instances")
        compared = {store: list(compare(scale.fleet, server, began)) for store, server in scale.answering.items()}
        lost = _lost(scale)
        if scale.fleet.broken:
            run.say(f"the machine is too slow: the scraper left {scale.fleet.broken} connections; try a longer --interval")
        run.say("writing all samples to blocks")
        sizes = _bytes(scale)
        run.say("done")
        print(f"\n{_summary(scale.fleet)}")
        _report_run(run)
        _report_cost(run, sizes)
        _report_equality(compared, lost)
    return int(any(lost.values()) or any(each.differing for found in compared.values() for each in found))


def _phases(run: Run, scale: Scale) -> None:
    run.say("waiting for a scrape of each instance")
    scale.await_scrapes()
    activity = Activity(scale.fleet)
    try:
        run.all_running()
        run.one_node_away()
        run.stores_away()
    finally:
        activity.stop()
    run.say("ending the scrapes once they have shown all events")
    scale.settle()


def _summary(fleet: Fleet) -> str:
    instances = fleet.instances
    crashed = sum(each.life is Life.CRASHED for each in instances)
    scrapes, failed = sum(each.scrapes for each in instances), sum(each.failed for each in instances)
    samples, events = sum(each.stored_samples() for each in instances), sum(len(each.events) for each in instances)
    return (
        f"{len(instances)} instances in all, {len(fleet.running())} at the end, {crashed} crashed\n"
        f"{scrapes:,} scrapes answered, {failed} refused; {samples:,} samples\n"
        f"{events:,} events, of which crashes took {fleet.unseen()} before a scrape"
    )


def _lost(scale: Scale) -> dict[str, float]:
    """Returns what the agent could not write, by store: samples that were refused for good, or dropped."""
    kinds = ("samples_failed_total", "samples_dropped_total")
    return {store: sum(scale.agent.remote(kind, store) for kind in kinds) for store in STORES}


def _bytes(scale: Scale) -> Sizes:
    """Returns bytes a sample by what is measured and store; a sample counts once, however many replicas keep it."""
    agent, nodes = scale.agent, scale.cortex.nodes
    wal = {CORTEX: sum(node.wal_bytes() for node in nodes), SINGLE: scale.prometheus.wal_bytes()}
    blocks = {CORTEX: scale.cortex.flush(), SINGLE: scale.prometheus.snapshot()}
    samples = sum(block.samples for block in blocks[SINGLE])
    sent = {store: agent.remote("bytes_total", store) / agent.remote("samples_total", store) for store in STORES}
    return {
        "remote write, compressed": sent,
        "write-ahead logs": {store: size / samples for store, size in wal.items()},
        "blocks, samples": {store: sum(block.chunk_bytes for block in each) / samples for store, each in blocks.items()},
        "blocks, index": {store: sum(block.index_bytes for block in each) / samples for store, each in blocks.items()},
    }


def _report_run(run: Run) -> None:
    heads = list(STORES.values())
    rates = {
        phase.name: [f"{value:,.0f}" for value in (phase.scraped, *phase.stored.values(), *phase.waiting.values())]
        for phase in run.phases
    }
    rates["catching up, each alone"] = ["", *(f"{run.caught_up[store]:,.0f}" for store in STORES)]
    _table(
        "Ingest: samples a second, and samples that wait in the agent at the phase's end",
        ["scraped", *heads, "waiting for Cortex", "waiting for Prometheus"],
        rates,
    )
    timed = [phase for phase in run.phases if phase.queries]
    _table(
        f"Queries: milliseconds, median of {ROUNDS}; first Cortex, then the single Prometheus",
        [phase.name for _ in STORES for phase in timed],
        {what: [f"{phase.queries[what][store]:.1f}" for store in STORES for phase in timed] for what in QUERIES},
    )


def _report_cost(run: Run, sizes: Sizes) -> None:
    _table(
        "Cost: processor and memory while all run; bytes on disk and on the wire at the end, each sample counted once",
        list(STORES.values()),
        {
            "processor seconds a million samples": [f"{run.cpu[store]:.1f}" for store in STORES],
            "resident memory in MiB": [f"{run.resident[store]:,.0f}" for store in STORES],
            **{f"bytes a sample: {what}": [f"{size[store]:.2f}" for store in STORES] for what, size in sizes.items()},
        },
    )


def _report_equality(compared: dict[str, list[Comparison]], lost: dict[str, float]) -> None:
    rows = {each.what: [_equal(compared[store][number]) for store in STORES] for number, each in enumerate(compared[CORTEX])}
    rows["samples that the agent could not write"] = [f"{lost[store]:.0f}" for store in STORES]
    _table("Equal to the instances' logs", list(STORES.values()), rows)


def _equal(comparison: Comparison) -> str:
    return f"{len(comparison.wanted) - len(comparison.differing):,} of {len(comparison.wanted):,}"


def _table(title: str, heads: list[str], rows: dict[str, list[str]]) -> None:
    """Prints an aligned table; the first column has the rows' names."""
    first = max(map(len, rows))
    print(f"\n{title}\n  {'':<{first}}  {'  '.join(heads)}")
    for name, cells in rows.items():
        print(f"  {name:<{first}}  {'  '.join(f'{cell:>{len(head)}}' for head, cell in zip(heads, cells, strict=False))}")


if __name__ == "__main__":
    raise SystemExit(main())
