"""The OpenAI-compatible provider against a real HTTP server that speaks the protocol."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from tests.helpers.asgi_server import serving


class ModelServer:
    """``POST /v1/chat/completions`` with the chunks that a test gives."""

    def __init__(self, *chunks: dict[str, Any] | bytes, response: Response | None = None, cut: bool = False) -> None:
        self.chunks = chunks
        self.response = response
        self.cut = cut
        self.asked: list[dict[str, Any]] = []
        self.authorization: list[str | None] = []

    async def answer(self, request: Request) -> Response:
        self.asked.append(await request.json())
        self.authorization.append(request.headers.get("authorization"))
        headers = {"Content-Length": "9999"} if self.cut else {}
        return self.response or StreamingResponse(self.body(), media_type="text/event-stream", headers=headers)

    async def body(self) -> AsyncIterator[bytes]:
        for chunk in self.chunks:
            yield chunk if isinstance(chunk, bytes) else b"data: " + json.dumps(chunk).encode() + b"\n\n"

    @contextmanager
    def running(self) -> Iterator[str]:
        app = Starlette(routes=[Route("/v1/chat/completions", self.answer, methods=["POST"])])
        with serving(app, lifespan="off") as url:
            yield f"{url}/v1"


def words(*texts: str) -> list[dict[str, Any]]:
    return [{**_HEAD, "choices": [{"index": 0, "delta": {"content": text}}]} for text in texts]


def usage(**tokens: Any) -> dict[str, Any]:
    return {**_HEAD, "choices": [], "usage": tokens}


_HEAD: dict[str, Any] = {"id": "c-1", "object": "chat.completion.chunk", "created": 1, "model": "m"}
DONE = b"data: [DONE]\n\n"


@pytest.fixture
def asked(start, monkeypatch):
    """Asks herald, whose only provider is this server; returns service, answer and server."""
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
    server = ModelServer(*words("fine, ", "thanks"), usage(prompt_tokens=11, completion_tokens=5, total_tokens=16), DONE)
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
    with asked(ModelServer(*words("fine"), DONE)) as (service, answer, _):
        assert answer.json()["output"] == "fine"
        assert service.counted("ccr_tokens_total") == {}


def test_total_without_split_is_unknown(asked):
    """A usage with a total alone counts as unknown."""
    with asked(ModelServer(*words("fine"), usage(total_tokens=9), DONE)) as (service, answer, _):
        assert answer.status_code == 200
        assert service.counted("ccr_tokens_total") == {"unknown/remote": 9}


LIMITED = JSONResponse({"error": {"message": "slow down"}}, 429, {"Retry-After": "1"})
FAILING = JSONResponse({"error": {"message": "oops"}}, 500)


@pytest.mark.parametrize(
    "server",
    [
        ModelServer(response=LIMITED),
        ModelServer(response=FAILING),
        ModelServer(b"data: {nonsense\n\n"),
        ModelServer(b"data: 7\n\n"),
        ModelServer(response=Response(b"<html>", media_type="text/html")),
        ModelServer(cut=True),
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
    with asked(ModelServer(response=FAILING)) as (service, answer, _):
        spans = "".join(span.to_json() for span in service.spans.ended)
        for shown in (answer.text, service.client.get("/metrics").text, spans, caplog.text):
            assert "sk-secret" not in shown
