"""The rows about the process and its runtime: CPU, memory, file descriptors, garbage collection, workers and event loops.

The names are those of ``prometheus_client``'s collectors, whose dashboards and alerts keep working. OpenTelemetry's conventions
name the same facts ``process.cpu.time``, ``process.memory.usage`` and ``cpython.gc.collections``
(https://opentelemetry.io/docs/specs/semconv/system/process-metrics/).
"""

from __future__ import annotations

from telemetry.metric import MultiprocessMode, closed_label, histogram, observable_counter, observable_gauge, open_label

__all__ = [
    "CPU",
    "EVENT_LOOP_BLOCKED",
    "EVENT_LOOP_LAG",
    "GC_COLLECTIONS",
    "GENERATION",
    "MAX_FDS",
    "OPEN_FDS",
    "RESIDENT_MEMORY",
    "RUNTIME",
    "START_TIME",
    "WORKER",
    "WORKERS",
    "WORKER_AGE",
    "WORKER_RESIDENT_MEMORY",
]

GENERATION = closed_label("generation", "generation of the garbage collector", "0", "1", "2")
WORKER = open_label(
    "worker", "number of the worker's place; the successor of an ended worker takes it over", limit=256, pattern=r"[0-9]{1,4}"
)

_BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_RUNTIME = "telemetry/runtime"

CPU = observable_counter(
    "process.cpu", "s", "CPU time of all workers, user and system, ended ones included", recorded_in=_RUNTIME
)
RESIDENT_MEMORY = observable_gauge(
    "process.resident_memory", "By", "Resident memory of the living workers", recorded_in=_RUNTIME
)
OPEN_FDS = observable_gauge(
    "process.open_fds", "{file_descriptor}", "Open file descriptors of the workers", recorded_in=_RUNTIME
)
MAX_FDS = observable_gauge(
    "process.max_fds", "{file_descriptor}", "File descriptors that the workers may open", recorded_in=_RUNTIME
)
START_TIME = observable_gauge(
    "process.start_time",
    "s",
    "Start of the run, that is of the process above all workers, in seconds since the epoch",
    multiprocess_mode=MultiprocessMode.MIN,
    recorded_in=_RUNTIME,
)
GC_COLLECTIONS = observable_counter(
    "python.gc.collections", "{collection}", "Runs of the garbage collector, by generation", GENERATION, recorded_in=_RUNTIME
)
WORKERS = observable_gauge("process.workers", "{worker}", "Living workers", recorded_in=_RUNTIME)
WORKER_AGE = observable_gauge("process.worker.age", "s", "Time since the worker's start", WORKER, recorded_in=_RUNTIME)
WORKER_RESIDENT_MEMORY = observable_gauge(
    "process.worker.resident_memory", "By", "Resident memory of a worker", WORKER, recorded_in=_RUNTIME
)
EVENT_LOOP_LAG = histogram(
    "python.eventloop.lag",
    "s",
    "Time by which the event loop ran a timer late; a delay of several intervals counts once for each timer that was due in it",
    bounds=_BOUNDS,
    recorded_in=_RUNTIME,
)
EVENT_LOOP_BLOCKED = observable_gauge(
    "python.eventloop.blocked",
    "s",
    "Time for which the event loop of a worker has been blocked by now; 0 while all of them run",
    multiprocess_mode=MultiprocessMode.MAX,
    recorded_in=_RUNTIME,
)

RUNTIME = (
    CPU,
    RESIDENT_MEMORY,
    OPEN_FDS,
    MAX_FDS,
    START_TIME,
    GC_COLLECTIONS,
    WORKERS,
    WORKER_AGE,
    WORKER_RESIDENT_MEMORY,
    EVENT_LOOP_LAG,
    EVENT_LOOP_BLOCKED,
)
