"""Merging the states of several workers."""

from __future__ import annotations

from itertools import permutations
from math import fsum, inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telemetry.metric import MultiprocessMode
from telemetry.metricdata.exponential import add_exponentials, explicit
from telemetry.metricdata.stream import ExemplarPoint, ExponentialState, Snapshot, StreamKind
from telemetry.prefork.merge import Contribution, Merger
from telemetry.prefork.snapshot import Encoder, decode
from tests.helpers.worker_states import RUN, merged, one, state, stream, values

LABELS = (("who", "x"),)


def test_counters_add_up_series_by_series() -> None:
    """Counters with the same labels are added, others stay apart; integers stay integers."""
    snapshot = merged(state("a", one("c", 3, who="x")), state("b", one("c", 4, who="x")), state("d", one("c", 5, who="y")))
    assert values(snapshot) == {("c", LABELS): 7, ("c", (("who", "y"),)): 5}


def test_histograms_add_up_bucket_by_bucket() -> None:
    """Histogram counts are added bucket by bucket; the sum is the float nearest to the exact sum."""
    kind = StreamKind.HISTOGRAM
    snapshot = merged(state("a", one("h", ([1, 2, 3], 0.1), kind=kind)), state("b", one("h", ([4, 0, 1], 0.2), kind=kind)))
    assert values(snapshot) == {("h", ()): ([5, 2, 4], fsum([0.1, 0.2]))}


def test_a_series_that_only_one_worker_has_is_shown_as_it_is() -> None:
    """A series of one worker is shown unchanged."""
    snapshot = merged(state("a", one("h", ([1, 2, 3], 0.5), kind=StreamKind.HISTOGRAM)))
    assert [(list(counts), total) for counts, total in values(snapshot).values()] == [([1, 2, 3], 0.5)]


@pytest.mark.parametrize(
    ("rule", "shown"),
    [(MultiprocessMode.SUM, 4), (MultiprocessMode.MAX, 3), (MultiprocessMode.MIN, -1), (MultiprocessMode.FIRST, 2)],
)
def test_gauges_follow_the_rule_of_the_catalogue(rule: MultiprocessMode, shown: int) -> None:
    """Gauges at 2, -1 and 3 are merged by the metric's ``MultiprocessMode``: sum, largest, smallest, or first."""
    workers = [state(worker, one("g", value, kind=StreamKind.GAUGE)) for worker, value in (("a", 2), ("b", -1), ("c", 3))]
    assert values(merged(*workers, multiprocess_mode={"g": rule})) == {("g", ()): shown}


def test_gauges_of_workers_that_ended_are_gone() -> None:
    """The gauges of an ended worker are left out; its counters stay."""
    ended = state("a", one("g", 2, kind=StreamKind.GAUGE), one("c", 2))
    snapshot = merged(ended, state("b", one("g", 3, kind=StreamKind.GAUGE), one("c", 3)), ended=("a",))
    assert values(snapshot) == {("g", ()): 3, ("c", ()): 5}


def test_a_series_began_when_the_first_worker_did() -> None:
    """A merged series has the earliest start of the workers that have one."""
    starts = [state(worker, one("c", 1, start=start)) for worker, start in (("a", 9), ("b", 4), ("d", None))]
    assert merged(*starts).streams[0].starts == [4]


def test_the_newest_exemplar_of_each_bucket_is_shown() -> None:
    """Each bucket shows its newest exemplar, in whatever order the states are merged."""
    points = [ExemplarPoint(0.5, time, time, 1, {"k": "v"} if time == 7 else None) for time in (3, 7)]
    workers = []
    for worker, point in zip(("a", "b"), points, strict=True):
        made = one("h", ([1, 0, 0], 0.5), kind=StreamKind.HISTOGRAM)
        made.exemplars[0] = [point, ExemplarPoint(1.5, 2, 2, 2, None) if worker == "a" else None, None]
        workers.append(state(worker, made))
    for order in permutations(workers):
        assert merged(*order).streams[0].exemplars == {0: [points[1], ExemplarPoint(1.5, 2, 2, 2, None), None]}


def test_exponential_histograms_meet_at_the_coarser_scale() -> None:
    """Exponential histograms are merged at the coarser scale, whose bounds are also bounds of the finer one."""
    fine = ExponentialState(1, 10.0, 1, 0, (1, 2, 3), -2, (4,))
    coarse = ExponentialState(0, 5.0, 2, 1, (5,), 0, ())
    both = add_exponentials([fine, coarse])
    assert both == ExponentialState(0, 15.0, 3, 0, [3, 8], -1, [4])
    assert sum(explicit(both)[1]) == sum(explicit(fine)[1]) + sum(explicit(coarse)[1])
    snapshot = merged(*(state(w, one("e", s, kind=StreamKind.EXPONENTIAL)) for w, s in (("a", fine), ("b", coarse))))
    assert values(snapshot) == {("e", ()): both}


def test_streams_and_series_keep_their_places() -> None:
    """Streams and series keep their places, which the encoder's cache needs: series of an ended worker have no value."""
    merger = Merger({})
    first = [state("a", one("c", 1, who="x")), state("b", one("c", 2, who="y"))]
    before = merger.merge(None, [Contribution(each, alive=True) for each in first]).streams[0]
    after = merger.merge(None, [Contribution(first[1], alive=True)]).streams[0]
    assert after is before
    assert (after.attributes, after.values) == ([{"who": "x"}, {"who": "y"}], [None, 2])


def test_new_series_of_a_known_worker_are_learnt() -> None:
    """New series of a known worker are added; the labels of known ones are not parsed again."""
    merger = Merger({})
    made = one("c", 1, who="x")
    encoder = Encoder(RUN)
    for value in (1, 2):
        snapshot = merger.merge(None, [Contribution(decode(encoder.encode(Snapshot(None, [made]), "a")), alive=True)])
        made.attributes.append({"who": f"n{value}"})
        made.starts.append(1)
        made.values.append(value)
    assert values(snapshot) == {("c", LABELS): 1, ("c", (("who", "n1"),)): 1}


@given(st.lists(st.floats(0, 1e300), min_size=1, max_size=12), st.data())
def test_sums_do_not_depend_on_what_was_folded_when(parts: list[float], data: st.DataObject) -> None:
    """However states are folded, the total is the float nearest to the exact sum, so it never falls."""
    states = [state(f"w{n}", one("c", part)) for n, part in enumerate(parts)]
    folded = None
    while len(states) > 1 and data.draw(st.booleans()):
        count = data.draw(st.integers(1, len(states)))
        every = [*([folded] if folded else []), *states[:count]]
        snapshot = Merger({}).merge(None, [Contribution(each, alive=False) for each in every], exact=True)
        folded = decode(Encoder(RUN).encode(snapshot, "folded"))
        states = states[count:]
    assert values(merged(*([folded] if folded else []), *states)) == {("c", ()): fsum(parts)}


@pytest.mark.parametrize(
    ("parts", "total"),
    [
        ([1.7e308, 1.7e308, 1.0], inf),
        ([-1.7e308, -1.7e308, 1], -inf),
        ([inf, 1.0], inf),
        ([2**63 - 1, 2**63 - 1], 2**64 - 2),
        ([2**63 - 1, 0.5, 2**63 - 1], 2.0**64),
        ([10**400, 0.5], inf),
    ],
)
@pytest.mark.parametrize("folds", [False, True])
def test_sums_beyond_64_bits_and_beyond_every_float(parts: list[float], total: float, folds: bool) -> None:
    """A total that no float holds is infinite, and never NaN or an error, also by way of a folded state."""
    states = [state(f"w{n}", one("c", part)) for n, part in enumerate(parts)]
    if folds:
        snapshot = Merger({}).merge(None, [Contribution(each, alive=False) for each in states[:2]], exact=True)
        states = [decode(Encoder(RUN).encode(snapshot, "folded")), *states[2:]]
    assert values(merged(*states)) == {("c", ()): total}


def test_a_stream_whose_help_changed_is_the_same_stream() -> None:
    """Streams that differ in their help alone are one stream: one help is shown and the numbers are added."""
    other = stream("c", StreamKind.COUNTER)
    other.description = "newer"
    other.attributes, other.starts, other.values = [{}], [1], [2]
    assert values(merged(state("a", one("c", 1)), state("b", other))) == {("c", ()): 3}
