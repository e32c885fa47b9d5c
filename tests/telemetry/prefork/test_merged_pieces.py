"""A merged body that is sent in pieces, while the workers' states are merged again for other scrapes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from telemetry import Telemetry
from telemetry.exposition import BrokenScrapeError
from telemetry.metric import Catalogue, Metric, histogram, open_label
from telemetry.metric.telemetry_metrics import TELEMETRY
from telemetry.prefork import Workers
from telemetry.prefork.merge import Merger
from tests.helpers.samples import samples_of

SERIES = 1000
WHO = open_label("who", "name of a caller", limit=2 * SERIES)
TIME = histogram("time", "s", "Time", WHO, bounds=(1, 5))
OTHER = histogram("time", "s", "Time", WHO, bounds=(2, 4, 8))

Start = Callable[[Metric], Telemetry]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Returns a function that starts one more worker with one metric, which it has recorded once in each series."""
    made: list[Telemetry] = []

    def make(metric: Metric) -> Telemetry:
        workers = Workers(tmp_path / "state", save_every=3600.0, timeout=5.0)
        telemetry = Telemetry(Catalogue([metric, *TELEMETRY]), workers=workers)
        made.append(telemetry)
        record(telemetry, metric, SERIES)
        return telemetry

    yield make
    for telemetry in made:
        telemetry.shutdown()


def record(telemetry: Telemetry, metric: Metric, series: int) -> None:
    """Records 3 once in each series."""
    for i in range(series):
        telemetry[metric].labels(f"{i:064}").observe(3)


def counts(body: bytes) -> list[float]:
    """The counts of all series, in the order of the body; each has a +Inf bucket of the same count."""
    found = samples_of(body.decode())
    totals = {labels: value for (name, labels), value in found.items() if name == "time_seconds_count"}
    infinite = [v for (name, labels), v in found.items() if name == "time_seconds_bucket" and ("le", "+Inf") in labels]
    assert list(totals.values()) == infinite
    return infinite


def test_merged_again_between_pieces(start: Start) -> None:
    """A scrape shows totals that another scrape has merged meanwhile, and never a series without its numbers."""
    first, second = start(TIME), start(TIME)
    body = first.reader.pieces().body
    begun = next(body)
    record(second, TIME, 2 * SERIES)
    assert len(counts(first.reader.expose().body)) == 2 * SERIES
    found = counts(begun + b"".join(body))
    assert len(found) == SERIES
    assert (found, set(found)) == (sorted(found), {2.0, 3.0})


def test_forgotten_between_pieces(start: Start) -> None:
    """A scrape that has begun with one definition is ended with it, though a younger worker has another one."""
    first = start(TIME)
    body = first.reader.pieces().body
    begun = next(body)
    second = start(OTHER)
    assert b'le="8.0"' in first.reader.expose().body
    found = begun + b"".join(body)
    assert b'le="8.0"' not in found
    assert counts(found) == [1.0] * SERIES
    second.shutdown()


def test_left_between_pieces(start: Start) -> None:
    """A scrape that has begun is ended though its worker leaves."""
    first = start(TIME)
    body = first.reader.pieces().body
    begun = next(body)
    first.shutdown()
    assert counts(begun + b"".join(body)) == [1.0] * SERIES


def test_a_merge_that_fails_between_pieces(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """A scrape whose totals another one has left half merged is broken, and the next one is whole."""
    first = start(TIME)
    body = first.reader.pieces().body
    next(body)
    merge = Merger.merge

    def fail(*_: object, **__: object) -> None:
        raise MemoryError

    monkeypatch.setattr(Merger, "merge", fail)
    with pytest.raises(MemoryError):
        first.reader.expose()
    monkeypatch.setattr(Merger, "merge", merge)
    with pytest.raises(BrokenScrapeError, match="another scrape failed"):
        next(body)
    assert counts(first.reader.expose().body) == [1.0] * SERIES
