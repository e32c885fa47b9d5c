"""Blocks and functions measured with prometheus_client's words: ``time()`` and ``track_inprogress()``."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ContextDecorator
from types import TracebackType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from telemetry.instruments.bound import BoundGauge, BoundHistogram

__all__ = ["InprogressTracker", "Timer"]


class InprogressTracker(ContextDecorator):
    """See ``BoundGauge.track_inprogress``."""

    def __init__(self, gauge: BoundGauge) -> None:
        self._gauge = gauge

    def __enter__(self) -> None:
        self._gauge.inc()

    def __exit__(self, *_: object) -> None:
        self._gauge.dec()


class Timer(ContextDecorator):
    """See ``BoundHistogram.time``."""

    def __init__(self, histogram: BoundHistogram, clock: Callable[[], float]) -> None:
        self._histogram = histogram
        self._clock = clock

    def _recreate_cm(self) -> Timer:
        return Timer(self._histogram, self._clock)

    def __enter__(self) -> Timer:
        self._start = self._clock()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self._histogram.observe(self._clock() - self._start)
