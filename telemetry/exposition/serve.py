"""``make_wsgi_app`` and ``start_http_server``: metrics for WSGI applications and for programs without a web framework."""

from __future__ import annotations

import errno
import io
import logging
import socket
import ssl
import struct
import time
from collections.abc import Callable, Iterable, Iterator
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import TCPServer, ThreadingMixIn
from threading import BoundedSemaphore, Thread
from types import TracebackType
from typing import Any

from prometheus_client import CollectorRegistry

from telemetry._base.printable import printable
from telemetry.exposition.access import Access, RawHeader
from telemetry.exposition.answer import (
    ANSWER_SECONDS,
    MAX_CONCURRENT_SCRAPES,
    Answer,
    BrokenAnswerError,
    Request,
    Responder,
    Scrape,
)
from telemetry.exposition.reader import PrometheusReader

__all__ = ["MetricsServer", "ServeError", "make_wsgi_app", "start_http_server"]

StartResponse = Callable[[str, list[tuple[str, str]]], object]
WSGIApp = Callable[[dict[str, Any], StartResponse], Iterable[bytes]]

_PATHS = ("/", "/metrics")
_GUARDED = {"HTTP_AUTHORIZATION": b"authorization", "HTTP_X_FORWARDED_FOR": b"x-forwarded-for", "HTTP_FORWARDED": b"forwarded"}
_BUSY = b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 5\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
_OUT_OF_RESOURCE = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
_ACCEPT_RETRY_SECONDS = 0.1
_RESET = struct.pack("ii", 1, 0)
"""For ``SO_LINGER``: closing sends a reset, which no client takes for the end of a body."""
_logger = logging.getLogger(__name__)


class ServeError(OSError):
    """The server cannot listen, or its certificate cannot be read; the message is one sentence."""


def make_wsgi_app(
    reader: PrometheusReader,
    *,
    compress: bool = True,
    registry: CollectorRegistry | None = None,
    access: Access | None = None,
    max_concurrent_scrapes: int = MAX_CONCURRENT_SCRAPES,
    answer_timeout: float = ANSWER_SECONDS,
) -> WSGIApp:
    """Returns a WSGI application (PEP 3333) for ``/metrics`` that answers as ``metrics_app`` does, on any path.

    Args:
        reader: The reader; its ``diagnostics`` count refused scrapes.
        compress: Whether gzip and zstd may be used.
        registry: A registry of ``prometheus_client`` whose collectors are shown beside the reader's metrics.
        access: Decides which clients may read; by default all may. The client is ``REMOTE_ADDR``.
        max_concurrent_scrapes: Scrapes that are answered at once; a further one gets 503 with the reason.
        answer_timeout: Seconds in which a client must take a body above 64 KiB. Afterwards its place is free again, and it
            gets no further piece.

    Raises:
        ValueError: A limit is not above 0.
    """
    responder = Responder(
        reader,
        compress=compress,
        registry=registry,
        max_concurrent_scrapes=max_concurrent_scrapes,
        answer_timeout=answer_timeout,
    )

    def app(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        answer = access.refusal(environ.get("REMOTE_ADDR"), _guarded_headers(environ)) if access is not None else None
        method = environ["REQUEST_METHOD"]
        if answer is None:
            query, accept = environ.get("QUERY_STRING", ""), environ.get("HTTP_ACCEPT")
            answer = responder.answer(Request(method, query, accept, environ.get("HTTP_ACCEPT_ENCODING")))
        start_response(f"{answer.status} {HTTPStatus(answer.status).phrase}", list(answer.headers.items()))
        if answer.rest is not None:
            body = _Body(answer.body, answer.rest)
            if method != "HEAD":
                return body
            body.close()
        return [] if method == "HEAD" else [answer.body]

    return app


class _Body:
    """The chunks of a body as WSGI's iterable. An object: ``close`` of a generator that was not begun does nothing."""

    def __init__(self, first: bytes, scrape: Scrape) -> None:
        self._first: bytes | None = first
        self._scrape: Scrape | None = scrape

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        if self._first is not None:
            first, self._first = self._first, None
            return first
        if self._scrape is None:
            raise StopIteration
        chunk, more = self._scrape.read()
        if not more:
            self._scrape = None
        return chunk

    def close(self) -> None:
        """Ends the scrape: the server calls it at the end and where the client has left."""
        if self._scrape is not None:
            self._scrape.close()


def _guarded_headers(environ: dict[str, Any]) -> list[RawHeader]:
    """The headers that access is decided by. A server joins repeated ones by commas, which no token contains.

    A header of characters beyond Latin-1, which PEP 3333 does not have, becomes one that admits no client.
    """
    return [(name, environ[key].encode("latin-1", "replace")) for key, name in _GUARDED.items() if key in environ]


class MetricsServer:
    """A running server of ``start_http_server``; a context manager that closes it."""

    def __init__(self, server: _Server) -> None:
        self._server = server
        self._thread = Thread(target=server.serve_forever, args=(0.1,), name="agentos-metrics", daemon=True)
        self.port: int = server.server_address[1]
        """The TCP port that it listens on."""
        self._thread.start()

    def close(self) -> None:
        """Stops listening. Answers that are being sent go on; calls after the first do nothing."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def close_inherited(self) -> None:
        """Closes a forked child's copy of the listening socket; the parent goes on."""
        self._server.socket.close()

    def __enter__(self) -> MetricsServer:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


def start_http_server(
    reader: PrometheusReader,
    port: int = 9464,
    addr: str = "localhost",
    *,
    registry: CollectorRegistry | None = None,
    access: Access | None = None,
    certfile: Path | str | None = None,
    keyfile: Path | str | None = None,
    timeout: float = 10.0,
    max_connections: int = 16,
    max_concurrent_scrapes: int = MAX_CONCURRENT_SCRAPES,
) -> MetricsServer:
    """Serves ``/metrics`` (and ``/``) over HTTP/1.1 from daemon threads, until ``close()``.

    Args:
        reader: The reader; its ``diagnostics`` count refused scrapes.
        port: TCP port; 0 chooses a free one.
        addr: Address or host name to listen on.
        registry: A registry of ``prometheus_client`` whose collectors are shown beside the reader's metrics.
        access: Decides which clients may read; by default all may.
        certfile: PEM file of the certificate chain; serves HTTPS.
        keyfile: PEM file of its private key, where ``certfile`` does not hold it.
        timeout: Seconds in which a request must arrive, and its answer be taken; also how long a connection may be idle.
        max_connections: Connections, a thread each; more get 503.
        max_concurrent_scrapes: Scrapes that are answered at once; a further one gets 503 with the reason.

    Raises:
        ValueError: A limit is not above 0.
        ServeError: The address is in use or cannot be had, or the certificate cannot be read.
    """
    context = None if certfile is None else _tls(certfile, keyfile)
    limits = (timeout, max_connections)
    responder = Responder(reader, registry=registry, max_concurrent_scrapes=max_concurrent_scrapes, answer_timeout=timeout)
    server = _listen(addr, port, responder, access, context, limits)
    return MetricsServer(server)


def _tls(certfile: Path | str, keyfile: Path | str | None) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(certfile, keyfile)
    except OSError as error:  # ssl.SSLError is one
        raise ServeError(f"cannot use the certificate {certfile} to serve metrics: {error.strerror or error}") from None
    return context


def _listen(addr: str, port: int, *given: Any) -> _Server:
    """Listens on the first of the host's addresses that can be had."""
    place = printable(f"{addr}:{port if abs(port) < 10**9 else '...'}", 200)
    if not 0 <= port <= 65535:  # getaddrinfo would take it modulo 65536
        raise ServeError(f"cannot serve metrics on {place}: a port is a number from 0 to 65535")
    try:
        found = socket.getaddrinfo(addr, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, OverflowError, ValueError) as error:  # ValueError: text that no host name is
        raise ServeError(f"cannot serve metrics on {place}: {_reason(error)}") from None
    found.sort(key=lambda one: one[0] != socket.AF_INET)  # `localhost` is 127.0.0.1, as for most scrapers
    failure: Exception | None = None
    for family, _, _, _, address in found:
        try:
            return _Server(family, address, *given)
        except (OSError, OverflowError) as error:
            failure = failure or error
    raise ServeError(f"cannot serve metrics on {place}: {_reason(failure)}") from None


def _reason(error: Exception | None) -> str:
    return printable(getattr(error, "strerror", None) or error, 200)


class _Server(ThreadingMixIn, TCPServer):
    """Accepts connections and gives each a daemon thread, up to a limit."""

    daemon_threads = True
    block_on_close = False
    allow_reuse_address = True
    request_queue_size = 64
    pause = staticmethod(time.sleep)

    def __init__(
        self,
        family: int,
        address: Any,
        responder: Responder,
        access: Access | None,
        context: ssl.SSLContext | None,
        limits: tuple[float, int],
    ) -> None:
        self.address_family = family
        self.responder = responder
        self.access = access
        self.patience, connections = limits
        self._context = context
        self._free = BoundedSemaphore(connections)
        super().__init__(address, _Handler)

    def get_request(self) -> tuple[socket.socket, Any]:
        """Accepts a connection; the TLS handshake is made later, by the connection's thread."""
        try:
            connection, address = super().get_request()
        except OSError as error:
            if error.errno in _OUT_OF_RESOURCE:
                self.pause(_ACCEPT_RETRY_SECONDS)  # the connection still waits: without a pause the thread would spin
            raise
        connection.settimeout(self.patience)
        if self._context is not None:
            connection = self._context.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
        return connection, address

    def process_request(self, request: Any, client_address: Any) -> None:
        """Starts the connection's thread; without a free one, answers 503."""
        if not self._free.acquire(blocking=False):
            if self._context is None:
                request.setblocking(False)
                request.send(_BUSY)
            self.shutdown_request(request)
            return
        try:
            super().process_request(request, client_address)
        except BaseException:  # no thread could be started
            self._free.release()
            raise

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Serves the connection, then frees its place."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._free.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Logs what ended a connection: a client that left or was too slow is no error of the program."""
        _logger.debug("a connection to the metrics server ended", exc_info=True)


class _TimedReader(io.RawIOBase):
    """Reads a connection; the bytes of one request must arrive by a deadline, however many pieces they come in."""

    def __init__(self, connection: socket.socket, timeout: float) -> None:
        self._connection = connection
        self._timeout = timeout
        self._deadline = 0.0
        self.restart()

    def restart(self) -> None:
        """Gives the next request its time."""
        self._deadline = time.monotonic() + self._timeout

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("the request took too long")
        self._connection.settimeout(left)
        return self._connection.recv_into(buffer)


class _Handler(BaseHTTPRequestHandler):
    """Answers the requests of one connection."""

    protocol_version = "HTTP/1.1"
    server: _Server

    def setup(self) -> None:
        super().setup()
        self.rfile.close()
        self._timed = _TimedReader(self.connection, self.server.patience)
        self.rfile = io.BufferedReader(self._timed)

    def handle_one_request(self) -> None:
        self._timed.restart()
        super().handle_one_request()

    def __getattr__(self, name: str) -> Any:
        if name.startswith("do_"):  # any method: those other than GET and HEAD get 405
            return self._reply
        raise AttributeError(name)

    def _reply(self) -> None:
        answer = self._answer()
        self.connection.settimeout(self.server.patience)
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        if self.headers.get("content-length", "0") != "0" or "transfer-encoding" in self.headers:
            self.send_header("connection", "close")  # its body is not read, and may not be taken for the next request
        chunked = answer.rest is not None and self.request_version not in ("HTTP/0.9", "HTTP/1.0")
        if answer.rest is not None:
            self.send_header(*(("transfer-encoding", "chunked") if chunked else ("connection", "close")))
        try:
            self.end_headers()
            if self.command != "HEAD":
                self._send(answer, chunked)
        finally:
            if answer.rest is not None:
                answer.rest.close()

    def _send(self, answer: Answer, chunked: bool) -> None:
        """Sends the body. One that cannot be ended is aborted, so that no client takes it for whole."""
        scrape = answer.rest
        if scrape is None:
            self.wfile.write(answer.body)
            return
        chunk, more = answer.body, True
        try:
            while True:
                self.connection.settimeout(max(scrape.seconds_left, 0.001))
                self.wfile.write(b"%x\r\n%b\r\n" % (len(chunk), chunk) if chunked else chunk)
                if not more:
                    break
                chunk, more = scrape.read()
            self.wfile.write(b"0\r\n\r\n" if chunked else b"")
        except (BrokenAnswerError, TimeoutError) as error:
            if isinstance(error, TimeoutError):
                scrape.give_up()
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            self.connection.close()
            raise

    def _answer(self) -> Answer:
        raw = [(name.lower().encode("latin-1"), value.encode("latin-1", "replace")) for name, value in self.headers.items()]
        refusal = self.server.access.refusal(self.client_address[0], raw) if self.server.access is not None else None
        if refusal is not None:
            return refusal
        path, _, query = self.requestline.split()[1].partition("?")  # self.path has one slash for several
        if path not in _PATHS:
            return Answer.plain(404, "metrics are at /metrics\n")
        accept, encoding = (self._joined(name) for name in ("accept", "accept-encoding"))
        return self.server.responder.answer(Request(self.command, query, accept, encoding))

    def _joined(self, name: str) -> str | None:
        values = self.headers.get_all(name)
        return ",".join(values) if values else None

    def version_string(self) -> str:
        return "agentos-telemetry"

    def log_message(self, format: str, *args: Any) -> None:
        """Logs no access."""
