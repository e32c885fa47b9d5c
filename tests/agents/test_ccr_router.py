"""The model router and the metering of its attempts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing

import pytest
from prometheus_client.parser import text_string_to_metric_families

from agents.services.ccr_router import ModelRequest, ProviderError, Router, RouterError
from agents.services.providers.builtin import BuiltinProvider
from agents.settings import ProviderSettings
from telemetry import AgentOSTelemetry, Telemetry
from telemetry.agentos.tokens import Modalities, Tokens

ASKED = ModelRequest("question", "hello")


class Scripted:
    """A provider that yields these pieces, raises exceptions among them, and waits for events."""

    vendor = "test"
    model = "m"

    def __init__(self, *pieces: str | Tokens | Exception | asyncio.Event) -> None:
        self.pieces = pieces
        self.asked = 0

    async def answer(self, request: ModelRequest) -> AsyncGenerator[str | Tokens, None]:
        self.asked += 1
        for piece in self.pieces:
            if isinstance(piece, Exception):
                raise piece
            if isinstance(piece, asyncio.Event):
                await piece.wait()
            else:
                yield piece

    async def close(self) -> None: ...


@pytest.fixture
def telemetry() -> Iterator[Telemetry]:
    one = AgentOSTelemetry(strict=True)
    yield one
    one.shutdown()


def counted(telemetry: Telemetry, name: str) -> dict[str, float]:
    families = text_string_to_metric_families(telemetry.reader.expose().body.decode())
    samples = [one for family in families for one in family.samples if one.name == name and one.value]
    return {"/".join(value for _, value in sorted(one.labels.items())): one.value for one in samples}


async def text(router: Router, request: ModelRequest = ASKED) -> str:
    async with aclosing(router.stream(request)) as pieces:
        return "".join([piece async for piece in pieces])


async def test_first_provider_of_the_task_answers(telemetry):
    """The task type chooses the provider; the router calls no other one."""
    one, two = Scripted("one"), Scripted("two")
    router = Router({"one": one, "two": two}, {"question": ("two",)}, telemetry.recorder)
    assert await text(router) == "two"
    assert await text(router, ModelRequest("other", "x")) == "one"
    assert (one.asked, two.asked) == (1, 1)
    assert counted(telemetry, "ccr_requests_total") == {"two/success/question": 1, "one/success/other": 1}


@pytest.mark.parametrize("error", [ProviderError("no"), ValueError("a bug of the provider"), ConnectionError()])
async def test_next_provider_answers_when_one_fails(telemetry, error):
    """After any exception of the first provider before its first text the router calls the next one."""
    router = Router({"one": Scripted(error), "two": Scripted("two")}, {}, telemetry.recorder)
    assert await text(router) == "two"
    assert counted(telemetry, "ccr_requests_total") == {"one/error/question": 1, "two/success/question": 1}


async def test_failure_in_the_middle_is_not_patched_up(telemetry):
    """A failure after the first text ends the answer: no other provider continues it."""
    two = Scripted("two")
    router = Router({"one": Scripted("half", ProviderError("cut")), "two": two}, {}, telemetry.recorder)
    with pytest.raises(RouterError, match="provider one failed in the middle of its answer"):
        await text(router)
    assert two.asked == 0
    assert counted(telemetry, "ccr_requests_total") == {"one/error/question": 1}


async def test_no_provider_left_is_an_error(telemetry):
    """When all have failed the router says so, and each attempt is counted."""
    router = Router({"one": Scripted(ProviderError("a")), "two": Scripted(ProviderError("b"))}, {}, telemetry.recorder)
    with pytest.raises(RouterError, match="no provider could answer the task 'question'"):
        await text(router)
    assert counted(telemetry, "ccr_requests_total") == {"one/error/question": 1, "two/error/question": 1}


@pytest.mark.parametrize(
    ("usage", "tokens"),
    [
        (Tokens(3, 4), {"input/p": 3, "output/p": 4}),
        (Tokens(3, 4, 7), {"input/p": 3, "output/p": 4}),
        (Tokens(3, 4, 10), {"input/p": 3, "output/p": 4, "unknown/p": 3}),
        (Tokens(total_tokens=9), {"unknown/p": 9}),
        (Tokens(), {}),
    ],
)
async def test_tokens_are_those_reported(telemetry, usage, tokens):
    """Tokens count as the provider reports them; a total without its parts counts as unknown, not halved."""
    assert await text(Router({"p": Scripted("x", usage)}, {}, telemetry.recorder)) == "x"
    assert counted(telemetry, "ccr_tokens_total") == tokens


async def test_no_usage_counts_no_tokens(telemetry):
    """A provider that reports nothing adds nothing: tokens are never guessed."""
    assert await text(Router({"p": Scripted("some text")}, {}, telemetry.recorder)) == "some text"
    assert counted(telemetry, "ccr_tokens_total") == {}


async def test_cancelled_call_is_an_error(telemetry):
    """A model call whose caller is cancelled is counted as error, with the latency that really passed."""
    router = Router({"p": Scripted("x", asyncio.Event())}, {}, telemetry.recorder)
    begun = asyncio.Event()

    async def read() -> None:
        async with aclosing(router.stream(ASKED)) as pieces:
            async for _ in pieces:
                begun.set()

    reading = asyncio.create_task(read())
    await begun.wait()
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    assert counted(telemetry, "ccr_requests_total") == {"p/error/question": 1}
    assert counted(telemetry, "ccr_latency_seconds_count") == {"p": 1}


async def test_builtin_provider_takes_the_latency_that_is_set():
    """The built-in provider waits for its latency, spread over its pieces, and fails at its failure rate."""
    waits: list[float] = []

    async def sleep(seconds: float) -> None:
        waits.append(seconds)

    chances = iter([0.49, 0.5])
    provider = BuiltinProvider(ProviderSettings(latency=0.6, failure_rate=0.5), sleep, lambda: next(chances))
    with pytest.raises(ProviderError):
        await anext(provider.answer(ASKED))
    assert waits == [0.6]
    waits.clear()
    pieces = [piece async for piece in provider.answer(ASKED)]
    assert waits == pytest.approx([0.2, 0.2, 0.2])
    text = (Modalities(text=1), Modalities(text=16))
    assert pieces[-1] == Tokens(1, 16, model="builtin-1", input_modalities=text[0], output_modalities=text[1])
