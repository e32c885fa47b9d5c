"""The pace of streams over HTTP: which ones have it, and its exact values."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import Any

import pytest

from agents.services.ccr_router import RouterError
from tests.helpers.model_server import ASKED, CUT, DONE, Bench, Gate, ModelServer, bench, says, usage, used

PACE = ("ccr_inter_token", "ccr_output_tokens")


def pace(seconds: float, tokens: int) -> dict[str, float]:
    """The samples of one stream with this many tokens after its first text."""
    return {
        "ccr_inter_token_latency_seconds_count/main": 1,
        "ccr_inter_token_latency_seconds_sum/main": seconds / tokens,
        "ccr_output_tokens_per_second_count/main": 1,
        "ccr_output_tokens_per_second_sum/main": tokens / seconds,
    }


async def follow(one: Bench, *steps: str | tuple[Gate, float], held: float = 0.0) -> None:
    """Follows an answer: a text is awaited, a gate opens after seconds; its reader takes ``held`` seconds with each text."""
    come = asyncio.Queue[str]()

    async def read() -> None:
        async with aclosing(one.router.stream(ASKED)) as pieces:
            async for piece in pieces:
                come.put_nowait(piece)
                one.clock.now += held

    reading = asyncio.create_task(read())
    for step in steps:
        if isinstance(step, str):
            assert await come.get() == step
        else:
            gate, seconds = step
            await gate.wait_until_reached()
            one.clock.now += seconds
            gate.opened.set()
    await reading


async def test_pace_of_a_stream():
    """The tokens after the first one share the time from the first text to the last one; nothing else counts."""
    before, between, after = Gate(), Gate(), Gate()
    stream = [says(""), before, says("one "), between, says("two"), after, says(""), used(11, 5), DONE]
    async with bench(main=ModelServer(stream)) as one:
        await follow(one, (before, 7.0), "one ", (between, 2.0), "two", (after, 5.0))
        assert one.recorded(*PACE) == pace(2.0, 4)


async def test_reasoning_is_not_among_the_tokens_of_the_text():
    """Reasoning tokens come before the first text: they are not counted after it."""
    gate = Gate()
    async with bench(main=ModelServer([says("one "), gate, says("two"), used(11, 105, reasoning=100), DONE])) as one:
        await follow(one, "one ", (gate, 2.0), "two")
        assert one.recorded(*PACE) == pace(2.0, 4)


@pytest.mark.parametrize(
    ("end", "each"),
    [
        ([DONE], {}),
        ([used(11, 1), DONE], {}),
        ([used(11, 6, reasoning=5), DONE], {}),
        ([{"choices": [], "usage": {"total_tokens": 16}}, DONE], {}),
        ([used(11, 5), DONE], {"stream": False}),
    ],
    ids=["no usage", "one token", "one token beside reasoning", "no split", "no stream asked for"],
)
async def test_stream_without_a_pace(end: list[Any], each: dict[str, Any]):
    """Without at least two reported tokens of text, or without a stream, there is no pace."""
    gate = Gate()
    async with bench(main=ModelServer([says("one "), gate, says("two"), *end]), each={"main": each}) as one:
        await follow(one, "one ", (gate, 2.0), "two")
        assert one.recorded(*PACE) == {}


async def test_stream_that_fails_has_no_pace():
    """A stream that is cut off has no pace, whatever usage it reported."""
    gate = Gate()
    async with bench(main=ModelServer([says("one "), gate, says("two", **usage(11, 5)), CUT])) as one:
        with pytest.raises(RouterError):
            await follow(one, "one ", (gate, 2.0), "two")
        assert one.recorded(*PACE) == {}


async def test_text_in_one_piece_has_no_pace():
    """A stream whose text comes at once has a time to its first text, and no pace."""
    gate = Gate()
    async with bench(main=ModelServer([says("one two"), gate, used(11, 5), DONE])) as one:
        await follow(one, "one two", (gate, 2.0))
        assert one.recorded(*PACE) == {}


async def test_reader_who_sets_the_pace_leaves_no_pace():
    """A reader for whom all chunks wait has set the pace: the provider's is not known."""
    async with bench(main=ModelServer([says("one "), says("two "), says("three"), used(11, 5), DONE])) as one:
        await follow(one, "one ", "two ", "three", held=3.0)
        assert one.recorded(*PACE) == {}
        assert one.recorded("ccr_latency_seconds_sum") == {"ccr_latency_seconds_sum/main": 9.0}


async def test_time_of_the_reader_is_in_the_pace_where_the_provider_is_waited_for():
    """A reader who takes time, and then waits for the provider, makes no difference: the text comes when it is sent."""
    gate = Gate()
    async with bench(main=ModelServer([says("one "), gate, says("two"), used(11, 5), DONE])) as one:
        await follow(one, "one ", (gate, 1.5), "two", held=0.5)
        assert one.recorded(*PACE) == pace(2.0, 4)
