"""The catalogue's further parts: the names and bounds of the GenAI conventions, and their place beside the contract."""

from __future__ import annotations

from typing import Any

import pytest
from opentelemetry.semconv._incubating.attributes import gen_ai_attributes
from opentelemetry.semconv._incubating.metrics import gen_ai_metrics
from opentelemetry.semconv.attributes import error_attributes, server_attributes

from telemetry.agentos import genai_names
from telemetry.agentos.catalogue import AGENTOS
from telemetry.agentos.catalogue_genai import LATEST, V1_36, V1_41, VERSIONS, opted_in, version
from telemetry.agentos.catalogue_models import BREAKER, MODELS, ROWS
from telemetry.metric import Kind, MultiprocessMode

CONVENTION = {
    name: value for name, value in vars(gen_ai_metrics).items() if name.startswith("GEN_AI_") and isinstance(value, str)
}

same_conventions = pytest.mark.skipif(
    not hasattr(gen_ai_metrics, "GEN_AI_CLIENT_OPERATION_TIME_TO_FIRST_CHUNK"), reason="the package has older conventions"
)


@same_conventions
def test_names_are_those_of_the_conventions_package():
    """Each constant of version 1.41.0 has the value that it has in the conventions' package."""
    ours = {name: value for name, value in vars(genai_names).items() if name.startswith("GEN_AI_")}
    theirs = {**vars(gen_ai_attributes), **vars(gen_ai_metrics)}
    assert len(ours) == 18
    assert ours == {name: theirs[name] for name in ours}


class Meter:
    """Returns the arguments with which the conventions' package creates an instrument."""

    def create_histogram(self, name: str, description: str = "", unit: str = "") -> tuple[str, str, str]:
        return name, unit, description


@same_conventions
@pytest.mark.parametrize("row", V1_41.rows, ids=lambda row: row.name)
def test_name_unit_and_help_are_the_conventions(row):
    """Name, unit and help are those with which the conventions' package creates its instrument."""
    (constant,) = (name for name, value in CONVENTION.items() if value == row.name)
    create: Any = getattr(gen_ai_metrics, f"create_{constant.lower()}")
    assert create(Meter()) == (row.name, row.unit, row.help)


@same_conventions
def test_all_client_and_server_metrics_are_there():
    """No client or server metric of the conventions' package is missing."""
    named = {value for value in CONVENTION.values() if value.startswith(("gen_ai.client.", "gen_ai.server."))}
    assert {row.name for row in V1_41.rows} == named


@same_conventions
@pytest.mark.parametrize("row", [*V1_41.rows, *V1_36.rows], ids=lambda row: row.name)
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
    assert {row.name.removeprefix("gen_ai."): row.bounds for row in V1_41.rows} == {
        "client.operation.duration": seconds,
        "client.token.usage": tokens,
        "client.operation.time_to_first_chunk": seconds,
        "client.operation.time_per_output_chunk": seconds,
        "server.request.duration": seconds,
        "server.time_to_first_token": first,
        "server.time_per_output_token": per_token,
    }


COMMON = {"gen_ai.operation.name", "gen_ai.provider.name", "gen_ai.request.model", "gen_ai.response.model"}
COMMON |= {"server.address", "server.port"}
SECONDS = tuple(0.01 * 2**n for n in range(14))
TOKENS = tuple(4**n for n in range(14))
CLIENT: dict[str, tuple[str, str, str, tuple[float, ...]]] = {
    "duration": ("GenAI client inference operation duration.", "s", "error.type", SECONDS),
    "time_to_first_chunk": (
        "Time to receive the first chunk, measured from when the client issues the generation request to when the first chunk "
        "is received in the response stream.",
        *("s", "", SECONDS),
    ),
    "time_per_output_chunk": (
        "Time per output chunk, recorded for each chunk received after the first one, measured as the time elapsed from the "
        "end of the previous chunk to the end of the current chunk.",
        *("s", "", SECONDS),
    ),
    "operation.input_tokens": (
        "The number of input (prompt) tokens used per inference operation.",
        *("{token}", "error.type", TOKENS),
    ),
    "operation.output_tokens": (
        "The number of output (completion) tokens used per inference operation.",
        *("{token}", "error.type", TOKENS),
    ),
    "usage.input_tokens": (
        "The number of input (prompt) tokens used, including cached tokens.",
        *("{token}", "gen_ai.token.modality", ()),
    ),
    "usage.output_tokens": (
        "The number of output (completion) tokens used, including reasoning tokens.",
        *("{token}", "gen_ai.token.modality", ()),
    ),
    "usage.cache_read.input_tokens": (
        "The number of input tokens served from a provider-managed cache.",
        *("{token}", "gen_ai.token.modality", ()),
    ),
    "usage.cache_write.input_tokens": (
        "The number of input tokens written to a provider-managed cache.",
        *("{token}", "gen_ai.token.modality", ()),
    ),
    "usage.reasoning.output_tokens": (
        "The number of output tokens used for reasoning (e.g. chain-of-thought, extended thinking).",
        *("{token}", "gen_ai.token.modality", ()),
    ),
}
"""Help, unit, own attribute and bounds of the client's metrics in release 0.1.0 of the conventions' own repository.

https://github.com/open-telemetry/semantic-conventions-genai/blob/v0.1.0/docs/gen-ai/client-inference.md
"""


def test_client_metrics_are_those_of_the_conventions_own_repository():
    """Names, help, units, attributes and bounds of the latest version are those of its text; no package has them."""
    prefix = "gen_ai.client.inference."
    found = {
        row.name.removeprefix(prefix): (row.help, row.unit, "".join(set(row.keys) - COMMON), row.bounds)
        for row in LATEST.rows
        if row.name.startswith(prefix)
    }
    assert found == {name: (*rest, pytest.approx(bounds)) for name, (*rest, bounds) in CLIENT.items()}
    assert all(set(row.keys) > COMMON or set(row.keys) == COMMON for row in LATEST.rows)
    assert {row.kind for row in LATEST.rows if ".usage." in row.name} == {Kind.COUNTER}


def test_server_metrics_are_those_of_the_version_before():
    """The latest version has the metrics of model servers as 1.41.0 has them, and none of its client metrics."""
    before, now = set(V1_41.rows), set(LATEST.rows)
    assert {row.name.split(".")[1] for row in before & now} == {"server"}
    assert {row.name.split(".")[1] for row in before ^ now} == {"client"}
    assert len(before & now) == 3


def test_versions_by_name():
    """The opt-in stands for the latest version; without it 1.36.0 is recorded."""
    assert dict(VERSIONS) == {"1.36.0": V1_36, "1.41.0": V1_41, "genai-0.1.0": LATEST}
    assert version({}) is V1_36
    assert version({"OTEL_SEMCONV_STABILITY_OPT_IN": "gen_ai_latest_experimental"}) is LATEST


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
