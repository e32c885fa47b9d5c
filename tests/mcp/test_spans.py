"""Spans of requests and notifications, in one trace over two processes."""

from __future__ import annotations

from typing import Any

from tests.helpers.mcp_story import ADDS, Story


def test_each_call_is_a_span_at_the_client_and_its_child_at_the_server(story: Story) -> None:
    """100 calls at the same time are 100 traces, each with one client span and one server span under it."""
    sent, received = _named(story.client_spans, "tools/call add"), _named(story.server_spans, "tools/call add")
    assert {span["kind"] for span in sent} == {"CLIENT"}
    assert {span["kind"] for span in received} == {"SERVER"}
    assert len({span["trace"] for span in sent}) == len(sent) == ADDS
    assert {(span["trace"], span["span"]) for span in sent} == {(span["trace"], span["parent"]) for span in received}


def test_what_the_server_sends_continues_the_trace_back_to_the_client(story: Story) -> None:
    """A notification of progress: its span at the server is under the tool's, and its span at the client under that one."""
    (tool,) = _named(story.server_spans, "tools/call note")
    sent, received = (
        [span for span in _named(spans, "notifications/progress") if span["trace"] == tool["trace"]]
        for spans in (story.server_spans, story.client_spans)
    )
    assert len(sent) == 2
    assert {span["parent"] for span in sent} == {tool["span"]}
    assert {span["span"] for span in sent} == {span["parent"] for span in received}


def test_a_request_of_the_server_is_answered_in_the_same_trace(story: Story) -> None:
    """``elicitation/create``: four spans in a row from the client's call to the client's answer."""
    if not story.is_legacy:
        return  # as of 2026-07-28 a server sends no requests
    (call,), (tool,) = (_named(spans, "tools/call ask") for spans in (story.client_spans, story.server_spans))
    (sent,), (received,) = (_named(spans, "elicitation/create") for spans in (story.server_spans, story.client_spans))
    assert [tool["parent"], sent["parent"], received["parent"]] == [call["span"], tool["span"], sent["span"]]
    assert (sent["kind"], received["kind"]) == ("CLIENT", "SERVER")


def test_all_spans_are_of_the_given_telemetry(story: Story) -> None:
    """The SDK's spans for the same messages are not opened: none at the server, whose provider is the global one."""
    assert {span["scope"] for span in story.client_spans + story.server_spans} == {"agentos.telemetry"}


def test_spans_carry_the_labels_of_their_series(story: Story) -> None:
    """A refused call: code, error and message; at the server the same span is no error where the code is the client's fault."""
    expected: dict[str, Any] = {
        "mcp.method.name": "tools/call",
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": "refuse",
        "rpc.response.status_code": "-32602",
        "mcp.protocol.version": story.version,
        "network.transport": "tcp" if story.transport == "http" else "pipe",
    }
    (sent,), (received,) = (
        [span for span in spans if span["attributes"].get("rpc.response.status_code") == "-32602"]
        for spans in (story.client_spans, story.server_spans)
    )
    assert sent["attributes"] | expected | {"error.type": "-32602"} == sent["attributes"]
    assert (sent["status"], sent["description"]) == ("ERROR", "refused with -32602")
    assert received["attributes"] | expected == received["attributes"]
    assert "error.type" not in received["attributes"]
    assert received["status"] == "UNSET"
    assert sent["attributes"]["jsonrpc.request.id"] == received["attributes"]["jsonrpc.request.id"]


def test_a_tool_error_is_an_error_of_both_spans(story: Story) -> None:
    """A result with ``isError`` sets ``error.type`` and the status at both ends."""
    for spans in (story.client_spans, story.server_spans):
        (span,) = _named(spans, "tools/call fail")
        assert (span["status"], span["attributes"]["error.type"]) == ("ERROR", "tool_error")


def test_a_name_that_is_no_tools_is_in_no_span_of_the_server(story: Story) -> None:
    """The server's span of a call of an unknown tool is named by the method alone."""
    assert not [span for span in story.server_spans if "missing" in str(span)]
    (span,) = _named(story.server_spans, "tools/call")
    assert span["attributes"]["gen_ai.tool.name"] == "other"


def test_the_resource_and_the_caller_are_on_the_span_only(story: Story) -> None:
    """The URI of a resource at both ends; address, HTTP version and session at a server over HTTP."""
    (sent,), (received,) = (_named(spans, "resources/read") for spans in (story.client_spans, story.server_spans))
    assert sent["attributes"]["mcp.resource.uri"] == received["attributes"]["mcp.resource.uri"] == "text://one"
    assert received["attributes"].get("client.address") == ("127.0.0.1" if story.transport == "http" else None)
    assert received["attributes"].get("network.protocol.version") == ("1.1" if story.transport == "http" else None)
    assert ("mcp.session.id" in received["attributes"]) == (story.transport == "http" and story.is_legacy)


def _named(spans: list[dict[str, Any]], name: str) -> list[dict[str, Any]]:
    return [span for span in spans if span["name"] == name]
