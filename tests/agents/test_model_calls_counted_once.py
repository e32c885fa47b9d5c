"""Model calls over HTTP: answers in one piece fail as streams do, and nothing counts twice or at the wrong provider."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from starlette.responses import JSONResponse, Response

from agents.services.ccr_router import RouterError
from tests.helpers.model_answers import ANSWER, answered, calls
from tests.helpers.model_server import CUT, DONE, HEAD, Gate, ModelServer, bench, refusal, says, usage, used, whole

WHOLE = whole("fine, thanks", **usage(11, 5, 3, 2))
IN_ONE_PIECE = {"main": {"stream": False}, "backup": {"stream": False}}


def in_one_piece(provider: str) -> dict[str, float]:
    """The samples of an answer in one piece: all but a first token."""
    counted = answered(provider)
    del counted[f"ccr_time_to_first_token_seconds_count/{provider}"]
    return counted


async def test_429_of_an_answer_in_one_piece_is_followed_to_the_second():
    """Retry-After counts for answers in one piece as well: two calls, one answer, its tokens once."""
    async with bench(main=ModelServer(refusal(429, Retry_After="7"), WHOLE), each=IN_ONE_PIECE, retries=1) as one:
        assert await one.text() == "fine, thanks"
        assert one.waits == [7.0]
        assert one.recorded() == calls(attempts=2, main_error=1, main_success=1) | in_one_piece("main") | {
            "ccr_errors_total/main/rate_limit": 1,
            "ccr_retries_total/main/rate_limit": 1,
        }
        assert len(one.attempts()) == 2


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (refusal(400), "client"),
        (refusal(429, Retry_After="3600"), "rate_limit"),
        (refusal(500), "server"),
        (refusal(504), "timeout"),
        ([b'{"choices": [', CUT], "unreachable"),
        (Response(b"{nonsense", media_type="application/json"), "protocol"),
        (Response(b"<html>", media_type="text/html"), "protocol"),
        (JSONResponse({**HEAD, "choices": []}), "protocol"),
        (JSONResponse([]), "protocol"),
    ],
    ids=["400", "429 for an hour", "500", "504", "cut", "nonsense", "html", "no choice", "list"],
)
async def test_failure_of_an_answer_in_one_piece_goes_to_the_next(reply: Any, reason: str):
    """Each failure is one failed call with its reason, no tokens and no cost, and one turn to the next provider."""
    async with bench(main=ModelServer(reply), backup=ModelServer(WHOLE), each=IN_ONE_PIECE) as one:
        assert await one.text() == "fine, thanks"
        assert one.recorded() == calls(attempts=2, main_error=1, backup_success=1) | in_one_piece("backup") | {
            f"ccr_errors_total/main/{reason}": 1,
            f"ccr_fallbacks_total/main/{reason}/backup": 1,
        }
        assert len(one.attempts()) == 2


async def test_answer_in_one_piece_that_does_not_come_in_time():
    """A server that answers later than its timeout is a timeout, and the router calls the next one."""
    each = {"main": {"stream": False, "timeout": 0.3}, "backup": {"stream": False}}
    async with bench(main=ModelServer([Gate()]), backup=ModelServer(WHOLE), each=each) as one:
        assert await one.text() == "fine, thanks"
        assert one.recorded("ccr_errors", "ccr_fallbacks", "ccr_requests") == {
            "ccr_errors_total/main/timeout": 1,
            "ccr_fallbacks_total/main/timeout/backup": 1,
            "ccr_requests_total/main/error/question": 1,
            "ccr_requests_total/backup/success/question": 1,
        }


async def test_answer_in_one_piece_without_usage():
    """No usage: no tokens, no cost, and one call whose cost is not known."""
    async with bench(main=ModelServer(whole("fine")), each=IN_ONE_PIECE) as one:
        assert await one.text() == "fine"
        assert one.recorded() == calls(attempts=1, main_success=1) | {"ccr_unpriced_total/m/main/usage": 1}


async def test_usage_in_every_chunk_is_counted_once():
    """Of usage that grows from chunk to chunk the last report counts, not the sum."""
    growing = [says("fine, ", **usage(11, 1)), says("thanks", **usage(11, 3, cached=3)), used(11, 5, 3, 2), DONE]
    async with bench(main=ModelServer(growing)) as one:
        assert await one.text() == "fine, thanks"
        assert one.recorded() == calls(attempts=1, main_success=1) | answered("main")


async def test_what_a_failed_attempt_used_is_its_own():
    """An attempt that reported usage and then failed has its tokens and cost; the next provider has those of its answer."""
    async with bench(main=ModelServer([used(11, 5, 3, 2), CUT]), backup=ModelServer(ANSWER)) as one:
        assert await one.text() == "fine, thanks"
        both = answered("backup") | in_one_piece("main")
        assert one.recorded() == calls(attempts=2, main_error=1, backup_success=1) | both | {
            "ccr_errors_total/main/unreachable": 1,
            "ccr_fallbacks_total/main/unreachable/backup": 1,
        }


async def test_what_a_repeated_attempt_used_is_counted_beside():
    """Both attempts at one provider were paid for: the tokens of the one that failed, and those of the answer."""
    async with bench(main=ModelServer([used(11, 5, 3, 2), CUT], ANSWER), retries=1) as one:
        assert await one.text() == "fine, thanks"
        recorded = one.recorded("ccr_tokens", "ccr_cost", "ccr_requests", "ccr_retries")
        assert len(one.attempts()) == 2
    assert recorded == {
        "ccr_tokens_total/input/main": 22,
        "ccr_tokens_total/output/main": 10,
        "ccr_cost_USD_total/m/main": 0.000118,
        "ccr_requests_total/main/error/question": 1,
        "ccr_requests_total/main/success/question": 1,
        "ccr_retries_total/main/unreachable": 1,
    }


async def test_slow_stream_is_one_call_as_long_as_it_took():
    """A stream whose pieces come slowly, but in time, is one success: its times and its pace are what passed on the clock."""
    first, second, come = Gate(), Gate(), asyncio.Queue[str]()
    async with bench(main=ModelServer([first, says("fine, "), second, says("thanks"), used(11, 5, 3, 2), DONE])) as one:
        asking = asyncio.create_task(one.read_into(come))
        for gate, seconds, piece in ((first, 2.0, "fine, "), (second, 20.0, "thanks")):
            await gate.wait_until_reached()
            one.clock.now += seconds
            gate.opened.set()
            assert await come.get() == piece
        await asking
        recorded = one.recorded()
    sums = [recorded.pop(f"ccr_{name}_seconds_sum/main") for name in ("time_to_first_token", "latency")]
    assert sums == [2.0, 22.0]
    assert recorded == calls(attempts=1, main_success=1) | answered("main") | {
        "ccr_inter_token_latency_seconds_count/main": 1,
        "ccr_inter_token_latency_seconds_sum/main": 10.0,  # two tokens came after the first text, in 20 s
        "ccr_output_tokens_per_second_count/main": 1,
        "ccr_output_tokens_per_second_sum/main": 0.1,
    }


@pytest.mark.parametrize("retries", [0, 3])
async def test_every_provider_failing_is_one_unanswered_request(retries: int):
    """A request that all providers fail counts once, as an error with all of its attempts, repetitions included."""
    async with bench(main=ModelServer(refusal(500)), backup=ModelServer(refusal(503)), retries=retries) as one:
        with pytest.raises(RouterError, match="no provider could answer"):
            await one.text()
        recorded = one.recorded("ccr_attempts", "ccr_tokens", "ccr_cost", "ccr_unpriced")
        assert len(one.attempts()) == 2 * (retries + 1)
    assert recorded == {"ccr_attempts_count/error/question": 1, "ccr_attempts_sum/error/question": 2 * (retries + 1)}
