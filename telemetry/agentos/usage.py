"""Reads the usage of an answer of the chat-completions protocol, wherever and in whatever shape servers report it.

A report is of the tokens so far, once at the end or with each chunk; some servers report a part of the numbers at the
beginning, or zeros before the end. The highest of each number is right for all of them.
"""

from __future__ import annotations

from typing import Any

from telemetry.agentos.tokens import Modalities, Tokens

__all__ = ["Usage"]

_MOST_TOKENS = 2**31 - 1
"""More tokens than this are no count of one answer."""
_INPUT_DETAILS = ("prompt_tokens_details", "input_tokens_details")
_OUTPUT_DETAILS = ("completion_tokens_details", "output_tokens_details")
_COUNTS: dict[str, tuple[str, ...]] = {
    "input_tokens": ("prompt_tokens", "input_tokens"),
    "output_tokens": ("completion_tokens", "output_tokens"),
    "total_tokens": ("total_tokens",),
    "cached_tokens": (
        *(f"{details}.cached_tokens" for details in _INPUT_DETAILS),
        "prompt_cache_hit_tokens",  # DeepSeek
        "cached_tokens",  # Moonshot
    ),
    "reasoning_tokens": (
        *(f"{details}.reasoning_tokens" for details in _OUTPUT_DETAILS),
        "reasoning_tokens",  # Perplexity
    ),
    "cache_write_tokens": (
        *(f"{details}.cache_write_tokens" for details in _INPUT_DETAILS),  # OpenAI, OpenRouter
        "prompt_tokens_details.cache_creation_input_tokens",  # Alibaba's Model Studio
        "prompt_tokens_details.cache_creation_tokens",  # LiteLLM
        "prompt_tokens_details.created_cache_tokens",  # vLLM
    ),
}
"""Field of ``Tokens`` -> where servers report it, as a part of the input or output."""
_PROMPT, _READ, _WRITTEN = "prompt_tokens", "cache_read_input_tokens", "cache_creation_input_tokens"
_MODALITIES: dict[str, tuple[str, ...]] = {
    "input_modalities": (
        *(f"{details}.{{}}_tokens" for details in _INPUT_DETAILS),
        "prompt_tokens_details.multimodal_tokens.{}",  # vLLM
    ),
    "output_modalities": tuple(f"{details}.{{}}_tokens" for details in _OUTPUT_DETAILS),
    "cached_modalities": tuple(f"{details}.cached_tokens_details.{{}}_tokens" for details in _INPUT_DETAILS),
}
"""Field of ``Tokens`` -> where servers report its share of a modality."""
_PATHS: dict[str, tuple[tuple[str, ...], ...]] = {
    name: tuple(tuple(path.split(".")) for path in paths)
    for name, paths in {
        **_COUNTS,
        **{name: (name,) for name in (_PROMPT, _READ, _WRITTEN)},
        **{
            f"{field}.{modality}": tuple(path.format(modality) for path in paths)
            for field, paths in _MODALITIES.items()
            for modality in Modalities._fields
        },
    }.items()
}
"""Everything that is read of a report, by a name of ours -> the keys that lead to it."""


class Usage:
    """The usage of one answer while it is read."""

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}

    def add(self, report: dict[str, Any]) -> bool:
        """Takes a report. Returns whether it has a number that can be used."""
        found = {name: count for name, paths in _PATHS.items() if (count := _count(report, paths)) is not None}
        for name, count in found.items():
            self._counts[name] = max(count, self._counts.get(name, 0))
        return bool(found)

    def tokens(self, model: str | None) -> Tokens:
        """Returns the tokens so far, with the model that answered."""
        fields: dict[str, Any] = {name: count for name, count in self._counts.items() if name in _COUNTS}
        for field, name in (("cached_tokens", _READ), ("cache_write_tokens", _WRITTEN)):
            if name in self._counts:
                fields[field] = max(self._counts[name], fields.get(field, 0))
        if "input_tokens" in fields:
            fields["input_tokens"] += self._beside()
        for field in _MODALITIES:
            shares = {m: self._counts[name] for m in Modalities._fields if (name := f"{field}.{m}") in self._counts}
            if shares:
                fields[field] = Modalities(**shares)
        return Tokens(**fields, model=model)

    def _beside(self) -> int:
        """The tokens that Anthropic's names report and that are no part of the reported input.

        Anthropic's own ``input_tokens`` are without them. Proxies that report them beside ``prompt_tokens`` do either: the
        tokens are no part of it if they are more than it, or if the total has room for them.
        https://docs.claude.com/en/docs/build-with-claude/prompt-caching#tracking-cache-performance
        """
        counts = self._counts
        extra = counts.get(_READ, 0) + counts.get(_WRITTEN, 0)
        taken, total, reasoning = counts["input_tokens"], counts.get("total_tokens"), counts.get("reasoning_tokens", 0)
        if total is None:
            is_beside = _PROMPT not in counts or extra > taken
        else:
            room = total - taken - counts.get("output_tokens", 0)
            is_beside = extra > taken or (room - reasoning if room >= reasoning else room) >= extra
        return extra if is_beside else 0


def _count(report: dict[str, Any], paths: tuple[tuple[str, ...], ...]) -> int | None:
    """The first usable number of tokens among these fields."""
    for path in paths:
        value: Any = report
        for key in path:
            value = value.get(key) if isinstance(value, dict) else None
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _MOST_TOKENS:
            return value
    return None
