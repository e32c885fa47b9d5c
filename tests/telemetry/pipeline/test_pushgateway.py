"""A batch job pushes its metrics with ``prometheus_client``'s ``push_to_gateway``, as docs/serving.md shows."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from typing import Any

from prometheus_client import push_to_gateway
from prometheus_client.parser import text_string_to_metric_families

from telemetry import Telemetry
from telemetry.metric.definition import Catalogue, counter

ROWS = counter("batch.rows", "{row}", "Rows that the job has written.")


@contextmanager
def gateway() -> Iterator[tuple[str, list[tuple[str, str, str, bytes]]]]:
    """A server that takes pushes as a Pushgateway does; yields its address and what it got: method, path, type, body."""
    got: list[tuple[str, str, str, bytes]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_PUT(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            got.append((self.command, self.path, self.headers["content-type"], body))
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"127.0.0.1:{server.server_port}", got
        finally:
            server.shutdown()
            thread.join()


def test_push() -> None:
    """The job's samples arrive in the format that the gateway is told, with the grouping key in the path."""
    telemetry = Telemetry(Catalogue([ROWS]))
    try:
        telemetry[ROWS].inc(7)
        with gateway() as (address, got):
            push_to_gateway(address, job="nightly", registry=telemetry.registry, grouping_key={"shard": "3"})
    finally:
        telemetry.shutdown()
    [(method, path, content_type, body)] = got
    assert (method, path) == ("PUT", "/metrics/job/nightly/shard/3")
    assert content_type.startswith("text/plain; version=")
    samples = [sample for family in text_string_to_metric_families(body.decode()) for sample in family.samples]
    assert [(sample.name, sample.value) for sample in samples if sample.name.startswith("batch_")] == [
        ("batch_rows_total", 7.0)
    ]
