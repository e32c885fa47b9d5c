"""Quotas on the way from a provider's headers to the gauges: answers, refusals, other errors, providers of one's own."""

from __future__ import annotations

from collections.abc import AsyncGenerator

import pytest

from agents.services.ccr_router import ModelRequest, Router, RouterError
from telemetry import AgentOSTelemetry
from telemetry.agentos.catalogue_models import MODELS
from telemetry.agentos.quota import Quota
from telemetry.agentos.tokens import Tokens
from tests.helpers.model_answers import ANSWER, answered, calls
from tests.helpers.model_server import ASKED, CUT, ModelServer, bench, refusal, says, whole
from tests.helpers.samples import read

HEADERS = [
    ("x-ratelimit-limit-requests", "60"),
    ("x-ratelimit-remaining-requests", "59"),
    ("x-ratelimit-reset-requests", "1s"),
    ("x-ratelimit-limit-tokens", "150000"),
    ("x-ratelimit-remaining-tokens", "149984"),
    ("x-ratelimit-reset-tokens", "6m0s"),
]
SHOWN = {
    "ccr_quota_limit/main/requests": 60,
    "ccr_quota_remaining/main/requests": 59,
    "ccr_quota_limit/main/tokens": 150000,
    "ccr_quota_remaining/main/tokens": 149984,
}


async def test_quota_of_an_answer_is_shown_until_its_reset():
    """The headers of a stream are on the gauges, beside nothing else that changes; at the reset all of the limit is left."""
    async with bench(main=ModelServer(ANSWER, headers=HEADERS)) as one:
        assert one.recorded("ccr_quota") == {}
        assert await one.text() == "fine, thanks"
        assert one.recorded() == calls(attempts=1, main_success=1) | answered("main") | SHOWN
        one.clock.now += 1
        assert one.recorded("ccr_quota") == SHOWN | {"ccr_quota_remaining/main/requests": 60}
        one.clock.now += 299
        assert one.recorded("ccr_quota") == {name: number for name, number in SHOWN.items() if name.endswith("tokens")}
        one.clock.now += 60
        assert one.recorded("ccr_quota") == {}


async def test_quota_is_known_before_the_answer_ends():
    """A stream that breaks in the middle has shown its quota: it comes with the headers."""
    async with bench(main=ModelServer([says("half"), CUT], headers=HEADERS)) as one:
        with pytest.raises(RouterError):
            await one.text()
        assert one.recorded("ccr_quota") == SHOWN


async def test_quota_of_an_answer_in_one_piece():
    """An answer that is not streamed has its headers read as well."""
    reply = whole("fine")
    reply.headers.update(dict(HEADERS))
    async with bench(main=ModelServer(reply), each={"main": {"stream": False}}) as one:
        assert await one.text() == "fine"
        assert one.recorded("ccr_quota") == SHOWN


@pytest.mark.parametrize(("status", "reason"), [(429, "rate_limit"), (400, "client"), (503, "server")])
async def test_quota_of_an_error(status: int, reason: str):
    """A refusal and every other error tell the quota; they fail with the reason that they have without it."""
    reply = refusal(status, X_RateLimit_Limit_Tokens="100", X_RateLimit_Remaining_Tokens="0", X_RateLimit_Reset_Tokens="42")
    async with bench(main=ModelServer(reply)) as one:
        with pytest.raises(RouterError):
            await one.text()
        assert one.recorded("ccr_errors") == {f"ccr_errors_total/main/{reason}": 1}
        shown = {labels: number for (name, labels), number in read(one.telemetry).items() if name == "ccr_quota_remaining"}
        assert shown == {(("provider", "main"), ("resource", "tokens")): 0}


async def test_each_attempt_tells_its_quota():
    """Of a refusal and the repeated call after it the later one counts; each provider has its own quota."""
    refused = refusal(429, Retry_After="1", X_RateLimit_Remaining_Requests="3", X_RateLimit_Remaining_Tokens="7")
    again = refusal(500, X_RateLimit_Remaining_Requests="2")
    async with bench(main=ModelServer(refused, again), backup=ModelServer(ANSWER, headers=HEADERS[:2]), retries=1) as one:
        assert await one.text() == "fine, thanks"
        assert one.recorded("ccr_quota") == {
            "ccr_quota_remaining/main/requests": 2,
            "ccr_quota_remaining/main/tokens": 7,
            "ccr_quota_limit/backup/requests": 60,
            "ccr_quota_remaining/backup/requests": 59,
        }


async def test_headers_that_are_garbage_change_no_answer():
    """Whatever the headers say the answer is the same, and nothing is shown or dropped."""
    garbage = [(name, text) for name, _ in HEADERS for text in ("-1", "", "NaN", "\xff" * 50, "9" * 3000, "1,,;=")]
    async with bench(main=ModelServer(ANSWER, headers=garbage)) as one:
        assert await one.text() == "fine, thanks"
        # Of "1,,;=" the first value is a number.
        assert one.recorded("ccr_quota") == dict.fromkeys(SHOWN, 1)
        assert one.recorded("telemetry_dropped") == {}


class OwnProvider:
    """A provider of one's own, which asks no server: it yields its quota among the text, and may fail."""

    vendor = "own"
    model = "m"

    def __init__(self, quota: Quota, error: Exception | None = None) -> None:
        self._quota = quota
        self._error = error

    async def answer(self, _: ModelRequest) -> AsyncGenerator[str | Tokens | Quota, None]:
        yield self._quota
        if self._error is not None:
            raise self._error
        yield "fine"
        yield Tokens(input_tokens=1, output_tokens=1)

    async def close(self) -> None:
        pass


@pytest.mark.parametrize("error", [None, OSError()])
async def test_provider_of_ones_own_yields_its_quota(error: Exception | None):
    """A quota that a provider yields is no text of the answer, and is shown whether the answer comes or not."""
    telemetry = AgentOSTelemetry(MODELS, strict=True)
    router = Router({"own": OwnProvider(Quota("requests", 10, 4), error)}, {}, telemetry.recorder)
    answer = [piece async for piece in router.stream(ASKED)] if error is None else []
    if error is not None:
        with pytest.raises(RouterError):
            await anext(router.stream(ASKED))
    assert answer == ([] if error else ["fine"])
    shown = {name: number for (name, _), number in read(telemetry).items() if name.startswith("ccr_quota")}
    assert shown == {"ccr_quota_limit": 10, "ccr_quota_remaining": 4}
    telemetry.shutdown()
