"""The catalogue's further parts: the names and bounds of the GenAI conventions, and their place beside the contract."""

from __future__ import annotations

from typing import Any

import pytest
from opentelemetry.semconv._incubating.attributes import gen_ai_attributes
from opentelemetry.semconv._incubating.metrics import gen_ai_metrics
from opentelemetry.semconv.attributes import error_attributes, server_attributes

from telemetry.agentos import genai_names
from telemetry.agentos.catalogue import AGENTOS
from telemetry.agentos.catalogue_genai import LATEST, V1_36, opted_in
from telemetry.agentos.catalogue_models import BREAKER, MODELS, ROWS
from telemetry.metric import MultiprocessMode

CONVENTION = {
    name: value for name, value in vars(gen_ai_metrics).items() if name.startswith("GEN_AI_") and isinstance(value, str)
}

same_conventions = pytest.mark.skipif(
    not hasattr(gen_ai_metrics, "GEN_AI_CLIENT_OPERATION_TIME_TO_FIRST_CHUNK"), reason="the package has older conventions"
)


@same_conventions
def test_names_are_those_of_the_conventions_package():
    """Each constant has the value that it has in the conventions' package."""
    ours = {name: value for name, value in vars(genai_names).items() if name.startswith("GEN_AI_")}
    theirs = {**vars(gen_ai_attributes), **vars(gen_ai_metrics)}
    assert len(ours) == 17
    assert ours == {name: theirs[name] for name in ours}


class Meter:
    """Returns the arguments with which the conventions' package creates an instrument."""

    def create_histogram(self, name: str, description: str = "", unit: str = "") -> tuple[str, str, str]:
        return name, unit, description


@same_conventions
@pytest.mark.parametrize("row", LATEST.rows, ids=lambda row: row.name)
def test_name_unit_and_help_are_the_conventions(row):
    """Name, unit and help are those with which the conventions' package creates its instrument."""
    (constant,) = (name for name, value in CONVENTION.items() if value == row.name)
    create: Any = getattr(gen_ai_metrics, f"create_{constant.lower()}")
    assert create(Meter()) == (row.name, row.unit, row.help)


@same_conventions
def test_all_client_and_server_metrics_are_there():
    """No client or server metric of the conventions' package is missing."""
    named = {value for value in CONVENTION.values() if value.startswith(("gen_ai.client.", "gen_ai.server."))}
    assert {row.name for row in LATEST.rows} == named


@same_conventions
@pytest.mark.parametrize("row", [*LATEST.rows, *V1_36.rows], ids=lambda row: row.name)
def test_attributes_are_the_conventions(row):
    """Each label key is one of the conventions' attributes."""
    modules = (gen_ai_attributes, error_attributes, server_attributes)
    known = {value for module in modules for value in vars(module).values() if isinstance(value, str)}
    assert set(row.keys) <= known


def test_bounds_are_the_conventions():
    """Bucket bounds are those of the conventions' text; their package has none."""
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
    """The variable is a comma-separated list; only the conventions' own word opts in."""
    environ = {} if value is None else {"OTEL_SEMCONV_STABILITY_OPT_IN": value}
    assert opted_in(environ) is answer


def test_contract_is_the_first_part():
    """The whole catalogue begins with the contract's rows, unchanged, and no row of the second part has a name of theirs."""
    assert list(MODELS)[: len(AGENTOS)] == list(AGENTOS)
    assert not {row.prometheus_name for row in ROWS} & {row.prometheus_name for row in AGENTOS}


def test_breakers_of_workers_merge_to_the_worst():
    """A provider that one worker's breaker skips shows as such in the merged scrape of all workers."""
    assert BREAKER.multiprocess_mode is MultiprocessMode.MAX
