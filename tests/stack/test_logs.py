"""The log of the running service."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from stack.servers.process import ServerError
from stack.servers.service import Service


def test_a_log_line_names_the_trace_of_its_call(service: Callable[..., Service]) -> None:
    """The line about a failed provider has the trace id of the caller's answer, and a span id."""
    running = service({"AGENTOS_PROVIDERS": '{"broken": {"failure_rate": 1}}'})
    answer = running.run("herald", "hello").json()
    assert answer["status"] == "error"
    line = next(line for line in running.log.read_text().splitlines() if "provider broken failed" in line)
    found = re.search(r" WARNING agents\.services\.ccr_router trace_id=([0-9a-f]{32}) span_id=[0-9a-f]{16} ", line)
    assert found is not None
    assert found[1] == answer["trace_id"]


def test_an_invalid_variable_prevents_the_start_with_one_sentence(service: Callable[..., Service]) -> None:
    """With an unknown protocol the service does not start, and gives the reason without a stack trace."""
    with pytest.raises(ServerError) as ended:
        service({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4317", "OTEL_EXPORTER_OTLP_PROTOCOL": "smoke"})
    assert "OTEL_EXPORTER_OTLP_PROTOCOL is 'smoke': grpc and http/protobuf are allowed." in str(ended.value)
    assert "Traceback" not in str(ended.value)
