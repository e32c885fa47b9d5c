"""Calls that their caller cancels: reported tokens are counted as reported, and where none were, estimates apart from them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Any

import pytest

from agents.services.ccr_router import ModelRequest, Router, RouterError
from telemetry import AgentOSTelemetry
from telemetry.agentos import catalogue_workspaces
from telemetry.agentos.catalogue_models import MODELS
from telemetry.agentos.quota import Quota
from telemetry.agentos.tokens import Tokens
from telemetry.metric import Catalogue
from tests.helpers.asgi_server import ask
from tests.helpers.model_answers import calls
from tests.helpers.model_server import ASKED, CUT, DONE, Bench, Gate, ModelServer, bench, says, usage
from tests.helpers.samples import above_zero

TOKENS = ("ccr_tokens", "ccr_model_tokens", "ccr_cost", "ccr_unpriced", "ccr_estimated")
CANCELLED = calls(attempts=1, status="error", main_error=1) | {
    "ccr_errors_total/main/cancelled": 1,
    "ccr_time_to_first_token_seconds_count/main": 1,
}


async def leave_after(one: Bench, *texts: str) -> None:
    """Reads these texts of an answer and closes it."""
    async with aclosing(one.router.stream(ASKED)) as pieces:
        for text in texts:
            assert await anext(pieces) == text


async def test_stream_without_usage_is_estimated():
    """Prompt and text count with a quarter of their bytes, rounded up once; no token is reported, and no cost known."""
    async with bench(main=ModelServer([says("fine, "), says("tha"), Gate()])) as one:
        await leave_after(one, "fine, ", "tha")
        assert one.recorded() == CANCELLED | {
            "ccr_estimated_tokens_total/input/m/main": 3,  # "how are you?" has 12 bytes
            "ccr_estimated_tokens_total/output/m/main": 3,  # 9 bytes
            "ccr_unpriced_total/m/main/usage": 1,
        }
        (span,) = one.attempts()
        assert span.attributes is not None
        marked = {key: count for key, count in span.attributes.items() if "tokens" in key}
        assert marked == {"ccr.estimated.input_tokens": 3, "ccr.estimated.output_tokens": 3}


async def test_task_that_is_cancelled_is_estimated():
    """A caller whose task is cancelled while it waits for the provider counts as one who closes the stream."""
    gate = Gate()
    async with bench(main=ModelServer([says("fine, "), gate])) as one:
        come = asyncio.Queue[str]()
        asking = asyncio.create_task(one.read_into(come))
        await come.get()
        await gate.wait_until_reached()
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        assert one.recorded() == CANCELLED | {
            "ccr_estimated_tokens_total/input/m/main": 3,
            "ccr_estimated_tokens_total/output/m/main": 2,
            "ccr_unpriced_total/m/main/usage": 1,
        }


class Silent:
    """A provider that yields these chunks and then waits; ``reached`` is set when they have been taken."""

    vendor = "own"
    model = "m"

    def __init__(self, *chunks: str) -> None:
        self._chunks = chunks
        self.reached = asyncio.Event()

    async def answer(self, _: ModelRequest) -> AsyncGenerator[str | Tokens | Quota, None]:
        for chunk in self._chunks:
            yield chunk
        self.reached.set()
        await asyncio.Event().wait()

    async def close(self) -> None:
        pass


@pytest.mark.parametrize(("chunks", "estimated"), [((), []), (("",), [("input", 3.0)])], ids=["no chunk", "no text"])
async def test_call_without_text(chunks: tuple[str, ...], estimated: list[tuple[str, float]]):
    """Before the first chunk nothing is estimated; a chunk without text shows that the prompt was read."""
    telemetry, provider = AgentOSTelemetry(MODELS, strict=True), Silent(*chunks)
    asking = asyncio.create_task(anext(Router({"own": provider}, {}, telemetry.recorder).stream(ASKED)))
    await provider.reached.wait()
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    found = above_zero(telemetry, "ccr_estimated")
    assert [(dict(labels)["direction"], count) for (_, labels), count in found.items()] == estimated
    assert sum(above_zero(telemetry, "ccr_unpriced").values()) == len(estimated)
    telemetry.shutdown()


async def test_reported_usage_is_not_estimated():
    """Usage that was reported before the caller left counts as reported, with its cost; nothing is estimated."""
    async with bench(main=ModelServer([says("fine, ", **usage(11, 2, cached=3)), says("thanks"), Gate()])) as one:
        await leave_after(one, "fine, ", "thanks")
        assert one.recorded(*TOKENS) == {
            "ccr_tokens_total/input/main": 11,
            "ccr_tokens_total/output/main": 2,
            "ccr_model_tokens_total/input/m/main": 8,
            "ccr_model_tokens_total/cached/m/main": 3,
            "ccr_model_tokens_total/output/m/main": 2,
            "ccr_cost_USD_total/m/main": 0.000035,
        }


@pytest.mark.parametrize("written", [{}, {"completion_tokens": 0, "total_tokens": 11}], ids=["no output", "output 0"])
async def test_direction_that_was_not_reported_is_estimated(written: dict[str, int]):
    """Where only the prompt was reported before the text, its tokens and cost are reported ones, and the text is estimated."""
    begun = says("fine, ", usage={"prompt_tokens": 11, **written})
    async with bench(main=ModelServer([begun, Gate()])) as one:
        await leave_after(one, "fine, ")
        assert one.recorded(*TOKENS) == {
            "ccr_tokens_total/input/main": 11,
            "ccr_model_tokens_total/input/m/main": 11,
            "ccr_cost_USD_total/m/main": 0.000022,
            "ccr_unpriced_total/m/main/usage": 1,
            "ccr_estimated_tokens_total/output/m/main": 2,
        }


async def test_total_without_its_split_is_not_estimated():
    """A total has all tokens: an estimate beside it would count some of them twice."""
    async with bench(main=ModelServer([says("fine, ", usage={"total_tokens": 13}), Gate()])) as one:
        await leave_after(one, "fine, ")
        assert one.recorded(*TOKENS) == {
            "ccr_tokens_total/unknown/main": 13,
            "ccr_model_tokens_total/unknown/m/main": 13,
            "ccr_unpriced_total/m/main/usage": 1,
        }


@pytest.mark.parametrize(
    ("stream", "options"),
    [([says("fine"), DONE], {}), ([says("fine"), CUT], {}), ([says("fine"), Gate()], {"each": {"main": {"timeout": 0.3}}})],
    ids=["complete", "cut", "timeout"],
)
async def test_other_calls_are_not_estimated(stream: list[Any], options: dict[str, Any]):
    """A complete answer without usage, a broken one and a timeout are not estimated: no caller cancelled them."""
    async with bench(main=ModelServer(stream), **options) as one:
        if DONE in stream:
            assert await one.text() == "fine"
        else:
            with pytest.raises(RouterError):
                await one.text()
        assert one.recorded(*TOKENS) == {"ccr_unpriced_total/m/main/usage": 1}


async def test_estimate_counts_bytes():
    """Text beyond ASCII counts by its bytes in UTF-8; pieces are added up before they are rounded."""
    async with bench(main=ModelServer([says("日"), says("本"), says("é"), Gate()])) as one:
        await leave_after(one, "日", "本", "é")
        assert one.recorded("ccr_estimated")["ccr_estimated_tokens_total/output/m/main"] == 2  # 3 + 3 + 2 bytes


async def test_estimate_of_ones_own():
    """An estimate of one's own is asked for each piece, and for the prompt when the caller leaves."""
    asked: list[str] = []

    def words(text: str) -> float:
        asked.append(text)
        return len(text.split())

    async with bench(main=ModelServer([says("one two "), says("three"), Gate()])) as one:
        one.telemetry.recorder.models.estimate = words
        await leave_after(one, "one two ", "three")
        assert asked == ["one two ", "three", "how are you?"]
        assert one.recorded("ccr_estimated") == {
            "ccr_estimated_tokens_total/input/m/main": 3,
            "ccr_estimated_tokens_total/output/m/main": 3,
        }


@pytest.mark.parametrize(
    "estimate", [lambda _: float("nan"), lambda _: float("inf"), lambda _: -1.0, lambda _: 1 / 0, lambda _: "two"]
)
async def test_estimate_that_fails_changes_nothing(estimate: Callable[[str], Any]):
    """An estimate that raises, or is no number of tokens, counts as none; answer and call are as without it."""
    async with bench(main=ModelServer([says("fine, "), Gate()])) as one:
        one.telemetry.recorder.models.estimate = estimate
        await leave_after(one, "fine, ")
        assert one.recorded() == CANCELLED | {"ccr_unpriced_total/m/main/usage": 1}


async def test_estimate_counts_for_the_workspace():
    """The workspace that pays has the estimate in a counter of its own, and the call without a known cost."""
    catalogue = Catalogue([*MODELS, *catalogue_workspaces.ROWS])
    async with bench(catalogue, main=ModelServer([says("fine, "), Gate()])) as one:
        await leave_after(one, "fine, ")
        assert one.recorded("workspace_") == {
            "workspace_estimated_tokens_total/input/unknown": 3,
            "workspace_estimated_tokens_total/output/unknown": 2,
            "workspace_unpriced_total/unknown": 1,
        }


def test_caller_who_leaves_the_service(start):
    """A caller who closes the connection cancels agent and model call; what the provider sent until then is estimated."""
    with ModelServer([says("fine, "), Gate()]).running() as url:
        service = start(providers={"remote": {"kind": "openai", "base_url": url, "model": "m"}}, model_metrics=True)
        connection, found = ask(service.url, "text/event-stream", agent="herald"), b""
        while b"fine, " not in found:
            found += (data := connection.recv(4096))
            assert data, found
        connection.close()
        (span,) = service.spans.wait("ccr.request")
        service.spans.wait("a2a.request")
        assert service.counted("a2a_errors_total") == {"herald/cancelled/query": 1}
        assert service.counted("ccr_errors_total") == {"remote/cancelled": 1}
        assert service.counted("ccr_tokens_total") == service.counted("ccr_model_tokens_total") == {}
        assert service.counted("ccr_cost_USD_total") == {}
        assert service.counted("ccr_unpriced_total") == {"m/remote/usage": 1}
        assert service.counted("ccr_estimated_tokens_total") == {"input/m/remote": 1, "output/m/remote": 2}  # "hi", "fine, "
        assert span.attributes is not None
        marked = {key: count for key, count in span.attributes.items() if "tokens" in key}
        assert marked == {"ccr.estimated.input_tokens": 1, "ccr.estimated.output_tokens": 2}


async def test_many_callers_who_leave_at_once():
    """Of fifty callers who leave at the same time each is estimated once, each call rounded up by itself."""
    async with bench(main=ModelServer([says("fine, "), Gate()])) as one:
        come = asyncio.Queue[str]()
        asking = [asyncio.create_task(one.read_into(come)) for _ in range(50)]
        for _ in asking:
            await come.get()
        for each in asking:
            each.cancel()
        await asyncio.gather(*asking, return_exceptions=True)
        assert one.recorded("ccr_estimated", "ccr_errors", "ccr_unpriced", "ccr_in_flight") == {
            "ccr_estimated_tokens_total/input/m/main": 150,
            "ccr_estimated_tokens_total/output/m/main": 100,
            "ccr_errors_total/main/cancelled": 50,
            "ccr_unpriced_total/m/main/usage": 50,
        }
