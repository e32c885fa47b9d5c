"""A trace store in this process that takes OTLP over gRPC and keeps the ids of the spans."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import grpc  # type: ignore[import-untyped]  # no types there
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2_grpc
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest, ExportTraceServiceResponse

__all__ = ["SpanStore", "span_store"]


class SpanStore(trace_service_pb2_grpc.TraceServiceServicer):
    """Counts how often it has got each span.

    Attributes:
        address: Where it listens.
        spans: Trace id and span id -> how often the span came.
    """

    def __init__(self) -> None:
        self.address = ""
        self.spans: Counter[tuple[bytes, bytes]] = Counter()

    def Export(self, request: ExportTraceServiceRequest, context: grpc.ServicerContext) -> ExportTraceServiceResponse:
        """Counts the spans of a request."""
        for resource in request.resource_spans:
            for scope in resource.scope_spans:
                self.spans.update((span.trace_id, span.span_id) for span in scope.spans)
        return ExportTraceServiceResponse()

    def traces(self) -> dict[bytes, set[bytes]]:
        """Returns the span ids of each trace."""
        found: dict[bytes, set[bytes]] = {}
        for trace, span in list(self.spans):
            found.setdefault(trace, set()).add(span)
        return found


@contextmanager
def span_store() -> Iterator[SpanStore]:
    """Yields a store on an ephemeral loopback port."""
    store = SpanStore()
    server = grpc.server(ThreadPoolExecutor(1))  # one request at a time: the counts need no lock
    trace_service_pb2_grpc.add_TraceServiceServicer_to_server(store, server)  # type: ignore[no-untyped-call]  # generated
    store.address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    yield store
    server.stop(None).wait()
