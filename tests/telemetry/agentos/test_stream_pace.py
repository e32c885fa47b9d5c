"""The period of a stream's text, by the times that its reader sees."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from telemetry.agentos.stream_pace import StreamPace


def read(*chunks: tuple[float, float], first: float = 1.0) -> StreamPace:
    """A stream whose first text comes at ``first``; of each later one how long the reader holds up, and then waits for it."""
    pace, now = StreamPace(), first
    pace.come(now, has_text=True)
    for held, waited in chunks:
        pace.ask(now + held)
        now += held + waited
        pace.come(now, has_text=True)
    return pace


def test_period_is_from_the_first_text_to_the_last_one() -> None:
    """Chunks without text before, between and after the texts make no difference."""
    pace = StreamPace()
    for now, has_text in ((1.0, False), (2.0, True), (3.5, True), (4.0, False), (6.0, True), (9.0, False)):
        pace.come(now, has_text=has_text)
    assert (pace.first, pace.period) == (2.0, 4.0)


@pytest.mark.parametrize("times", [(), (2.0,), (2.0, 2.0)], ids=["none", "one", "at once"])
def test_text_that_comes_at_once_has_no_period(times: tuple[float, ...]) -> None:
    """No text, a single one, and several at the same time have no period."""
    pace = StreamPace()
    for now in times:
        pace.come(now, has_text=True)
    assert pace.period is None


def test_reader_who_is_faster_makes_no_difference() -> None:
    """Where the provider is waited for after each chunk, the time that the reader took with them is in the period."""
    assert read((0.0, 0.5), (0.25, 0.25), (0.5, 0.0009765625), (0.25, 0.25)).period == 1.5009765625 + 0.5


def test_reader_who_catches_up_makes_no_difference() -> None:
    """A reader who held up the stream, and then waits for the last text, has the provider's period."""
    assert read((10.0, 0.0), (0.0, 0.0), (0.0, 0.0), (0.0, 0.5)).period == 10.5


def test_reader_who_sets_the_pace() -> None:
    """Where the chunks were there before the reader asked for them, the provider's pace is not known."""
    assert read((0.5, 0.0), (0.5, 0.0)).period is None
    assert read((0.5, 0.0005), (0.5, 0.0005)).period is None


def test_some_unknown_time_is_allowed() -> None:
    """Up to a tenth of the period the last text may have come in unknown time."""
    assert read((0.0, 0.875), (0.125, 0.0), first=0.0).period is None
    assert read((0.0, 0.9375), (0.0625, 0.0), first=0.0).period == 1.0


@settings(deadline=None)
@given(
    provider=st.lists(st.floats(0.002, 1), min_size=1, max_size=50),
    reader=st.lists(st.floats(0, 1.5), min_size=50, max_size=50),
)
def test_period_is_the_providers_or_none(provider: list[float], reader: list[float]) -> None:
    """Whatever times provider and reader take: the period is the provider's, at most a ninth longer, or not known."""
    pace, sent, now = StreamPace(), 1.0, 1.0
    pace.come(now, has_text=True)
    for gap, held in zip(provider, reader, strict=False):
        sent += gap
        pace.ask(now + held)
        now = max(now + held, sent)
        pace.come(now, has_text=True)
    if pace.period is not None:
        assert sent - 1.0 - 0.001 * len(provider) <= pace.period <= (sent - 1.0 + 0.001 * len(provider)) / 0.9 + 1e-9
