"""Malformed requests over real sockets: no 5xx, no new series, no stack trace in the log."""

from __future__ import annotations

import socket
import threading
from collections import Counter
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from agents.main import _App
from benchmarks.malformed import SETTINGS, series, tracebacks, warm_up
from stack.load.malformed import flood, requests
from stack.servers.service import Service
from tests.helpers.asgi_server import TIMEOUT, ask, serving
from tests.helpers.scripted_agent import replying, stalling, status, task

ANSWER = (task("TASK_STATE_SUBMITTED"), status("TASK_STATE_COMPLETED", "done"))


def exchange(url: str, request: bytes) -> bytes:
    """The whole answer to these bytes."""
    parts = urlsplit(url)
    with socket.create_connection((parts.hostname, parts.port), TIMEOUT) as connection:
        connection.sendall(request)
        return b"".join(iter(lambda: connection.recv(65536), b""))


@pytest.mark.parametrize("target", ["/agents/peer/runs", "/agents", "/metrics", "/nowhere"])
def test_a_body_that_breaks_in_its_first_packet_is_one_400(start, agent, caplog, target):
    """Broken chunks after a good head are one 400 of the server, and no error in the log."""
    service = start(agents={"peer": agent(replying(*ANSWER)).url})
    head = f"POST {target} HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
    answer = exchange(service.url, head + b"zz\r\nhello\r\n")
    assert (answer.count(b"HTTP/1.1 "), answer[:13]) == (1, b"HTTP/1.1 400 ")
    assert service.client.get("/health/live").status_code == 200
    assert [record.getMessage() for record in caplog.records if record.levelname == "ERROR"] == []


def test_an_error_of_ours_is_not_hidden(start, caplog):
    """An error of the application in its own answer is still logged as an error."""

    async def wrong(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"1")]})
        await send({"type": "http.response.body", "body": b"two"})

    app = _App(1000)
    app.mount("/", wrong)
    with serving(app) as url:
        exchange(url, b"GET / HTTP/1.1\r\nHost: test\r\n\r\n")
    assert [record.getMessage() for record in caplog.records if record.levelname == "ERROR"] == [
        "Exception in ASGI application\n"
    ]


def test_leaving_while_a_known_card_is_fetched_again_is_no_call(start, agent, monkeypatch):
    """A caller that leaves while a known card is fetched again for an unknown operation counts nowhere."""
    monkeypatch.setattr("agents.gateway.agent_client._STALE_SECONDS", 0.0)
    release = threading.Event()
    peer = agent(stalling(release))
    service = start(agents={"peer": peer.url})
    before = service.client.get("/metrics").text
    peer.card_reply = card = HangingReply()
    connection = ask(service.url, "application/json", operation="nonsense")
    assert card.asked.wait(TIMEOUT)
    connection.close()
    service.spans.wait("POST /agents/{agent}/runs")
    after = service.client.get("/metrics").text
    assert [line for line in after.splitlines() if line not in before and "rate_limit" not in line] == []


class HangingReply:
    """A card that never comes."""

    def __init__(self) -> None:
        self.asked = threading.Event()

    async def __call__(self, scope, receive, send):
        self.asked.set()
        while (await receive())["type"] != "http.disconnect":
            pass


def test_two_thousand_malformed_requests(tmp_path: Path) -> None:
    """2,000 malformed requests: no 5xx, no stack trace, no new series. ``make malformed`` sends 100,000."""
    with Service(tmp_path / "service", SETTINGS) as service:
        warm_up(service)
        before = series(service)
        statuses = flood(service.port, 2_000, seed=9)
        print(dict(statuses))
        assert sum(statuses.values()) >= 2_000
        assert {status for status in statuses if status >= 500} == set()
        assert {200, 400, 404, 405, 413, 414, 422, 431} <= set(statuses)
        assert tracebacks(service) == 0
        assert series(service) == before
        assert service.run("navi", "after").status_code == 200


def test_the_same_seed_makes_the_same_requests() -> None:
    """The requests depend on the seed alone, and differ among themselves."""
    one, same, other = ([next(source) for _ in range(200)] for source in (iterate(1), iterate(1), iterate(2)))
    assert one == same
    assert one != other
    assert len(Counter(one)) > 150


def iterate(seed: int):
    return iter(requests(seed))
