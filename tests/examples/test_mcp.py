"""The examples of an MCP client and the server that it starts."""

from __future__ import annotations

import httpx
import pytest

from stack.servers.process import free_port
from tests.helpers.example_process import line_filter


def test_calls_are_counted_by_the_client_and_by_the_server(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two answered look-ups and a failing one are three operations at both ends; the server is shown as up."""
    server_port = free_port()
    monkeypatch.setenv("SERVER_PORT", str(server_port))
    with line_filter("mcp_client.py") as (process, url):
        assert process.stdin is not None
        assert process.stdout is not None
        for article, answer in (("apples", "3"), ("pears", "0"), ("plums", "unknown")):
            process.stdin.write(f"{article}\n")
            process.stdin.flush()
            assert process.stdout.readline() == f"{article}: {answer}\n"
        client, server = (_counts(address) for address in (url, f"http://127.0.0.1:{server_port}/metrics"))
    assert 'mcp_servers_up{mcp_server="stock"} 1' in client
    assert _calls(client, "mcp_client_operation_duration_seconds_count") == {"": 2, "tool_error": 1}
    assert _calls(server, "mcp_server_operation_duration_seconds_count") == {"": 2, "tool_error": 1}


def _counts(url: str) -> list[str]:
    return httpx.get(url).text.splitlines()


def _calls(lines: list[str], name: str) -> dict[str, float]:
    """Returns the calls of the tool, by ``error_type``."""
    found = {}
    for line in lines:
        if line.startswith(f"{name}{{") and 'gen_ai_tool_name="stock"' in line:
            found["tool_error" if 'error_type="tool_error"' in line else ""] = float(line.rpartition(" ")[2])
    return found
