"""The cost of several workers: ``python -m benchmarks.workers``

Each worker is a process. The table compares the merged scrape of four workers with 2,500 label sets each to the scrape of one
worker with 10,000, of 16 to one with 40,000, and beside it the same for prometheus_client's multiprocess mode. The workers use
every core of the machine.
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

from benchmarks.measure import Row, compare, one_core, show
from benchmarks.scrape import Side, label_sets, ours, peer
from telemetry import AgentOSTelemetry, Telemetry
from telemetry.agentos.catalogue import A2A_REQUEST_DURATION
from telemetry.prefork import Supervisor, Workers
from telemetry.prefork.snapshot import Encoder
from telemetry.prefork.state_directory import StateDirectory

WORKERS, MANY, EACH = 4, 16, 2_500
RECYCLED, PEER_RECYCLED = 10_000, 1_000
Labels = Sequence[dict[str, str]]
Worker = Callable[[Connection, str, Labels, int], None]


def main() -> None:
    """Prints the table."""
    whole = label_sets(WORKERS * EACH)
    apart = _parts(whole)
    alike, many = [whole[:EACH]] * WORKERS, label_sets(MANY * EACH)
    found = [
        _merged("label sets of their own", apart, [whole], _ours, 1.1),
        _merged("the same label sets", alike, [whole], _ours, 1.1),
        _merged("label sets of their own", _parts(many), [many], _ours, 1.1),
        _merged("label sets of their own, prometheus_client", apart, [whole], _peer, None),
        _merged("the same label sets, prometheus_client", alike, [whole], _peer, None),
        recycled(),
        peer_recycled(),
    ]
    with one_core():
        found.append(record())
    show("workers", found)


def _parts(labels: Labels) -> list[Labels]:
    return [labels[n : n + EACH] for n in range(0, len(labels), EACH)]


def _merged(
    what: str, several: Sequence[Labels], one: Sequence[Labels], worker: Callable[..., None], goal: float | None
) -> Row:
    """Compares merged scrapes with single ones in turn; all series change in between."""
    with _started(several, worker) as many, _started(one, worker) as single:
        times = []
        for _ in range(7):
            for pipe in (*many, *single):
                _ask(pipe, "change")
            times.append((_ask(many[0], "scrape"), _ask(single[0], "scrape")))
    detail = f"{median(a for a, _ in times) * 1e3:.0f} ms / {median(b for _, b in times) * 1e3:.0f} ms"
    what = f"merged scrape, {len(several)} workers x {EACH:,}, {what}"
    return Row.of_rounds(what, f"one worker x {len(one[0]):,}", [a / b for a, b in times], goal, detail)


@contextmanager
def _started(parts: Sequence[Labels], worker: Worker) -> Iterator[list[Connection]]:
    """Starts one worker per part, all of one run, with these label sets."""
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


def _ask(pipe: Connection, what: str) -> float:
    pipe.send(what)
    return float(pipe.recv())


def _serve(pipe: Connection, side: Side, labels: Labels) -> None:
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

    # The import chose the class before the folder was set.
    values.ValueClass = values.get_value_class()  # type: ignore[no-untyped-call]  # prometheus_client has no types here
    registry = CollectorRegistry()
    MultiProcessCollector(registry)  # type: ignore[no-untyped-call]  # prometheus_client has no types here
    side = peer()
    side.scrape = lambda: generate_latest(registry)
    _serve(pipe, side, labels)


def recycled() -> Row:
    """Compares a scrape after many workers have ended with a scrape after the first of them.

    Each worker leaves what a worker leaves at its end: its released lock and its state. The remaining worker folds them, as it
    does every second.
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
    """Returns the median seconds of the last 500 of 1,000 scrapes."""
    gc.collect()
    times = []
    for _ in range(1000):
        start = perf_counter()
        telemetry.reader.expose()
        times.append(perf_counter() - start)
    return median(times[500:])


def peer_recycled() -> Row:
    """The same for prometheus_client, which keeps the files of every process that ever ran."""
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
    """Compares a measurement of one of several workers with a measurement of a single process."""
    with tempfile.TemporaryDirectory() as folder:
        shared, alone = AgentOSTelemetry(workers=Workers(Path(folder) / "state")), AgentOSTelemetry()
        one, other = (t[A2A_REQUEST_DURATION].labels("navi", "query", "success") for t in (shared, alone))
        row = compare("a record with workers", lambda: one.observe(0.2), "without", lambda: other.observe(0.2), 1.1)
        shared.shutdown()
    return row


if __name__ == "__main__":
    main()
