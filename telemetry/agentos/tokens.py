"""The tokens of one model call."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["Tokens"]


@dataclass(frozen=True, slots=True)
class Tokens:
    """Tokens as the provider reports them; None for what it does not say. Nothing is guessed."""

    input_tokens: int | None = None
    output_tokens: int | None = None
    total_tokens: int | None = None
    model: str | None = None
    """The model that answered."""
    cached_tokens: int | None = None
    """Those of the input that came from the provider's cache."""
    reasoning_tokens: int | None = None
    """Those of the output that the model kept to itself."""

    @property
    def kinds(self) -> Mapping[str, int]:
        """Each token once, by kind; the kinds that are 0 are left out."""
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
