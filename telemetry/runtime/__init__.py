"""Metrics of the process and its runtime, right under several workers: rows for a catalogue, and what observes them.

``docs/runtime.md`` says what each number means.
"""

from telemetry.runtime.catalogue import RUNTIME
from telemetry.runtime.event_loop import LoopWatch
from telemetry.runtime.metrics import RuntimeMetrics, runtime_metrics

__all__ = ["RUNTIME", "LoopWatch", "RuntimeMetrics", "runtime_metrics"]
