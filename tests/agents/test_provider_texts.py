"""Texts of model servers: none reaches log, spans, exceptions or answers but in few, printable words."""

from __future__ import annotations

import json
import logging
import socketserver
import threading
from typing import Any

import pytest
from starlette.responses import JSONResponse, Response

from agents.services.ccr_router import RouterError
from agents.services.retry import Retry, seconds_until
from agents.settings import SettingsError
from tests.helpers.model_server import CUT, DONE, ModelServer, bench, refusal, says
from tests.helpers.scripted_agent import ScriptedAgent

KEY = "sk-0123456789secret"
SAID = f"filtered: how are you?\nCRITICAL forged \x1b[31m Incorrect API key provided: {KEY} " + "x" * 10_000
ERROR = {"message": SAID, "type": "invalid_request_error", "code": "invalid_api_key", "param": SAID}
ODD = {"message": [SAID], "type": SAID, "code": {"text": SAID}}


def event(data: Any) -> bytes:
    return b"data: " + json.dumps(data).encode() + b"\n\n"


REPLIES: dict[str, Response | list[Any]] = {
    "error": JSONResponse({"error": ERROR}, 401),
    "error as text": JSONResponse({"error": SAID}, 400),
    "error at the top": JSONResponse(ERROR, 500),
    "error in a list": JSONResponse([{"error": ERROR}], 400),
    "error of odd types": JSONResponse({"error": ODD}, 503),
    "error as page": Response(SAID, 502),
    "error as string": JSONResponse(SAID, 400),
    "headers": Response(status_code=429, headers={"Retry-After": "how are you? " * 100, "X-Request-Id": KEY}),
    "error in the stream": [event({"error": ERROR})],
    "error as text in the stream": [event({"error": SAID})],
    "odd error in the stream": [event({"error": ODD})],
    "error after text": [says("half"), event({"error": ERROR})],
    "key as the code": [event({"error": {"code": KEY, "type": KEY}})],
    "no JSON": [b"data: " + SAID.encode()[:400].replace(b"\n", b" ") + b"\n\n"],
    "no JSON in one piece": Response("{" + SAID, media_type="application/json"),
    "redirect": Response(status_code=307, headers={"Location": "http://127.0.0.1:9/" + KEY}),
    "encoding": Response(b"x", headers={"Content-Encoding": KEY}),
    "cut": [CUT],
    "model and end": [{**says("half"), "model": SAID}, {"choices": [{"finish_reason": "error"}], "model": SAID}],
}


@pytest.mark.parametrize("streams", [True, False])
@pytest.mark.parametrize("reply", REPLIES.values(), ids=REPLIES.keys())
async def test_texts_of_a_server_are_not_told_on(reply, streams, monkeypatch, caplog):
    """Neither log, spans nor the exception quote prompt, key or a long text; each log message is one short line."""
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    async with bench(main=ModelServer(reply), each={"main": {"stream": streams}}) as one:
        with pytest.raises(RouterError) as failed:
            await one.text()
        spans = [span.to_json() for span in one.spans.get_finished_spans()]
    exceptions: list[BaseException | None] = [failed.value, failed.value.__cause__]
    logged = [record.getMessage() for record in caplog.records if record.name.startswith("agents")]
    told = [*logged, *map(str, exceptions), *map(repr, exceptions)]
    assert all(len(text) <= 500 and text.isprintable() for text in told)
    for text in [*told, logging.Formatter().formatException(failed._excinfo), *spans]:
        for secret in ("how are you", KEY, "secret", "x" * 200):
            assert secret not in text


async def test_type_and_code_are_told(caplog):
    """The log names status, type and code of a refusal."""
    async with bench(main=ModelServer(JSONResponse({"error": ERROR}, 401))) as one:
        with pytest.raises(RouterError):
            await one.text()
    told = [record.getMessage() for record in caplog.records if record.name.startswith("agents.")]
    assert told == ["provider main failed at question: status 401 (invalid_request_error, invalid_api_key)"]


@pytest.mark.parametrize("reply", [JSONResponse({"error": ERROR}, 401), [event({"error": ERROR})]], ids=["status", "stream"])
async def test_message_is_on_the_span_where_content_is(reply, monkeypatch, caplog):
    """With AGENTOS_TRACE_CONTENT the attempt's span has the server's message, bounded and without the key; the log has not."""
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    async with bench(main=ModelServer(reply), trace_content=True) as one:
        with pytest.raises(RouterError):
            await one.text()
        (span,) = one.attempts()
    assert span.attributes is not None
    message = str(span.attributes["error.message"])
    assert message.startswith("filtered: how are you? CRITICAL forged \ufffd[31m Incorrect API key provided: ... xxx")
    assert len(message) == 500
    assert "how are you" not in caplog.text


async def test_route_that_fails_says_so_on_its_span():
    """The span of a request that no provider answered has our own sentence as its status, and no stack trace."""
    async with bench(main=ModelServer(refusal(500))) as one:
        with pytest.raises(RouterError):
            await one.text()
        (route,) = [span for span in one.spans.get_finished_spans() if span.name == "ccr.route"]
    assert (route.status.description, route.events) == ("no provider could answer the task 'question'", ())
    assert route.attributes is not None
    assert route.attributes["error.type"] == "RouterError"


@pytest.mark.parametrize("key", ["sk-1\n", "sk 1", "sk-é", "sk-\x00"])
async def test_key_that_no_header_can_carry_stops_the_start(key, monkeypatch):
    """A key with line ends, spaces or other characters is refused at the start, and not shown."""
    monkeypatch.setattr("os.environ", {"OPENAI_API_KEY": key})
    with pytest.raises(SettingsError) as refused:
        async with bench(main=ModelServer([says("fine"), DONE])):
            pass
    assert str(refused.value).startswith(
        "OPENAI_API_KEY, which a provider of AGENTOS_PROVIDERS names, is not usable as a key: "
    )
    assert key.strip() not in str(refused.value)


HEADERS: dict[str, float | None] = {
    "Sunday, 01-Jan-70 00:02:00 GMT": 20.0,
    "Thu Jan  1 00:02:00 1970": 20.0,
    "Thu, 01 Jan 1970 01:02:00 +0100": 20.0,
    "Thu, 01 Jan 1970 00:02:00 -0000": 20.0,
    " 7 ": 7.0,
    "7.": 7.0,
    ".5": 0.5,
    "9" * 400: float("inf"),
    "Thu, 01 Jan 1970 00:00:00 +99999999999999999": None,
    "Thu, 01 Jan 99999999999 00:00:00 GMT": None,
    "Thu, 99 Jan 1970 00:00:00 GMT": None,
    "1e400": None,
    "1e3": None,
    "nan": None,
    "-inf": None,
    "+7": None,
    "-7": None,
    "0x10": None,
    "1_000": None,
    "٣": None,
    "²": None,
    "1, 2": None,
    "[1]": None,
    "7 s": None,
    ".": None,
    "\x00": None,
    ":" * 1000: None,
}


@pytest.mark.parametrize(("header", "seconds"), HEADERS.items(), ids=[header[:40] for header in HEADERS])
def test_retry_after_in_any_form(header, seconds):
    """Retry-After in any form is the seconds it says, or is ignored."""
    assert seconds_until(header, now=100.0) == seconds


@pytest.mark.parametrize("asked", [float("nan"), -1.0, float("-inf")])
def test_wait_that_is_none_is_ignored(asked):
    """A wait that is no number from 0 on counts as none; one without end is longer than the longest."""
    retry = Retry(1, 0.5, 3.0, lambda: 1.0)
    assert retry.delay(1, "server", asked) == 0.5
    assert retry.delay(1, "server", float("inf")) is None


@pytest.mark.parametrize("milliseconds", ["1e400", "Thu, 01 Jan 2099 00:02:00 GMT", "-5", "nan", ""])
async def test_odd_milliseconds_are_ignored(milliseconds):
    """A Retry-After-Ms that is no number gives way to Retry-After."""
    headers = {"Retry_After_Ms": milliseconds, "Retry_After": "2"}
    async with bench(main=ModelServer(refusal(429, **headers), [says("fine"), DONE]), retries=1) as one:
        assert await one.text() == "fine"
        assert one.waits == [2.0]


async def no_reply(_: dict[str, Any]) -> Response:
    raise AssertionError


def test_texts_of_an_agent_that_speaks_no_http_are_on_no_span(start):
    """What an agent sends in place of HTTP is on no span; the span of the request names the exception's class."""
    card = json.dumps(ScriptedAgent(no_reply).card()).encode()

    class Talker(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            if self.request.recv(65536).startswith(b"GET"):
                self.request.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % len(card) + card)
            else:
                self.request.sendall(b"walrus " * 100 + b"\r\n\r\n")

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Talker) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            service = start(agents={"peer": f"http://127.0.0.1:{server.server_address[1]}"})
            assert service.run().json()["error"] in ("unreachable", "protocol")
            (client,) = service.spans.wait("POST")
            (event,) = client.events
            assert event.attributes["exception.type"] == "httpx.RemoteProtocolError"
            assert "walrus" not in "".join(span.to_json() for span in service.spans.ended)
        finally:
            server.shutdown()
            thread.join()
