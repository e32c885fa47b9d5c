"""The catalogue's third part: OpenTelemetry's conventions for generative AI, in three versions. Switched on by setting.

- 1.36.0, which the conventions' transition plan keeps as the default.
- 1.41.0, the last one in the repository of all conventions.
  https://github.com/open-telemetry/semantic-conventions/blob/v1.41.0/docs/gen-ai/gen-ai-metrics.md
- genai-0.1.0, the first release of the conventions' own repository.
  https://github.com/open-telemetry/semantic-conventions-genai/blob/v0.1.0/docs/gen-ai/client-inference.md

``OTEL_SEMCONV_STABILITY_OPT_IN`` chooses between the first and the last: the plan's ``gen_ai_latest_experimental`` stands for
the latest version that an instrumentation has.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from types import MappingProxyType

from opentelemetry.semconv.attributes.error_attributes import ERROR_TYPE
from opentelemetry.semconv.attributes.server_attributes import SERVER_ADDRESS, SERVER_PORT

from telemetry.agentos import genai_names as names
from telemetry.metric import CounterKind, HistogramKind, Label, Metric, closed_label, counter, histogram, open_label

__all__ = ["LATEST", "V1_36", "V1_41", "VERSIONS", "GenAI", "exclude_genai", "opted_in", "version"]

_SERIES = 2000
"""Series of one metric, the SDK's own default. Most labels depend on the provider, so that their product is far too high."""
_SECONDS = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92)
_PER_TOKEN = (0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5)
_FIRST_TOKEN = (0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
_TOKENS = tuple(4**n for n in range(14))

OPERATION = closed_label(names.GEN_AI_OPERATION_NAME, "kind of operation", "chat")
TOKEN_TYPE = closed_label(names.GEN_AI_TOKEN_TYPE, "which way the tokens went", "input", "output", on_span=False)
MODALITY = closed_label(names.TOKEN_MODALITY, "modality of the tokens", "text", "image", "audio", "unknown", on_span=False)
REQUEST_MODEL = open_label(names.GEN_AI_REQUEST_MODEL, "model asked for", limit=20)
RESPONSE_MODEL = replace(open_label(names.GEN_AI_RESPONSE_MODEL, "model that answered", limit=50), optional=True)
ADDRESS = replace(open_label(SERVER_ADDRESS, "host of the provider", limit=20), optional=True)
PORT = replace(open_label(SERVER_PORT, "port of the provider", limit=20, pattern="[0-9]{1,5}"), optional=True, number=True)
FAILURE = replace(open_label(ERROR_TYPE, "HTTP status or reason of the failure", limit=40), optional=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class GenAI:
    """One version of the conventions; a metric that it lacks is None."""

    provider: Label
    duration: Metric[HistogramKind]
    tokens: Metric[HistogramKind] | None = None
    first_chunk: Metric[HistogramKind] | None = None
    output_chunk: Metric[HistogramKind] | None = None
    input_usage: Metric[CounterKind] | None = None
    output_usage: Metric[CounterKind] | None = None
    cache_read_usage: Metric[CounterKind] | None = None
    cache_write_usage: Metric[CounterKind] | None = None
    reasoning_usage: Metric[CounterKind] | None = None
    operation_input: Metric[HistogramKind] | None = None
    operation_output: Metric[HistogramKind] | None = None
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
_OPERATION_TOKENS = "The number of {} tokens used per inference operation."
_SERVER_DURATION = "Generative AI server request duration such as time-to-last byte or last output token."
_SERVER_FIRST = "Time to generate first token for successful responses."
_SERVER_LATER = "Time per output token generated after the first token for successful responses."
_RECORDED_IN = "agents/services/ccr_usage.py"


class _Rows:
    """Makes rows with the attributes that all of them have in one version."""

    def __init__(self, provider_key: str) -> None:
        self.provider = open_label(provider_key, "whose protocol is spoken", limit=20)
        self._common = (OPERATION, self.provider, REQUEST_MODEL, RESPONSE_MODEL, ADDRESS, PORT)

    def histogram(
        self, name: str, help: str, *labels: Label, unit: str = "s", bounds: Sequence[float] = _SECONDS
    ) -> Metric[HistogramKind]:
        metric = histogram(name, unit, help, *self._common, *labels, bounds=bounds, recorded_in=_RECORDED_IN)
        return replace(metric, cardinality_limit=_SERIES)

    def tokens(self, name: str, help: str, *labels: Label) -> Metric[HistogramKind]:
        return self.histogram(name, help, *labels, unit="{token}", bounds=_TOKENS)

    def usage(self, name: str, help: str) -> Metric[CounterKind]:
        metric = counter(name, "{token}", help, *self._common, MODALITY, recorded_in=_RECORDED_IN)
        return replace(metric, cardinality_limit=_SERIES)

    def server_duration(self) -> Metric[HistogramKind]:
        return self.histogram(names.GEN_AI_SERVER_REQUEST_DURATION, _SERVER_DURATION, FAILURE)

    def server_first_token(self) -> Metric[HistogramKind]:
        return self.histogram(names.GEN_AI_SERVER_TIME_TO_FIRST_TOKEN, _SERVER_FIRST, bounds=_FIRST_TOKEN)

    def server_output_token(self) -> Metric[HistogramKind]:
        return self.histogram(names.GEN_AI_SERVER_TIME_PER_OUTPUT_TOKEN, _SERVER_LATER, bounds=_PER_TOKEN)


def _operations(provider_key: str, *, chunks: bool) -> GenAI:
    """A version that names the client's metrics by operation."""
    new = _Rows(provider_key)
    first, later = names.GEN_AI_CLIENT_OPERATION_TIME_TO_FIRST_CHUNK, names.GEN_AI_CLIENT_OPERATION_TIME_PER_OUTPUT_CHUNK
    return GenAI(
        provider=new.provider,
        duration=new.histogram(names.GEN_AI_CLIENT_OPERATION_DURATION, "GenAI operation duration.", FAILURE),
        tokens=new.tokens(names.GEN_AI_CLIENT_TOKEN_USAGE, "Number of input and output tokens used.", TOKEN_TYPE),
        first_chunk=new.histogram(first, _FIRST_CHUNK) if chunks else None,
        output_chunk=new.histogram(later, _OUTPUT_CHUNK) if chunks else None,
        server_duration=new.server_duration(),
        server_first_token=new.server_first_token(),
        server_output_token=new.server_output_token(),
    )


def _inference() -> GenAI:
    """The version that names the client's metrics by inference, and counts tokens by modality."""
    new = _Rows(names.GEN_AI_PROVIDER_NAME)
    return GenAI(
        provider=new.provider,
        duration=new.histogram(names.CLIENT_INFERENCE_DURATION, "GenAI client inference operation duration.", FAILURE),
        first_chunk=new.histogram(names.CLIENT_INFERENCE_TIME_TO_FIRST_CHUNK, _FIRST_CHUNK),
        output_chunk=new.histogram(names.CLIENT_INFERENCE_TIME_PER_OUTPUT_CHUNK, _OUTPUT_CHUNK),
        input_usage=new.usage(
            names.CLIENT_INFERENCE_USAGE_INPUT_TOKENS, "The number of input (prompt) tokens used, including cached tokens."
        ),
        output_usage=new.usage(
            names.CLIENT_INFERENCE_USAGE_OUTPUT_TOKENS,
            "The number of output (completion) tokens used, including reasoning tokens.",
        ),
        cache_read_usage=new.usage(
            names.CLIENT_INFERENCE_USAGE_CACHE_READ_INPUT_TOKENS,
            "The number of input tokens served from a provider-managed cache.",
        ),
        cache_write_usage=new.usage(
            names.CLIENT_INFERENCE_USAGE_CACHE_WRITE_INPUT_TOKENS,
            "The number of input tokens written to a provider-managed cache.",
        ),
        reasoning_usage=new.usage(
            names.CLIENT_INFERENCE_USAGE_REASONING_OUTPUT_TOKENS,
            "The number of output tokens used for reasoning (e.g. chain-of-thought, extended thinking).",
        ),
        operation_input=new.tokens(
            names.CLIENT_INFERENCE_OPERATION_INPUT_TOKENS, _OPERATION_TOKENS.format("input (prompt)"), FAILURE
        ),
        operation_output=new.tokens(
            names.CLIENT_INFERENCE_OPERATION_OUTPUT_TOKENS, _OPERATION_TOKENS.format("output (completion)"), FAILURE
        ),
        server_duration=new.server_duration(),
        server_first_token=new.server_first_token(),
        server_output_token=new.server_output_token(),
    )


V1_36 = _operations(names.GEN_AI_SYSTEM, chunks=False)
V1_41 = _operations(names.GEN_AI_PROVIDER_NAME, chunks=True)
LATEST = _inference()
VERSIONS = MappingProxyType({"1.36.0": V1_36, "1.41.0": V1_41, "genai-0.1.0": LATEST})
"""The versions by name."""


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
