"""One attempt at a provider: the contract's model call, with chunks, tokens by kind, cost and the GenAI metrics."""

from __future__ import annotations

from decimal import Decimal
from itertools import pairwise
from typing import TYPE_CHECKING

from opentelemetry.semconv._incubating.attributes.gen_ai_attributes import (
    GEN_AI_RESPONSE_MODEL,
    GEN_AI_USAGE_CACHE_READ_INPUT_TOKENS,
    GEN_AI_USAGE_REASONING_OUTPUT_TOKENS,
)

from telemetry.agentos import catalogue_models as rows
from telemetry.agentos.calls import ModelCall
from telemetry.agentos.errors import error_type, reason_of
from telemetry.agentos.genai import Outcome, Target, Timing, attributes, record_genai
from telemetry.agentos.tokens import Tokens

if TYPE_CHECKING:
    from telemetry.agentos.model_metrics import ModelRecorder

__all__ = ["ModelAttempt"]


class ModelAttempt(ModelCall):
    """See ``ModelRecorder.attempt``."""

    __slots__ = ("_chunks", "_cost", "_first_text", "_models", "_number", "_target", "_used")

    def __init__(self, models: ModelRecorder, target: Target, task_type: str, number: int) -> None:
        super().__init__(models.recorder, target.provider, task_type)
        self._models = models
        self._target = target
        self._number = number
        self._used: Tokens | None = None
        self._cost: Decimal | None = None
        self._chunks: list[float] = []
        self._first_text: float | None = None

    def _begin(self) -> None:
        self.span.set_attributes({**attributes(self._target), "ccr.attempt": self._number})
        self._models.series(rows.IN_FLIGHT, self._target.provider).record_with_exemplar(1, None)

    def chunk(self, text: str) -> None:
        """A chunk of the stream came, with or without text."""
        now = self._recorder.clock()
        self._chunks.append(now)
        if text and self._first_text is None:
            self._first_text = now

    def used(self, tokens: Tokens, cost: Decimal | None) -> None:
        """What the call used so far, and what that costs by the operator's prices; a later report replaces an earlier one."""
        self.usage(input_tokens=tokens.input_tokens, output_tokens=tokens.output_tokens, total_tokens=tokens.total_tokens)
        self._used, self._cost = tokens, cost
        details = {
            GEN_AI_USAGE_CACHE_READ_INPUT_TOKENS: tokens.cached_tokens,
            GEN_AI_USAGE_REASONING_OUTPUT_TOKENS: tokens.reasoning_tokens,
            GEN_AI_RESPONSE_MODEL: tokens.model,
        }
        self.span.set_attributes({key: value for key, value in details.items() if value is not None})

    def _finish(self, seconds: float, error: BaseException | None) -> None:
        provider = self._target.provider
        self._models.series(rows.IN_FLIGHT, provider).record_with_exemplar(-1, None)
        super()._finish(seconds, error)
        timing = self._timing
        if error is not None:
            reason = reason_of(error)
            self._scope.label({"reason": reason}, error_type(error))
            self._models.series(rows.CALL_ERRORS, provider, reason).record_with_exemplar(1, self.span_reference())
        if timing.first_text is not None and self._target.streams:
            self._models.series(rows.FIRST_TOKEN, provider).record_with_exemplar(timing.first_text, self.span_reference())
        self._account(error)
        record_genai(self._models, self._target, Outcome(seconds, timing, self._used, error), self.span_reference())

    def _account(self, error: BaseException | None) -> None:
        """Tokens by kind, and cost. A failure that brought nothing cost nothing that we know of."""
        target, models = self._target, self._models
        labels = {"provider": target.provider, "model": target.model}
        if self._used is None:
            if error is None or self._chunks:
                models.series(rows.UNPRICED_CALLS, **labels, reason="usage").record_with_exemplar(1, None)
            return
        for kind, count in self._used.kinds.items():
            models.series(rows.MODEL_TOKENS, **labels, kind=kind).record_with_exemplar(count, None)
        if self._cost is None:
            models.series(rows.UNPRICED_CALLS, **labels, reason="model").record_with_exemplar(1, None)
            return
        models.spent(target, self._cost)
        partly = self._used.input_tokens is None or self._used.output_tokens is None or "unknown" in self._used.kinds
        if partly:
            models.series(rows.UNPRICED_CALLS, **labels, reason="usage").record_with_exemplar(1, None)

    @property
    def _timing(self) -> Timing:
        chunks, first = self._chunks, self._first_text
        return Timing(
            chunks[0] - self._start if chunks else None,
            [after - before for before, after in pairwise(chunks)],
            first - self._start if first is not None else None,
        )
