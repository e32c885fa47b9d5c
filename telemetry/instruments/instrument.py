"""Catalogue + Meter -> instruments: OpenTelemetry's ``record``/``add`` beside prometheus_client's ``labels``."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from threading import Lock
from typing import Any, Generic, TypeVar

from opentelemetry.context import Context
from opentelemetry.trace import Tracer

from telemetry._base.diagnostics import Diagnostics
from telemetry._sdk.aggregation import source_of
from telemetry.instruments.blocks import InprogressTracker, Timer
from telemetry.instruments.bound import BoundCounter, BoundGauge, BoundHistogram, BoundInstrument
from telemetry.instruments.counted import (
    OverflowCounting,
    OverflowCountingCounter,
    OverflowCountingGauge,
    OverflowCountingHistogram,
    OverflowCountingInstrument,
)
from telemetry.metric import telemetry_metrics
from telemetry.metric.definition import Metric
from telemetry.metric.label_values import Domains, LabelProblems

__all__ = ["Counter", "Histogram", "Instrument", "Runtime", "UpDownCounter"]

H = TypeVar("H", bound=BoundInstrument)


@dataclass(frozen=True, slots=True)
class Runtime:
    """What all instruments of one telemetry share."""

    domains: Domains
    diagnostics: Diagnostics
    tracer: Tracer
    clock: Callable[[], float] = time.perf_counter


class Instrument(Generic[H]):
    """One metric of the catalogue, ready to record. ``labels()`` gives the handle of one series."""

    _handle: type[H]
    _counting: type[OverflowCounting] = OverflowCountingInstrument

    def __init__(self, metric: Metric, otel: Any, runtime: Runtime) -> None:
        self.metric = metric
        self.source = source_of(otel)
        self.runtime = runtime
        self._lock = Lock()
        self._handles: dict[tuple[str, ...], H] = {}
        self._counted: dict[tuple[tuple[str, ...], LabelProblems], Any] = {}
        self._retargeted = False

    def labels(self, *values: object, **labels: object) -> H:
        """The handle bound to these label values, given in key order or by key.

        Values are bounded (``labels.Domains``); in strict mode wrong ones raise ``LabelError``. What is recorded with a
        handle of labels that were wrong or over a limit is counted, each time, as trouble.
        """
        metric = self.metric
        try:
            raw = values or tuple([labels[key] for key in metric.keys])
            if len(raw) == len(metric.keys) and len(labels) == (0 if values else len(raw)):
                handle = self._handles.get(raw)  # type: ignore[arg-type]  # anything hashable may be looked up
                return handle if handle is not None else self._series(*self.runtime.domains.resolve_values(metric, raw))
        except KeyError:
            pass
        except TypeError:
            return self._series(*self.runtime.domains.resolve_values(metric, raw))
        keys = (*metric.keys, *(f"#{n}" for n in range(len(metric.keys), len(values))))
        return self._series(*self.runtime.domains.resolve(metric, dict(zip(keys, values, strict=False)) | labels))

    def _series(self, values: tuple[str, ...], problems: LabelProblems) -> H:
        handle: Any = self._counted.get((values, problems)) if problems else self._handles.get(values)
        if handle is None:
            with self._lock:
                handle = self._handles.setdefault(values, self._handle(self, values))
                if problems:
                    counted = self._counting(self, values)
                    counted.count_problems_in(self.runtime.diagnostics, problems)
                    handle = self._counted.setdefault((values, problems), counted)
        return handle  # type: ignore[no-any-return]  # _counting makes handles of the same kind as _handle

    def series(self) -> list[H]:
        """A handle of each series so far."""
        with self._lock:
            return list(self._handles.values())

    def reset_after_fork(self) -> None:
        """In a forked child: the series that were there start at 0."""
        self._lock = Lock()
        for handle in list(self._handles.values()):
            handle.start()

    def measure(self, value: float, attributes: Mapping[str, object] | None, context: Context | None) -> None:
        """Record as ``add`` and ``record`` of OpenTelemetry do; a ``context`` of one's own goes through the SDK's door."""
        handle = self.labels(**attributes or {})
        if context is None:
            handle._record(value)
        else:
            handle.record_in(value, context)

    def refuse(self, reason: str, what: object) -> None:
        """Count and log once a measurement that was not recorded: ``negative``, ``not_finite`` or ``failed``."""
        self.runtime.diagnostics.count(telemetry_metrics.DROPPED.name, self.metric.prometheus_name, reason)
        self.runtime.diagnostics.log_once(
            (self.metric.name, reason), "%s: a measurement was refused (%s): %r", self.metric.prometheus_name, reason, what
        )

    def retarget(self, to: Instrument[H]) -> None:
        """Let every handle made here record into ``to`` from now on."""
        self.runtime = to.runtime
        self._retargeted = True
        self.source = to.source
        with self._lock:
            for (_, problems), handle in self._counted.items():
                handle.count_problems_in(to.runtime.diagnostics, problems)

    def rebind(self, values: tuple[str, ...]) -> tuple[str, ...]:
        """Label values of a handle that binds anew: bounded once more where another telemetry has taken over."""
        if not self._retargeted:
            return values
        return self.runtime.domains.bound(self.metric, dict(zip(self.metric.keys, values, strict=True)))


class Counter(Instrument[BoundCounter]):
    """A monotonic sum."""

    _handle = BoundCounter
    _counting = OverflowCountingCounter

    def add(self, amount: float, attributes: Mapping[str, object] | None = None, context: Context | None = None) -> None:
        """Add ``amount`` to the series of ``attributes``."""
        self.measure(amount, attributes, context)

    def inc(self, amount: float = 1, exemplar: object = None) -> None:
        """Add to a counter without labels."""
        self.labels().inc(amount)


class UpDownCounter(Instrument[BoundGauge]):
    """A sum that goes up and down."""

    _handle = BoundGauge
    _counting = OverflowCountingGauge

    def add(self, amount: float, attributes: Mapping[str, object] | None = None, context: Context | None = None) -> None:
        """Add ``amount``, which may be negative, to the series of ``attributes``."""
        self.measure(amount, attributes, context)

    def inc(self, amount: float = 1) -> None:
        """Add to an up-down counter without labels."""
        self.labels().inc(amount)

    def dec(self, amount: float = 1) -> None:
        """Subtract from an up-down counter without labels."""
        self.labels().dec(amount)

    def set(self, value: float) -> None:
        """Not for an up-down counter: always raises ``TypeError``."""
        BoundGauge(self, ()).set(value)

    def track_inprogress(self) -> InprogressTracker:
        """Of an up-down counter without labels."""
        return self.labels().track_inprogress()


class Histogram(Instrument[BoundHistogram]):
    """A histogram with the catalogue's bounds."""

    _handle = BoundHistogram
    _counting = OverflowCountingHistogram

    def __init__(self, metric: Metric, otel: Any, runtime: Runtime) -> None:
        super().__init__(metric, otel, runtime)
        self.timers: dict[tuple[object, ...], Any] = {}
        """What ``RequestTimer`` prepared, by its labels; bounded as the labels are."""

    def record(self, amount: float, attributes: Mapping[str, object] | None = None, context: Context | None = None) -> None:
        """Record ``amount`` in the series of ``attributes``."""
        self.measure(amount, attributes, context)

    def observe(self, amount: float, exemplar: object = None) -> None:
        """Record in a histogram without labels."""
        self.labels().observe(amount)

    def time(self) -> Timer:
        """Of a histogram without labels."""
        return self.labels().time()
