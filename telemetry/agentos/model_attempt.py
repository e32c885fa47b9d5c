"""One attempt at a provider: the contract's model call, with chunks, tokens by kind, cost and the GenAI metrics."""

from __future__ import annotations

from decimal import Decimal
from itertools import pairwise
from math import ceil

from telemetry.agentos import catalogue_models as rows
from telemetry.agentos.calls import ModelCall
from telemetry.agentos.errors import reason_of, status_or_reason_of
from telemetry.agentos.genai import GenAIMetrics, Outcome, Target, Timing
from telemetry.agentos.model_metrics import ModelMetrics
from telemetry.agentos.quota import Quota
from telemetry.agentos.series import SeriesCache
from telemetry.agentos.stream_pace import StreamPace
from telemetry.agentos.tokens import Tokens
from telemetry.agentos.workspaces import WorkspaceMetrics

__all__ = ["ModelAttempt"]

_TIMED_CHUNKS = 10_000
"""Chunks of a stream whose times are kept; the intervals between them are recorded together at the attempt's end."""


class ModelAttempt(ModelCall):
    """See ``Recorder.model_attempt``."""

    __slots__ = (
        *("_chunks", "_cost", "_estimated", "_genai", "_is_detailed", "_models", "_number", "_pace"),
        *("_target", "_used", "_workspace", "_workspaces"),
    )

    def __init__(
        self,
        cache: SeriesCache,
        models: ModelMetrics,
        genai: GenAIMetrics,
        workspaces: WorkspaceMetrics,
        target: Target,
        task_type: str,
        number: int,
        workspace: str,
    ) -> None:
        super().__init__(cache, target.provider, task_type)
        self._models = models
        self._genai = genai
        self._workspaces = workspaces
        self._workspace = workspace
        self._target = target
        self._number = number
        self._used: Tokens | None = None
        self._cost: Decimal | None = None
        self._chunks: list[float] = []
        self._pace = StreamPace()
        self._is_detailed = models.is_recorded or workspaces.is_recorded
        self._estimated = {"input": 0.0, "output": 0.0}

    def _begin(self) -> None:
        super()._begin()
        self._workspaces.start(self._workspace)
        self._cache.series(rows.IN_FLIGHT, self._target.provider).record_with_exemplar(1, None)
        self.span.set_attributes({**self._genai.span.request(self._target), "ccr.attempt": self._number})

    @property
    def target(self) -> Target:
        """The provider and model that are asked."""
        return self._target

    def chunk(self, text: str) -> None:
        """Takes the time of a chunk of the stream, with or without text; the intervals after the 10,000th are not recorded."""
        now = self._cache.clock()
        if len(self._chunks) < _TIMED_CHUNKS:
            self._chunks.append(now)
        if not self._is_detailed:  # of the pace only the first text counts, and nothing is estimated
            if text and self._pace.first is None:
                self._pace.come(now, has_text=True)
            return
        self._pace.come(now, has_text=bool(text))
        if text:
            self._estimated["output"] += self._models.estimated(text)

    def ask(self) -> None:
        """Takes the time at which the reader, done with a chunk, asks for the next one."""
        if self._is_detailed:
            self._pace.ask(self._cache.clock())

    def quota(self, quota: Quota) -> None:
        """Takes what the provider says that it still allows."""
        self._models.record_quota(self._target.provider, quota)

    def estimate_input(self, prompt: str) -> None:
        """Estimates the input tokens of a call that its caller cancels; recorded where the provider has not reported them."""
        if self._is_detailed:
            self._estimated["input"] = self._models.estimated(prompt)

    def used(self, tokens: Tokens, cost: Decimal | None) -> None:
        """Takes the tokens used so far and their cost; a later report replaces an earlier one.

        Args:
            tokens: As the provider reports them.
            cost: US dollars by the operator's prices; None where no price is known.
        """
        self.usage(input_tokens=tokens.input_tokens, output_tokens=tokens.output_tokens, total_tokens=tokens.total_tokens)
        self._used = tokens
        self._cost = cost
        self.span.set_attributes(self._genai.span.usage(tokens))

    def _finish(self, seconds: float, error: BaseException | None) -> None:
        provider, series = self._target.provider, self._cache.series
        series(rows.IN_FLIGHT, provider).record_with_exemplar(-1, None)
        super()._finish(seconds, error)
        timing = self._timing
        if answered := self._genai.span.response(self._target, timing):
            self.span.set_attributes(answered)
        if error is not None:
            reason = reason_of(error)
            self._scope.label({"reason": reason}, status_or_reason_of(error))
            series(rows.CALL_ERRORS, provider, reason).record_with_exemplar(1, self._span_reference())
        if self._target.streams and self._models.is_recorded:
            self._record_stream(timing.first_text, error)
        self._account(error, estimated=self._record_estimates(error))
        self._genai.record(self._target, Outcome(seconds, timing, self._used, error), self._span_reference())

    def _record_stream(self, first_text: float | None, error: BaseException | None) -> None:
        """Records the time to the first text, and the pace after it where the answer is complete and its tokens are reported.

        Reasoning comes before the first text: its tokens are not among those after it.
        """
        provider, series = self._target.provider, self._cache.series
        if first_text is not None:
            series(rows.FIRST_TOKEN, provider).record_with_exemplar(first_text, self._span_reference())
        later = self._used.kinds.get("output", 0) - 1 if self._used is not None else 0
        period = self._pace.period
        if error is None and later > 0 and period is not None:
            series(rows.INTER_TOKEN_LATENCY, provider).record_with_exemplar(period / later, self._span_reference())
            series(rows.OUTPUT_RATE, provider).record_with_exemplar(later / period, self._span_reference())

    def _record_estimates(self, error: BaseException | None) -> bool:
        """Records the tokens that a cancelled call used and its provider did not report; returns whether there are any.

        Before the first chunk nothing shows that the provider has begun: nothing is estimated.
        """
        used = self._used or Tokens()
        if error is None or reason_of(error) != "cancelled" or not self._chunks or "unknown" in used.kinds:
            return False
        reported = {"input": used.input_tokens, "output": used.output_tokens}
        counts = {direction: 0 if reported[direction] else ceil(count) for direction, count in self._estimated.items()}
        target, series = self._target, self._cache.series
        for direction, count in counts.items():
            if count:
                series(rows.ESTIMATED_TOKENS, target.provider, target.model, direction).record_with_exemplar(count, None)
                self.span.set_attribute(f"ccr.estimated.{direction}_tokens", count)
        self._workspaces.record_estimate(self._workspace, counts["input"], counts["output"])
        return any(counts.values())

    def _account(self, error: BaseException | None, *, estimated: bool) -> None:
        """Records tokens by kind, and cost. A failure before the first chunk counts as free of cost."""
        target, series = self._target, self._cache.series
        labels = {"provider": target.provider, "model": target.model}
        if self._used is None:
            if error is None or self._chunks:
                series(rows.UNPRICED_CALLS, **labels, reason="usage").record_with_exemplar(1, None)
                self._workspaces.record_usage(self._workspace, {}, None, complete=False)
            return
        kinds = self._used.kinds
        for kind, count in kinds.items():
            series(rows.MODEL_TOKENS, **labels, kind=kind).record_with_exemplar(count, None)
        split = self._used.input_tokens is not None and self._used.output_tokens is not None
        complete = split and "unknown" not in kinds and not estimated
        self._workspaces.record_usage(self._workspace, kinds, self._cost, complete=complete)
        if self._cost is None:
            series(rows.UNPRICED_CALLS, **labels, reason="model").record_with_exemplar(1, None)
            return
        self._models.add_cost(target, self._cost)
        if not complete:
            series(rows.UNPRICED_CALLS, **labels, reason="usage").record_with_exemplar(1, None)

    @property
    def _timing(self) -> Timing:
        chunks, first = self._chunks, self._pace.first
        return Timing(
            first_chunk=chunks[0] - self._start if chunks else None,
            between_chunks=[after - before for before, after in pairwise(chunks)],
            first_text=first - self._start if first is not None else None,
        )
