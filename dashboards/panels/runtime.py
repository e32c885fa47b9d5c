"""The fourth dashboard: the processes of the service, their workers, and how late their event loops run."""

from __future__ import annotations

from grafana_foundation_sdk.builders import timeseries

from dashboards.config import DESCRIPTORS_HIGH, LOOP_BLOCKED, LOOP_LAG, RUNTIME_UID
from dashboards.panels.board import Board, Panel, Row
from dashboards.panels.theme import AGE, BYTES, CORES, EVENTS, PERCENT, RATES, SECONDS, TASKS, number, over_time
from dashboards.panels.timeseries import NOW, STEP, end, narrowed
from dashboards.panels.variables import RUNTIME_QUERY as QUERY
from dashboards.panels.variables import runtime_variables
from dashboards.promql import only_numbers
from telemetry.metric import Metric
from telemetry.runtime.catalogue import (
    CPU,
    EVENT_LOOP_BLOCKED,
    EVENT_LOOP_LAG,
    GC_COLLECTIONS,
    GENERATION,
    MAX_FDS,
    OPEN_FDS,
    RESIDENT_MEMORY,
    START_TIME,
    WORKER,
    WORKER_AGE,
    WORKER_RESIDENT_MEMORY,
    WORKERS,
)

__all__ = ["RUNTIME"]

_SEVERAL = 10
"""So many instances or workers have lines of their own."""

_INSTANCE = "instance"
_WORKER = (_INSTANCE, WORKER.key)


def _used(*by: str) -> str:
    """The share of the file descriptors that are open."""
    return f"{QUERY.level(OPEN_FDS, *by)}\n/\n{QUERY.level(MAX_FDS, *by)}"


def _now() -> list[Panel]:
    """Numbers as of now that show whether anything is wrong."""
    return [
        number(QUERY.level(EVENT_LOOP_BLOCKED), SECONDS, orange=LOOP_BLOCKED / 5, red=LOOP_BLOCKED)
        .title("Blocked Now")
        .description(
            "How long the event loop that is blocked longest has been so: 0 while all run. Its worker answers nothing "
            f"meanwhile. Red: over {LOOP_BLOCKED:g} s."
        ),
        number(QUERY.quantile(0.99, EVENT_LOOP_LAG, NOW), SECONDS, red=LOOP_LAG)
        .title("Event Loop Lag p99")
        .description(
            "In 99 of 100 moments of the last 5 minutes the event loops were less late than this, over all workers. Red: over "
            f"{LOOP_LAG:g} s.{end(EVENT_LOOP_LAG)}."
        ),
        number(QUERY.level(WORKERS), EVENTS)
        .title("Workers")
        .description("Living worker processes of all instances. A worker that is recycled is missing for a few seconds."),
        number(f"time() - {QUERY.top(START_TIME)}", SECONDS)
        .title("Since Last Start")
        .description("Time since an instance was last started: its supervisor, not one of the workers, which are recycled."),
        number(QUERY.level(RESIDENT_MEMORY), BYTES)
        .title("Memory")
        .description("Resident memory of all living workers. Pages that workers share since their fork count in each of them."),
        number(f"max({only_numbers(_used(_INSTANCE))})", PERCENT, orange=DESCRIPTORS_HIGH, red=0.8)
        .decimals(1)
        .title("File Descriptors")
        .description(
            "Share of the file descriptors that the workers may open that are open, in the instance with the highest. "
            f"Orange: over {DESCRIPTORS_HIGH:.0%}."
        ),
    ]


def _loops() -> list[Panel]:
    """How late the event loops run."""
    percentiles = {f"p{100 * q:g}": QUERY.quantile(q, EVENT_LOOP_LAG, STEP) for q in (0.5, 0.99)}
    by_instance = QUERY.quantile(0.99, EVENT_LOOP_LAG, STEP, _INSTANCE)
    # A step that is shorter than the time between two scrapes has no sample of its own.
    blocked = (
        f"({QUERY.highest(EVENT_LOOP_BLOCKED, '$__interval', _INSTANCE)}\nor\n{QUERY.level(EVENT_LOOP_BLOCKED, _INSTANCE)})"
    )
    return [
        over_time(percentiles, SECONDS, fixed=percentiles)
        .title("Event Loop Lag (p50, p99)")
        .description(
            "How late the loops ran their timers. p50 near 0 and a high p99: short blocks. Both high: too little CPU, or too "
            f"much work for the workers.{end(EVENT_LOOP_LAG)}."
        ),
        _lines(EVENT_LOOP_LAG, by_instance, SECONDS, _INSTANCE)
        .title("Event Loop Lag p99 by Instance")
        .description("One high, the others not: one of its workers runs code that blocks. All high: look at the CPU."),
        _lines(EVENT_LOOP_BLOCKED, blocked, SECONDS, _INSTANCE)
        .title("Event Loop Blocked")
        .description(
            "How long a loop of the instance was blocked at the moment of a scrape, at most. It climbs as long as the block "
            "lasts. A block that begins and ends between two scrapes shows in the lag alone."
        ),
    ]


def _workers() -> list[Panel]:
    """The workers of each instance."""
    return [
        _lines(WORKERS, QUERY.level(WORKERS, _INSTANCE), TASKS, _INSTANCE, fewest=True)
        .title("Workers by Instance")
        .description(
            "Living workers. Short gaps: workers are recycled. It stays low: workers do not start any more. The ten "
            "instances with the fewest in the time range."
        ),
        _lines(WORKER_AGE, QUERY.level(WORKER_AGE, *_WORKER), AGE, *_WORKER)
        .title("Worker Age")
        .description(
            "Time since the start of each worker; a successor takes over the number, and begins at 0. Teeth of equal height: "
            "recycling. Low and uneven ones: workers crash. The ten oldest of the time range."
        ),
        _lines(WORKER_RESIDENT_MEMORY, QUERY.level(WORKER_RESIDENT_MEMORY, *_WORKER), BYTES, *_WORKER)
        .title("Memory by Worker")
        .description(
            "Resident memory of each worker. It climbs to its end, and again in the successor: a leak. The ten workers with "
            "most of the time range."
        ),
    ]


def _process() -> list[Panel]:
    """What the processes use of the machine."""
    shares = {"{{instance}}": f"{only_numbers(_used(_INSTANCE))}\nand\n{QUERY.leading(_SEVERAL, OPEN_FDS, _INSTANCE)}"}
    collections = {f"generation {{{{{GENERATION.prometheus_key}}}}}": QUERY.rate(GC_COLLECTIONS, STEP, GENERATION.key)}
    return [
        _lines(CPU, QUERY.rate(CPU, STEP, _INSTANCE), CORES, _INSTANCE)
        .title("CPU by Instance")
        .description(
            "CPU cores in use, by all workers of the instance. A worker's loop is one thread and uses one core at most: near "
            "the number of workers, all of them are busy."
        ),
        _lines(RESIDENT_MEMORY, QUERY.level(RESIDENT_MEMORY, _INSTANCE), BYTES, _INSTANCE)
        .title("Memory by Instance")
        .description("Resident memory of the living workers of the instance, as sum."),
        over_time(shares, PERCENT)
        .title("File Descriptors by Instance")
        .description(
            "Share of the file descriptors that are open of those that all workers of the instance may open. At its own limit "
            "a worker can neither accept a connection nor open one."
        )
        .data_links(narrowed(QUERY, _INSTANCE)),
        over_time(collections, RATES[GC_COLLECTIONS.unit])
        .title("Garbage Collections")
        .description(
            "Runs of the garbage collector per second, by generation. Each stops its worker; generation 2 looks at every "
            "object and takes longest."
        ),
    ]


def _lines(metric: Metric, expr: str, unit: str, *by: str, fewest: bool = False) -> timeseries.Panel:
    """Lines by instance, or by instance and worker: those that are highest, or lowest, in the time range, ten at most."""
    legend = " ".join(f"{{{{{key}}}}}" for key in by)
    shown = QUERY.trailing(_SEVERAL, metric, *by) if fewest else QUERY.leading(_SEVERAL, metric, *by)
    panel = over_time({legend: f"{expr}\nand\n{shown}"}, unit)
    return panel.data_links([link for key in by for link in narrowed(QUERY, key)])


RUNTIME = Board(
    title="AgentOS runtime",
    uid=RUNTIME_UID,
    description="Process and runtime of AgentOS: event loops, workers, CPU, memory, file descriptors, garbage collection; "
    "there are no data unless AGENTOS_RUNTIME_METRICS is on",
    variables=runtime_variables,
    empty="nothing in this time, or AGENTOS_RUNTIME_METRICS is off",
    rows=(
        Row("Process and Runtime Now", _now, 4, 4),
        Row("Event Loops", _loops, 8, 9),
        Row("Worker Processes", _workers, 8, 9),
        Row("Process", _process, 12, 8),
    ),
    runbooks={
        "Blocked Now": "EventLoopStuck",
        "Event Loop Lag p99": "EventLoopBlocked",
        "File Descriptors": "FileDescriptorsLow",
        "Event Loop Lag (p50, p99)": "EventLoopBlocked",
        "Event Loop Lag p99 by Instance": "EventLoopBlocked",
        "Event Loop Blocked": "EventLoopStuck",
        "Workers by Instance": "WorkersMissing",
        "File Descriptors by Instance": "FileDescriptorsLow",
    },
    details={
        "Blocked Now": "Event Loop Blocked",
        "Event Loop Lag p99": "Event Loop Lag p99 by Instance",
        "Workers": "Workers by Instance",
        "Since Last Start": "Worker Age",
        "Memory": "Memory by Instance",
        "File Descriptors": "File Descriptors by Instance",
    },
)
