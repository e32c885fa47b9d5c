"""Tokens of model calls that end in any way: each is reported, or estimated, or neither, and none of them is both."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from itertools import pairwise
from math import ceil

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from telemetry import AgentOSTelemetry
from telemetry.agentos import catalogue_models, catalogue_workspaces
from telemetry.agentos.catalogue import AGENTOS
from telemetry.agentos.catalogue_models import MODELS
from telemetry.agentos.estimate import quarter_of_bytes
from telemetry.agentos.genai import Target
from telemetry.agentos.tokens import Tokens
from telemetry.metric import Catalogue
from tests.helpers.clock import Clock
from tests.helpers.samples import above_zero, labelled

TARGET = Target("p", "openai", "m")
PROMPT = "wie spät ist es?"
ENDS: Mapping[str, BaseException | None] = {
    "complete": None,
    "closed": GeneratorExit(),
    "cancelled": asyncio.CancelledError(),
    "failed": OSError(),
}


@dataclass(frozen=True)
class Scripted:
    """A call: texts of chunks, and reports of usage among them; and how it ends."""

    steps: list[str | Tokens]
    end: str

    @property
    def reported(self) -> Tokens:
        """The last report."""
        return next((step for step in reversed(self.steps) if isinstance(step, Tokens)), Tokens())

    @property
    def estimated(self) -> dict[str, int]:
        """What counts as estimated, by the documented rule."""
        chunks = [step for step in self.steps if isinstance(step, str)]
        total = (self.reported.total_tokens or 0) - (self.reported.input_tokens or 0) - (self.reported.output_tokens or 0)
        if self.end not in ("closed", "cancelled") or not chunks or total > 0:
            return {}
        found = {"input": ceil(len(PROMPT.encode()) / 4), "output": ceil(len("".join(chunks).encode()) / 4)}
        known = {"input": self.reported.input_tokens, "output": self.reported.output_tokens}
        return {direction: count for direction, count in found.items() if count and not known[direction]}


NUMBER = st.none() | st.integers(0, 1000)
REPORTS = st.builds(Tokens, input_tokens=NUMBER, output_tokens=NUMBER, total_tokens=NUMBER)
CALLS = st.builds(Scripted, st.lists(st.text(max_size=12) | REPORTS, max_size=12), st.sampled_from(list(ENDS)))


def make(telemetry: AgentOSTelemetry, call: Scripted) -> None:
    """Makes one scripted call at a cent for each token, as the router does."""
    error = ENDS[call.end]
    attempt = telemetry.recorder.model_attempt(Target("p", "openai", "m"), "question", 1, "acme")
    attempt.__enter__()
    for step in call.steps:
        if isinstance(step, Tokens):
            attempt.used(step, sum((Decimal(count) for count in step.kinds.values()), Decimal(0)) / 100)
        else:
            attempt.chunk(step)
    if isinstance(error, asyncio.CancelledError | GeneratorExit):
        attempt.estimate_input(PROMPT)
    attempt.__exit__(type(error) if error else None, error, None)


def by_direction(telemetry: AgentOSTelemetry, name: str) -> dict[str, float]:
    return {dict(labels)["direction"]: count for (_, labels), count in above_zero(telemetry, name).items()}


@settings(deadline=None, max_examples=60)
@example([Scripted([Tokens(output_tokens=1), "text", Tokens(output_tokens=0)], "closed")])
@given(calls=st.lists(CALLS, min_size=1, max_size=6))
def test_reported_and_estimated_tokens_are_apart(calls: list[Scripted]) -> None:
    """Reported tokens are those of the last reports; estimates are of what cancelled calls did not report."""
    catalogue = Catalogue([*MODELS, *catalogue_workspaces.ROWS])
    telemetry = AgentOSTelemetry(catalogue, strict=True)
    for call in calls:
        make(telemetry, call)
    estimated = {way: sum(call.estimated.get(way, 0) for call in calls) for way in ("input", "output")}
    estimated = {way: count for way, count in estimated.items() if count}
    assert by_direction(telemetry, "ccr_estimated_tokens_total") == estimated
    assert by_direction(telemetry, "workspace_estimated_tokens_total") == estimated
    reported = sum(sum(call.reported.kinds.values()) for call in calls)
    for name in ("ccr_tokens_total", "ccr_model_tokens_total", "workspace_tokens_total"):
        assert sum(above_zero(telemetry, name).values()) == reported
    assert sum(above_zero(telemetry, "ccr_cost_USD_total").values()) == float(Decimal(reported) / 100)
    uncertain = [call for call in calls if call.estimated]
    assert sum(above_zero(telemetry, "ccr_unpriced_total").values()) >= len(uncertain)
    telemetry.shutdown()


@settings(deadline=None)
@given(text=st.text(), cuts=st.lists(st.integers(0, 100), max_size=5))
def test_estimate_does_not_depend_on_the_pieces(text: str, cuts: list[int]) -> None:
    """The estimates of a text's pieces add up to that of the whole text, exactly."""
    places = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
    pieces = [text[start:end] for start, end in pairwise(places)]
    assert sum(map(quarter_of_bytes, pieces)) == quarter_of_bytes(text) == len(text.encode()) / 4


@pytest.mark.parametrize(("text", "tokens"), [("", 0), ("word", 1), ("words", 1.25), ("日本", 1.5), ("\ud800", 0.75)])
def test_estimate_is_a_quarter_of_the_bytes(text: str, tokens: float) -> None:
    """A quarter of the bytes in UTF-8, halves of surrogate pairs included."""
    assert quarter_of_bytes(text) == tokens


def test_nothing_is_estimated_where_no_estimate_is_recorded() -> None:
    """With the contract's catalogue alone, the estimate, which may be a tokenizer, is never called."""
    telemetry = AgentOSTelemetry(AGENTOS, strict=True)
    asked: list[str] = []
    telemetry.recorder.models.estimate = lambda text: float(asked.append(text) is None)
    with pytest.raises(asyncio.CancelledError), telemetry.recorder.model_attempt(TARGET, "question", 1) as attempt:
        attempt.chunk("Hello")
        attempt.estimate_input(PROMPT)
        raise asyncio.CancelledError
    telemetry.shutdown()
    assert asked == []


@pytest.mark.parametrize("row", ["FIRST_TOKEN", "INTER_TOKEN_LATENCY", "OUTPUT_RATE"])
def test_a_row_of_streams_needs_none_of_the_others(row: str, clock: Clock) -> None:
    """A catalogue of one's own with a single row of streams records it."""
    metric = getattr(catalogue_models, row)
    telemetry = AgentOSTelemetry(Catalogue([*AGENTOS, metric]), strict=True, clock=clock)
    with telemetry.recorder.model_attempt(TARGET, "question", 1) as attempt:
        for _ in range(3):
            clock.now += 0.5
            attempt.chunk("Hello")
            attempt.ask()
        attempt.used(Tokens(3, 3), None)
    recorded = above_zero(telemetry, metric.prometheus_name)
    telemetry.shutdown()
    assert recorded[labelled(f"{metric.prometheus_name}_count", provider="p")] == 1.0
