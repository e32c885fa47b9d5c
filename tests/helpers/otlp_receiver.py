"""A small OTLP/HTTP receiver in this process."""

from __future__ import annotations

import gzip
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from queue import SimpleQueue

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

__all__ = ["Receiver", "receiving"]


class Receiver:
    """Keeps received metrics and traces in order and the headers of each request; answers with ``status`` and ``body``."""

    def __init__(self) -> None:
        self.status = 200
        self.body = b""
        self.answer_headers: dict[str, str] = {}
        self.metrics: SimpleQueue[ExportMetricsServiceRequest] = SimpleQueue()
        self.traces: SimpleQueue[ExportTraceServiceRequest] = SimpleQueue()
        self.headers: list[dict[str, str]] = []
        self.url = ""

    def take(self, path: str, headers: dict[str, str], body: bytes) -> int:
        """Keeps one request; returns the status of the answer."""
        self.headers.append(headers)
        plain = gzip.decompress(body) if headers.get("content-encoding") == "gzip" else body
        if self.status == 200 and path == "/v1/metrics":
            self.metrics.put(ExportMetricsServiceRequest.FromString(plain))
        if self.status == 200 and path == "/v1/traces":
            self.traces.put(ExportTraceServiceRequest.FromString(plain))
        return self.status


@contextmanager
def receiving() -> Iterator[Receiver]:
    """Yields a receiver on an ephemeral loopback port."""
    receiver = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            headers = {key.lower(): value for key, value in self.headers.items()}
            self.send_response(receiver.take(self.path, headers, body))
            for name, value in {"Content-Length": str(len(receiver.body)), **receiver.answer_headers}.items():
                self.send_header(name, value)
            self.end_headers()
            with suppress(OSError):  # the exporter closes what is too long
                self.wfile.write(receiver.body)

        def log_message(self, format: str, *args: object) -> None:
            """Suppresses the server's log."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        receiver.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield receiver
        server.shutdown()
        thread.join()
