"""The tokens of one model call."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["Tokens"]


@dataclass(frozen=True, slots=True)
class Tokens:
    """Tokens as the provider reports them; None for a number that it does not report. Nothing is guessed.

    Some providers (xAI, Gemini) count reasoning beside the output: then the total holds it on top of input and output, or there
    is more of it than output. Such a report's ``output_tokens`` are raised by the reasoning, so that they always contain it.
    """

    input_tokens: int | None = None
    output_tokens: int | None = None
    total_tokens: int | None = None
    model: str | None = None
    """The model that answered."""
    cached_tokens: int | None = None
    """Input tokens that came from the provider's cache."""
    reasoning_tokens: int | None = None
    """Output tokens that the model used for reasoning and did not return."""

    def __post_init__(self) -> None:
        reasoning, output = self.reasoning_tokens or 0, self.output_tokens
        if output is None or reasoning <= 0:
            return
        if self.total_tokens is None:
            is_beside = reasoning > output
        else:
            is_beside = self.total_tokens - (self.input_tokens or 0) - output >= reasoning
        if is_beside:
            object.__setattr__(self, "output_tokens", output + reasoning)

    @property
    def kinds(self) -> Mapping[str, int]:
        """Each token once, by kind; a kind without tokens is left out."""
        read, written = max(self.input_tokens or 0, 0), max(self.output_tokens or 0, 0)
        cached = min(max(self.cached_tokens or 0, 0), read)
        reasoning = min(max(self.reasoning_tokens or 0, 0), written)
        unknown = 0 if self.total_tokens is None else self.total_tokens - (self.input_tokens or 0) - (self.output_tokens or 0)
        kinds = {
            "input": read - cached,
            "cached": cached,
            "output": written - reasoning,
            "reasoning": reasoning,
            "unknown": max(unknown, 0),
        }
        return {kind: count for kind, count in kinds.items() if count}
