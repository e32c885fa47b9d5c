"""Durations of requests and notifications, at the client and at a server in another process."""

from __future__ import annotations

import pytest

from tests.helpers.mcp_story import ADDS, Story, counts

CLIENT, SERVER = "mcp_client_operation_duration_seconds", "mcp_server_operation_duration_seconds"


def test_the_client_counts_each_request_once_by_how_it_ended(story: Story) -> None:
    """Each JSON-RPC code is an error of the client's, ``isError`` is ``tool_error``, and what got no answer has no code."""
    assert _requests(counts(story.client, CLIENT)) == {
        **_opening(story),
        "tools/list": 1,
        "tools/call add": ADDS,
        "tools/call fail error=tool_error": 1,
        "tools/call missing error=tool_error": 1,
        "tools/call refuse error=-32602 code=-32602": 1,
        "tools/call refuse error=-32050 code=-32050": 1,
        "tools/call wait error=timeout": 1,
        "tools/call wait error=cancelled": 1,
        "tools/call note": 1,
        **({"tools/call ask": 1} if story.is_legacy else {}),
        "prompts/get greet": 1,
        "resources/read": 1,
    }


def test_the_server_counts_each_request_once_by_whose_error_it_is(story: Story) -> None:
    """-32602 is no error of the server's, -32050 is; a name that is no tool's is ``other``; a cancelled request has no code."""
    assert _requests(counts(story.server, SERVER)) == {
        **_opening(story),
        "tools/list": 1,
        "tools/call add": ADDS,
        "tools/call fail error=tool_error": 1,
        "tools/call other error=tool_error": 1,
        "tools/call refuse code=-32602": 1,
        "tools/call refuse error=-32050 code=-32050": 1,
        "tools/call wait error=cancelled": 2,
        "tools/call note": 1,
        **({"tools/call ask": 1} if story.is_legacy else {}),
        "prompts/get greet": 1,
        "resources/read": 1,
    }


def test_notifications_of_the_client_are_counted_at_both_ends(story: Story) -> None:
    """``initialized`` and the two cancellations; over HTTP as of 2026-07-28 a request is cancelled without a notification."""
    expected: dict[str, float] = {"notifications/initialized": 1} if story.is_legacy else {}
    if story.is_legacy or story.transport == "stdio":
        expected["notifications/cancelled"] = 2
    assert _notifications(counts(story.client, CLIENT)) == expected
    assert _notifications(counts(story.server, SERVER)) == expected


def test_what_the_server_sends_has_the_server_as_sender(story: Story) -> None:
    """Three notifications of progress and, before 2026-07-28, a request: sent by the server, received by the client."""
    expected = {"notifications/progress": 3, **({"elicitation/create": 1} if story.is_legacy else {})}
    assert counts(story.server, CLIENT) == expected
    assert counts(story.client, SERVER) == expected


@pytest.mark.parametrize("side", ["client", "server"])
def test_a_series_has_the_labels_of_the_conventions(story: Story, side: str) -> None:
    """Tool calls have method, tool, operation, version and transport; the address of the server is the client's label only."""
    family = CLIENT if side == "client" else SERVER
    samples = story.client if side == "client" else story.server
    (labels,) = (
        {key: value for key, value in pairs if value}
        for (name, pairs), value in samples.items()
        if name == f"{family}_count" and value == ADDS
    )
    http = {"network_protocol_name": "http"} if story.transport == "http" else {}
    port = labels.pop("server_port", "")
    assert port.isdecimal() == (side == "client" and story.transport == "http")
    assert labels == {
        "mcp_method_name": "tools/call",
        "gen_ai_operation_name": "execute_tool",
        "gen_ai_tool_name": "add",
        "mcp_protocol_version": "2025-11-25" if story.is_legacy else "2026-07-28",
        "network_transport": "tcp" if story.transport == "http" else "pipe",
        **http,
        **({"server_address": "127.0.0.1"} if port else {}),
    }


def _opening(story: Story) -> dict[str, float]:
    return {"initialize" if story.is_legacy else "server/discover": 1}


def _requests(found: dict[str, float]) -> dict[str, float]:
    return {key: value for key, value in found.items() if not key.startswith("notifications/")}


def _notifications(found: dict[str, float]) -> dict[str, float]:
    return {key: value for key, value in found.items() if key.startswith("notifications/")}
