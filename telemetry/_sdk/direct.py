"""Reading the SDK's aggregations where they are, without taking anything away from them.

The SDK's own collect builds an object a point and runs callbacks under its lock. Here a recorded series' state is
read under that series' lock: what was collected before plus what came since, just as the next collect will add it up.
So this path, the public one and ``force_flush`` may be mixed. Observable instruments go through a storage of our own,
with their callbacks run by ours, and so never wait for the SDK's lock.

Anything that is not as expected raises ``UnexpectedSDKError``; the caller then takes the public path, which a test
holds equal.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from time import time_ns
from typing import Any

from opentelemetry.context import get_current
from opentelemetry.metrics import Asynchronous, CallbackOptions
from opentelemetry.sdk.metrics.export import AggregationTemporality, MetricReader, MetricsData
from opentelemetry.sdk.resources import Resource

from telemetry._sdk.callbacks import Callback, CallbackExecutor
from telemetry._sdk.live import LiveStream, UnexpectedSDKError, expected, live_stream
from telemetry.metricdata.convert import DeltaError
from telemetry.metricdata.stream import Stream

__all__ = ["Direct", "UnexpectedSDKError", "is_attached"]

_CUMULATIVE = AggregationTemporality.CUMULATIVE


try:
    from opentelemetry.sdk.metrics._internal.measurement import Measurement
    from opentelemetry.sdk.metrics._internal.measurement_consumer import SynchronousMeasurementConsumer
    from opentelemetry.sdk.metrics._internal.metric_reader_storage import MetricReaderStorage

    _IMPORTED = True
except ImportError:  # another SDK: the public path
    _IMPORTED = False


def is_attached(reader: MetricReader) -> bool:
    """Whether a provider collects through this reader."""
    return getattr(reader, "_collect", reader) is not None


class Direct:
    """Reads what one reader's provider has recorded. One call at a time."""

    def __init__(self, reader: MetricReader, selected: Callable[[Stream], bool], executor: CallbackExecutor) -> None:
        self._reader = reader
        self._selected = selected
        self._executor = executor
        self._consumer: Any = None
        self._own_storage: Any = None
        self._streams: dict[Any, LiveStream | None] = {}

    @property
    def resource(self) -> Resource:
        """The provider's resource; another one after a fork."""
        resource: Resource = self._consumer._sdk_config.resource
        return resource

    def observe(self) -> MetricsData | None:
        """Run the callbacks of all observable instruments, and what their Views make of the measurements."""
        with expected():
            self._attach()
            instruments = [i for i in list(self._consumer._async_instruments) if i._is_enabled()]
            if not instruments:
                return None
            jobs = [
                Callback((id(instrument), n), instrument.name, _measure(instrument, callback, self._executor.limit))
                for instrument in instruments
                for n, callback in enumerate(instrument._callbacks)
            ]
        found = self._executor.run(jobs)
        with expected():
            sampled = self._consumer._sdk_config.exemplar_filter.should_sample
            for measurement in (m for measurements in found for m in measurements):
                wanted = sampled(measurement.value, measurement.time_unix_nano, measurement.attributes, measurement.context)
                self._own_storage.consume_measurement(measurement, wanted)
            data: MetricsData | None = self._own_storage.collect()
        return data

    def streams(self) -> list[Stream]:
        """The streams of all recording instruments, with all series so far."""
        with expected():
            self._attach()
            storage = self._consumer._reader_storages[self._reader]
            with storage._lock:
                snapshot = list(storage._instrument_view_instrument_matches.items())
            streams: list[Stream] = []
            for instrument, matches in snapshot:
                if isinstance(instrument, Asynchronous):
                    continue
                if storage._instrument_class_temporality[type(instrument)] is not _CUMULATIVE:
                    raise DeltaError(instrument.name)
                for match in matches:
                    if match not in self._streams:
                        self._streams[match] = live_stream(match, instrument)
                    stream = self._streams[match]
                    if stream is not None and self._selected(stream):
                        stream.grow()
                        streams.append(stream)
        return streams

    def _attach(self) -> None:
        """Find the provider's state; again where the reader has moved to another provider."""
        consumer = self._reader._collect.__self__  # type: ignore[union-attr]  # a bound method, checked below
        if consumer is self._consumer:
            return
        if not _IMPORTED or type(consumer) is not SynchronousMeasurementConsumer:
            raise UnexpectedSDKError(f"the provider's consumer is {type(consumer).__name__}")
        reader: Any = self._reader
        self._own_storage = MetricReaderStorage(
            consumer._sdk_config,
            reader._instrument_class_temporality,
            reader._instrument_class_aggregation,
            reader._instrument_class_cardinality_limit,
        )
        self._streams = {}
        self._consumer = consumer


def _measure(instrument: Any, callback: Any, limit: float) -> Callable[[list[Any]], None]:
    """One call of a callback, as the SDK does it: what is not finite is left out."""

    def run(found: list[Any]) -> None:
        for observation in callback(CallbackOptions(timeout_millis=limit * 1000)):
            if math.isfinite(observation.value):
                context = observation.context or get_current()
                found.append(Measurement(observation.value, time_ns(), instrument, context, observation.attributes))

    return run
