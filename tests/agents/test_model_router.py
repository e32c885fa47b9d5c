"""The router between attempts: breaker, queue and back-off, and their metrics."""

from __future__ import annotations

import asyncio
import re
from contextlib import aclosing

import pytest

from agents.services.ccr_router import RouterError
from agents.services.retry import Retry, seconds_until
from telemetry.agentos.catalogue import AGENTOS
from telemetry.agentos.catalogue_models import FALLBACK_REASON
from tests.helpers.model_server import ASKED, CUT, DONE, Gate, ModelServer, bench, refusal, says, used

ANSWER = [says("fine"), used(1, 1), DONE]
CLOSED, HALF_OPEN, OPEN = 0.0, 1.0, 2.0


async def test_histograms_of_a_route_start_at_zero():
    """Attempts of a task type and first tokens of a provider have their series before the first call."""
    async with bench(main=ModelServer(ANSWER)) as one:
        one.telemetry.recorder.initialize_series(providers={"main": ["question"]})
        body = one.telemetry.reader.expose().body.decode().splitlines()
        assert 'ccr_time_to_first_token_seconds_count{provider="main"} 0' in body
        assert 'ccr_attempts_count{status="error",task_type="question"} 0' in body
        assert 'ccr_attempts_count{status="success",task_type="question"} 0' in body


async def test_fall_backs_of_a_route_start_at_zero():
    """Each fall-back of a route has its series for every reason before the first call."""
    async with bench(main=ModelServer(ANSWER), backup=ModelServer(ANSWER)) as one:
        body = one.telemetry.reader.expose().body.decode()
        started = re.findall(r'ccr_fallbacks_total{from_provider="main",reason="(\w+)",to_provider="backup"} 0\n', body)
        assert sorted(started) == sorted(FALLBACK_REASON.values)


async def test_gauge_follows_the_breaker():
    """The gauge of a provider goes from closed to open to half-open to closed as calls fail, try and succeed."""
    gate = Gate()
    main = ModelServer(refusal(500), refusal(500), [gate, *ANSWER])
    async with bench(main=main, breaker_failures=2, breaker_pause=30.0) as one:
        seen = [one.recorded("ccr_breaker_state").get("ccr_breaker_state/main", CLOSED)]
        for _ in range(3):
            with pytest.raises(RouterError):
                await one.text()
        seen.append(one.recorded("ccr_breaker_state")["ccr_breaker_state/main"])
        assert len(main.asked) == 2
        one.clock.now += 30
        trying = asyncio.create_task(one.text())
        await gate.wait_until_reached()
        seen.append(one.recorded("ccr_breaker_state")["ccr_breaker_state/main"])
        gate.opened.set()
        assert await trying == "fine"
        seen.append(one.recorded("ccr_breaker_state").get("ccr_breaker_state/main", CLOSED))
        assert seen == [CLOSED, OPEN, HALF_OPEN, CLOSED]
        assert one.recorded("ccr_breaker_changes", "ccr_skips") == {
            "ccr_breaker_changes_total/main/open": 1,
            "ccr_breaker_changes_total/main/half_open": 1,
            "ccr_breaker_changes_total/main/closed": 1,
            "ccr_skips_total/main/breaker_open": 1,
        }


async def test_open_provider_is_skipped_without_a_call():
    """While a breaker is open no call of its provider counts; the fall-back has the reason."""
    async with bench(main=ModelServer(refusal(500)), backup=ModelServer(ANSWER), breaker_failures=1) as one:
        assert [await one.text(), await one.text()] == ["fine", "fine"]
        recorded = one.recorded("ccr_requests", "ccr_fallbacks", "ccr_skips", "ccr_attempts")
    assert recorded == {
        "ccr_requests_total/main/error/question": 1,
        "ccr_requests_total/backup/success/question": 2,
        "ccr_fallbacks_total/main/server/backup": 1,
        "ccr_fallbacks_total/main/breaker_open/backup": 1,
        "ccr_skips_total/main/breaker_open": 1,
        "ccr_attempts_count/success/question": 2,
        "ccr_attempts_sum/success/question": 3,
    }


async def test_late_failure_does_not_end_the_trial():
    """A call from before the breaker opened fails during the trial: the trial continues and closes the breaker."""
    old, new = Gate(), Gate()
    server = ModelServer([old, CUT], refusal(500), [new, *ANSWER])
    async with bench(main=server, breaker_failures=1, breaker_pause=30.0) as one:
        hanging = asyncio.create_task(one.text())
        await old.wait_until_reached()
        with pytest.raises(RouterError):
            await one.text()
        one.clock.now += 30
        trying = asyncio.create_task(one.text())
        await new.wait_until_reached()
        old.opened.set()
        with pytest.raises(RouterError):
            await hanging
        new.opened.set()
        assert await trying == "fine"
        assert one.recorded("ccr_breaker") == {
            "ccr_breaker_changes_total/main/open": 1,
            "ccr_breaker_changes_total/main/half_open": 1,
            "ccr_breaker_changes_total/main/closed": 1,
        }


async def test_provider_that_had_no_time_is_not_blamed():
    """A provider that times out in the little time that the one before it left does not open its breaker."""
    servers = {"main": ModelServer([Gate()]), "backup": ModelServer([Gate()])}
    each = {"main": {"timeout": 0.4}, "backup": {"timeout": 30}}
    async with bench(**servers, each=each, call_timeout=0.5, breaker_failures=1) as one:
        with pytest.raises(RouterError, match="in time"):
            await one.text()
        assert one.recorded("ccr_breaker", "ccr_errors") == {
            "ccr_breaker_state/main": OPEN,
            "ccr_breaker_changes_total/main/open": 1,
            "ccr_errors_total/main/timeout": 1,
            "ccr_errors_total/backup/timeout": 1,
        }


async def test_provider_that_hangs_for_the_whole_request_is_blamed():
    """A provider that hangs for the whole time of a request opens its breaker, though its own timeout is longer."""
    async with bench(main=ModelServer([Gate()]), call_timeout=0.3, breaker_failures=1) as one:
        with pytest.raises(RouterError, match="in time"):
            await one.text()
        assert one.recorded("ccr_breaker_state") == {"ccr_breaker_state/main": OPEN}


async def test_refused_request_does_not_open_the_breaker():
    """A request that a provider refuses as wrong does not open its breaker."""
    async with bench(main=ModelServer(refusal(400)), breaker_failures=1) as one:
        for _ in range(2):
            with pytest.raises(RouterError):
                await one.text()
        assert one.recorded("ccr_errors", "ccr_breaker") == {"ccr_errors_total/main/client": 2}


async def test_calls_wait_for_their_turn():
    """With one call at a time a second one waits, counts as queued, and is answered when the first has ended."""
    gate = Gate()
    async with bench(main=ModelServer([gate, *ANSWER]), each={"main": {"max_in_flight": 1}}) as one:
        first = asyncio.create_task(one.text())
        await gate.wait_until_reached()
        second = asyncio.create_task(one.text())
        await asyncio.sleep(0)  # lets the second one come as far as its wait
        assert one.recorded("ccr_queued", "ccr_in_flight") == {"ccr_queued/main": 1, "ccr_in_flight/main": 1}
        gate.opened.set()
        assert await asyncio.gather(first, second) == ["fine", "fine"]
        assert one.recorded("ccr_queued", "ccr_in_flight") == {}


async def test_turn_that_does_not_come_in_time():
    """A request that gets no turn in time makes no call: the provider counts as skipped because of the queue."""
    server = ModelServer([says("fine"), Gate()])
    async with (
        bench(main=server, each={"main": {"max_in_flight": 1}}, call_timeout=0.7) as one,
        aclosing(one.router.stream(ASKED)) as pieces,
    ):
        assert await anext(pieces) == "fine"  # the turn is taken while its reader takes its time
        with pytest.raises(RouterError, match="in time"):
            await one.text()
        assert one.recorded("ccr_skips", "ccr_queued", "ccr_errors") == {"ccr_skips_total/main/queue": 1}
    assert len(server.asked) == 1


def test_waits_double_up_to_the_longest():
    """Without Retry-After the waits double from the first to the longest; half of each is random."""
    retry = Retry(9, 0.5, 3.0, lambda: 1.0)
    assert [retry.delay(n, "server", None) for n in range(1, 6)] == [0.5, 1.0, 2.0, 3.0, 3.0]
    assert Retry(9, 0.5, 3.0, lambda: 0.0).delay(2, "server", None) == 0.5


def test_repetitions_end():
    """After the last repetition, and after a failure that does not pass, the call is not repeated."""
    retry = Retry(2, 0.5, 3.0)
    assert retry.delay(3, "server", None) is None
    assert [retry.delay(1, reason, 1.0) for reason in ("client", "protocol", "internal")] == [None, None, None]


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("7", 7.0),
        ("0", 0.0),
        ("1.5", 1.5),
        ("Thu, 01 Jan 1970 00:02:00 GMT", 20.0),
        ("Thu, 01 Jan 1970 00:00:01 GMT", 0.0),
        ("", None),
        (None, None),
        ("soon", None),
        ("-3", None),
        ("1.2.3", None),
        ("inf", None),
    ],
)
def test_retry_after_is_seconds_or_a_date(header, seconds):
    """Retry-After is seconds or a date; other values are ignored."""
    assert seconds_until(header, now=100.0) == seconds


async def test_contract_alone_is_unchanged():
    """With the contract's catalogue a retried call leaves the contract's series and no others."""
    servers = {"main": ModelServer(refusal(429, Retry_After="1"), ANSWER)}
    async with bench(AGENTOS, **servers, retries=1) as one:
        assert await one.text() == "fine"
        assert one.recorded("ccr_", "gen_ai_") == {
            "ccr_requests_total/main/error/question": 1,
            "ccr_requests_total/main/success/question": 1,
            "ccr_latency_seconds_count/main": 2,
            "ccr_tokens_total/input/main": 1,
            "ccr_tokens_total/output/main": 1,
        }
