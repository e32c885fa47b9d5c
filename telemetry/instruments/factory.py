"""Making the instrument of a metric."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from opentelemetry.metrics import CallbackOptions, Meter, Observation

from telemetry.instruments.gauge import Gauge
from telemetry.instruments.instrument import Counter, Histogram, Instrument, Runtime, UpDownCounter
from telemetry.instruments.observable import Info, Observed, ObservedCallbacks
from telemetry.metric.definition import Kind, Metric

__all__ = ["create_instrument"]


def create_instrument(metric: Metric, meter: Meter, runtime: Runtime) -> Instrument[Any]:
    """Returns the instrument of a metric.

    Args:
        metric: The metric's definition.
        meter: Creates the OpenTelemetry instrument.
        runtime: What the instruments of one telemetry share.
    """
    about = (metric.unit, metric.help)
    match metric.kind:
        case Kind.COUNTER:
            return Counter(metric, meter.create_counter(metric.name, *about), runtime)
        case Kind.UP_DOWN_COUNTER:
            return UpDownCounter(metric, meter.create_up_down_counter(metric.name, *about), runtime)
        case Kind.GAUGE:
            return _gauge(metric, meter, runtime)
        case Kind.HISTOGRAM:
            # The bounds are those of the View, where the provider has it.
            otel = meter.create_histogram(metric.name, *about, explicit_bucket_boundaries_advisory=metric.bounds or None)
            return Histogram(metric, otel, runtime)
        case Kind.INFO:
            facts: dict[str, str] = {}
            return Info(metric, meter.create_observable_gauge(metric.name, [_observe_facts(facts)], *about), runtime, facts)
        case Kind.OBSERVABLE_COUNTER:
            # Counts of failures are observable counters too: those of this metric's name are always read.
            callbacks = ObservedCallbacks(metric, runtime, counts=lambda: runtime.diagnostics.values(metric.name))
            return Observed(
                metric, meter.create_observable_counter(metric.name, [callbacks.observe], *about), runtime, callbacks
            )
        case Kind.OBSERVABLE_GAUGE:
            callbacks = ObservedCallbacks(metric, runtime)
            return Observed(metric, meter.create_observable_gauge(metric.name, [callbacks.observe], *about), runtime, callbacks)


def _gauge(metric: Metric, meter: Meter, runtime: Runtime) -> Gauge:
    made: list[Gauge] = []  # the instrument needs its callback first

    def observe(options: CallbackOptions) -> Iterable[Observation]:
        return made[0].observe(options) if made else ()

    made.append(Gauge(metric, meter.create_observable_gauge(metric.name, [observe], metric.unit, metric.help), runtime))
    return made[0]


def _observe_facts(facts: Mapping[str, str]) -> Callable[[CallbackOptions], Iterable[Observation]]:
    return lambda _: [Observation(1, dict(facts))] if facts else []
