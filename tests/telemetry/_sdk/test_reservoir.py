"""The reservoir that packs the newest measurement of each bucket into one buffer."""

import pytest
from opentelemetry.context import Context
from opentelemetry.sdk.metrics import Exemplar
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, set_span_in_context

from telemetry._sdk.reservoir import LatestExemplarReservoir, pack_span_reference, reference_time

TRACE, SPAN = 0xFEDCBA98765432100123456789ABCDEF, 0xFEDCBA9876543210
SAMPLED = SpanContext(TRACE, SPAN, is_remote=False, trace_flags=TraceFlags(TraceFlags.SAMPLED))
NOW = 1_700_000_000_123_456_789
REFERENCE = pack_span_reference(NOW, SAMPLED)
IN_SPAN = set_span_in_context(NonRecordingSpan(SAMPLED), Context())


class OtherContext:
    """A span context that is no tuple, as another API may have it."""

    trace_id, span_id = TRACE, SPAN


@pytest.mark.parametrize(
    "value", [0.1, 0.0, -0.0, 5e-324, 1.7e308, float("inf"), 0, 7, -7, 2**53 + 1, 2**63 - 1, -(2**63), 2**63, 10**400], ids=repr
)
def test_a_measurement_keeps_its_value_and_type(value: float) -> None:
    """Floats stay the same to the last bit and integers stay integers, also beyond what a double or 64 bits hold."""
    reservoir = LatestExemplarReservoir(boundaries=(1, 2))
    reservoir.keep(1, value, REFERENCE)
    assert repr(reservoir.newest()) == repr([None, (value, NOW, TRACE, SPAN, None), None])
    assert repr(reservoir.collect({})) == repr([Exemplar({}, value, NOW, SPAN, TRACE)])


def test_a_float_of_another_class_keeps_it() -> None:
    """A subclass of float, such as numpy's, is kept as it is."""

    class Seconds(float): ...

    value = Seconds(0.5)
    reservoir = LatestExemplarReservoir()
    reservoir.keep(0, value, REFERENCE)
    assert [entry[0] for entry in reservoir.newest() or () if entry] == [value]
    assert type(reservoir.collect({})[0].value) is Seconds


@pytest.mark.parametrize("first", [0.5, 10**30])
@pytest.mark.parametrize("second", [0.75, 3, 10**40])
def test_the_newest_of_a_bucket_stays(first: float, second: float) -> None:
    """The newest measurement of a bucket replaces the one before, whatever form the two are kept in."""
    reservoir = LatestExemplarReservoir(boundaries=(1, 2))
    reservoir.keep(0, first, REFERENCE)
    reservoir.keep(0, second, REFERENCE)
    assert reservoir.newest() == [(second, NOW, TRACE, SPAN, None), None, None]


def test_what_the_sdk_offers_and_what_a_series_keeps_take_turns() -> None:
    """Measurements with and without attributes of their own replace each other, bucket by bucket."""
    reservoir = LatestExemplarReservoir(boundaries=(1, 2))
    reservoir.keep(0, 0.5, REFERENCE)
    reservoir.offer(0.25, NOW + 1, {"a": "x", "b": "y"}, IN_SPAN)
    reservoir.offer(1.5, NOW + 2, {"a": "x"}, IN_SPAN)
    reservoir.keep(1, 1.25, REFERENCE)
    offered = (0.25, NOW + 1, TRACE, SPAN, {"a": "x", "b": "y"})
    assert reservoir.newest() == [offered, (1.25, NOW, TRACE, SPAN, None), None]
    assert reservoir.collect({"a": "x"}) == [
        Exemplar({"b": "y"}, 0.25, NOW + 1, SPAN, TRACE),
        Exemplar({}, 1.25, NOW, SPAN, TRACE),
    ]


def test_collect_empties_it() -> None:
    """After a collect neither form is shown again."""
    reservoir = LatestExemplarReservoir(boundaries=(1,))
    assert reservoir.newest() is None
    reservoir.keep(0, 0.5, REFERENCE)
    reservoir.offer(1.5, NOW, {}, IN_SPAN)
    assert len(reservoir.collect({})) == 2
    assert reservoir.newest() is None
    assert reservoir.collect({}) == []


def test_no_span_is_no_trace() -> None:
    """A measurement outside of any span has neither trace nor span id."""
    reservoir = LatestExemplarReservoir()
    reservoir.offer(1, NOW, {}, Context())
    assert reservoir.newest() == [(1, NOW, None, None, {})]


def test_a_reference_of_another_span_context() -> None:
    """The ids are taken from any object that has them."""
    assert pack_span_reference(NOW, OtherContext()) == REFERENCE  # type: ignore[arg-type]  # another class
    assert reference_time(REFERENCE) == NOW
