"""The catalogue's further parts: the conventions' names and bounds, labels that may be missing, numbers that are kept."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from opentelemetry.semconv._incubating.attributes import gen_ai_attributes
from opentelemetry.semconv._incubating.metrics import gen_ai_metrics
from opentelemetry.semconv.attributes import error_attributes, server_attributes

from telemetry import AgentOSTelemetry, Telemetry
from telemetry.agentos.catalogue import AGENTOS
from telemetry.agentos.catalogue_genai import LATEST, V1_36, opted_in
from telemetry.agentos.catalogue_models import BREAKER, COST, MODELS, ROWS
from telemetry.instruments.observable import ObservableValues
from telemetry.metric import Catalogue, CatalogueError, Metric, MultiprocessMode, counter, open_label

CONVENTION = {
    name: value for name, value in vars(gen_ai_metrics).items() if name.startswith("GEN_AI_") and isinstance(value, str)
}


class Meter:
    """Writes down what an instrument of the conventions is made of."""

    def create_histogram(self, name: str, description: str = "", unit: str = "") -> tuple[str, str, str]:
        return name, unit, description


@pytest.mark.parametrize("row", LATEST.rows, ids=lambda row: row.name)
def test_row_is_the_conventions(row):
    """Name, unit and help are those that the conventions' package makes its instrument with."""
    (constant,) = (name for name, value in CONVENTION.items() if value == row.name)
    create: Any = getattr(gen_ai_metrics, f"create_{constant.lower()}")
    assert create(Meter()) == (row.name, row.unit, row.help)


def test_all_client_and_server_metrics_are_there():
    """No client or server metric of the conventions' package is missing."""
    named = {value for value in CONVENTION.values() if value.startswith(("gen_ai.client.", "gen_ai.server."))}
    assert {row.name for row in LATEST.rows} == named


@pytest.mark.parametrize("row", [*LATEST.rows, *V1_36.rows], ids=lambda row: row.name)
def test_attributes_are_the_conventions(row):
    """Each label key is one of the conventions' attributes."""
    modules = (gen_ai_attributes, error_attributes, server_attributes)
    known = {value for module in modules for value in vars(module).values() if isinstance(value, str)}
    assert set(row.keys) <= known


def test_bounds_are_the_conventions():
    """Bucket bounds as the conventions' text has them; their package has none."""
    seconds = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92)
    tokens = (1, 4, 16, 64, 256, 1024, 4096, 16384, 65536, 262144, 1048576, 4194304, 16777216, 67108864)
    per_token = (0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5)
    first = (0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
    assert {row.name.removeprefix("gen_ai."): row.bounds for row in LATEST.rows} == {
        "client.operation.duration": seconds,
        "client.token.usage": tokens,
        "client.operation.time_to_first_chunk": seconds,
        "client.operation.time_per_output_chunk": seconds,
        "server.request.duration": seconds,
        "server.time_to_first_token": first,
        "server.time_per_output_token": per_token,
    }


@pytest.mark.parametrize(
    ("value", "answer"),
    [
        (None, False),
        ("", False),
        ("http", False),
        ("gen_ai", False),
        ("gen_ai_latest_experimental", True),
        ("http/dup, gen_ai_latest_experimental ,database", True),
        ("gen_ai_latest_experimentals", False),
    ],
)
def test_opt_in_is_one_of_a_list(value, answer):
    """The variable is a list of words with commas between; only the conventions' own word opts in."""
    environ = {} if value is None else {"OTEL_SEMCONV_STABILITY_OPT_IN": value}
    assert opted_in(environ) is answer


def test_contract_is_the_first_part():
    """The whole list starts with the contract's rows, untouched, and no row of the second part takes a name of theirs."""
    assert list(MODELS)[: len(AGENTOS)] == list(AGENTOS)
    assert not {row.prometheus_name for row in ROWS} & {row.prometheus_name for row in AGENTOS}


def exposed(telemetry: Telemetry, name: str) -> list[str]:
    return [line for line in telemetry.reader.expose().body.decode().splitlines() if line.startswith(name)]


@pytest.fixture
def gauged():
    one = AgentOSTelemetry(MODELS, strict=True)
    yield one
    one.shutdown()


def test_kept_level_stays_from_scrape_to_scrape(gauged):
    """A level that was set once is in every scrape until it is set anew."""
    level = ObservableValues(gauged[BREAKER])
    level.set(2, "p")
    assert [exposed(gauged, "ccr_breaker_state{")] * 2 == [['ccr_breaker_state{provider="p"} 2.0']] * 2
    level.set(0, "p")
    assert exposed(gauged, "ccr_breaker_state{") == ['ccr_breaker_state{provider="p"} 0.0']


def test_kept_sum_is_exact(gauged):
    """A thousand tenths are a hundred, where floats would make 99.9999999999986."""
    cost, floats = ObservableValues(gauged[COST]), 0.0
    for _ in range(1000):
        cost.add(Decimal("0.1"), "p", "m")
        floats += 0.1  # not sum(), which is compensated from Python 3.12 on
    assert floats != 100
    assert exposed(gauged, "ccr_cost_USD_total") == ['ccr_cost_USD_total{model="m",provider="p"} 100.0']


def test_workers_breakers_together_are_the_worst():
    """Two workers' breakers make the worse of the two: a provider that one worker skips is seen."""
    assert BREAKER.multiprocess_mode is MultiprocessMode.MAX


OPTIONAL = replace(open_label("error.type", "why", limit=2), optional=True)
PORT = replace(open_label("server.port", "port", limit=2, pattern="[0-9]{1,5}"), optional=True, number=True)
ROW = counter("a.calls", "{call}", "Calls", OPTIONAL, PORT)


def attributes(row: Metric, *given: dict[str, Any]) -> list[dict[str, Any]]:
    telemetry = AgentOSTelemetry(Catalogue([*AGENTOS, row]), strict=True)
    for one in given:
        telemetry[row].add(1, one)
    data = telemetry.reader.state()
    assert data is not None
    metrics = [m for rm in data.resource_metrics for sm in rm.scope_metrics for m in sm.metrics if m.name == row.name]
    telemetry.shutdown()
    return [dict(point.attributes or {}) for metric in metrics for point in metric.data.data_points]


def test_optional_label_may_be_missing():
    """A series lacks an optional label whose value is empty or not given; a whole number is one to OpenTelemetry."""
    given = ({}, {"error.type": "500"}, {"error.type": "", "server.port": "8080"}, {"server.port": 8080})
    assert attributes(ROW, *given) == [{}, {"error.type": "500"}, {"server.port": 8080}]


def test_dotted_key_is_a_prometheus_label():
    """A key with dots is one with underscores in Prometheus, and two keys that become one clash."""
    telemetry = AgentOSTelemetry(Catalogue([*AGENTOS, ROW]))
    telemetry[ROW].labels("500", "80").inc()
    assert exposed(telemetry, "a_calls_total") == ['a_calls_total{error_type="500",server_port="80"} 1']
    telemetry.shutdown()
    with pytest.raises(CatalogueError, match="stands twice"):
        counter("a.b", "1", "x", OPTIONAL, open_label("error_type", "x", limit=1))
