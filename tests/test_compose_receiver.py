"""The receiver of `compose.yaml`, as a program on a socket."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

PROGRAM = Path(__file__).parents[1] / "deploy/compose/receiver.py"


class Running:
    """The program, with the standard library alone."""

    def __init__(self) -> None:
        command = [sys.executable, "-I", "-S", str(PROGRAM), "--port", "0"]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self.url = self.line().removeprefix("listening on ").rstrip("/")
        self.port = int(self.url.rpartition(":")[2])

    def line(self) -> str:
        """Returns the next line of its log."""
        assert self.process.stdout is not None
        return self.process.stdout.readline().rstrip("\n")

    def post(self, *alerts: Any, receiver: str = "pager") -> httpx.Response:
        """Sends alerts as Alertmanager does."""
        return httpx.post(f"{self.url}/page", json={"version": "4", "receiver": receiver, "alerts": alerts})

    def raw(self, request: bytes) -> bytes:
        """Sends bytes and returns the answer."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=30) as client:
            client.sendall(request)
            return b"".join(iter(lambda: client.recv(65536), b""))

    def kept(self) -> list[dict[str, Any]]:
        """Returns the alerts it has, the newest first."""
        found: list[dict[str, Any]] = httpx.get(f"{self.url}/alerts").json()
        return found


@pytest.fixture
def receiver() -> Iterator[Running]:
    running = Running()
    try:
        yield running
    finally:
        running.process.terminate()
        running.process.communicate()


def alert(name: str = "AgentOSDown", status: str = "firing", **notes: str) -> dict[str, Any]:
    labels = {"alertname": name, "severity": "page", "job": "agentos"}
    return {"status": status, "labels": labels, "annotations": notes, "startsAt": "2026-01-01T00:00:00Z"}


def test_an_alert_is_one_line_of_the_log(receiver: Running) -> None:
    """The line has the time, receiver, status, name, labels in order, summary and addresses."""
    address = "http://localhost:9090/user/AgentOSDown.md"
    assert receiver.post(alert(summary="No instance answers", runbook_url=address)).status_code == 200
    arrived, _, told = receiver.line().partition(" ")
    assert told == f"pager FIRING AgentOSDown job=agentos severity=page - No instance answers {address}"
    assert receiver.kept()[0]["arrived"] == arrived


def test_each_alert_of_a_body_is_kept_the_newest_first(receiver: Running) -> None:
    """Alerts of two bodies are listed in reverse order of arrival, with the receiver that each was sent to."""
    receiver.post(alert("One"), alert("Two", "resolved"))
    receiver.post(alert("Three"), receiver="tickets")
    found = [(kept["receiver"], kept["status"], kept["name"]) for kept in receiver.kept()]
    assert found == [("tickets", "firing", "Three"), ("pager", "resolved", "Two"), ("pager", "firing", "One")]


def test_the_page_shows_what_arrived(receiver: Running) -> None:
    """The page has nothing at first, then the alert with its labels, and its addresses as links."""
    assert "No alert has arrived yet." in httpx.get(receiver.url).text
    receiver.post(alert(summary="No instance answers", dashboard_url="http://localhost:3000/d/agentos"))
    page = httpx.get(receiver.url)
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert '<td class="firing">firing</td><td><b>AgentOSDown</b> job=agentos severity=page<br>No instance answers ' in page.text
    assert '<a href="http://localhost:3000/d/agentos">http://localhost:3000/d/agentos</a>' in page.text


def test_only_the_last_hundred_are_kept(receiver: Running) -> None:
    """Of 130 alerts the first 30 are gone."""
    receiver.post(*[alert(f"Alert{number}") for number in range(130)])
    assert [kept["name"] for kept in receiver.kept()] == [f"Alert{number}" for number in range(129, 29, -1)]


def test_long_texts_are_cut(receiver: Running) -> None:
    """A summary of a thousand characters is kept as 500, the last of which says that it was cut."""
    receiver.post(alert(summary="x" * 1000))
    assert receiver.kept()[0]["summary"] == "x" * 499 + "…"


def test_an_alert_cannot_write_a_second_line(receiver: Running) -> None:
    """Line breaks become spaces and other control characters question marks."""
    receiver.post(alert(summary="one\r\ntwo \x1b[31mred"))
    assert receiver.line().endswith(" - one two ?[31mred")


def test_an_alert_cannot_write_into_the_page(receiver: Running) -> None:
    """Markup is shown as text, and an address that is not of the web is no link."""
    receiver.post(alert("<script>", "<b>", runbook_url="javascript:alert(1)"))
    page = httpx.get(receiver.url).text
    assert '<td class="&lt;b&gt;">&lt;b&gt;</td><td><b>&lt;script&gt;</b>' in page
    assert " javascript:alert(1)</td>" in page


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"{}",
        b'{"alerts": 1}',
        b'{"alerts": [1]}',
        b'{"alerts": [{"status": "firing"}]}',
        b"[" * 100_000,
        b"\xff",
    ],
    ids=["empty", "cut", "list", "none", "number", "no alert", "no labels", "deep", "no text"],
)
def test_a_body_that_is_no_webhook_is_refused(receiver: Running, body: bytes) -> None:
    """The answer is 400 and no alert is kept; the next webhook is taken."""
    assert httpx.post(receiver.url, content=body).status_code == 400
    assert receiver.kept() == []
    assert receiver.post(alert()).status_code == 200


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"", b"411"),
        (b"Content-Length: -1\r\n", b"411"),
        (b"Transfer-Encoding: chunked\r\n", b"411"),
        (b"Content-Length: 1048577\r\n", b"413"),
        (b"Content-Length: " + b"9" * 5000 + b"\r\n", b"413"),
    ],
    ids=["none", "negative", "chunked", "over 1 MiB", "huge"],
)
def test_a_body_without_a_fit_length_is_not_read(receiver: Running, head: bytes, status: bytes) -> None:
    """A body whose length is missing or above 1 MiB is refused from its headers alone."""
    assert receiver.raw(b"POST / HTTP/1.1\r\nHost: x\r\n" + head + b"\r\n").split()[1] == status


def test_a_silent_client_does_not_hold_the_others(receiver: Running) -> None:
    """While a client has sent half a body, another one's alert is taken."""
    with socket.create_connection(("127.0.0.1", receiver.port)) as silent:
        silent.sendall(b"POST / HTTP/1.1\r\nContent-Length: 100\r\n\r\n{")
        assert receiver.post(alert()).status_code == 200
        assert receiver.line().endswith(" FIRING AgentOSDown job=agentos severity=page")


def test_other_paths_are_told_where_the_alerts_are(receiver: Running) -> None:
    """The health check answers ok, and a path that does not exist 404."""
    assert httpx.get(f"{receiver.url}/-/healthy").text == "ok\n"
    wrong = httpx.get(f"{receiver.url}/metrics")
    assert (wrong.status_code, wrong.text) == (404, "the alerts are at /\n")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_at_once_when_it_is_told_to(receiver: Running, number: signal.Signals) -> None:
    """SIGTERM and Ctrl-C end it with status 0."""
    receiver.process.send_signal(number)
    assert receiver.process.wait(30) == 0


def test_a_body_is_read_with_its_bytes(receiver: Running) -> None:
    """A webhook of exactly 1 MiB is taken."""
    body = json.dumps({"receiver": "pager", "alerts": [alert(summary="é")]}, ensure_ascii=False).encode()
    assert httpx.post(receiver.url, content=body + b" " * ((1 << 20) - len(body))).status_code == 200
    assert receiver.kept()[0]["summary"] == "é"
