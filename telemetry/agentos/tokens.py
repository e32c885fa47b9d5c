"""The tokens of one model call."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

__all__ = ["Modalities", "Tokens"]


class Modalities(NamedTuple):
    """Tokens by modality, as far as the provider breaks them down."""

    text: int = 0
    image: int = 0
    audio: int = 0

    def share(self, total: int) -> Mapping[str, int]:
        """Returns ``total`` by modality, each token once, and ``unknown`` for those that the provider does not break down.

        A breakdown of more tokens than there are says nothing: then all of them are ``unknown``. Modalities without tokens are
        left out, so that no tokens at all are ``unknown: 0``.
        """
        known = {modality: count for modality, count in self._asdict().items() if count > 0}
        rest = total - sum(known.values())
        if rest < 0:
            return {"unknown": total}
        return {**known, "unknown": rest} if rest or not known else known


_UNKNOWN = Modalities()


@dataclass(frozen=True, slots=True)
class Tokens:
    """Tokens as the provider reports them; None for a number that it does not report. Nothing is guessed.

    Some providers (xAI, Gemini) count reasoning beside the output: then the total holds it on top of input and output, or there
    is more of it than output. Such a report's ``output_tokens`` are raised by the reasoning, so that they always contain it.

    ``input_tokens`` contain what was read from the provider's cache and what was written to it. Anthropic's ``input_tokens`` do
    not: add ``cache_read_input_tokens`` and ``cache_creation_input_tokens`` to them.
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
    cache_write_tokens: int | None = None
    """Input tokens that were written to the provider's cache."""
    input_modalities: Modalities = _UNKNOWN
    output_modalities: Modalities = _UNKNOWN
    cached_modalities: Modalities = _UNKNOWN

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
        cache_write = min(max(self.cache_write_tokens or 0, 0), read - cached)
        reasoning = min(max(self.reasoning_tokens or 0, 0), written)
        unknown = 0 if self.total_tokens is None else self.total_tokens - (self.input_tokens or 0) - (self.output_tokens or 0)
        kinds = {
            "input": read - cached - cache_write,
            "cached": cached,
            "cache_write": cache_write,
            "output": written - reasoning,
            "reasoning": reasoning,
            "unknown": max(unknown, 0),
        }
        return {kind: count for kind, count in kinds.items() if count}
