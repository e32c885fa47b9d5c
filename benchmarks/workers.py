"""What several workers cost: ``python -m benchmarks.workers``

Workers are processes of their own. The merged scrape of four with 2,500 label sets each stands against the scrape of one
worker with 10,000; beside it the same for prometheus_client's multiprocess mode. Not on one core: four workers have what the
machine has.
"""

from __future__ import annotations

import gc
import multiprocessing
import os
import random
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

from benchmarks.measure import Row, compare, one_core, show
from benchmarks.scrape import label_sets, ours, peer
from telemetry import AgentOSTelemetry, Telemetry
from telemetry.agentos.catalogue import A2A_REQUEST_DURATION
from telemetry.prefork import Supervisor, Workers
from telemetry.prefork.snapshot import Encoder
from telemetry.prefork.state_directory import StateDirectory

WORKERS, EACH = 4, 2_500
RECYCLED, PEER_RECYCLED = 10_000, 1_000
Labels = Sequence[dict[str, str]]


def main() -> None:
    """The tables."""
    whole = label_sets(WORKERS * EACH)
    apart = [whole[n * EACH : (n + 1) * EACH] for n in range(WORKERS)]
    alike = [whole[:EACH]] * WORKERS
    found = [
        _merged("label sets of their own", apart, [whole], _ours, 1.5),
        _merged("the same label sets", alike, [whole], _ours, 1.5),
        _merged("label sets of their own, prometheus_client", apart, [whole], _peer, None),
        _merged("the same label sets, prometheus_client", alike, [whole], _peer, None),
        recycled(),
        peer_recycled(),
    ]
    with one_core():
        found.append(record())
    show("workers", found)


def _merged(what: str, several: Sequence[Labels], one: Sequence[Labels], worker: Any, goal: float | None) -> Row:
    """Scrapes of both in turn, all series changed in between."""
    with _started(several, worker) as many, _started(one, worker) as single:
        times = []
        for _ in range(7):
            for pipe in (*many, *single):
                _told(pipe, "change")
            times.append((float(_told(many[0], "scrape")), float(_told(single[0], "scrape"))))
    detail = f"{median(a for a, _ in times) * 1e3:.0f} ms / {median(b for _, b in times) * 1e3:.0f} ms"
    what = f"merged scrape, {WORKERS} workers x {EACH:,}, {what}"
    return Row(what, f"one worker x {WORKERS * EACH:,}", median(a / b for a, b in times), goal, detail)


@contextmanager
def _started(parts: Sequence[Labels], worker: Callable[..., None]) -> Iterator[list[Connection]]:
    """A worker each, of one run, with these label sets."""
    spawn = multiprocessing.get_context("spawn")
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        pipes = []
        for labels in parts:
            mine, theirs = spawn.Pipe()
            process = spawn.Process(target=worker, args=(theirs, f"{folder}/state", labels, os.getpid()), daemon=True)
            process.start()
            stack.callback(process.kill)
            mine.recv()
            pipes.append(mine)
        yield pipes


def _told(pipe: Connection, what: str) -> Any:
    pipe.send(what)
    return pipe.recv()


def _serve(pipe: Connection, side: Any, labels: Labels) -> None:
    pipe.send("ready")
    while True:
        what = pipe.recv()
        start = perf_counter()
        if what == "scrape":
            gc.collect()
            start = perf_counter()
            side.scrape()
        else:
            value = random.random()
            for attributes in labels:
                side.record(attributes, value)
        pipe.send(perf_counter() - start)


def _ours(pipe: Connection, folder: str, labels: Labels, supervisor: int) -> None:
    workers = Workers(Path(folder), supervisor=Supervisor.of(supervisor), timeout=10)
    side = ours(workers=workers)
    _serve(pipe, side, labels)


def _peer(pipe: Connection, folder: str, labels: Labels, _supervisor: int) -> None:
    Path(folder).mkdir(exist_ok=True)
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = folder
    from prometheus_client import CollectorRegistry, generate_latest, values
    from prometheus_client.multiprocess import MultiProcessCollector

    values.ValueClass = values.get_value_class()  # type: ignore[no-untyped-call]  # chosen at import, before the folder was known
    import prometheus_client.metrics

    prometheus_client.metrics.values.ValueClass = values.ValueClass
    registry = CollectorRegistry()
    MultiProcessCollector(registry)  # type: ignore[no-untyped-call]  # prometheus_client leaves it so
    side = peer()
    side.scrape = lambda: generate_latest(registry)
    _serve(pipe, side, labels)


def recycled() -> Row:
    """A scrape after many workers have come and gone, over that after the first of them.

    Each leaves what a worker leaves that ends: its lock, let go, and its state. The one that stays folds it, as it does every
    second.
    """
    with tempfile.TemporaryDirectory() as folder:
        keeper, before = _small(folder), 0.0
        files: StateDirectory = keeper.workers._files  # type: ignore[union-attr]  # given
        encoder = Encoder(files.run)
        for n in range(RECYCLED):
            worker, lock = files.new_worker()
            files.publish(worker)
            files.save(worker, keeper.reader.read_local(partial(encoder.encode, worker=worker)))
            lock.release()
            keeper.workers._tick()  # type: ignore[union-attr]  # as above
            before = before or _scrapes(keeper)
            if n % 1000 == 0:
                print(f"recycled {n:,} of {RECYCLED:,}", file=sys.stderr, flush=True)
        after = _scrapes(keeper)
        left = len(list(files.folder.iterdir()))
        keeper.shutdown()
    detail = f"{after * 1e3:.2f} ms / {before * 1e3:.2f} ms, {left} files"
    return Row(f"scrape after {RECYCLED:,} recycled workers", "after the first", after / before, 1.05, detail)


def _small(folder: str) -> Telemetry:
    telemetry = AgentOSTelemetry(workers=Workers(Path(folder) / "state", save_every=3600))
    for agent in ("navi", "herald"):
        telemetry.recorder.record_a2a_request(agent, "query", "success", 0.2, 300)
    return telemetry


def _scrapes(telemetry: Telemetry) -> float:
    """The median of many, the first of which do not count."""
    gc.collect()
    times = []
    for _ in range(1000):
        start = perf_counter()
        telemetry.reader.expose()
        times.append(perf_counter() - start)
    return median(times[500:])


def peer_recycled() -> Row:
    """prometheus_client keeps a file for each process there ever was."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = folder
        from prometheus_client import CollectorRegistry, generate_latest, values
        from prometheus_client.multiprocess import MultiProcessCollector

        registry = CollectorRegistry()
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]  # as above
        times = []
        for pid in range(PEER_RECYCLED):
            kind = values.MultiProcessValue(lambda pid=pid: pid)  # type: ignore[no-untyped-call]  # as above
            for agent in ("navi", "herald"):
                kind("counter", "requests", "requests_total", ("agent",), (agent,), "Requests").inc(1)
            if pid in (0, PEER_RECYCLED - 1):
                generate_latest(registry)
                start = perf_counter()
                generate_latest(registry)
                times.append(perf_counter() - start)
        files = len(list(Path(folder).iterdir()))
        del os.environ["PROMETHEUS_MULTIPROC_DIR"]
    detail = f"{times[1] * 1e3:.1f} ms / {times[0] * 1e3:.1f} ms, {files} files"
    return Row(f"the same after {PEER_RECYCLED:,}, prometheus_client", "before", times[1] / times[0], None, detail)


def record() -> Row:
    """A measurement of a process that is one of several, over that of one that is alone."""
    with tempfile.TemporaryDirectory() as folder:
        shared, alone = AgentOSTelemetry(workers=Workers(Path(folder) / "state")), AgentOSTelemetry()
        one, other = (t[A2A_REQUEST_DURATION].labels("navi", "query", "success") for t in (shared, alone))
        row = compare("a record with workers", lambda: one.observe(0.2), "without", lambda: other.observe(0.2), 1.1)
        shared.shutdown()
    return row


if __name__ == "__main__":
    main()
