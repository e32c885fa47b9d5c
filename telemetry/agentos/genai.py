"""Recording by OpenTelemetry's GenAI conventions: attributes of the span, and the metrics where the catalogue has them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from telemetry.agentos import catalogue_genai as rows
from telemetry.agentos.errors import status_or_reason_of
from telemetry.agentos.genai_names import GEN_AI_PROVIDER_NAME
from telemetry.agentos.series import SeriesCache
from telemetry.agentos.tokens import Tokens
from telemetry.metric import Metric

__all__ = ["GenAIMetrics", "Outcome", "Target", "Timing", "attributes"]


@dataclass(frozen=True, slots=True)
class Target:
    """The provider and model that an attempt asks."""

    provider: str
    vendor: str
    """Whose protocol the provider speaks, in the words of the GenAI conventions."""
    model: str
    address: str = ""
    port: str = ""
    streams: bool = True
    serves: bool = False
    """Whether the model runs in this process, which then records its server's metrics too."""


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
    """Returns the attributes that the span of an attempt has from its target, whichever metrics are on."""
    found: dict[str, str | int] = {
        rows.OPERATION.key: "chat",
        GEN_AI_PROVIDER_NAME: target.vendor,
        rows.REQUEST_MODEL.key: target.model,
    }
    if target.address:
        found |= {rows.ADDRESS.key: target.address, rows.PORT.key: int(target.port)}
    return found


class GenAIMetrics:
    """The conventions' metrics, in the version whose rows the catalogue has; without these it records nothing."""

    def __init__(self, cache: SeriesCache) -> None:
        self._cache = cache
        self._version = next((v for v in (rows.LATEST, rows.V1_36) if cache.has(v.duration)), None)

    def record(self, target: Target, outcome: Outcome, reference: bytes | None) -> None:
        """Records one attempt, as its client and, for a model of this process, as its server."""
        version = self._version
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
        failed = {**labels, rows.FAILURE.key: "" if outcome.error is None else status_or_reason_of(outcome.error)}

        def record(metric: Metric | None, value: float | None, labels: dict[str, str] = labels) -> None:
            if value is not None:
                self._cache.series(metric, **labels).record_with_exemplar(value, reference)

        record(version.duration, outcome.seconds, failed)
        record(version.tokens, tokens.input_tokens, {**labels, rows.TOKEN_TYPE.key: "input"})
        record(version.tokens, tokens.output_tokens, {**labels, rows.TOKEN_TYPE.key: "output"})
        first_text = outcome.timing.first_text
        if target.streams:
            record(version.first_chunk, outcome.timing.first_chunk)
            for seconds in outcome.timing.between_chunks:
                record(version.output_chunk, seconds)
        if target.serves:
            record(version.server_duration, outcome.seconds, failed)
        if target.serves and outcome.error is None and first_text is not None:
            record(version.server_first_token, first_text)
            if (later := (tokens.output_tokens or 0) - 1) > 0:
                record(version.server_output_token, (outcome.seconds - first_text) / later)
