"""Native histograms of several workers are those of one process that measures everything."""

from __future__ import annotations

from fractions import Fraction
from math import fsum
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telemetry import Telemetry
from telemetry.metricdata.buckets import ExponentialBuckets
from telemetry.metricdata.exponential import add_exponentials
from telemetry.metricdata.stream import ExponentialState, Snapshot, Stream, StreamKind
from telemetry.prefork import Workers
from telemetry.prefork.merge import Contribution, Merger
from telemetry.prefork.snapshot import Encoder, decode
from tests.helpers.worker_states import RUN, merged, one, state
from tests.helpers.workers import TIME, catalogue, tick, vanish

VALUES = st.lists(st.floats(0, 1e300) | st.floats(1e-3, 1e3), max_size=20)
BOUNDS = (1.0, 2.0)


def exponential(
    values: list[float], max_scale: int = 3, zero_threshold: float = 1e-128, max_size: int = 160
) -> ExponentialState:
    """The exponential buckets of these measurements."""
    buckets = ExponentialBuckets(max_scale, max_size, zero_threshold)
    for value in values:
        buckets.add(value)
    return buckets.state(fsum(values))


def both(values: list[float], **options: Any) -> Stream:
    """A stream of one series in both forms."""
    counts = [sum(low < v <= high for v in values) for low, high in ((-1, 1.0), (1.0, 2.0), (2.0, 1e308))]
    made = one("h", (counts, fsum(values), exponential(values, **options)), kind=StreamKind.HISTOGRAM)
    made.native = True
    return made


def plain(native: ExponentialState) -> ExponentialState:
    """The state with tuples, and without an offset where there are no buckets."""
    return native._replace(
        positive=tuple(native.positive),
        negative=tuple(native.negative),
        positive_offset=native.positive_offset if native.positive else 0,
        negative_offset=native.negative_offset if native.negative else 0,
    )


def shown(snapshot: Snapshot) -> tuple[list[int], float, ExponentialState]:
    """The only state of the only stream, in both forms."""
    (stream,) = snapshot.streams
    states, _ = stream.slice(0, 1, exemplars=False, native=True)
    counts, total, native = states[0]
    return list(counts), total, plain(native)


@given(st.lists(VALUES, min_size=1, max_size=5), st.integers(-4, 8), st.sampled_from([2, 20, 160, 1000]))
def test_merged_workers_are_one_process(workers: list[list[float]], scale: int, size: int) -> None:
    """Workers' buckets, whatever scale each has come to, add up to those of one process with all measurements."""
    everything = [value for values in workers for value in values]
    states = [state(f"w{n}", both(values, max_scale=scale, max_size=size)) for n, values in enumerate(workers)]
    counts, total, native = shown(merged(*states))
    one_process = shown(Snapshot(None, [both(everything, max_scale=scale, max_size=size)]))
    assert (counts, native) == (one_process[0], one_process[2]._replace(sum=total))
    assert total == fsum(fsum(values) for values in workers)


@given(st.lists(VALUES, min_size=2, max_size=6), st.integers(1, 5), st.integers(-4, 8))
def test_folding_ended_workers_changes_nothing(workers: list[list[float]], ended: int, scale: int) -> None:
    """Workers that ended, folded into one state and merged with the others, count as before."""
    states = [state(f"w{n}", both(values, max_scale=scale)) for n, values in enumerate(workers)]
    folded = Merger({}).merge(None, [Contribution(each, alive=False) for each in states[:ended]], exact=True)
    again = decode(Encoder(RUN).encode(folded, "folded", absorbed=[each.worker for each in states[:ended]]))
    assert shown(merged(again, *states[ended:], ended=("folded",))) == shown(merged(*states))


@given(st.lists(st.tuples(VALUES, st.integers(-4, 8)), min_size=1, max_size=5))
def test_workers_of_different_scales_meet_at_the_coarsest(workers: list[tuple[list[float], int]]) -> None:
    """Where workers start at different scales, each measurement is in the bucket that it has at the coarsest one."""
    states = [exponential(values, scale) for values, scale in workers]
    total = plain(add_exponentials(states))
    everything = [value for values, _ in workers for value in values]
    filled = [each.scale for each in states if each.positive]
    if filled:
        assert total == exponential(everything, min(filled))._replace(sum=total.sum, scale=total.scale)
        assert total.scale <= min(filled)


@given(VALUES, VALUES, st.sampled_from([0.0, 1e-128, 0.001, 1.0, 3.0]), st.sampled_from([0.0, 1e-128, 0.5, 4.0, 100.0]))
def test_largest_zero_threshold_wins(first: list[float], second: list[float], low: float, high: float) -> None:
    """Buckets up to the larger zero threshold are zeros; it is moved up to the end of a filled bucket that it cuts."""
    total = add_exponentials([exponential(first, 3, low), exponential(second, 3, high)])
    assert total.zero_threshold >= max(low, high)
    assert total.zero_count == sum(value <= total.zero_threshold for value in (*first, *second))
    assert total.zero_count + sum(total.positive) == len(first) + len(second)


def test_threshold_that_cuts_a_filled_bucket_moves_up() -> None:
    """A threshold of 3 within a bucket that ends at 4, and holds 3.5, becomes 4."""
    total = add_exponentials([exponential([3.5, 5.0], 0), exponential([3.2, 7.0], 0, zero_threshold=3.0)])
    assert total == ExponentialState(0, 18.7, 2, 2, [2], 0, (), 4.0)
    kept = add_exponentials([exponential([5.0], 0), exponential([3.2, 7.0], 0, zero_threshold=3.0)])
    assert kept == ExponentialState(0, 15.2, 0, 1, [1, 2], 0, (), 3.0)


def test_negative_buckets_are_merged_too() -> None:
    """Buckets of negative values, which foreign streams may have, are brought to one scale and one threshold."""
    fine = ExponentialState(1, -6.0, 0, 0, (), -4, (5, 1, 2), 0.0)
    coarse = ExponentialState(0, -2.0, 1, 0, (), 0, (1,), 0.25)
    assert add_exponentials([fine, coarse]) == ExponentialState(0, -8.0, 1, 0, (), -2, [6, 2, 1], 0.25)


def test_wide_apart_workers_do_not_grow_without_bound() -> None:
    """Two narrow histograms at either end of the floats are merged at a scale at which as many buckets hold both."""
    total = add_exponentials([exponential([1e-100], 8), exponential([1e300], 8)])
    assert (total.scale, len(total.positive), sum(total.positive)) == (-4, 84, 2)


def test_explicit_buckets_alone_are_shown_where_a_worker_has_no_native_ones() -> None:
    """Where a worker has counted without native buckets, both forms would differ: the explicit ones are shown."""
    without = one("h", ([1, 0, 0], 0.5), kind=StreamKind.HISTOGRAM)
    snapshot = merged(state("a", both([0.5, 3.0])), state("b", without))
    (stream,) = snapshot.streams
    assert stream.native is False
    assert stream.slice(0, 1, exemplars=False, native=True)[0] == [([2, 0, 1], 4.0)]


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_worker_without_measurements_takes_nothing_away(order: tuple[int, int]) -> None:
    """A worker whose histogram has no native buckets and has counted nothing leaves those of the others."""
    without = one("h", ([0, 0, 0], 0), kind=StreamKind.HISTOGRAM)
    states = [state("a", both([0.5])), state("b", without)]
    assert shown(merged(*(states[n] for n in order))) == ([1, 0, 0], 0.5, exponential([0.5]))


def test_series_that_only_the_classic_worker_has_is_empty_in_both_forms() -> None:
    """A series without measurements has native buckets without measurements."""
    without = one("h", ([0, 0, 0], 0), kind=StreamKind.HISTOGRAM, who="b")
    snapshot = merged(state("a", both([0.5])), state("b", without))
    states, _ = snapshot.streams[0].slice(0, 2, exemplars=False, native=True)
    assert sorted((sum(counts), native.zero_count + sum(native.positive)) for counts, _, native in states) == [(0, 0), (1, 1)]


@given(st.lists(VALUES, min_size=1, max_size=4))
def test_sum_is_exact(workers: list[list[float]]) -> None:
    """The sum of an exponential histogram is the float nearest to the exact sum, in whatever order workers are folded."""
    states = [state(f"w{n}", one("e", exponential(v), kind=StreamKind.EXPONENTIAL)) for n, v in enumerate(workers)]
    folded = Merger({}).merge(None, [Contribution(each, alive=False) for each in states[:2]], exact=True)
    again = decode(Encoder(RUN).encode(folded, "folded"))
    snapshot = merged(again, *states[2:], ended=("folded",))
    exact = float(sum((Fraction(fsum(values)) for values in workers), Fraction(0)))
    assert snapshot.streams[0].values[0].sum == exact


def test_ended_killed_and_folded_workers_keep_their_buckets(tmp_path: Path) -> None:
    """Native buckets of workers that ended, were killed and were folded stay in the total, each measurement once."""

    def worker() -> Telemetry:
        workers = Workers(tmp_path / "state", save_every=3600.0, timeout=5.0)
        return Telemetry(catalogue(), workers=workers, native_histograms=True)

    def total(telemetry: Telemetry) -> tuple[list[int], ExponentialState]:
        assert telemetry.workers is not None
        (stream,) = [each for each in telemetry.workers.snapshot().streams if each.name == "time"]
        ((counts, _, native),) = stream.slice(0, 1, exemplars=False, native=True)[0]
        return list(counts), plain(native)._replace(sum=0.0)

    first, second, third = worker(), worker(), worker()
    values = [0.05, 2.0**-12, 0.5, 0.5, 300.0, 0.0]
    for telemetry, mine in ((first, values[:2]), (second, values[2:4]), (third, values[4:])):
        for value in mine:
            telemetry[TIME].labels("fast").observe(value)
    expected = [3, 2, 1], exponential(values)._replace(sum=0.0)
    assert total(third) == expected
    vanish(second)
    assert total(third) == expected
    first.shutdown()
    tick(third)
    assert total(third) == expected
    fourth = worker()
    fourth[TIME].labels("fast").observe(0.7)
    assert total(fourth) == ([3, 3, 1], exponential([*values, 0.7])._replace(sum=0.0))
    for telemetry in (third, fourth):
        telemetry.shutdown()
