"""OpenTelemetry's GenAI metrics: their values, their version of the conventions, and where they are shown."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest
from opentelemetry.sdk.metrics.export import HistogramDataPoint, InMemoryMetricReader

from agents.observability.selection import CatalogueSelection
from agents.services.ccr_router import Router
from agents.services.providers.builtin import BuiltinProvider
from agents.settings import ProviderSettings, Settings
from telemetry import AgentOSTelemetry, Telemetry
from telemetry.agentos.catalogue import AGENTOS
from telemetry.agentos.catalogue_genai import LATEST, V1_36
from telemetry.agentos.catalogue_models import PROTOCOL_CODES, ROWS
from telemetry.metric import Catalogue
from tests.helpers.clock import Clock
from tests.helpers.model_server import ASKED, DONE, Bench, Gate, ModelServer, bench, refusal, says, used

LATEST_OPT_IN = {"OTEL_SEMCONV_STABILITY_OPT_IN": "http, gen_ai_latest_experimental"}


def points(telemetry: Telemetry, name: str) -> list[HistogramDataPoint]:
    """The data points of a metric as every reader gets them."""
    data = telemetry.reader.state()
    assert data is not None
    metrics = [m for rm in data.resource_metrics for sm in rm.scope_metrics for m in sm.metrics if m.name == name]
    return [point for metric in metrics for point in metric.data.data_points if isinstance(point, HistogramDataPoint)]


def common(one: Bench, **more: Any) -> Mapping[str, Any]:
    target = one.router.target("main")
    return {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "m",
        "server.address": "127.0.0.1",
        "server.port": int(target.port),
    } | more


async def test_streamed_call_as_the_client_sees_it():
    """A streamed call records duration, tokens, first chunk and later chunks, with the conventions' attributes and types."""
    first, second, third = Gate(), Gate(), Gate()
    server = ModelServer([first, says("fine"), second, says(", "), third, says("thanks"), used(11, 5), DONE])
    async with bench(main=server) as one:
        come = asyncio.Queue[str]()
        asking = asyncio.create_task(one.read_into(come))
        for gate, seconds in ((first, 0.5), (second, 2.0), (third, 0.25)):
            await gate.wait_until_reached()
            one.clock.now += seconds
            gate.opened.set()
            await come.get()
        await asking
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


async def test_failed_call_has_its_error_type():
    """A failed attempt's error.type is the HTTP status; it has no model that answered, no tokens and no chunks."""
    async with bench(main=ModelServer(refusal(503))) as one:
        with pytest.raises(Exception, match="no provider"):
            await one.text()
        (duration,) = points(one.telemetry, "gen_ai.client.operation.duration")
        assert duration.attributes == common(one, **{"error.type": "503"})
        assert points(one.telemetry, "gen_ai.client.token.usage") == []
        assert points(one.telemetry, "gen_ai.client.operation.time_to_first_chunk") == []


async def test_built_in_model_is_a_server_too():
    """A model that runs in this process records the server's metrics too; it has its own vendor and no address."""
    clock = Clock()

    async def sleep(seconds: float) -> None:
        clock.now += seconds

    telemetry = AgentOSTelemetry(Catalogue([*AGENTOS, *LATEST.rows]), strict=True, clock=clock)
    router = Router({"main": BuiltinProvider(ProviderSettings(latency=3.0), sleep)}, {}, telemetry.recorder, clock=clock)
    assert [piece async for piece in router.stream(ASKED)]
    (duration,) = points(telemetry, "gen_ai.server.request.duration")
    (first,) = points(telemetry, "gen_ai.server.time_to_first_token")
    (each,) = points(telemetry, "gen_ai.server.time_per_output_token")
    (usage,) = (p for p in points(telemetry, "gen_ai.client.token.usage") if "output" in (p.attributes or {}).values())
    assert duration.attributes == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "agentos",
        "gen_ai.request.model": "builtin-1",
        "gen_ai.response.model": "builtin-1",
    }
    assert (duration.sum, first.sum, each.sum) == (3.0, 1.0, 2.0 / (usage.sum - 1))
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
    ("setting", "environ", "rows", "scraped"),
    [
        ("auto", {}, (), True),
        ("auto", {"OTEL_SEMCONV_STABILITY_OPT_IN": "http"}, (), True),
        ("auto", LATEST_OPT_IN, LATEST.rows, False),
        ("off", LATEST_OPT_IN, (), True),
        ("otlp", {}, V1_36.rows, False),
        ("otlp", LATEST_OPT_IN, LATEST.rows, False),
        ("all", LATEST_OPT_IN, LATEST.rows, True),
    ],
)
def test_settings_choose_version_and_place(setting, environ, rows, scraped):
    """The GenAI metrics are off by default; the conventions' variable chooses the version and alone switches OTLP on."""
    selection = CatalogueSelection(Settings(genai_metrics=setting), environ)
    assert list(selection.catalogue) == [*AGENTOS, *rows]
    assert (selection.select is None or selection.select("agentos.telemetry", "gen_ai.client.operation.duration")) == scraped
    assert selection.select is None or selection.select("agentos.telemetry", "ccr.requests")


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
    assert {"gen_ai.client.operation.duration", "ccr.requests"} <= names
    assert b"gen_ai" not in body
    assert b"ccr_requests_total" in body
    telemetry.shutdown()
