"""``make_wsgi_app`` and ``start_http_server``, over real sockets."""

from __future__ import annotations

import errno
import gzip
import http.client
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import ip_network
from pathlib import Path
from socketserver import TCPServer
from threading import Event, Thread
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, make_server
from wsgiref.validate import validator

import pytest

from telemetry._base.diagnostics import Diagnostics
from telemetry.exposition import Access, PrometheusReader, ServeError, Token, Tokens, make_wsgi_app, start_http_server
from telemetry.metric import telemetry_metrics
from tests.helpers.asgi_server import TIMEOUT
from tests.helpers.providers import OPENMETRICS, provider

BODY = b"# TYPE c_total counter\nc_total 1\n"
TOKEN = "some-token-0123456789"
KINDS = ["wsgi", "server"]


@pytest.fixture
def diagnostics() -> Diagnostics:
    """Counts the refused scrapes of ``reader``."""
    return Diagnostics()


@pytest.fixture
def reader(diagnostics: Diagnostics) -> PrometheusReader:
    """A reader with one counter."""
    meters, reader = provider(diagnostics=diagnostics)
    meters.get_meter("m").create_counter("c").add(1)
    return reader


class _Quiet(WSGIRequestHandler):
    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def served(kind: str, reader: PrometheusReader, access: Access | None = None) -> Iterator[int]:
    """Serves the reader; yields the port."""
    if kind == "server":
        with start_http_server(reader, 0, access=access) as running:
            yield running.port
        return
    app: Any = validator(make_wsgi_app(reader, access=access))
    with make_server("localhost", 0, app, handler_class=_Quiet) as server:
        thread = Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


def ask(port: int, method: str = "GET", path: str = "/metrics", **headers: str) -> tuple[int, dict[str, str], bytes]:
    """One request over a connection of its own: status, headers and body."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT)
    try:
        connection.request(method, path, headers={name.replace("_", "-"): value for name, value in headers.items()})
        answer = connection.getresponse()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
    finally:
        connection.close()


def ask_or_refused(port: int) -> int:
    """The status of one request; 503 also where the server closed the connection before it read the request."""
    try:
        return ask(port)[0]
    except OSError:
        return 503


@pytest.mark.parametrize("kind", KINDS)
def test_get(kind: str, reader: PrometheusReader) -> None:
    """GET gets the text format, with its length and type."""
    with served(kind, reader) as port:
        status, headers, body = ask(port)
    assert (status, body, headers["content-length"]) == (200, BODY, str(len(BODY)))
    assert headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"


@pytest.mark.parametrize("kind", KINDS)
def test_head(kind: str, reader: PrometheusReader) -> None:
    """HEAD has GET's length, without a body."""
    with served(kind, reader) as port:
        status, headers, body = ask(port, "HEAD")
    assert (status, headers["content-length"], body) == (200, str(len(BODY)), b"")


@pytest.mark.parametrize("kind", KINDS)
def test_openmetrics_compressed(kind: str, reader: PrometheusReader) -> None:
    """OpenMetrics and gzip are negotiated."""
    with served(kind, reader) as port:
        _, headers, body = ask(port, Accept=OPENMETRICS, Accept_Encoding="gzip")
    assert headers["content-type"] == "application/openmetrics-text; version=1.0.0; charset=utf-8; escaping=underscores"
    assert gzip.decompress(body).endswith(b"# EOF\n")


@pytest.mark.parametrize("kind", KINDS)
def test_names(kind: str, reader: PrometheusReader) -> None:
    """``name[]`` restricts the body."""
    with served(kind, reader) as port:
        assert ask(port, path="/metrics?name%5B%5D=other")[2] == b""


@pytest.mark.parametrize("method", ["POST", "PATCH"])
@pytest.mark.parametrize("kind", KINDS)
def test_other_methods(kind: str, method: str, reader: PrometheusReader, diagnostics: Diagnostics) -> None:
    """Other methods get 405 with the allowed ones, and are counted."""
    with served(kind, reader) as port:
        status, headers, body = ask(port, method)
    assert (status, headers["allow"], body) == (405, "GET, HEAD", b"only GET and HEAD\n")
    assert diagnostics.values(telemetry_metrics.REFUSED_SCRAPES.name) == {("method",): 1}


@pytest.mark.parametrize("kind", KINDS)
def test_after_shutdown(kind: str, reader: PrometheusReader) -> None:
    """A reader that is shut down answers 503 with the reason."""
    reader.shutdown()
    with served(kind, reader) as port:
        status, headers, body = ask(port)
    assert (status, headers["retry-after"], body) == (503, "5", b"the metric reader has been shut down\n")


@pytest.mark.parametrize("kind", KINDS)
def test_tokens(kind: str, reader: PrometheusReader, diagnostics: Diagnostics) -> None:
    """A client without a valid token gets 401, on any path and with any method, and is counted."""
    access = Access(tokens=Tokens([Token(TOKEN)]), diagnostics=diagnostics)
    with served(kind, reader, access) as port:
        answers = [ask(port), ask(port, "POST", "/x"), ask(port, Authorization=f"Bearer {TOKEN}")]
    assert [status for status, _, _ in answers] == [401, 401, 200]
    assert (answers[0][1]["www-authenticate"], answers[0][2]) == ("Bearer", b"unauthorized\n")
    assert diagnostics.values(telemetry_metrics.REFUSED_SCRAPES.name) == {("unauthorized",): 2}


@pytest.mark.parametrize("kind", KINDS)
def test_networks(kind: str, reader: PrometheusReader) -> None:
    """A client outside the networks gets 403; a forwarded one is judged by the proxy's word."""
    access = Access(networks=[ip_network("192.0.2.0/24")], proxies=[ip_network("127.0.0.0/8")])
    with served(kind, reader, access) as port:
        answers = [ask(port), ask(port, X_Forwarded_For="192.0.2.1"), ask(port, X_Forwarded_For="198.51.100.1")]
    assert [status for status, _, _ in answers] == [403, 200, 403]


def test_paths(reader: PrometheusReader) -> None:
    """The server answers ``/metrics`` and ``/``, and 404 elsewhere."""
    with served("server", reader) as port:
        assert [ask(port, path=path)[0] for path in ("/metrics", "/", "/metrics?x=1", "/other")] == [200, 200, 200, 404]


def test_kept_alive(reader: PrometheusReader) -> None:
    """A connection serves several requests."""
    with served("server", reader) as port:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT)
        connection.connect()
        first = connection.sock
        for _ in range(3):
            connection.request("GET", "/metrics")
            assert connection.getresponse().read() == BODY
        assert connection.sock is first
        connection.close()


def test_body_of_a_request(reader: PrometheusReader) -> None:
    """The body of a request is not taken for the next one: the connection is closed."""
    smuggled = b"GET /other HTTP/1.1\r\nHost: x\r\n\r\n"
    head = f"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: {len(smuggled)}\r\n\r\n".encode()
    with served("server", reader) as port, socket.create_connection(("127.0.0.1", port), TIMEOUT) as connection:
        connection.sendall(head + smuggled)
        connection.shutdown(socket.SHUT_WR)
        assert connection.makefile("rb").read().count(b"HTTP/1.1 ") == 1


def test_slow_request(reader: PrometheusReader) -> None:
    """A client that does not send its request in time is disconnected."""
    with (
        start_http_server(reader, 0, timeout=0.05) as server,
        socket.create_connection(("127.0.0.1", server.port), TIMEOUT) as connection,
    ):
        connection.sendall(b"GET /met")
        assert connection.recv(1) == b""


def test_too_many_connections(reader: PrometheusReader) -> None:
    """A connection beyond the limit gets 503, and a place is free again after a connection ends."""
    with start_http_server(reader, 0, max_connections=1) as server:
        with socket.create_connection(("127.0.0.1", server.port), TIMEOUT) as first:
            first.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            assert first.recv(12) == b"HTTP/1.1 200"
            with socket.create_connection(("127.0.0.1", server.port), TIMEOUT) as second:
                assert second.recv(12) == b"HTTP/1.1 503"
        deadline = time.monotonic() + TIMEOUT
        while ask_or_refused(server.port) != 200:
            assert time.monotonic() < deadline


def test_port_in_use(reader: PrometheusReader) -> None:
    """A port in use is told in one sentence."""
    with start_http_server(reader, 0) as server, pytest.raises(ServeError) as error:
        start_http_server(reader, server.port)
    assert str(error.value) == f"cannot serve metrics on localhost:{server.port}: Address already in use"


@pytest.mark.parametrize(("addr", "port"), [("192.0.2.1", 0), ("127.0.0.1", 70000), ("name.invalid", 0)])
def test_address_not_to_be_had(reader: PrometheusReader, addr: str, port: int) -> None:
    """An address that is not this machine's, a port out of range, or an unknown name is told with the address."""
    with pytest.raises(ServeError, match=f"^cannot serve metrics on {addr}:{port}: "):
        start_http_server(reader, port, addr)


def test_certificate_missing(reader: PrometheusReader, tmp_path: Path) -> None:
    """A certificate that cannot be read is told with its path."""
    with pytest.raises(ServeError, match=f"^cannot use the certificate {tmp_path}/no.pem to serve metrics: No such file"):
        start_http_server(reader, 0, certfile=tmp_path / "no.pem")


def test_close(reader: PrometheusReader) -> None:
    """After ``close()`` the port refuses connections; a second call does nothing."""
    server = start_http_server(reader, 0)
    server.close()
    server.close()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", server.port), TIMEOUT)


def test_https(reader: PrometheusReader, tmp_path: Path) -> None:
    """With a certificate the server speaks TLS, and a client that makes no handshake does not keep another one waiting."""
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    subject = "-subj /CN=localhost -addext subjectAltName=DNS:localhost"
    curve = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1"
    command = f"openssl req -x509 -nodes -days 2 {curve} {subject} -keyout {key} -out {certificate}"
    subprocess.run(command.split(), check=True, capture_output=True)
    trust = ssl.create_default_context(cafile=str(certificate))
    with (
        start_http_server(reader, 0, certfile=certificate, keyfile=key) as server,
        socket.create_connection(("127.0.0.1", server.port), TIMEOUT),
    ):
        connection = http.client.HTTPSConnection("localhost", server.port, timeout=TIMEOUT, context=trust)
        connection.request("GET", "/metrics")
        assert connection.getresponse().read() == BODY
        connection.close()


@pytest.mark.parametrize(
    "name", ["Accept", "Accept-Encoding", "Authorization", "X-Forwarded-For", "Host", "User-Agent", "Cookie"]
)
def test_bytes_that_are_no_text_are_no_failure(reader, name):
    """A header, query or path with such bytes is answered below 500, and the server goes on."""
    access = Access(networks=[ip_network("127.0.0.0/8")], proxies=[ip_network("127.0.0.0/8")])
    values = (b"\xff\\", b"\xff\\ud800", b"\x80", b"\x01\x1b", b"\xed\xa0\x80", b"\x85a", b"a\rb")
    with served("server", reader, access) as port:
        for value, target in ((value, target) for value in values for target in (b"/metrics", b"/metrics?name[]=", b"/")):
            path = target if target == b"/metrics" else target + value
            head = b"GET %s HTTP/1.1\r\n%s: %s\r\nConnection: close\r\n\r\n" % (path, name.encode(), value)
            with socket.create_connection(("127.0.0.1", port), TIMEOUT) as connection:
                connection.sendall(head)
                answer = connection.makefile("rb").read()
            assert int(answer.split(maxsplit=2)[1]) < 500


@pytest.mark.parametrize(
    "name", ["HTTP_AUTHORIZATION", "HTTP_X_FORWARDED_FOR", "HTTP_ACCEPT", "HTTP_ACCEPT_ENCODING", "QUERY_STRING"]
)
@pytest.mark.parametrize("value", ["\u20ac", "\ud800", "\xff\\", "\x00"])
def test_text_beyond_latin_1_is_no_failure(reader, name, value):
    """A WSGI server that decodes a header wrongly gets an answer below 500."""
    access = Access(networks=[ip_network("127.0.0.0/8")], proxies=[ip_network("127.0.0.0/8")])
    statuses: list[str] = []
    app = make_wsgi_app(reader, access=access)
    app({"REQUEST_METHOD": "GET", "REMOTE_ADDR": "127.0.0.1", name: value}, lambda status, _: statuses.append(status))
    assert int(statuses[0][:3]) < 500


@pytest.mark.parametrize(
    "path", ["//metrics", "/metrics/", "/metrics%0a", "/metrics;x", "/Metrics", "/x/../metrics", "/%6detrics", "//"]
)
def test_another_spelling_is_another_path(reader, path):
    """The server serves the exact paths alone."""
    with served("server", reader) as port:
        assert ask(port, path=path)[0] == 404


@pytest.mark.parametrize(("addr", "port"), [("a\0b", 0), ("\udcff", 0), ("x" * 5000, 0), ("a\nb", 0), ("localhost", 10**50)])
def test_address_of_any_text_is_one_bounded_sentence(addr: str, port: int) -> None:
    """An address that no host can have is the server's own error, in one line that can be printed."""
    with pytest.raises(ServeError) as error:
        start_http_server(PrometheusReader(), port, addr)
    assert str(error.value).isprintable()
    assert len(str(error.value)) < 500


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE, errno.ENOMEM])
def test_without_descriptors_the_server_pauses(reader, monkeypatch, number):
    """Where no connection can be accepted the server waits before it tries again, and goes on when there is room."""
    paused, room = Event(), Event()
    accept = TCPServer.get_request

    def accept_if_room(server: TCPServer) -> Any:
        if not room.is_set():
            raise OSError(number, "no room")
        return accept(server)

    monkeypatch.setattr(TCPServer, "get_request", accept_if_room)
    monkeypatch.setattr("telemetry.exposition.serve._Server.pause", staticmethod(lambda _: (paused.set(), room.wait(TIMEOUT))))
    with served("server", reader) as port, socket.create_connection(("127.0.0.1", port), TIMEOUT):
        assert paused.wait(TIMEOUT)
        room.set()
        assert ask(port)[0] == 200
