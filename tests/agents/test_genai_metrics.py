"""OpenTelemetry's GenAI metrics: their values, their version of the conventions, and where they are shown."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import pytest
from opentelemetry.sdk.metrics.export import HistogramDataPoint, InMemoryMetricReader, NumberDataPoint

from agents.main import create_app
from agents.observability.selection import CatalogueSelection
from agents.services.ccr_router import Router, RouterError
from agents.services.providers.builtin import BuiltinProvider, tokens
from agents.settings import ProviderSettings, Settings, SettingsError
from telemetry import AgentOSTelemetry, Telemetry, current
from telemetry.agentos.catalogue import AGENTOS
from telemetry.agentos.catalogue_genai import LATEST, V1_36, V1_41
from telemetry.agentos.catalogue_models import PROTOCOL_CODES, ROWS
from telemetry.metric import Catalogue
from tests.helpers.clock import Clock
from tests.helpers.model_server import ASKED, DONE, Bench, Gate, ModelServer, bench, refusal, says, usage, used, whole

COUNTERS = ("input_tokens", "output_tokens", "cache_read.input_tokens", "cache_write.input_tokens", "reasoning.output_tokens")
WAYS = ("input", "output")
USAGE = "gen_ai.client.inference.usage"
SECOND = Catalogue([*AGENTOS, *V1_41.rows])
LATEST_OPT_IN = {"OTEL_SEMCONV_STABILITY_OPT_IN": "http, gen_ai_latest_experimental"}


def points(telemetry: Telemetry, name: str) -> list[HistogramDataPoint]:
    """The data points of a metric as every reader gets them."""
    data = telemetry.reader.state()
    assert data is not None
    metrics = [m for rm in data.resource_metrics for sm in rm.scope_metrics for m in sm.metrics if m.name == name]
    return [point for metric in metrics for point in metric.data.data_points if isinstance(point, HistogramDataPoint)]


def counted(telemetry: Telemetry, name: str) -> dict[Any, float]:
    """What a counter of tokens has counted, by modality."""
    data = telemetry.reader.state()
    assert data is not None
    metrics = [m for rm in data.resource_metrics for sm in rm.scope_metrics for m in sm.metrics if m.name == f"{USAGE}.{name}"]
    found = [point for metric in metrics for point in metric.data.data_points if isinstance(point, NumberDataPoint)]
    return {(point.attributes or {})["gen_ai.token.modality"]: point.value for point in found}


def common(one: Bench, **more: Any) -> Mapping[str, Any]:
    target = one.router.target("main")
    return {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "m",
        "server.address": "127.0.0.1",
        "server.port": int(target.port),
    } | more


class Streamed:
    """A stream of three chunks after 0.5, 2 and 0.25 seconds."""

    def __init__(self, *end: Any) -> None:
        self._gates = [Gate(), Gate(), Gate()]
        texts = (says("fine"), says(", "), says("thanks"))
        self.server = ModelServer([*(part for pair in zip(self._gates, texts, strict=True) for part in pair), *end, DONE])

    async def read(self, one: Bench) -> None:
        come = asyncio.Queue[str]()
        asking = asyncio.create_task(one.read_into(come))
        for gate, seconds in zip(self._gates, (0.5, 2.0, 0.25), strict=True):
            await gate.wait_until_reached()
            one.clock.now += seconds
            gate.opened.set()
            await come.get()
        await asking


async def test_streamed_call_as_the_client_sees_it():
    """In 1.41.0 a streamed call records duration, tokens and chunks, with the conventions' attributes and types."""
    stream = Streamed(used(11, 5))
    async with bench(SECOND, main=stream.server) as one:
        await stream.read(one)
        answered = common(one, **{"gen_ai.response.model": "m-2026"})
        (duration,) = points(one.telemetry, "gen_ai.client.operation.duration")
        (chunk,) = points(one.telemetry, "gen_ai.client.operation.time_to_first_chunk")
        (later,) = points(one.telemetry, "gen_ai.client.operation.time_per_output_chunk")
        tokens = {
            p.attributes["gen_ai.token.type"]: p.sum for p in points(one.telemetry, "gen_ai.client.token.usage") if p.attributes
        }
    assert [duration.attributes, chunk.attributes, later.attributes] == [answered] * 3
    assert (duration.count, duration.sum, chunk.sum) == (1, 2.75, 0.5)
    assert (later.count, later.sum, later.max) == (2, 2.25, 2.0)
    assert tokens == {"input": 11, "output": 5}
    assert points(one.telemetry, "gen_ai.server.request.duration") == []


async def test_streamed_call_of_the_latest_version():
    """It records duration, first and later chunks, the tokens of the call, and each token once by modality."""
    details = {"prompt_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 3, "text_tokens": 8, "image_tokens": 2}}
    details["completion_tokens_details"] = {"reasoning_tokens": 2, "audio_tokens": 1}
    stream = Streamed({**used(11, 5), "usage": {"prompt_tokens": 11, "completion_tokens": 5, "total_tokens": 16, **details}})
    async with bench(main=stream.server) as one:
        await stream.read(one)
        names = (
            "duration",
            "time_to_first_chunk",
            "time_per_output_chunk",
            "operation.input_tokens",
            "operation.output_tokens",
        )
        found = [points(one.telemetry, f"gen_ai.client.inference.{name}") for name in names]
        answered = common(one, **{"gen_ai.response.model": "m-2026"})
        assert [[point.attributes for point in each] for each in found] == [[answered]] * 5
        assert [each[0].sum for each in found] == [2.75, 0.5, 2.25, 11, 5]
        assert [each[0].count for each in found] == [1, 1, 2, 1, 1]
        assert {name: counted(one.telemetry, name) for name in COUNTERS} == {
            "input_tokens": {"text": 8, "image": 2, "unknown": 1},
            "output_tokens": {"audio": 1, "unknown": 4},
            "cache_read.input_tokens": {"unknown": 4},
            "cache_write.input_tokens": {"unknown": 3},
            "reasoning.output_tokens": {"unknown": 2},
        }
        assert points(one.telemetry, "gen_ai.client.operation.duration") == []
        (span,) = one.attempts()
    assert span.attributes is not None
    assert {key: value for key, value in span.attributes.items() if key.startswith(("gen_ai.usage", "gen_ai.response"))} == {
        "gen_ai.response.model": "m-2026",
        "gen_ai.response.time_to_first_chunk": 0.5,
        "gen_ai.usage.input_tokens": 11,
        "gen_ai.usage.output_tokens": 5,
        "gen_ai.usage.cache_read.input_tokens": 4,
        "gen_ai.usage.cache_write.input_tokens": 3,
        "gen_ai.usage.reasoning.output_tokens": 2,
        "gen_ai.usage.text.input_tokens": 8,
        "gen_ai.usage.image.input_tokens": 2,
        "gen_ai.usage.audio.output_tokens": 1,
    }


@pytest.mark.parametrize("answer", [refusal(503), [says("fine"), DONE]], ids=["failed", "no usage"])
async def test_call_without_usage_counts_as_no_tokens(answer):
    """In the latest version a call without usage, failed or not, is 0 tokens of unknown modality, and 0 tokens a call."""
    async with bench(main=ModelServer(answer)) as one:
        with suppress(RouterError):
            await one.text()
        assert {name: counted(one.telemetry, name) for name in COUNTERS} == {name: {"unknown": 0} for name in COUNTERS}
        failed = {"error.type": "503"} if not isinstance(answer, list) else {"gen_ai.response.model": ""}
        for way in WAYS:
            (point,) = points(one.telemetry, f"gen_ai.client.inference.operation.{way}_tokens")
            assert (point.count, point.sum) == (1, 0)
            assert point.attributes == {key: value for key, value in common(one, **failed).items() if value}


async def test_unstreamed_call_has_no_chunks():
    """A call that is not streamed has no time of chunks, on its span neither."""
    async with bench(main=ModelServer(whole("fine", **usage(11, 5))), each={"main": {"stream": False}}) as one:
        assert await one.text() == "fine"
        (duration,) = points(one.telemetry, "gen_ai.client.inference.duration")
        assert duration.count == 1
        assert points(one.telemetry, "gen_ai.client.inference.time_to_first_chunk") == []
        (span,) = one.attempts()
    assert span.attributes is not None
    assert {"gen_ai.request.stream", "gen_ai.response.time_to_first_chunk"} & set(span.attributes) == set()


async def test_span_of_an_older_version_has_its_names():
    """In the older versions the span names written tokens by 1.41.0, has what is 0 too, and nothing of a later version."""
    report = {
        "prompt_tokens": 11,
        "completion_tokens": 5,
        "prompt_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 3},
    }
    report["prompt_tokens_details"]["text_tokens"] = 11  # type: ignore[index]
    for catalogue in (SECOND, Catalogue([*AGENTOS, *V1_36.rows]), AGENTOS):
        async with bench(catalogue, main=ModelServer([says("fine"), {**used(11, 5), "usage": report}, DONE])) as one:
            await one.text()
            (span,) = one.attempts()
        assert span.attributes is not None
        assert {key: value for key, value in span.attributes.items() if key.startswith("gen_ai.")} == {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": "openai",
            "gen_ai.request.model": "m",
            "gen_ai.response.model": "m-2026",
            "gen_ai.usage.input_tokens": 11,
            "gen_ai.usage.output_tokens": 5,
            "gen_ai.usage.cache_read.input_tokens": 0,
            "gen_ai.usage.cache_creation.input_tokens": 3,
        }


async def test_failed_call_has_its_error_type():
    """A failed attempt's error.type is the HTTP status; in 1.41.0 it has no model that answered, no tokens and no chunks."""
    async with bench(SECOND, main=ModelServer(refusal(503))) as one:
        with pytest.raises(Exception, match="no provider"):
            await one.text()
        (duration,) = points(one.telemetry, "gen_ai.client.operation.duration")
        assert duration.attributes == common(one, **{"error.type": "503"})
        assert points(one.telemetry, "gen_ai.client.token.usage") == []
        assert points(one.telemetry, "gen_ai.client.operation.time_to_first_chunk") == []


@pytest.mark.parametrize("version", [V1_41, LATEST], ids=["1.41.0", "latest"])
async def test_built_in_model_is_a_server_too(version):
    """A model that runs in this process records the server's metrics too; it has its own vendor and no address."""
    clock = Clock()

    async def sleep(seconds: float) -> None:
        clock.now += seconds

    telemetry = AgentOSTelemetry(Catalogue([*AGENTOS, *version.rows]), strict=True, clock=clock)
    router = Router({"main": BuiltinProvider(ProviderSettings(latency=3.0), sleep)}, {}, telemetry.recorder, clock=clock)
    assert [piece async for piece in router.stream(ASKED)]
    (duration,) = points(telemetry, "gen_ai.server.request.duration")
    (first,) = points(telemetry, "gen_ai.server.time_to_first_token")
    (each,) = points(telemetry, "gen_ai.server.time_per_output_token")
    output = BuiltinProvider(ProviderSettings())
    written = len(tokens("".join([piece async for piece in output.answer(ASKED) if isinstance(piece, str)])))
    assert duration.attributes == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "agentos",
        "gen_ai.request.model": "builtin-1",
        "gen_ai.response.model": "builtin-1",
    }
    assert (duration.sum, first.sum, each.sum) == (3.0, 1.0, 2.0 / (written - 1))
    assert counted(telemetry, "output_tokens") == ({"text": written} if version is LATEST else {})
    telemetry.shutdown()


async def test_older_version_has_its_own_names():
    """Without the opt-in the conventions of 1.36.0 are recorded: gen_ai.system, and no chunks."""
    async with bench(Catalogue([*AGENTOS, *V1_36.rows]), main=ModelServer([says("fine"), used(1, 1), DONE])) as one:
        await one.text()
        (duration,) = points(one.telemetry, "gen_ai.client.operation.duration")
        assert duration.attributes is not None
        assert duration.attributes["gen_ai.system"] == "openai"
        assert "gen_ai.provider.name" not in duration.attributes
        assert points(one.telemetry, "gen_ai.client.operation.time_to_first_chunk") == []


@pytest.mark.parametrize(
    ("setting", "name", "environ", "version", "scraped"),
    [
        ("auto", "auto", {}, None, True),
        ("auto", "auto", {"OTEL_SEMCONV_STABILITY_OPT_IN": "http"}, None, True),
        ("auto", "auto", LATEST_OPT_IN, LATEST, False),
        ("auto", "genai-0.1.0", {}, None, True),
        ("auto", "1.41.0", LATEST_OPT_IN, V1_41, False),
        ("off", "auto", LATEST_OPT_IN, None, True),
        ("otlp", "auto", {}, V1_36, False),
        ("otlp", "auto", LATEST_OPT_IN, LATEST, False),
        ("otlp", "1.36.0", LATEST_OPT_IN, V1_36, False),
        ("otlp", "1.41.0", {}, V1_41, False),
        ("otlp", "genai-0.1.0", {}, LATEST, False),
        ("all", "auto", LATEST_OPT_IN, LATEST, True),
        ("all", "1.41.0", LATEST_OPT_IN, V1_41, True),
    ],
)
def test_settings_choose_version_and_place(setting, name, environ, version, scraped):
    """The GenAI metrics are off by default; the conventions' variable or a setting chooses the version, the former OTLP too."""
    selection = CatalogueSelection(Settings(genai_metrics=setting, genai_version=name), environ)
    assert list(selection.catalogue) == [*AGENTOS, *(version.rows if version else ())]
    assert (selection.select is None or selection.select("agentos.telemetry", "gen_ai.client.operation.duration")) == scraped
    assert selection.select is None or selection.select("agentos.telemetry", "ccr.requests")


@pytest.mark.parametrize(
    ("name", "opt_in", "version"),
    [
        ("auto", None, V1_36),
        ("auto", "gen_ai_latest_experimental", LATEST),
        ("genai-0.1.0", None, LATEST),
        ("1.41.0", "gen_ai_latest_experimental", V1_41),
    ],
)
def test_spans_follow_the_version_without_metrics(monkeypatch, name, opt_in, version):
    """Where the GenAI metrics are off, the spans of model calls are of the chosen version all the same."""
    monkeypatch.delenv("OTEL_SEMCONV_STABILITY_OPT_IN", raising=False)
    if opt_in:
        monkeypatch.setenv("OTEL_SEMCONV_STABILITY_OPT_IN", opt_in)
    create_app(Settings(genai_metrics="off", genai_version=name))
    assert current().genai is version
    current().shutdown()


def test_version_that_is_not_known_is_one_sentence():
    """A version that is not known stops the start with the setting, its value and what is allowed."""
    with pytest.raises(SettingsError) as error:
        Settings.from_environment({"AGENTOS_GENAI_VERSION": "1.37.0"})
    assert str(error.value) == "AGENTOS_GENAI_VERSION is '1.37.0': auto or 1.36.0 or 1.41.0 or genai-0.1.0 is needed."


def test_second_part_is_a_setting():
    """AGENTOS_MODEL_METRICS adds the rows beside the contract; their labels know the values of the settings."""
    assert list(CatalogueSelection(Settings(), {}).catalogue) == list(AGENTOS)
    selection = CatalogueSelection(Settings(model_metrics=True, providers={"a": {"model": "x"}, "b": {"model": "y"}}), {})
    assert list(selection.catalogue) == [*AGENTOS, *ROWS]
    assert {key: set(values) for key, values in selection.known.items()} == {
        "model": {"x", "y"},
        "from_provider": {"a", "b"},
        "to_provider": {"a", "b"},
        "rpc.response.status_code": set(PROTOCOL_CODES),
    }


def test_pushed_and_not_scraped():
    """With ``otlp`` a GenAI metric is at other readers and not on /metrics; all others are on both."""
    selection, other = CatalogueSelection(Settings(genai_metrics="otlp"), LATEST_OPT_IN), InMemoryMetricReader()
    telemetry = AgentOSTelemetry(selection.catalogue, select=selection.select, metric_readers=[other])
    labels = {"gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai", "gen_ai.request.model": "m"}
    telemetry[LATEST.duration].record(1.5, labels)
    telemetry.recorder.record_ccr_request("p", "t", "success")
    pushed = other.get_metrics_data()
    assert pushed is not None
    names = {m.name for rm in pushed.resource_metrics for sm in rm.scope_metrics for m in sm.metrics}
    body = telemetry.reader.expose().body
    assert {"gen_ai.client.inference.duration", "ccr.requests"} <= names
    assert b"gen_ai" not in body
    assert b"ccr_requests_total" in body
    telemetry.shutdown()


@pytest.mark.parametrize(
    "answer", [[says("fine"), says(", thanks"), used(11, 5), DONE], refusal(503)], ids=["answer", "failure"]
)
async def test_exemplars_name_the_span_that_carries_the_labels(answer):
    """Each measurement of a call leaves an exemplar of its span, which carries each label but the modality."""
    async with bench(main=ModelServer(answer)) as one:
        with suppress(RouterError):
            await one.text()
        (span,) = one.attempts()
        data = one.telemetry.reader.state()
    assert data is not None
    assert span.attributes is not None
    metrics = [m for rm in data.resource_metrics for sm in rm.scope_metrics for m in sm.metrics if m.name.startswith("gen_ai.")]
    found = [point for metric in metrics for point in metric.data.data_points]
    assert len(found) == (10 if isinstance(answer, list) else 8)
    for point in found:
        labels = {key: value for key, value in (point.attributes or {}).items() if key != "gen_ai.token.modality"}
        assert labels.items() <= span.attributes.items()
        assert {exemplar.span_id for exemplar in point.exemplars} == {span.context.span_id}
