"""Instruments whose values are read when collected: an info's facts, and what is kept elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from telemetry.instruments.bound import BoundInstrument
from telemetry.instruments.instrument import Instrument, Runtime
from telemetry.metric.definition import Metric
from telemetry.metric.label import INVALID
from telemetry.metric.label_text import text_of

__all__ = ["Info", "ObservableCallback", "Observed"]

ObservableCallback = Callable[[], Mapping[tuple[str, ...], float]]
"""Label values in key order -> value, asked for at each collect."""


class Info(Instrument[BoundInstrument]):
    """Facts that do not change often: one series of value 1."""

    _handle = BoundInstrument

    def __init__(self, metric: Metric, otel: Any, runtime: Runtime, facts: dict[str, str]) -> None:
        super().__init__(metric, otel, runtime)
        self._facts = facts

    def info(self, facts: Mapping[str, object]) -> None:
        """Replace the facts; the keys are the metric's label keys."""
        for diagnostics in self.runtime.domains.check_keys(self.metric, facts):
            self.runtime.diagnostics.counter_of(diagnostics).increment()
        # One step, so that a scrape never sees half of it. No limit: new facts take the place of the old ones.
        self._facts.update({key: text_of(facts.get(key)) or INVALID for key in self.metric.keys})

    @property
    def facts(self) -> Mapping[str, str]:
        """The facts now; empty before the first ``info()``."""
        return dict(self._facts)


class Observed(Instrument[BoundInstrument]):
    """Values that are kept elsewhere: read when collected."""

    _handle = BoundInstrument

    def __init__(self, metric: Metric, otel: Any, runtime: Runtime, callbacks: list[ObservableCallback]) -> None:
        super().__init__(metric, otel, runtime)
        self._callbacks = callbacks

    def watch(self, callback: ObservableCallback) -> None:
        """Ask ``callback`` for this metric's values at each collect."""
        self._callbacks.append(callback)
