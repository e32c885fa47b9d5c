"""Raw OTLP messages for a Collector, and a receiver of the spans and metrics that it sends on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field

import httpx
from google.protobuf.message import Message  # type: ignore[import-untyped]
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest, ExportTraceServiceResponse
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValue, KeyValueList
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from telemetry._base.otel_settings import import_grpc
from tests.helpers.otlp_receiver import Receiver, receiving

__all__ = ["Collected", "Value", "attributes", "collecting", "post", "read"]

Value = str | bool | int | float | bytes | Sequence["Value"] | Mapping[str, "Value"] | None


def value(given: Value) -> AnyValue:
    """Returns a value as OTLP has it; None is a value of no type."""
    if given is None:
        return AnyValue()
    if isinstance(given, bool):
        return AnyValue(bool_value=given)
    if isinstance(given, int):
        return AnyValue(int_value=given)
    if isinstance(given, float):
        return AnyValue(double_value=given)
    if isinstance(given, str):
        return AnyValue(string_value=given)
    if isinstance(given, bytes):
        return AnyValue(bytes_value=given)
    if isinstance(given, Mapping):
        return AnyValue(kvlist_value=KeyValueList(values=attributes(given)))
    return AnyValue(array_value=ArrayValue(values=[value(element) for element in given]))


def attributes(given: Mapping[str, Value]) -> list[KeyValue]:
    """Returns attributes as OTLP has them."""
    return [KeyValue(key=key, value=value(one)) for key, one in given.items()]


def read(given: Iterable[KeyValue]) -> dict[str, Value]:
    """Returns received attributes as plain data."""
    return {one.key: _plain(one.value) for one in given}


def _plain(given: AnyValue) -> Value:
    kind = given.WhichOneof("value")
    if kind == "array_value":
        return [_plain(element) for element in given.array_value.values]
    if kind == "kvlist_value":
        return read(given.kvlist_value.values)
    return getattr(given, kind) if kind else None


def post(port: int, signal: str, message: Message) -> httpx.Response:
    """Sends a message to the OTLP/HTTP port of a Collector; ``signal`` is ``traces`` or ``metrics``."""
    headers = {"content-type": "application/x-protobuf"}
    return httpx.post(f"http://127.0.0.1:{port}/v1/{signal}", content=message.SerializeToString(), headers=headers, timeout=60)


@dataclass
class Collected:
    """What a Collector sent on, in order."""

    receiver: Receiver
    traces: list[ExportTraceServiceRequest] = field(default_factory=list)
    port: int = 0

    def Export(self, request: ExportTraceServiceRequest, context: object) -> ExportTraceServiceResponse:
        self.traces.append(request)
        return ExportTraceServiceResponse()

    def environment(self) -> dict[str, str]:
        """Returns the variables that make a Collector send here."""
        return {"TRACES_ENDPOINT": f"127.0.0.1:{self.port}", "PROMETHEUS_OTLP_ENDPOINT": self.receiver.url}

    def spans(self) -> list[Span]:
        """Returns all received spans."""
        return [
            span
            for request in self.traces
            for resource in request.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]


@contextmanager
def collecting() -> Iterator[Collected]:
    """Yields a receiver of OTLP over gRPC (spans) and over HTTP (metrics) on ephemeral loopback ports."""
    services = import_grpc("opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc")
    server = import_grpc("grpc").server(ThreadPoolExecutor(2), options=[("grpc.max_receive_message_length", -1)])
    with receiving() as receiver:
        collected = Collected(receiver)
        services.add_TraceServiceServicer_to_server(collected, server)
        collected.port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        yield collected
        server.stop(None).wait()
