"""Reading the SDK's aggregations in place, without collecting them.

The SDK's ``collect`` builds an object for each point and runs callbacks under its lock. Here the state of a series is read
under that series' lock: what was collected before plus what came since, as the next ``collect`` will add it up. So this path,
the public one and ``force_flush`` may be mixed. Observable instruments go through a second storage, and ``CallbackExecutor``
runs their callbacks, so that they never wait for the SDK's lock.

Private state that is not as expected raises ``UnexpectedSDKError``. The caller then takes the public path; a test shows that
the two are equal.
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
from telemetry._sdk.compatibility import is_enabled, storage_arguments
from telemetry._sdk.live import LiveStream, UnexpectedSDKError, live_stream, unexpected_sdk_errors
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
    """Returns whether the reader belongs to a provider."""
    return getattr(reader, "_collect", reader) is not None


class Direct:
    """Reads what the provider of one reader has recorded. The caller serializes the calls.

    Args:
        reader: The reader; it may move to another provider.
        selected: Returns whether a stream is shown.
        executor: Runs the callbacks of observable instruments.
    """

    def __init__(self, reader: MetricReader, selected: Callable[[Stream], bool], executor: CallbackExecutor) -> None:
        self._reader = reader
        self._selected = selected
        self._executor = executor
        self._consumer: Any = None
        self._own_storage: Any = None
        self._streams: dict[Any, LiveStream | None] = {}

    @property
    def resource(self) -> Resource:
        """The provider's resource; it changes after a fork."""
        resource: Resource = self._consumer._sdk_config.resource
        return resource

    def observe(self) -> MetricsData | None:
        """Runs the callbacks of all observable instruments.

        Returns:
            What the instruments' Views make of the measurements; None where there are no observable instruments.

        Raises:
            UnexpectedSDKError: The SDK's private state is not as expected.
        """
        with unexpected_sdk_errors():
            self._attach()
            instruments = [i for i in list(self._consumer._async_instruments) if is_enabled(i)]
            if not instruments:
                return None
            callbacks = [
                Callback((id(instrument), n), instrument.name, _measure(instrument, callback, self._executor.limit))
                for instrument in instruments
                for n, callback in enumerate(instrument._callbacks)
            ]
        found = self._executor.run(callbacks)
        with unexpected_sdk_errors():
            sampled = self._consumer._sdk_config.exemplar_filter.should_sample
            for measurement in (m for measurements in found for m in measurements):
                wanted = sampled(measurement.value, measurement.time_unix_nano, measurement.attributes, measurement.context)
                self._own_storage.consume_measurement(measurement, wanted)
            data: MetricsData | None = self._own_storage.collect()
        return data

    def streams(self) -> list[Stream]:
        """Returns the streams of all synchronous instruments, with all series so far.

        Raises:
            DeltaError: A stream has delta temporality.
            UnexpectedSDKError: The SDK's private state is not as expected.
        """
        with unexpected_sdk_errors():
            self._attach()
            storage = self._consumer._reader_storages[self._reader]
            with storage._lock:
                instruments = list(storage._instrument_view_instrument_matches.items())
            streams: list[Stream] = []
            for instrument, matches in instruments:
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
        """Finds the provider's state, again where the reader has moved to another provider."""
        consumer = self._reader._collect.__self__  # type: ignore[union-attr]  # a bound method, checked below
        if consumer is self._consumer:
            return
        if not _IMPORTED or type(consumer) is not SynchronousMeasurementConsumer:
            raise UnexpectedSDKError(f"the provider's consumer is {type(consumer).__name__}")
        self._own_storage = MetricReaderStorage(consumer._sdk_config, *storage_arguments(self._reader))
        self._streams = {}
        self._consumer = consumer


def _measure(instrument: Any, callback: Any, limit: float) -> Callable[[list[Any]], None]:
    """Returns one call of a callback. As in the SDK, observations that are not finite are left out."""

    def run(found: list[Any]) -> None:
        for observation in callback(CallbackOptions(timeout_millis=limit * 1000)):
            if math.isfinite(observation.value):
                context = observation.context or get_current()
                found.append(Measurement(observation.value, time_ns(), instrument, context, observation.attributes))

    return run
