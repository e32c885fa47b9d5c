"""The OpenAI-compatible provider against a real HTTP server that speaks the protocol."""

from __future__ import annotations

from contextlib import contextmanager
from typing import Any

import pytest
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from tests.helpers.model_server import CUT, DONE, HEAD, ModelServer, says


class KeyedServer(ModelServer):
    """A scripted model server that notes the keys of its requests."""

    def __init__(self, *replies: Any) -> None:
        super().__init__(*replies)
        self.authorization: list[str | None] = []

    async def answer(self, request: Request) -> Response:
        self.authorization.append(request.headers.get("authorization"))
        return await super().answer(request)


def usage(**tokens: int) -> dict[str, Any]:
    return {**HEAD, "choices": [], "usage": tokens}


@pytest.fixture
def asked(start, monkeypatch):
    """Calls herald, whose first provider is this server; yields service, answer and server."""
    monkeypatch.setenv("TEST_MODEL_KEY", "sk-secret")

    @contextmanager
    def ask(server: ModelServer, **more: Any):
        with server.running() as url:
            remote = {"kind": "openai", "base_url": url, "model": "m", "api_key_env": "TEST_MODEL_KEY"}
            service = start(providers={"remote": remote, **more})
            yield service, service.run("herald", "how are you?"), server

    return ask


def test_answer_and_usage_are_the_servers(asked):
    """Text comes from the chunks, tokens from the usage chunk that the request asked for."""
    server = KeyedServer([says("fine, "), says("thanks"), usage(prompt_tokens=11, completion_tokens=5, total_tokens=16), DONE])
    with asked(server) as (service, answer, _):
        assert answer.json()["output"] == "fine, thanks"
        assert service.counted("ccr_tokens_total") == {"input/remote": 11, "output/remote": 5}
        assert service.counted("ccr_requests_total") == {"remote/success/question": 1}
    assert server.asked == [
        {
            "model": "m",
            "messages": [{"role": "user", "content": "how are you?"}],
            "stream": True,
            "stream_options": {"include_usage": True},
        }
    ]
    assert server.authorization == ["Bearer sk-secret"]


def test_missing_usage_counts_no_tokens(asked):
    """A server that sends no usage chunk adds no tokens, and the call is a success."""
    with asked(ModelServer([says("fine"), DONE])) as (service, answer, _):
        assert answer.json()["output"] == "fine"
        assert service.counted("ccr_tokens_total") == {}


def test_total_without_split_is_unknown(asked):
    """A usage with a total alone counts as unknown."""
    with asked(ModelServer([says("fine"), usage(total_tokens=9), DONE])) as (service, answer, _):
        assert answer.status_code == 200
        assert service.counted("ccr_tokens_total") == {"unknown/remote": 9}


LIMITED = JSONResponse({"error": {"message": "slow down"}}, 429, {"Retry-After": "1"})
FAILING = JSONResponse({"error": {"message": "oops"}}, 500)


@pytest.mark.parametrize(
    "server",
    [
        ModelServer(LIMITED),
        ModelServer(FAILING),
        ModelServer([b"data: {nonsense\n\n"]),
        ModelServer([b"data: 7\n\n"]),
        ModelServer(Response(b"<html>", media_type="text/html")),
        ModelServer([CUT]),
    ],
    ids=["429", "500", "garbage", "number", "html", "cut"],
)
def test_server_that_fails_is_asked_once_and_followed_by_the_next(asked, server):
    """Each failure is one attempt, without a retry of the client's own, and the next provider answers."""
    with asked(server, backup={"latency": 0}) as (service, answer, _):
        assert answer.status_code == 200
        assert service.counted("ccr_requests_total") == {"backup/success/question": 1, "remote/error/question": 1}
    assert len(server.asked) == 1


def test_key_is_nowhere(asked, caplog):
    """The API key is in no answer, no metric, no span and no log."""
    with asked(ModelServer(FAILING)) as (service, answer, _):
        spans = "".join(span.to_json() for span in service.spans.ended)
        for shown in (answer.text, service.client.get("/metrics").text, spans, caplog.text):
            assert "sk-secret" not in shown


@pytest.mark.parametrize("cut", [[says("half an ans")], [says("")], [DONE]], ids=["cut", "no end", "no text"])
def test_answer_that_is_not_usable_is_not_cached(start, cut):
    """An answer that is cut off or empty is an error for the caller; the next question asks the provider again."""
    server = ModelServer(cut, [says("fine"), DONE])
    with server.running() as url:
        service = start(providers={"remote": {"kind": "openai", "base_url": url, "model": "m"}})
        answers = [service.run("navi", "how are you?") for _ in range(3)]
        assert [answer.status_code for answer in answers] == [502, 200, 200]
        assert [answer.json()["output"] for answer in answers] == ["", "fine", "fine"]
        assert service.counted("ccr_requests_total") == {"remote/error/question": 1, "remote/success/question": 1}
    assert len(server.asked) == 2


def test_texts_of_the_server_are_not_in_the_answer(start):
    """What a server says about an error does not reach the caller, streamed or not."""
    said = {"error": {"message": "walrus", "type": "walrus", "code": "walrus"}}
    with ModelServer(JSONResponse(said, 400)).running() as url:
        service = start(providers={"remote": {"kind": "openai", "base_url": url, "model": "m"}})
        for accept in ("application/json", "text/event-stream"):
            answer = service.client.post("/agents/navi/runs", json={"input": "hi"}, headers={"Accept": accept})
            assert "no provider could answer" in answer.text or "the agent answered with an error" in answer.text
            assert "walrus" not in answer.text
