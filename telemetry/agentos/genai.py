"""Recording by OpenTelemetry's GenAI conventions: attributes of the span, and the metrics where the catalogue has them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from opentelemetry.semconv._incubating.attributes.gen_ai_attributes import GEN_AI_PROVIDER_NAME

from telemetry.agentos import catalogue_genai as rows
from telemetry.agentos.errors import error_type
from telemetry.agentos.tokens import Tokens

if TYPE_CHECKING:
    from telemetry.agentos.model_metrics import ModelRecorder
    from telemetry.metric.definition import Metric

__all__ = ["Outcome", "Target", "Timing", "attributes", "record_genai"]


@dataclass(frozen=True, slots=True)
class Target:
    """What an attempt is aimed at."""

    provider: str
    vendor: str
    """Whose protocol it speaks, in the words of the GenAI conventions."""
    model: str
    address: str = ""
    port: str = ""
    streams: bool = True
    serves: bool = False
    """Whether the model runs in this process: then its server's metrics are ours to record."""


class Timing(NamedTuple):
    """Seconds from the send to the first chunk and to the first text, and between the chunks; None where none came."""

    first_chunk: float | None
    between_chunks: Sequence[float]
    first_text: float | None


class Outcome(NamedTuple):
    """How an attempt ended."""

    seconds: float
    timing: Timing
    tokens: Tokens | None
    error: BaseException | None


def attributes(target: Target) -> dict[str, str | int]:
    """What the span of an attempt says of its target, whichever metrics are on."""
    found: dict[str, str | int] = {
        rows.OPERATION.key: "chat",
        GEN_AI_PROVIDER_NAME: target.vendor,
        rows.REQUEST_MODEL.key: target.model,
    }
    if target.address:
        found |= {rows.ADDRESS.key: target.address, rows.PORT.key: int(target.port)}
    return found


def record_genai(models: ModelRecorder, target: Target, outcome: Outcome, reference: bytes | None) -> None:
    """Record the convention's metrics of one attempt, as its client and, for a model of this process, as its server."""
    version = models.genai
    if version is None:
        return
    tokens = outcome.tokens or Tokens()
    labels = {
        rows.OPERATION.key: "chat",
        version.provider.key: target.vendor,
        rows.REQUEST_MODEL.key: target.model,
        rows.RESPONSE_MODEL.key: tokens.model or "",
        rows.ADDRESS.key: target.address,
        rows.PORT.key: target.port,
    }
    failure = {rows.FAILURE.key: "" if outcome.error is None else error_type(outcome.error)}

    def put(metric: Metric | None, value: float | None, more: Mapping[str, str] | None = None) -> None:
        if value is not None:
            models.series(metric, **labels, **(more or {})).record_with_exemplar(value, reference)

    put(version.duration, outcome.seconds, failure)
    put(version.tokens, tokens.input_tokens, {rows.TOKEN_TYPE.key: "input"})
    put(version.tokens, tokens.output_tokens, {rows.TOKEN_TYPE.key: "output"})
    if target.streams:
        put(version.first_chunk, outcome.timing.first_chunk)
        for seconds in outcome.timing.between_chunks:
            put(version.output_chunk, seconds)
    if target.serves:
        put(version.server_duration, outcome.seconds, failure)
    if target.serves and outcome.error is None and outcome.timing.first_text is not None:
        put(version.server_first_token, outcome.timing.first_text)
        if (later := (tokens.output_tokens or 0) - 1) > 0:
            put(version.server_output_token, (outcome.seconds - outcome.timing.first_text) / later)
