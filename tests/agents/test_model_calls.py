"""Model calls over HTTP: the exact metrics and spans of each way in which a server answers or fails."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

import pytest
from opentelemetry.trace import StatusCode
from starlette.responses import JSONResponse

from agents.services.ccr_router import RouterError
from tests.helpers.asgi_server import closed_port
from tests.helpers.model_answers import ANSWER, answered, calls
from tests.helpers.model_server import ASKED, CUT, DONE, Gate, ModelServer, bench, refusal, says, usage, whole


async def test_answer_with_usage():
    """Text, tokens of each kind, cost and first token of a stream that ends with its usage: one call, one span."""
    async with bench(main=ModelServer(ANSWER)) as one:
        assert await one.text() == "fine, thanks"
        assert one.recorded() == calls(attempts=1, main_success=1) | answered("main")
        (span,) = one.attempts()
    assert span.attributes is not None
    assert {key: value for key, value in span.attributes.items() if not key.startswith("server.")} == {
        "provider": "main",
        "task_type": "question",
        "status": "success",
        "ccr.attempt": 1,
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "m",
        "gen_ai.request.stream": True,
        "gen_ai.response.model": "m-2026",
        "gen_ai.response.time_to_first_chunk": 0.0,
        "gen_ai.usage.input_tokens": 11,
        "gen_ai.usage.output_tokens": 5,
        "gen_ai.usage.cache_read.input_tokens": 3,
        "gen_ai.usage.reasoning.output_tokens": 2,
    }


async def test_usage_that_comes_late():
    """Usage that comes after all of the text has been read counts like usage that comes with it."""
    gate = Gate()
    async with bench(main=ModelServer([*ANSWER[:3], gate, *ANSWER[3:]])) as one:
        async with aclosing(one.router.stream(ASKED)) as pieces:
            assert [await anext(pieces), await anext(pieces)] == ["fine, ", "thanks"]
            gate.opened.set()
            assert await anext(pieces, None) is None
        assert one.recorded() == calls(attempts=1, main_success=1) | answered("main")


async def test_answer_without_usage():
    """A stream without usage counts no tokens and no cost; the call counts as one whose cost is not known."""
    async with bench(main=ModelServer([*ANSWER[:3], DONE])) as one:
        assert await one.text() == "fine, thanks"
        assert one.recorded() == calls(attempts=1, main_success=1) | {
            "ccr_time_to_first_token_seconds_count/main": 1,
            "ccr_unpriced_total/m/main/usage": 1,
        }


async def test_answer_in_one_piece():
    """An answer that is not streamed counts the same, but has no first token."""
    async with bench(main=ModelServer(whole("fine, thanks", **usage(11, 5, 3, 2))), each={"main": {"stream": False}}) as one:
        assert await one.text() == "fine, thanks"
        counted = answered("main")
        del counted["ccr_time_to_first_token_seconds_count/main"]
        assert one.recorded() == calls(attempts=1, main_success=1) | counted


async def test_model_without_price():
    """A model that the price file does not name has its tokens and no cost, and is counted."""
    async with bench(main=ModelServer(ANSWER), each={"main": {"model": "other"}}) as one:
        await one.text()
        recorded = one.recorded("ccr_cost", "ccr_unpriced", "ccr_model_tokens_total/input")
        assert recorded == {"ccr_unpriced_total/other/main/model": 1}


async def test_429_is_followed_to_the_second():
    """After a 429 the router waits for Retry-After and repeats the call: two calls, one answer, its tokens once."""
    async with bench(main=ModelServer(refusal(429, Retry_After="7"), ANSWER), retries=1) as one:
        assert await one.text() == "fine, thanks"
        assert one.waits == [7.0]
        assert one.recorded() == calls(attempts=2, main_error=1, main_success=1) | answered("main") | {
            "ccr_errors_total/main/rate_limit": 1,
            "ccr_retries_total/main/rate_limit": 1,
        }
        first, second = one.attempts()
    assert first.attributes is not None
    assert second.attributes is not None
    assert (first.attributes["error.type"], first.attributes["reason"]) == ("429", "rate_limit")
    assert (first.status.status_code, second.status.status_code) == (StatusCode.ERROR, StatusCode.UNSET)
    assert [span.attributes and span.attributes["ccr.attempt"] for span in (first, second)] == [1, 2]


async def test_500_is_repeated_and_then_left_for_the_next():
    """After the repetition has failed as well the router calls the next provider: three calls, one retry, one fall-back."""
    async with bench(main=ModelServer(refusal(500)), backup=ModelServer(ANSWER), retries=1) as one:
        assert await one.text() == "fine, thanks"
        assert one.waits == [0.5]
        assert one.recorded() == calls(attempts=3, main_error=2, backup_success=1) | answered("backup") | {
            "ccr_errors_total/main/server": 2,
            "ccr_retries_total/main/server": 1,
            "ccr_fallbacks_total/main/server/backup": 1,
        }
        assert len(one.attempts()) == 3


GARBAGE = [b"data: {nonsense\n\n"]


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (refusal(400), "client"),
        (refusal(401), "client"),
        (refusal(429, Retry_After="3600"), "rate_limit"),
        (GARBAGE, "protocol"),
        ([b"data: 7\n\n"], "protocol"),
        (JSONResponse({"page": "no answer"}), "protocol"),
        ([CUT], "unreachable"),
        ([b'data: {"error": {"message": "overloaded"}}\n\n'], "server"),
        (refusal(408), "timeout"),
    ],
    ids=["400", "401", "429 for an hour", "garbage", "number", "no stream", "cut", "error event", "408"],
)
async def test_failure_before_the_first_text_goes_to_the_next(reply, reason):
    """A failure before the first text is one failed call with its reason, and one fall-back to the next provider."""
    async with bench(main=ModelServer(reply), backup=ModelServer(ANSWER)) as one:
        assert await one.text() == "fine, thanks"
        assert one.recorded() == calls(attempts=2, main_error=1, backup_success=1) | answered("backup") | {
            f"ccr_errors_total/main/{reason}": 1,
            f"ccr_fallbacks_total/main/{reason}/backup": 1,
        }
        assert len(one.attempts()) == 2


@pytest.mark.parametrize("reply", [refusal(400), GARBAGE, refusal(429, Retry_After="11")], ids=["400", "garbage", "long wait"])
async def test_what_will_not_pass_is_not_repeated(reply):
    """A refusal, a malformed answer and a Retry-After above the longest wait are not repeated, whatever the retries."""
    async with bench(main=ModelServer(reply), retries=5) as one:
        with pytest.raises(RouterError, match="no provider could answer the task 'question'"):
            await one.text()
        assert one.waits == []
        assert len(one.attempts()) == 1


@pytest.mark.parametrize("reply", [[says("half"), CUT], [says("half"), *GARBAGE]], ids=["cut", "garbage"])
async def test_failure_in_the_middle_is_one_failed_call(reply):
    """A failure after the first text is neither repeated nor followed by another provider; its usage counts as unknown."""
    backup = ModelServer(ANSWER)
    async with bench(main=ModelServer(reply), backup=backup, retries=3) as one:
        with pytest.raises(RouterError, match="provider main failed in the middle of its answer"):
            await one.text()
        recorded = one.recorded()
        reason = "unreachable" if CUT in reply else "protocol"
        assert recorded == calls(attempts=1, status="error", main_error=1) | {
            f"ccr_errors_total/main/{reason}": 1,
            "ccr_time_to_first_token_seconds_count/main": 1,
            "ccr_unpriced_total/m/main/usage": 1,
        }
        assert len(one.attempts()) == 1
    assert backup.asked == []


async def test_server_that_is_not_there():
    """A port where no server listens counts as unreachable."""
    async with bench(main=ModelServer(ANSWER), each={"main": {"base_url": f"http://127.0.0.1:{closed_port()}/v1"}}) as one:
        with pytest.raises(RouterError):
            await one.text()
        assert one.recorded() == calls(attempts=1, status="error", main_error=1) | {"ccr_errors_total/main/unreachable": 1}


async def test_slow_first_token_is_measured():
    """The time to the first token is the time from the send to the first text, on the telemetry's clock."""
    gate = Gate()
    async with bench(main=ModelServer([says(""), gate, *ANSWER[1:]])) as one:
        asking = asyncio.create_task(one.text())
        await gate.wait_until_reached()
        one.clock.now += 3.5
        gate.opened.set()
        assert await asking == "fine, thanks"
        recorded = one.recorded("ccr_time", "ccr_latency")
        assert recorded["ccr_time_to_first_token_seconds_sum/main"] == 3.5
        assert recorded["ccr_latency_seconds_sum/main"] == 3.5


@pytest.mark.parametrize("begun", [[], [says("")]], ids=["no answer", "no text"])
async def test_first_token_that_does_not_come_in_time_goes_to_the_next(begun):
    """A provider without text within its timeout is a timeout, and the router calls the next one."""
    async with bench(main=ModelServer([*begun, Gate()]), backup=ModelServer(ANSWER), each={"main": {"timeout": 0.3}}) as one:
        assert await one.text() == "fine, thanks"
        recorded = one.recorded("ccr_errors", "ccr_fallbacks", "ccr_requests", "ccr_tokens")
    assert recorded == {
        "ccr_errors_total/main/timeout": 1,
        "ccr_fallbacks_total/main/timeout/backup": 1,
        "ccr_requests_total/main/error/question": 1,
        "ccr_requests_total/backup/success/question": 1,
        "ccr_tokens_total/input/backup": 11,
        "ccr_tokens_total/output/backup": 5,
    }


async def test_stream_that_stalls_fails_the_answer():
    """A stream that stops in the middle for longer than its time is a timeout and ends the answer."""
    async with bench(
        main=ModelServer([says("half"), Gate()]), backup=ModelServer(ANSWER), each={"main": {"timeout": 1.5}}
    ) as one:
        with pytest.raises(RouterError, match="in the middle"):
            await one.text()
        assert one.recorded("ccr_errors", "ccr_fallbacks") == {"ccr_errors_total/main/timeout": 1}


async def test_whole_call_has_its_time():
    """When the time of the whole request is over the router calls no other provider, and its error says so."""
    backup = ModelServer(ANSWER)
    async with bench(main=ModelServer([Gate()]), backup=backup, call_timeout=0.3, retries=2) as one:
        with pytest.raises(RouterError, match="no provider answered the task 'question' in time"):
            await one.text()
        assert one.recorded("ccr_errors", "ccr_fallbacks", "ccr_retries") == {"ccr_errors_total/main/timeout": 1}
    assert backup.asked == []


async def test_reader_who_leaves_is_counted_with_what_was_used():
    """A stream that its reader closes early is one failed call with the tokens and cost that were reported until then."""
    gate = Gate()
    begun = says("fine, ", **usage(11, 2, cached=3))
    async with bench(main=ModelServer([begun, gate, *ANSWER[2:]]), backup=ModelServer(ANSWER), retries=2) as one:
        async with aclosing(one.router.stream(ASKED)) as pieces:
            assert await anext(pieces) == "fine, "
            assert one.recorded("ccr_in_flight") == {"ccr_in_flight/main": 1}
        assert one.recorded() == calls(attempts=1, status="error", main_error=1) | {
            "ccr_errors_total/main/cancelled": 1,
            "ccr_time_to_first_token_seconds_count/main": 1,
            "ccr_tokens_total/input/main": 11,
            "ccr_tokens_total/output/main": 2,
            "ccr_model_tokens_total/input/m/main": 8,
            "ccr_model_tokens_total/cached/m/main": 3,
            "ccr_model_tokens_total/output/m/main": 2,
            "ccr_cost_USD_total/m/main": 0.000035,
        }
        assert len(one.attempts()) == 1
