"""Messages of peers that may send anything."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from telemetry import Telemetry
from telemetry.agentos import catalogue_agents as rows
from telemetry.agentos.mcp.operation import Failure, MCPRecorder, Message, Operation, Transport, remote_context
from tests.helpers.mcp_server import telemetry_of
from tests.helpers.samples import above_zero
from tests.helpers.span_log import SpanLog

TEXT = st.text(st.characters())  # with lone surrogates, which JSON can spell
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
PARAMS = JSON | st.fixed_dictionaries(
    {}, optional={"name": JSON, "uri": JSON, "_meta": JSON | st.fixed_dictionaries({"traceparent": JSON, "tracestate": JSON})}
)
METHODS = st.sampled_from(["tools/call", "prompts/get", "resources/read", "initialize"]) | TEXT
LOG = SpanLog()
TELEMETRY: Telemetry = telemetry_of(LOG)


@settings(deadline=None, max_examples=60)  # each example reads all series
@given(method=METHODS, params=PARAMS, version=TEXT, code=st.integers() | TEXT)
def test_any_message_is_one_measurement_and_one_span(method: str, params: Any, version: str, code: int | str) -> None:
    """Whatever method, parameters, version and code a peer sends: nothing raises, and labels that are strict take it."""
    LOG.ended.clear()
    before = _count()
    recorder, metric = MCPRecorder(TELEMETRY), rows.MCP_SERVER_OPERATION_DURATION
    with Operation(
        recorder, metric, Message.of(method, params), Transport("pipe"), version, remote_context(params)
    ) as operation:
        operation.fail(Failure(str(code), str(code), str(code)))
    assert _count() == before + 1
    (span,) = LOG.ended
    texts = [span.name, span.status.description or "", *map(str, (span.attributes or {}).values())]
    assert [text.encode() for text in texts]


def _count() -> float:
    samples = above_zero(TELEMETRY, "mcp_server_operation_duration_seconds_count")
    return sum(samples.values())
