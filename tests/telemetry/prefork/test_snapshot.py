"""A worker's state as bytes."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from prometheus_client import CollectorRegistry

from telemetry.exposition import PrometheusReader
from telemetry.exposition.source import ReadLocal
from telemetry.metricdata.stream import Snapshot, StreamKind
from telemetry.prefork.merge import Contribution, Merger
from telemetry.prefork.snapshot import Encoder, StateError, decode
from tests.helpers.generated_metrics import Recording, bounds, build, exemplars_of, recordings
from tests.helpers.providers import families, samples
from tests.helpers.worker_states import RUN, one

OPENMETRICS = "application/openmetrics-text"
STATE = Encoder(RUN).encode(
    Snapshot(None, [one("c", 7, who="x"), one("h", ([1, 2, 3], 0.5), kind=StreamKind.HISTOGRAM, who="é\n")]), "a"
)


class OneWorker:
    """Shared snapshots of one worker, through bytes."""

    def __init__(self) -> None:
        self._encoder = Encoder(RUN)
        self._read_local: ReadLocal

    def join(self, read_local: ReadLocal, *_: object, **__: object) -> None:
        self._read_local = read_local

    def snapshot(self) -> Snapshot:
        data = self._read_local(lambda snapshot: self._encoder.encode(snapshot, "a"))
        return Merger({}).merge(None, [Contribution(decode(data), alive=True)])


@given(st.lists(recordings(wild=False), max_size=4), bounds)
def test_a_scrape_through_bytes_shows_the_same(state: list[Recording], edges: list[float]) -> None:
    """Any state of a provider, encoded, decoded and merged, gives the samples and exemplars of a plain scrape."""
    state = [r for r in state if not r.kind.startswith("observable")]  # their exemplars are new in each snapshot
    reader = PrometheusReader(registry=CollectorRegistry(), scope_info_enabled=False, disable_target_info=True)
    meters = build(state, edges, [reader, InMemoryMetricReader()])

    def shown() -> Any:
        found = families(reader.expose(OPENMETRICS).body.decode(), openmetrics=True)
        return samples(found), sorted(exemplars_of(found), key=repr)

    plain = shown()
    reader.share(OneWorker())
    assert shown() == plain
    meters.shutdown()


@pytest.mark.parametrize("length", range(len(STATE)))
def test_a_state_that_is_cut_off_is_torn(length: int) -> None:
    """A state that ends at any earlier byte raises ``StateError`` with the reason ``torn``."""
    with pytest.raises(StateError, match="a worker's state is torn"):
        decode(STATE[:length])


@given(st.integers(0, len(STATE) - 1), st.integers(1, 255))
@example(len(STATE) - 1, 1)
def test_a_state_with_a_changed_byte_is_not_read(position: int, change: int) -> None:
    """A state with one changed byte raises ``StateError``."""
    changed = bytearray(STATE)
    changed[position] ^= change
    with pytest.raises(StateError):
        decode(bytes(changed))


@given(st.binary(max_size=200))
def test_any_other_bytes_are_refused(data: bytes) -> None:
    """Other bytes raise ``StateError`` and nothing else."""
    with pytest.raises(StateError):
        decode(data)


def test_a_state_of_another_version_is_foreign() -> None:
    """A state of another version raises ``StateError`` with the reason ``foreign``."""
    with pytest.raises(StateError, match="a worker's state is foreign"):
        decode(STATE.replace(b"state 2\n", b"state 1\n"))


def test_numbers_are_kept_to_the_last_bit() -> None:
    """Floats, large integers and infinities keep their type and value exactly."""
    numbers = [0.1, 1e-323, 2**70, float("inf"), 5, 5.0]
    made = one("g", numbers[0], kind=StreamKind.GAUGE, n="0")
    for n, number in enumerate(numbers[1:], 1):
        made.attributes.append({"n": str(n)})
        made.starts.append(None)
        made.values.append(number)
    kept = list(decode(Encoder(RUN).encode(Snapshot(None, [made]), "a")).parts[0].values)
    assert [(type(value), value) for value in kept] == [(type(value), value) for value in numbers]
