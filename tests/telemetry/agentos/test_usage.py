"""Usage as servers report it: what they read from their cache and wrote to it, and the modalities."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telemetry.agentos.tokens import Modalities, Tokens
from telemetry.agentos.usage import Usage

SUM = {"prompt_tokens": 11, "completion_tokens": 5, "total_tokens": 16}
THINKING = {"completion_tokens_details": {"reasoning_tokens": 100}}


def tokens(*reports: dict[str, Any]) -> Tokens:
    """Reads these reports of one answer."""
    usage = Usage()
    for report in reports:
        assert usage.add(report)
    return usage.tokens(None)


def details(**counts: Any) -> dict[str, Any]:
    """A usage with these details of the input."""
    return {**SUM, "prompt_tokens_details": counts}


CACHES = {
    "openai": (details(cached_tokens=3, cache_write_tokens=4), Tokens(11, 5, 16, cached_tokens=3, cache_write_tokens=4)),
    "openrouter": (details(cached_tokens=0, cache_write_tokens=10), Tokens(11, 5, 16, cached_tokens=0, cache_write_tokens=10)),
    "model studio": (
        details(cached_tokens=0, cache_creation_input_tokens=9),
        Tokens(11, 5, 16, cached_tokens=0, cache_write_tokens=9),
    ),
    "vllm": (details(cached_tokens=3, created_cache_tokens=2), Tokens(11, 5, 16, cached_tokens=3, cache_write_tokens=2)),
    "names of the responses API": (
        {"input_tokens": 11, "output_tokens": 5, "input_tokens_details": {"cached_tokens": 3, "cache_write_tokens": 4}},
        Tokens(11, 5, cached_tokens=3, cache_write_tokens=4),
    ),
    "litellm": (
        details(cached_tokens=2, cache_creation_tokens=4) | {"cache_read_input_tokens": 2, "cache_creation_input_tokens": 4},
        Tokens(11, 5, 16, cached_tokens=2, cache_write_tokens=4),
    ),
    "more than the input": (
        details(cached_tokens=30, cache_write_tokens=40),
        Tokens(11, 5, 16, cached_tokens=30, cache_write_tokens=40),
    ),
}


@pytest.mark.parametrize(("report", "expected"), CACHES.values(), ids=CACHES.keys())
def test_tokens_of_the_cache_are_a_part_of_the_input(report, expected):
    """Tokens read from the cache and written to it are found where servers put them, and do not change the input."""
    assert tokens(report) == expected


BESIDE = {
    "anthropic": (
        {"input_tokens": 4, "cache_creation_input_tokens": 5, "cache_read_input_tokens": 2, "output_tokens": 5},
        Tokens(11, 5, cached_tokens=2, cache_write_tokens=5),
    ),
    "litellm before it added them up": (
        {"prompt_tokens": 31, "completion_tokens": 467, "total_tokens": 498, "cache_creation_input_tokens": 1253},
        Tokens(1284, 467, 498, cache_write_tokens=1253),
    ),
    "more than the prompt, without a total": (
        {"prompt_tokens": 4, "cache_creation_input_tokens": 5},
        Tokens(9, cache_write_tokens=5),
    ),
    "less than the prompt, without a total": (
        {"prompt_tokens": 9, "cache_creation_input_tokens": 5},
        Tokens(9, cache_write_tokens=5),
    ),
    "a total with room for them": (
        SUM | {"total_tokens": 23, "cache_read_input_tokens": 4, "cache_creation_input_tokens": 3},
        Tokens(18, 5, 23, cached_tokens=4, cache_write_tokens=3),
    ),
    "a total with room for a part of them": (
        SUM | {"total_tokens": 22, "cache_read_input_tokens": 4, "cache_creation_input_tokens": 3},
        Tokens(11, 5, 22, cached_tokens=4, cache_write_tokens=3),
    ),
    "a total with room for them and for reasoning": (
        SUM | THINKING | {"total_tokens": 123, "cache_read_input_tokens": 7},
        Tokens(18, 105, 123, cached_tokens=7, reasoning_tokens=100),
    ),
    "a total with room for reasoning alone": (
        SUM | THINKING | {"total_tokens": 116, "cache_read_input_tokens": 7},
        Tokens(11, 105, 116, cached_tokens=7, reasoning_tokens=100),
    ),
    "no input": ({"cache_read_input_tokens": 7}, Tokens(cached_tokens=7)),
}


@pytest.mark.parametrize(("report", "expected"), BESIDE.values(), ids=BESIDE.keys())
def test_tokens_beside_the_input_are_added_to_it(report, expected):
    """What Anthropic's names report is added to the input where it is no part of it, so that the input holds all tokens."""
    assert tokens(report) == expected


def test_anthropic_reports_input_first_and_output_last():
    """The input of the first report and the output of the last one make one usage."""
    first = {"input_tokens": 4, "cache_creation_input_tokens": 5, "cache_read_input_tokens": 2, "output_tokens": 1}
    assert tokens(first, {"output_tokens": 5}) == Tokens(11, 5, cached_tokens=2, cache_write_tokens=5)
    assert tokens(first, first) == Tokens(11, 1, cached_tokens=2, cache_write_tokens=5)


MODALITIES = {
    "text and images": (details(text_tokens=8, image_tokens=3), Modalities(text=8, image=3)),
    "audio alone": (details(audio_tokens=4), Modalities(audio=4)),
    "zeros": (details(audio_tokens=0), Modalities()),
    "vllm": (details(multimodal_tokens={"image": 6, "video": 1}), Modalities(image=6)),
    "names of the responses API": ({"input_tokens": 9, "input_tokens_details": {"text_tokens": 9}}, Modalities(text=9)),
}


@pytest.mark.parametrize(("report", "expected"), MODALITIES.values(), ids=MODALITIES.keys())
def test_modalities_of_the_input(report, expected):
    """Tokens by modality are taken where a server reports them; others than text, image and audio are not."""
    assert tokens(report).input_modalities == expected


def test_modalities_of_output_and_cache():
    """Output and what came from the cache have modalities of their own."""
    found = tokens(
        {**SUM, "completion_tokens_details": {"text_tokens": 1, "audio_tokens": 4}},
        details(cached_tokens=3, cached_tokens_details={"text_tokens": 2, "audio_tokens": 1}),
    )
    assert (found.output_modalities, found.cached_modalities) == (Modalities(text=1, audio=4), Modalities(text=2, audio=1))


COUNTS = st.integers(0, 2**31 - 1)


@given(COUNTS, COUNTS, COUNTS, COUNTS)
def test_anthropic_usage_counts_each_token_once(plain, read, written, output):
    """The kinds of an Anthropic usage are its own numbers."""
    names = ("input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens", "output_tokens")
    found = tokens(dict(zip(names, (plain, read, written, output), strict=True)))
    kinds = {"input": plain, "cached": read, "cache_write": written, "output": output}
    assert found.kinds == {kind: count for kind, count in kinds.items() if count}
