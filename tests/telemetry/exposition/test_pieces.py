"""Bodies that leave the reader piece by piece, with other scrapes between two pieces."""

from __future__ import annotations

import gc
import re
import tracemalloc
from threading import Thread
from typing import Any
from weakref import ref

import pytest
from opentelemetry.metrics import CallbackOptions, Observation
from opentelemetry.sdk.metrics import Counter, MeterProvider
from opentelemetry.sdk.metrics.export import AggregationTemporality, InMemoryMetricReader
from opentelemetry.sdk.metrics.view import ExplicitBucketHistogramAggregation, View
from prometheus_client import CollectorRegistry, Gauge

from telemetry._sdk.compatibility import new_view
from telemetry._sdk.live import LiveStream, UnexpectedSDKError
from telemetry.exposition import BrokenScrapeError, DeltaError, PrometheusReader, ScrapeRefusedError
from telemetry.metric.naming import Escaping
from tests.helpers.asgi_server import TIMEOUT
from tests.helpers.providers import OPENMETRICS, families, provider, samples

SERIES = 1500


def filled(series: int = SERIES, **options: Any) -> tuple[MeterProvider, PrometheusReader, Any]:
    """A provider, its reader, and a counter with so many series that the body has several pieces."""
    meters, reader = provider(views=[new_view(instrument_name="*", aggregation_cardinality_limit=10**6)], **options)
    counter = meters.get_meter("m").create_counter("c")
    for i in range(series):
        counter.add(1, {"i": str(i), "text": "x" * 100})
    return meters, reader, counter


def values(body: bytes, accept: str | None = None) -> list[float]:
    """The values of all samples, which are all different series."""
    return list(samples(families(body.decode(), openmetrics=accept is not None)).values())


@pytest.mark.parametrize("direct", [True, False], ids=["direct", "public"])
@pytest.mark.parametrize("accept", [None, OPENMETRICS])
def test_pieces_are_the_body(accept: str | None, direct: bool) -> None:
    """The pieces joined are what ``expose`` returns, of the same content type."""
    _, reader, _ = filled(direct=direct)
    scrape = reader.pieces(accept)
    pieces = list(scrape.body)
    assert (b"".join(pieces), scrape.content_type) == reader.expose(accept)
    assert len(pieces) > 2


def test_no_lock_between_pieces() -> None:
    """Other scrapes, collects and readings are answered while a scrape waits for its client."""
    meters, reader, _ = filled()
    body = reader.pieces().body
    first = next(body)
    other = Thread(target=lambda: (reader.expose(), reader.metrics(), reader.state(), meters.force_flush()))
    other.start()
    other.join(TIMEOUT)
    assert not other.is_alive()
    assert values(first + b"".join(body)) == [1.0] * SERIES


@pytest.mark.parametrize("direct", [True, False], ids=["direct", "public"])
def test_series_that_come_between_pieces(direct: bool) -> None:
    """Series and metrics that another scrape adds meanwhile come with the next scrape; values are those of their piece."""
    meters, reader, counter = filled(direct=direct)
    body = reader.pieces().body
    first = next(body)
    for i in range(2 * SERIES):
        counter.add(1, {"i": str(i), "text": "x" * 100})
    meters.get_meter("m").create_counter("later").add(1)
    assert len(values(reader.expose().body)) == 2 * SERIES + 1
    found = values(first + b"".join(body))
    assert len(found) == SERIES
    assert found == sorted(found)
    assert set(found) == {1.0, 2.0}


def test_histograms_between_pieces_stay_whole() -> None:
    """Each histogram's count is that of its last bucket, however much is recorded between two pieces."""
    view = View(instrument_name="h", aggregation=ExplicitBucketHistogramAggregation((1, 2)))
    meters, reader = provider(views=[view])
    histogram = meters.get_meter("m").create_histogram("h")
    body = bytearray()
    for i in range(SERIES):
        histogram.record(1.5, {"i": str(i)})
    for piece in reader.pieces(OPENMETRICS).body:
        body += piece
        for i in range(SERIES):
            histogram.record(1.5, {"i": str(i)})
    found = samples(families(body.decode(), openmetrics=True))
    counts = [value for key, value in found.items() if key[0] == "h_count"]
    buckets = [value for key, value in found.items() if ("le", "+Inf") in key[1]]
    assert counts == buckets
    assert len(set(counts)) > 1


def test_labels_that_change_between_pieces() -> None:
    """A family that was begun with one resource is ended with its labels, and shows each series once."""
    _, reader, _ = filled(resource_attribute_filter=lambda _: True, disable_target_info=False)
    body = reader.pieces().body
    first = next(body)
    families_of = reader._families[Escaping.UNDERSCORES]
    families_of._set_resource(None)
    rest = b"".join(body)
    assert len(re.findall(rb"^c_total", first + rest, re.MULTILINE)) == SERIES
    assert len(set((first + rest).splitlines())) == len((first + rest).splitlines())


def test_unexpected_state_halfway(monkeypatch: pytest.MonkeyPatch) -> None:
    """A state that is unexpected after the first piece breaks the scrape; the next one, by the SDK's collect, is whole."""
    _, reader, _ = filled()
    whole = reader.expose().body
    body = reader.pieces().body
    next(body)

    def unexpected(*_: object, **__: object) -> None:
        raise UnexpectedSDKError("gone")

    monkeypatch.setattr(LiveStream, "slice", unexpected)
    with pytest.raises(BrokenScrapeError, match="the SDK's state cannot be read directly: gone"):
        next(body)
    assert list(body) == []
    assert b"".join(reader.pieces().body) == whole


def test_unexpected_state_in_a_whole_body(monkeypatch: pytest.MonkeyPatch) -> None:
    """``expose`` begins anew with the SDK's collect where the state is unexpected halfway."""
    _, reader, _ = filled()
    whole = reader.expose().body
    original = LiveStream.slice

    def unexpected(stream: LiveStream, start: int, stop: int, **options: bool) -> Any:
        if start > SERIES // 2:
            raise UnexpectedSDKError("gone")
        return original(stream, start, stop, **options)

    monkeypatch.setattr(LiveStream, "slice", unexpected)
    assert reader.expose().body == whole


def test_refused_before_the_first_piece() -> None:
    """A reader that is shut down refuses a scrape before its first piece."""
    _, reader, _ = filled(1)
    reader.shutdown()
    with pytest.raises(ScrapeRefusedError, match="shut down"):
        reader.pieces()


def test_shutdown_between_pieces() -> None:
    """A scrape that was begun before the shutdown is whole."""
    meters, reader, _ = filled()
    whole = reader.expose().body
    body = reader.pieces().body
    first = next(body)
    meters.shutdown()
    assert first + b"".join(body) == whole


@pytest.mark.parametrize("pieces", [0, 1])
def test_a_scrape_that_is_given_up(pieces: int) -> None:
    """A closed scrape keeps nothing alive, holds no lock, and does not count as the last one."""
    meters, reader, counter = filled()
    body = reader.pieces().body
    for _ in range(pieces):
        next(body)
    body.close()
    assert reader.last_scrape is None
    assert len(values(reader.expose().body)) == SERIES
    gone = ref(reader)
    del body, meters, reader, counter
    gc.collect()
    assert gone() is None


def test_last_scrape() -> None:
    """``last_scrape`` has the bytes of all pieces once the last one is out."""
    _, reader, _ = filled()
    body = reader.pieces().body
    size = len(next(body))
    assert reader.last_scrape is None
    size += sum(map(len, body))
    assert reader.last_scrape is not None
    assert reader.last_scrape.size == size


def test_observed_values_between_pieces() -> None:
    """Another scrape's callbacks replace observed values; a suspended scrape shows them, and never less."""
    calls: list[object] = []

    def observe(options: CallbackOptions) -> list[Observation]:
        calls.append(options)
        return [Observation(len(calls), {"i": str(i), "text": "x" * 100}) for i in range(SERIES)]

    meters, reader = provider(views=[new_view(instrument_name="*", aggregation_cardinality_limit=10**6)])
    meters.get_meter("m").create_observable_counter("c", [observe])
    body = reader.pieces().body
    first = next(body)
    reader.expose()
    found = values(first + b"".join(body))
    assert (len(found), set(found)) == (SERIES, {1.0, 2.0})


def test_data_that_cannot_be_shown_change_nothing() -> None:
    """Data with a delta point leave the streams of a suspended scrape as they are."""
    _, reader, _ = filled(direct=False)
    whole = reader.expose().body
    body = reader.pieces().body
    first = next(body)
    other = InMemoryMetricReader(preferred_temporality={Counter: AggregationTemporality.DELTA})
    delta = MeterProvider([other], shutdown_on_exit=False)
    delta.get_meter("m").create_counter("d").add(1)
    data = other.get_metrics_data()
    assert data is not None
    with pytest.raises(DeltaError):
        reader._receive_metrics(data)
    assert first + b"".join(body) == whole


@pytest.mark.parametrize("accept", [None, OPENMETRICS])
def test_registry_beside_comes_in_pieces(accept: str | None) -> None:
    """Each family of a registry beside the reader's own is a piece, and a body of OpenMetrics ends once."""
    registry = CollectorRegistry()
    for name in ("a", "b"):
        Gauge(name, name, registry=registry).set(1)
    _, reader, _ = filled()
    pieces = list(reader.pieces(accept, beside=registry).body)
    own = list(reader.pieces(accept).body)
    assert [piece.split(b"\n")[2] for piece in pieces[len(own) :][:2]] == [b"a 1.0", b"b 1.0"]
    assert b"".join(pieces).count(b"# EOF\n") == (accept is not None)
    assert pieces[-1].endswith(b"b 1.0\n" if accept is None else b"# EOF\n")


@pytest.mark.parametrize("accept", [None, OPENMETRICS])
def test_memory_of_a_streamed_scrape(accept: str | None) -> None:
    """A scrape whose pieces are dropped needs less than a tenth of its body."""
    _, reader, _ = filled(30_000)
    size = len(reader.expose(accept).body)
    assert size > 3 * 2**20
    gc.collect()
    tracemalloc.start()
    try:
        assert sum(map(len, reader.pieces(accept).body)) == size
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < size / 10
