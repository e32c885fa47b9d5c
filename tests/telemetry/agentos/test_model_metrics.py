"""What the router of model calls records beside the contract."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

import pytest
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from telemetry import AgentOSTelemetry
from telemetry.agentos.catalogue_genai import LATEST
from telemetry.agentos.catalogue_models import MODELS
from telemetry.agentos.genai import Target
from telemetry.agentos.model_metrics import ModelMetrics
from telemetry.agentos.tokens import Modalities, Tokens
from telemetry.metric import Catalogue
from tests.helpers.samples import above_zero, labelled, read

TARGET = Target("p", "openai", "m")


@pytest.fixture
def telemetry() -> Iterator[AgentOSTelemetry]:
    one = AgentOSTelemetry(MODELS, strict=True)
    yield one
    one.shutdown()


@pytest.fixture
def models(telemetry: AgentOSTelemetry) -> ModelMetrics:
    return telemetry.recorder.models


def exposed(telemetry: AgentOSTelemetry, name: str) -> list[str]:
    return [line for line in telemetry.reader.expose().body.decode().splitlines() if line.startswith(name)]


def test_state_of_a_breaker_stays_from_scrape_to_scrape(telemetry: AgentOSTelemetry, models: ModelMetrics) -> None:
    """A breaker's state that was set once is in every scrape until it changes; each change is counted."""
    models.record_breaker("p", "open")
    assert [exposed(telemetry, "ccr_breaker_state{")] * 2 == [['ccr_breaker_state{provider="p"} 2.0']] * 2
    models.record_breaker("p", "closed")
    assert exposed(telemetry, "ccr_breaker_state{") == ['ccr_breaker_state{provider="p"} 0.0']
    assert above_zero(telemetry, "ccr_breaker_changes") == {
        labelled("ccr_breaker_changes_total", provider="p", state="open"): 1.0,
        labelled("ccr_breaker_changes_total", provider="p", state="closed"): 1.0,
    }


def test_cost_is_exact(telemetry: AgentOSTelemetry, models: ModelMetrics) -> None:
    """A thousand costs of 0.1 USD make 100 USD, where floats would make 99.9999999999986."""
    floats = 0.0
    for _ in range(1000):
        models.add_cost(TARGET, Decimal("0.1"))
        floats += 0.1
    assert floats != 100
    assert exposed(telemetry, "ccr_cost_USD_total") == ['ccr_cost_USD_total{model="m",provider="p"} 100.0']


def test_decisions_of_the_router_are_counted(telemetry: AgentOSTelemetry, models: ModelMetrics) -> None:
    """Retries, skips and fall-backs are counted by reason, the attempts of an answer observed."""
    models.record_skip("p", "queue")
    models.record_fallback("p", "q", "queue")
    models.record_retry("q", "timeout")
    models.record_answer("chat", "success", 2)
    found = {key: v for key, v in above_zero(telemetry, "ccr_").items() if not key[0].endswith("_bucket")}
    assert found == {
        labelled("ccr_skips_total", provider="p", reason="queue"): 1.0,
        labelled("ccr_fallbacks_total", from_provider="p", to_provider="q", reason="queue"): 1.0,
        labelled("ccr_retries_total", provider="q", reason="timeout"): 1.0,
        labelled("ccr_attempts_count", task_type="chat", status="success"): 1.0,
        labelled("ccr_attempts_sum", task_type="chat", status="success"): 2.0,
    }


def test_call_is_queued_while_its_block_runs(telemetry: AgentOSTelemetry, models: ModelMetrics) -> None:
    """A call counts as queued until its block ends, by an exception too."""
    queued = labelled("ccr_queued", provider="p")
    with pytest.raises(TimeoutError), models.queued("p"):
        assert read(telemetry)[queued] == 1.0
        raise TimeoutError
    assert read(telemetry)[queued] == 0.0


def test_series_of_a_provider_start_at_zero(telemetry: AgentOSTelemetry, models: ModelMetrics) -> None:
    """A provider has its series at 0 before its first call, its breaker as closed."""
    models.initialize_provider(TARGET)
    models.initialize_route(["p", "q"])
    found = read(telemetry)
    assert found[labelled("ccr_retries_total", provider="p", reason="timeout")] == 0.0
    assert found[labelled("ccr_fallbacks_total", from_provider="p", to_provider="q", reason="timeout")] == 0.0
    assert found[labelled("ccr_model_tokens_total", provider="p", model="m", kind="input")] == 0.0
    assert found[labelled("ccr_cost_USD_total", provider="p", model="m")] == 0.0
    assert found[labelled("ccr_breaker_state", provider="p")] == 0.0
    assert found[labelled("ccr_in_flight", provider="p")] == 0.0


def test_catalogue_without_the_rows_records_nothing(traced: AgentOSTelemetry) -> None:
    """With the contract's rows alone the router's decisions are recorded nowhere, and nothing fails."""
    models = traced.recorder.models
    before = read(traced)
    models.initialize_provider(TARGET)
    models.initialize_route(["p", "q"])
    models.record_breaker("p", "open")
    models.add_cost(TARGET, Decimal(1))
    models.record_retry("p", "timeout")
    with models.queued("p"):
        pass
    assert read(traced) == before


def test_intervals_of_a_very_long_stream_have_a_limit() -> None:
    """A server that sends chunks without end neither fills the memory nor holds up the end of its attempt."""
    telemetry = AgentOSTelemetry(Catalogue([*MODELS, *LATEST.rows]), strict=True)
    with telemetry.recorder.model_attempt(TARGET, "question", 1) as attempt:
        for _ in range(20_000):
            attempt.chunk("")
        attempt.chunk("late")
    (line,) = exposed(telemetry, "gen_ai_client_inference_time_per_output_chunk_seconds_count")
    assert line.endswith(" 9999")
    assert exposed(telemetry, "ccr_time_to_first_token_seconds_count") == [
        'ccr_time_to_first_token_seconds_count{provider="p"} 1'
    ]
    telemetry.shutdown()


@pytest.mark.parametrize(("port", "shown"), [("", None), ("https", None), ("443", 443)])
def test_address_needs_no_port(port: str, shown: int | None) -> None:
    """A target's address without a port, or with a word for it, is on the span without one: the call is not disturbed."""
    spans = InMemorySpanExporter()
    telemetry = AgentOSTelemetry(MODELS, strict=True, span_processors=[SimpleSpanProcessor(spans)])
    with telemetry.recorder.model_attempt(Target("p", "openai", "m", "host", port), "question", 1):
        pass
    (span,) = spans.get_finished_spans()
    attributes = span.attributes or {}
    assert (attributes["server.address"], attributes.get("server.port")) == ("host", shown)
    telemetry.shutdown()


def test_spans_are_of_the_telemetrys_version() -> None:
    """Without metrics of the GenAI conventions the telemetry's version says how the span of a model call is written."""
    spans = InMemorySpanExporter()
    telemetry = AgentOSTelemetry(strict=True, span_processors=[SimpleSpanProcessor(spans)])
    telemetry.genai = LATEST
    with telemetry.recorder.model_attempt(TARGET, "question", 1) as attempt:
        attempt.used(Tokens(9, 1, cached_tokens=0, cache_write_tokens=4, input_modalities=Modalities(text=9)), None)
    (span,) = spans.get_finished_spans()
    assert span.attributes is not None
    assert {key: value for key, value in span.attributes.items() if key.startswith("gen_ai.usage.")} == {
        "gen_ai.usage.input_tokens": 9,
        "gen_ai.usage.output_tokens": 1,
        "gen_ai.usage.cache_write.input_tokens": 4,
        "gen_ai.usage.text.input_tokens": 9,
    }
    telemetry.shutdown()
