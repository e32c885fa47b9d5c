"""Tokens by kind, as providers report them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from telemetry.agentos.tokens import Modalities, Tokens


@pytest.mark.parametrize(
    ("reported", "output", "kinds"),
    [
        (Tokens(10, 105, 115, reasoning_tokens=100), 105, {"input": 10, "output": 5, "reasoning": 100}),
        (Tokens(10, 5, 115, reasoning_tokens=100), 105, {"input": 10, "output": 5, "reasoning": 100}),
        (Tokens(10, 5, 120, reasoning_tokens=100), 105, {"input": 10, "output": 5, "reasoning": 100, "unknown": 5}),
        (Tokens(10, 5, None, reasoning_tokens=100), 105, {"input": 10, "output": 5, "reasoning": 100}),
        (Tokens(10, 5, None, reasoning_tokens=4), 5, {"input": 10, "output": 1, "reasoning": 4}),
        (Tokens(10, 0, 110, reasoning_tokens=100), 100, {"input": 10, "reasoning": 100}),
        (Tokens(10, 5, 15, reasoning_tokens=100), 5, {"input": 10, "reasoning": 5}),
        (Tokens(10, 5, 60, reasoning_tokens=100), 5, {"input": 10, "reasoning": 5, "unknown": 45}),
        (Tokens(10, None, 110, reasoning_tokens=100), None, {"input": 10, "unknown": 100}),
        (Tokens(None, 5, 105, reasoning_tokens=100), 105, {"output": 5, "reasoning": 100}),
        (Tokens(10, 5, 15, reasoning_tokens=-3), 5, {"input": 10, "output": 5}),
    ],
)
def test_reasoning_is_counted_once(reported, output, kinds):
    """Reasoning that is counted beside the output is added to it; reasoning within the output stays a part of it."""
    assert (reported.output_tokens, reported.kinds) == (output, kinds)
    assert replace(reported) == reported


@pytest.mark.parametrize(
    ("reported", "kinds"),
    [
        (Tokens(10, cache_write_tokens=4), {"input": 6, "cache_write": 4}),
        (Tokens(10, cached_tokens=3, cache_write_tokens=4), {"input": 3, "cached": 3, "cache_write": 4}),
        (Tokens(10, cached_tokens=3, cache_write_tokens=7), {"cached": 3, "cache_write": 7}),
        (Tokens(10, cached_tokens=3, cache_write_tokens=70), {"cached": 3, "cache_write": 7}),
        (Tokens(10, cached_tokens=30, cache_write_tokens=70), {"cached": 10}),
        (Tokens(10, cache_write_tokens=-1), {"input": 10}),
        (Tokens(None, cache_write_tokens=4), {}),
        (Tokens(10, None, 16, cache_write_tokens=4), {"input": 6, "cache_write": 4, "unknown": 6}),
    ],
)
def test_tokens_written_to_the_cache_are_counted_once(reported, kinds):
    """What was written to the cache is no plain input; never more is counted than the input has, what was read first."""
    assert reported.kinds == kinds


@pytest.mark.parametrize(
    ("modalities", "total", "shares"),
    [
        (Modalities(), 10, {"unknown": 10}),
        (Modalities(), 0, {"unknown": 0}),
        (Modalities(text=10), 10, {"text": 10}),
        (Modalities(text=4, image=3, audio=2), 10, {"text": 4, "image": 3, "audio": 2, "unknown": 1}),
        (Modalities(audio=10), 0, {"unknown": 0}),
        (Modalities(text=8, image=3), 10, {"unknown": 10}),
        (Modalities(text=-8, image=3), 10, {"image": 3, "unknown": 7}),
    ],
)
def test_modalities_share_a_total(modalities, total, shares):
    """Each token has one modality; those without are ``unknown``, and all are where the breakdown has more than the total."""
    assert modalities.share(total) == shares
