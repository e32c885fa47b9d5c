"""Recording by OpenTelemetry's GenAI conventions: attributes of the span, and the metrics where the catalogue has them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from telemetry.agentos import catalogue_genai as rows
from telemetry.agentos import genai_names as names
from telemetry.agentos.errors import status_or_reason_of
from telemetry.agentos.series import SeriesCache
from telemetry.agentos.tokens import Tokens
from telemetry.metric import Metric

__all__ = ["GenAIMetrics", "GenAISpan", "Outcome", "Target", "Timing"]


@dataclass(frozen=True, slots=True)
class Target:
    """The provider and model that an attempt asks."""

    provider: str
    vendor: str
    """Whose protocol the provider speaks, in the words of the GenAI conventions."""
    model: str
    address: str = ""
    """Host of the provider; empty where it is not known."""
    port: str = ""
    """Its port, in digits; empty where it is not known."""
    streams: bool = True
    """Whether the answer comes in chunks, whose times are recorded."""
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


class GenAISpan:
    """The attributes of an attempt's span in one version of the conventions."""

    def __init__(self, version: rows.GenAI) -> None:
        self._is_latest = version is rows.LATEST

    def request(self, target: Target) -> Mapping[str, str | int]:
        """Returns the attributes that the span has from its target."""
        found: dict[str, str | int] = {
            rows.OPERATION.key: "chat",
            names.GEN_AI_PROVIDER_NAME: target.vendor,
            rows.REQUEST_MODEL.key: target.model,
        }
        if target.address:
            found[rows.ADDRESS.key] = target.address
            if str(target.port).isdecimal():
                found[rows.PORT.key] = int(target.port)
        if self._is_latest and target.streams:
            found[names.REQUEST_STREAM] = True
        return found

    def usage(self, tokens: Tokens) -> Mapping[str, str | int]:
        """Returns the attributes of a reported usage beside input and output, which are on every model call's span."""
        write = names.USAGE_CACHE_WRITE_INPUT_TOKENS if self._is_latest else names.GEN_AI_USAGE_CACHE_CREATION_INPUT_TOKENS
        counts = {
            names.GEN_AI_USAGE_CACHE_READ_INPUT_TOKENS: tokens.cached_tokens,
            write: tokens.cache_write_tokens,
            names.GEN_AI_USAGE_REASONING_OUTPUT_TOKENS: tokens.reasoning_tokens,
        }
        if self._is_latest:
            for field, name in names.USAGE_OF_MODALITY.items():
                counts |= {name.format(modality): count for modality, count in getattr(tokens, field)._asdict().items()}
        found: dict[str, str | int] = {
            key: count for key, count in counts.items() if count is not None and (count or not self._is_latest)
        }
        if tokens.model is not None:
            found[names.GEN_AI_RESPONSE_MODEL] = tokens.model
        return found

    def response(self, target: Target, timing: Timing) -> Mapping[str, float]:
        """Returns the attributes that the span has when its answer has ended."""
        first = timing.first_chunk if self._is_latest and target.streams else None
        return {} if first is None else {names.RESPONSE_TIME_TO_FIRST_CHUNK: first}


class GenAIMetrics:
    """The conventions' metrics, in the version whose rows the catalogue has; without these it records nothing.

    Args:
        cache: The series of the telemetry.
        version: The version of the spans where the catalogue has no rows of the conventions.
    """

    def __init__(self, cache: SeriesCache, version: rows.GenAI = rows.V1_36) -> None:
        self._cache = cache
        self._version = next((v for v in rows.VERSIONS.values() if cache.has(v.duration)), None)
        self.span = GenAISpan(self._version or version)

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
        for metric, modality, count in _usage(version, tokens):
            record(metric, count, {**labels, rows.MODALITY.key: modality})
        record(version.operation_input, _count(tokens.input_tokens), failed)
        record(version.operation_output, _count(tokens.output_tokens), failed)
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


def _usage(version: rows.GenAI, tokens: Tokens) -> Iterator[tuple[Metric | None, str, int]]:
    """Yields what each counter of tokens counts, by modality. What was not reported is 0 of an unknown modality."""
    kinds = tokens.kinds
    shares = (
        (version.input_usage, tokens.input_modalities.share(_count(tokens.input_tokens))),
        (version.output_usage, tokens.output_modalities.share(_count(tokens.output_tokens))),
        (version.cache_read_usage, tokens.cached_modalities.share(kinds.get("cached", 0))),
        (version.cache_write_usage, {"unknown": kinds.get("cache_write", 0)}),
        (version.reasoning_usage, {"unknown": kinds.get("reasoning", 0)}),
    )
    for metric, by_modality in shares:
        for modality, count in by_modality.items():
            yield metric, modality, count


def _count(reported: int | None) -> int:
    return max(reported or 0, 0)
