"""Shows the alerts that Alertmanager sends: one line each in the log, and the last ones on a page.

It stands where your pager and your tracker will. ``python receiver.py`` listens on 127.0.0.1:9099 and takes Alertmanager's
webhooks on every path; it needs the standard library alone. Memory is bounded: it keeps the last 100 alerts, cuts long
texts, reads bodies of at most 1 MiB, and serves 8 clients at once.
"""

from __future__ import annotations

import argparse
import html
import json
import signal
import sys
import threading
from collections import deque
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

KEPT_ALERTS = 100
BODY_BYTES = 1 << 20
TEXT_CHARACTERS = 500
CLIENTS = 8
CLIENT_SECONDS = 10.0
"""How long a client may send nothing before its connection is closed."""

LINKS = ("runbook_url", "dashboard_url")
"""Annotations that are addresses; the page shows them as links."""

STYLE = (
    "body{font:14px/1.5 sans-serif;margin:2em}td,th{padding:.3em 1em .3em 0;text-align:left;vertical-align:top}"
    "tr{border-top:1px solid #ccc}table{border-collapse:collapse}.firing{color:#b00}.resolved{color:#070}"
)


@dataclass(frozen=True, slots=True)
class Alert:
    """One alert as it arrived, its texts cut and in one line each."""

    arrived: str
    receiver: str
    status: str
    name: str
    labels: str
    summary: str
    links: tuple[str, ...]

    def line(self) -> str:
        """Returns the line of the log."""
        told = f"- {self.summary}" if self.summary else ""
        words = (self.arrived, self.receiver, self.status.upper(), self.name, self.labels, told, *self.links)
        return " ".join(word for word in words if word)

    def row(self) -> str:
        """Returns the row of the page."""
        shown = "".join(f"<td>{html.escape(text)}</td>" for text in (self.arrived, self.receiver))
        status = html.escape(self.status)
        links = " ".join(_link(address) for address in self.links)
        told = f"<b>{html.escape(self.name)}</b> {html.escape(self.labels)}<br>{html.escape(self.summary)} {links}"
        return f'<tr>{shown}<td class="{status}">{status}</td><td>{told}</td></tr>'


def read_alerts(body: bytes, now: datetime) -> list[Alert]:
    """Returns the alerts of a webhook's body.

    Raises:
        ValueError: If it is not what Alertmanager sends.
    """
    try:
        message = json.loads(body)
        receiver = _text(message.get("receiver", ""))
        return [_alert(found, receiver, now.strftime("%Y-%m-%dT%H:%M:%SZ")) for found in message["alerts"]]
    except (AttributeError, KeyError, TypeError, RecursionError) as error:
        raise ValueError("no webhook of Alertmanager") from error


def _alert(found: dict[str, Any], receiver: str, arrived: str) -> Alert:
    labels, notes = dict(found["labels"]), found.get("annotations", {})
    name = _text(labels.pop("alertname", "(no name)"))
    others = _text(" ".join(f"{key}={value}" for key, value in sorted(labels.items())))
    links = tuple(_text(notes[key]) for key in LINKS if notes.get(key))
    return Alert(arrived, receiver, _text(found["status"]), name, others, _text(notes.get("summary", "")), links)


def _text(value: object) -> str:
    """Returns the text in one line of printable characters, cut where it is too long."""
    line = "".join(letter if letter.isprintable() else "?" for letter in " ".join(str(value).split()))
    return line if len(line) <= TEXT_CHARACTERS else f"{line[: TEXT_CHARACTERS - 1]}…"


def _link(address: str) -> str:
    shown = html.escape(address)
    return f'<a href="{shown}">{shown}</a>' if address.startswith(("http://", "https://")) else shown


class Handler(BaseHTTPRequestHandler):
    """Answers one request: ``POST`` brings alerts, ``/`` shows them, ``/alerts`` has them as JSON, ``/-/healthy`` says ok."""

    server: Receiver
    timeout = CLIENT_SECONDS

    def do_GET(self) -> None:
        if self.path == "/-/healthy":
            self._answer(HTTPStatus.OK, "ok\n")
        elif self.path == "/alerts":
            self._answer(HTTPStatus.OK, json.dumps([asdict(alert) for alert in self.server.last()]), "application/json")
        elif self.path == "/":
            self._answer(HTTPStatus.OK, self._page(), "text/html")
        else:
            self._answer(HTTPStatus.NOT_FOUND, "the alerts are at /\n")

    def do_POST(self) -> None:
        length = self.headers.get("Content-Length", "")
        if not (length.isascii() and length.isdigit()):
            self._answer(HTTPStatus.LENGTH_REQUIRED, "a Content-Length is needed\n")
        elif len(length) > 9 or int(length) > BODY_BYTES:
            self._answer(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"at most {BODY_BYTES} bytes are read\n")
        else:
            try:
                self.server.take(self.rfile.read(int(length)))
            except ValueError as error:
                self._answer(HTTPStatus.BAD_REQUEST, f"{_text(error)}\n")
            else:
                self._answer(HTTPStatus.OK, "")

    def _page(self) -> str:
        rows = "".join(alert.row() for alert in self.server.last()) or "<tr><td>No alert has arrived yet.</td></tr>"
        return (
            f'<!doctype html><meta charset="utf-8"><meta http-equiv="refresh" content="10"><title>Alerts</title>'
            f"<style>{STYLE}</style><h1>Alerts that arrived</h1><table>{rows}</table>"
        )

    def _answer(self, status: HTTPStatus, text: str, kind: str = "text/plain") -> None:
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", f"{kind}; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Keeps requests out of the log, which has the alerts alone."""


class Receiver(ThreadingHTTPServer):
    """The server with its last alerts."""

    daemon_threads = True

    def __init__(self, host: str, port: int) -> None:
        self._alerts: deque[Alert] = deque(maxlen=KEPT_ALERTS)
        self._lock = threading.Lock()
        self._free = threading.BoundedSemaphore(CLIENTS)
        super().__init__((host, port), Handler)

    def take(self, body: bytes) -> None:
        """Keeps the alerts of a body and writes their lines; one body at a time, which bounds the memory of reading it.

        Raises:
            ValueError: If it is not what Alertmanager sends.
        """
        with self._lock:
            for alert in read_alerts(body, datetime.now(UTC)):
                self._alerts.appendleft(alert)
                _say(alert.line())

    def last(self) -> list[Alert]:
        """Returns the kept alerts, the newest first."""
        with self._lock:
            return list(self._alerts)

    def process_request(self, request: Any, client_address: Any) -> None:
        self._free.acquire()  # further clients wait in the kernel's queue
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._free.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Drops a client that went away or sent nothing in time."""


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main() -> None:
    """Serves until SIGTERM or Ctrl-C."""
    arguments = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    arguments.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    arguments.add_argument("--port", default=9099, type=int, help="port to listen on (default: %(default)s)")
    chosen = arguments.parse_args()
    with Receiver(chosen.host, chosen.port) as server:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: threading.Thread(target=server.shutdown).start())
        _say(f"listening on http://{chosen.host}:{server.server_port}/")
        server.serve_forever()


if __name__ == "__main__":
    main()
