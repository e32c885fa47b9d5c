"""The catalogue's third part: OpenTelemetry's conventions for generative AI, in two versions. Switched on by setting.

``OTEL_SEMCONV_STABILITY_OPT_IN`` chooses the version: the latest if its list has ``gen_ai_latest_experimental``, else 1.36.0,
as the conventions' transition plan asks for.
https://github.com/open-telemetry/semantic-conventions-genai/blob/main/docs/gen-ai/gen-ai-metrics.md
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace

from opentelemetry.semconv.attributes.error_attributes import ERROR_TYPE
from opentelemetry.semconv.attributes.server_attributes import SERVER_ADDRESS, SERVER_PORT

from telemetry.agentos import genai_names as names
from telemetry.metric import HistogramKind, Label, Metric, closed_label, histogram, open_label

__all__ = ["LATEST", "V1_36", "GenAI", "exclude_genai", "opted_in", "version"]

_SERIES = 2000
"""Series of one metric, the SDK's own default. Most labels depend on the provider, so that their product is far too high."""
_SECONDS = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92)
_PER_TOKEN = (0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5)
_FIRST_TOKEN = (0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
_TOKENS = tuple(4**n for n in range(14))

OPERATION = closed_label(names.GEN_AI_OPERATION_NAME, "kind of operation", "chat")
TOKEN_TYPE = closed_label(names.GEN_AI_TOKEN_TYPE, "which way the tokens went", "input", "output", on_span=False)
REQUEST_MODEL = open_label(names.GEN_AI_REQUEST_MODEL, "model asked for", limit=20)
RESPONSE_MODEL = replace(open_label(names.GEN_AI_RESPONSE_MODEL, "model that answered", limit=50), optional=True)
ADDRESS = replace(open_label(SERVER_ADDRESS, "host of the provider", limit=20), optional=True)
PORT = replace(open_label(SERVER_PORT, "port of the provider", limit=20, pattern="[0-9]{1,5}"), optional=True, number=True)
FAILURE = replace(open_label(ERROR_TYPE, "HTTP status or reason of the failure", limit=40), optional=True)


@dataclass(frozen=True, slots=True)
class GenAI:
    """One version of the conventions; a metric that it lacks is None."""

    provider: Label
    duration: Metric[HistogramKind]
    tokens: Metric[HistogramKind]
    first_chunk: Metric[HistogramKind] | None
    output_chunk: Metric[HistogramKind] | None
    server_duration: Metric[HistogramKind]
    server_first_token: Metric[HistogramKind]
    server_output_token: Metric[HistogramKind]

    @property
    def rows(self) -> Sequence[Metric]:
        """The version's metrics."""
        values = (getattr(self, field.name) for field in fields(self))
        return [value for value in values if isinstance(value, Metric)]


_FIRST_CHUNK = (
    "Time to receive the first chunk, measured from when the client issues the generation request to when the first chunk "
    "is received in the response stream."
)
_OUTPUT_CHUNK = (
    "Time per output chunk, recorded for each chunk received after the first one, measured as the time elapsed from the "
    "end of the previous chunk to the end of the current chunk."
)
_SERVER_DURATION = "Generative AI server request duration such as time-to-last byte or last output token."


def _version(provider_key: str, *, chunks: bool) -> GenAI:
    provider = open_label(provider_key, "whose protocol is spoken", limit=20)
    common = (OPERATION, provider, REQUEST_MODEL, RESPONSE_MODEL, ADDRESS, PORT)

    def row(name: str, help: str, *labels: Label, unit: str = "s", bounds: Sequence[float] = _SECONDS) -> Metric[HistogramKind]:
        metric = histogram(name, unit, help, *common, *labels, bounds=bounds, recorded_in="agents/services/ccr_usage.py")
        return replace(metric, cardinality_limit=_SERIES)

    return GenAI(
        provider=provider,
        duration=row(names.GEN_AI_CLIENT_OPERATION_DURATION, "GenAI operation duration.", FAILURE),
        tokens=row(
            names.GEN_AI_CLIENT_TOKEN_USAGE,
            "Number of input and output tokens used.",
            TOKEN_TYPE,
            unit="{token}",
            bounds=_TOKENS,
        ),
        first_chunk=row(names.GEN_AI_CLIENT_OPERATION_TIME_TO_FIRST_CHUNK, _FIRST_CHUNK) if chunks else None,
        output_chunk=row(names.GEN_AI_CLIENT_OPERATION_TIME_PER_OUTPUT_CHUNK, _OUTPUT_CHUNK) if chunks else None,
        server_duration=row(names.GEN_AI_SERVER_REQUEST_DURATION, _SERVER_DURATION, FAILURE),
        server_first_token=row(
            names.GEN_AI_SERVER_TIME_TO_FIRST_TOKEN,
            "Time to generate first token for successful responses.",
            bounds=_FIRST_TOKEN,
        ),
        server_output_token=row(
            names.GEN_AI_SERVER_TIME_PER_OUTPUT_TOKEN,
            "Time per output token generated after the first token for successful responses.",
            bounds=_PER_TOKEN,
        ),
    )


V1_36 = _version(names.GEN_AI_SYSTEM, chunks=False)
LATEST = _version(names.GEN_AI_PROVIDER_NAME, chunks=True)


def opted_in(environ: Mapping[str, str]) -> bool:
    """Returns whether ``OTEL_SEMCONV_STABILITY_OPT_IN`` asks for the latest GenAI conventions."""
    listed = environ.get("OTEL_SEMCONV_STABILITY_OPT_IN", "").split(",")
    return "gen_ai_latest_experimental" in {word.strip() for word in listed}


def version(environ: Mapping[str, str]) -> GenAI:
    """Returns the version that the environment asks for."""
    return LATEST if opted_in(environ) else V1_36


def exclude_genai(scope: str, name: str) -> bool:
    """Returns False for the metrics of this part: with ``Telemetry(select=exclude_genai)`` they are pushed only."""
    return not name.startswith("gen_ai.")
