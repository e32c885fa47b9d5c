"""Tokens by kind, as providers report them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from telemetry.agentos.tokens import Tokens


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
