"""Workers' states built without any process."""

from __future__ import annotations

from collections.abc import Mapping

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from telemetry.exposition import PrometheusReader
from telemetry.metric import MultiprocessMode
from telemetry.metricdata.stream import Snapshot, Stream, StreamKind
from telemetry.prefork.merge import Contribution, Merger
from telemetry.prefork.snapshot import Encoder, WorkerSnapshot, decode

RUN = "1-2-3-4"
SCOPE = InstrumentationScope("test")


def stream(name: str, kind: StreamKind, bounds: tuple[float, ...] = ()) -> Stream:
    """A stream without series."""
    return Stream(SCOPE, name, f"about {name}", "", kind, bounds)


def state(worker: str, *streams: Stream) -> WorkerSnapshot:
    """Returns the state of a worker with these streams, as another worker decodes it."""
    return decode(Encoder(RUN).encode(Snapshot(None, streams), worker))


def one(name: str, value: object, *, kind: StreamKind = StreamKind.COUNTER, start: int | None = 5, **labels: str) -> Stream:
    """A stream of one series."""
    made = stream(name, kind, (1.0, 2.0) if kind is StreamKind.HISTOGRAM else ())
    made.attributes.append(labels)
    made.starts.append(start)
    made.values.append(value)
    return made


def merged(
    *states: WorkerSnapshot, ended: tuple[str, ...] = (), multiprocess_mode: Mapping[str, MultiprocessMode] | None = None
) -> Snapshot:
    """Merges the states; the workers named in ``ended`` have ended."""
    contributions = [Contribution(each, each.worker not in ended) for each in states]
    return Merger(multiprocess_mode or {}).merge(None, contributions)


def values(snapshot: Snapshot) -> dict[tuple[str, tuple[tuple[str, str], ...]], object]:
    """Returns (stream name, sorted labels) -> value of the series that have one."""
    return {
        (each.name, tuple(sorted(labels.items()))): value
        for each in snapshot.streams
        for labels, value in zip(each.attributes, each.values, strict=True)
        if value is not None
    }


def snapshot_of(reader: PrometheusReader, worker: str) -> bytes:
    """Returns the encoded state of a reader."""

    def encode(snapshot: Snapshot) -> bytes:
        return Encoder(RUN).encode(snapshot, worker)

    return reader.read_local(encode)


def provider(reader: PrometheusReader) -> MeterProvider:
    """Returns a provider whose only reader is ``reader``."""
    return MeterProvider([reader], Resource({}), shutdown_on_exit=False)
