"""MCP servers of the settings, as real processes and over real sockets: their tools, their failures, their end."""

from __future__ import annotations

import asyncio
import gzip
import json
import logging
import re
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import pytest
from opentelemetry import trace
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from agents.main import create_app
from agents.observability.selection import CatalogueSelection
from agents.settings import Settings, SettingsError
from agents.tools.mcp_servers import McpServer
from agents.tools.toolbox import ToolError
from stack.servers.process import free_port, until
from stack.servers.service import Service
from telemetry import AgentOSTelemetry
from tests.helpers.asgi_server import closed_port, serving

ROOT = Path(__file__).parents[2]
COMMAND = [sys.executable, "-m", "tests.helpers.tool_server", "stdio"]


def stdio(*how: str, **settings: object) -> dict[str, object]:
    return {"command": [*COMMAND, *how], "env": {"PYTHONPATH": str(ROOT)}, **settings}


@contextmanager
def http_server(port: int) -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen([*COMMAND[:-1], str(port)], cwd=ROOT) as process:
        try:
            yield process
        finally:
            process.kill()


def started(start, **settings):
    return start(rate_limit="off", client_rate_limit="off", **settings)


def found(service, question: str, tool: str = "look_up") -> str:
    """The line of the tool in navi's answer."""
    output = service.run("navi", question, operation="research").json()["output"]
    return next((line for line in output.splitlines() if line.startswith(f"[{tool}")), output)


def tools_failed(service) -> dict[tuple[str, str], float]:
    """Tool and error.type -> executions that failed."""
    samples = service.samples("gen_ai_execute_tool_duration_seconds_count").items()
    named = [(dict(key), number) for key, number in samples if number]
    return {(one["gen_ai_tool_name"], one["error_type"]): number for one, number in named if "error_type" in one}


def pids(marker: Path) -> list[int]:
    """Processes with this path among their arguments, but for the service, which has it in its settings alone."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if str(marker).encode() in path.read_bytes().split(b"\0"):
                found.append(int(path.parent.name))
        except OSError:
            continue
    return found


def zombies() -> list[str]:
    """Children of this process that have ended and were not waited for."""
    children = " ".join(path.read_text() for path in Path("/proc/self/task").glob("*/children")).split()
    stats = [Path(f"/proc/{pid}/stat") for pid in children]
    return [path.parent.name for path in stats if path.exists() and path.read_text().rpartition(")")[2].split()[0] == "Z"]


def test_tool_of_a_command_is_used(start):
    """research asks the first tool that only reads and takes one text, in a process of its own."""
    service = started(start, mcp_servers={"peer": stdio()}, agent_metrics=True)
    assert re.fullmatch(r"\[look_up\] hello in process \d+", found(service, "hello there"))
    assert service.counted("mcp_servers_up") == {"peer": 1}
    measured = map(dict, service.samples("mcp_client_operation_duration_seconds_count"))
    (labels,) = [one for one in measured if one["mcp_method_name"] == "tools/call"]
    assert labels.pop("mcp_protocol_version")
    assert labels == {
        "mcp_method_name": "tools/call",
        "gen_ai_operation_name": "execute_tool",
        "gen_ai_tool_name": "look_up",
        "network_transport": "pipe",
    }


def test_tool_over_http_is_used(start):
    """A server at a URL is asked over its socket; its series name the address."""
    port = free_port()
    with http_server(port):
        service = started(start, mcp_servers={"peer": {"url": f"http://127.0.0.1:{port}/mcp?key=s3cret"}}, agent_metrics=True)
        until("the session", lambda: service.counted("mcp_servers_up") == {"peer": 1})
        assert re.fullmatch(r"\[look_up\] hello in process \d+", found(service, "hello"))
        text = service.client.get("/metrics").text
    assert f'server_port="{port}"' in text
    assert "s3cret" not in text


def test_named_tool_is_used(start):
    """A setting that names a tool has it called, also one that does not say that it only reads."""
    service = started(start, mcp_servers={"peer": stdio(tool="delete")})
    assert found(service, "all", "delete") == "[delete] deleted all"


def test_server_without_a_fitting_tool_is_told_once(start, caplog):
    """A tool that needs several arguments is not called; one line of the log says what is missing."""
    service = started(start, mcp_servers={"peer": stdio(tool="between")})
    for _ in range(2):
        assert found(service, "all", "between") == "[between failed] MCP server peer has no such tool for a question"
    assert len([one for one in caplog.messages if "peer has no tool" in one]) == 1


@pytest.mark.parametrize("place", [{"command": ["no-such-program", "--token=s3cret"]}, {"url": "PORT"}])
def test_start_does_not_wait_for_a_server_that_is_down(start, caplog, place):
    """A program that does not exist and a port that is closed hold up nothing: navi uses its own tool, one line is logged."""
    if "url" in place:
        place = {"url": f"http://127.0.0.1:{closed_port()}/mcp?token=s3cret"}
    begun = time.monotonic()
    service = started(start, mcp_servers={"peer": place}, agent_metrics=True)
    assert service.client.get("/health/ready").status_code == 200
    assert time.monotonic() - begun < 10
    assert found(service, "6 * 7", "calculate") == "[calculate] 6 * 7 = 42"
    assert service.samples("mcp_servers_up") == {(("mcp_server", "peer"),): 0}
    told = [one for one in caplog.messages if "MCP server peer cannot be used" in one]
    assert len(told) == 1
    assert "s3cret" not in caplog.text


def test_server_that_never_answers_holds_up_the_first_question_alone(start):
    """A process that opens no session is waited for by one question, for a call's time; it is down, and ended at the end."""
    service = started(start, mcp_servers={"peer": {"command": ["sleep", "600"], "timeout": 1}}, agent_metrics=True)
    assert found(service, "6 * 7", "calculate") == "[calculate] 6 * 7 = 42"
    begun = time.monotonic()
    for _ in range(10):
        assert "look_up" not in found(service, "hello")
    assert time.monotonic() - begun < 9
    assert service.samples("mcp_servers_up") == {(("mcp_server", "peer"),): 0}


def test_process_that_crashes_is_started_again(start, caplog):
    """A crash fails the call that it hit at once, and the next process answers after a bounded wait."""
    caplog.set_level(logging.INFO)
    service = started(start, mcp_servers={"peer": stdio()}, agent_metrics=True)
    first = found(service, "hello")
    assert found(service, "crash") == "[look_up failed] MCP server peer has closed the connection"
    until("the second process", lambda: "[look_up] " in found(service, "hello"))
    assert found(service, "hello") != first
    assert zombies() == []
    assert service.counted("mcp_servers_up") == {"peer": 1}
    assert [one for one in caplog.messages if one.startswith("MCP server peer")] == [
        "MCP server peer cannot be used: its process has ended; it is tried again with growing pauses",
        "MCP server peer answers again",
    ]


def test_http_server_that_comes_back_is_used_again(start):
    """A server that is stopped is down after the next call, and used again once it listens."""
    port = free_port()
    with http_server(port) as process:
        service = started(start, mcp_servers={"peer": {"url": f"http://127.0.0.1:{port}/mcp"}}, agent_metrics=True)
        until("the first session", lambda: "[look_up] " in found(service, "hello"))
        process.kill()
        process.wait()
        assert found(service, "hello").startswith("[look_up failed] MCP server peer")
        until("the end of the session", lambda: service.counted("mcp_servers_up") == {})
    with http_server(port):
        until("the second session", lambda: "[look_up] " in found(service, "hello"))


async def answer_in_an_encoding(request: Request) -> Response:
    return Response(gzip.compress(b"{}"), media_type="application/json", headers={"Content-Encoding": "gzip"})


async def answer_elsewhere(request: Request) -> Response:
    return RedirectResponse(f"{request.query_params['to']}/mcp", 307)


@pytest.mark.parametrize("answer", [answer_in_an_encoding, answer_elsewhere])
def test_http_server_that_does_not_keep_to_the_rules_is_down(start, answer):
    """Content in an encoding that was not asked for is not decoded, and a redirect to another origin is not followed."""
    asked = []

    async def other(request: Request) -> Response:
        asked.append(request.url.path)
        return Response(status_code=500)

    elsewhere = Starlette(routes=[Route("/{path:path}", other, methods=["GET", "POST", "DELETE"])])
    with serving(elsewhere, lifespan="off") as to:
        app = Starlette(routes=[Route("/mcp", answer, methods=["GET", "POST", "DELETE"])])
        with serving(app, lifespan="off") as url:
            peer = {"url": f"{url}/mcp?to={to}", "timeout": 2}
            service = started(start, mcp_servers={"peer": peer}, agent_metrics=True)
            assert "look_up" not in found(service, "hello")
            assert service.samples("mcp_servers_up") == {(("mcp_server", "peer"),): 0}
    assert asked == []


def test_headers_of_the_settings_are_sent(start, caplog):
    """Each request has the headers that its server is set with, and no line of the log has them."""
    keys = []

    async def refuse(request: Request) -> Response:
        keys.append(request.headers.get("authorization"))
        return Response(status_code=401)

    app = Starlette(routes=[Route("/mcp", refuse, methods=["GET", "POST", "DELETE"])])
    with serving(app, lifespan="off") as url:
        peer = {"url": f"{url}/mcp", "headers": {"Authorization": "Bearer s3cret"}, "timeout": 2}
        assert "look_up" not in found(started(start, mcp_servers={"peer": peer}), "hello")
    assert set(keys) == {"Bearer s3cret"}
    assert "s3cret" not in caplog.text


@pytest.mark.parametrize("transport", ["stdio", "http"])
def test_answer_over_the_limit_fails_and_is_not_kept(start, transport):
    """An answer that is larger than the setting allows fails its call, and the server is used again afterwards."""
    port = free_port()
    with http_server(port):
        place = stdio() if transport == "stdio" else {"url": f"http://127.0.0.1:{port}/mcp"}
        service = started(start, mcp_servers={"peer": {**place, "response_limit": 20_000}}, agent_metrics=True)
        until("the session", lambda: "[look_up] " in found(service, "hello"))
        assert found(service, "huge 1000") == f"[look_up] {'x' * 1000}"
        assert found(service, "huge 5000000").startswith("[look_up failed] ")
        until("the next session", lambda: "[look_up] " in found(service, "hello"))


def test_tool_that_hangs_is_left_in_time(start):
    """A call has the seconds of its setting; the session goes on."""
    service = started(start, mcp_servers={"peer": stdio(timeout=1)}, agent_metrics=True)
    until("the session", lambda: "[look_up] " in found(service, "hello"))
    begun = time.monotonic()
    assert found(service, "hang").startswith("[look_up failed] ")
    assert time.monotonic() - begun < 10
    until("an answer", lambda: "[look_up] " in found(service, "hello"))


def test_caller_who_leaves_ends_the_call_of_the_tool(start):
    """A run that its caller leaves cancels the tool that is asked; the session is used again."""
    service = started(start, mcp_servers={"peer": stdio(timeout=60)}, agent_metrics=True)
    until("the session", lambda: "[look_up] " in found(service, "hello"))
    body = {"input": "hang", "operation": "research"}
    with service.client.stream("POST", "/agents/navi/runs", json=body, headers={"Accept": "text/event-stream"}) as answer:
        next(answer.iter_lines())
    until("the end of the call", lambda: tools_failed(service) == {("look_up", "cancelled"): 1})
    assert "[look_up] " in found(service, "hello")


def test_error_of_a_tool_is_a_finding_and_counted(start):
    """A result that says isError fails the call of the tool with error.type tool_error, and not the research."""
    service = started(start, mcp_servers={"peer": stdio()}, agent_metrics=True)
    assert found(service, "fail") == "[look_up failed] tool look_up of MCP server peer reports an error"
    assert tools_failed(service) == {("look_up", "tool_error"): 1}
    assert service.counted("a2a_requests_total") == {"navi/research/success": 1}


def test_process_gets_no_variable_of_the_service(start, monkeypatch):
    """The process has the variables of its setting and none of the service's own."""
    monkeypatch.setenv("OTEL_SERVICE_NAME", "private")
    monkeypatch.setenv("AGENTOS_ENVIRONMENT", "test")
    peer = stdio()
    service = started(start, mcp_servers={"peer": {**peer, "env": {**peer["env"], "TOOL_KEY": "k"}}})
    assert found(service, "variables") == "[look_up] TOOL_KEY"


def test_series_of_a_server_end_with_the_service():
    """A telemetry that outlives the service shows no server of it."""
    settings = Settings(mcp_servers={"peer": stdio()}, agent_metrics=True)
    telemetry = AgentOSTelemetry(CatalogueSelection(settings, {}).catalogue)

    def shown() -> list[str]:
        text = telemetry.reader.expose().body.decode()
        return [line for line in text.splitlines() if line.startswith("mcp_servers_up{")]

    with serving(create_app(settings, telemetry)):
        until("the session", lambda: shown() == ['mcp_servers_up{mcp_server="peer"} 1'])
    assert shown() == []
    telemetry.shutdown()


@pytest.mark.parametrize("how", [(), ("stubborn",)])
def test_shutdown_leaves_no_process(tmp_path, how):
    """At SIGTERM the service ends the processes of its servers, children and those that ignore it included, within seconds."""
    with Service(tmp_path / "service", {"AGENTOS_MCP_SERVERS": json.dumps({"peer": stdio(str(tmp_path), *how)})}) as service:
        until("the session", lambda: "[look_up] " in research(service))
        assert len(pids(tmp_path)) == 1 + len(how)
        begun = time.monotonic()
        assert service.stop() in (0, -signal.SIGTERM)
        assert time.monotonic() - begun < 10
    assert pids(tmp_path) == []


def research(service: Service) -> str:
    return str(service.run("navi", "hello", operation="research").json()["output"])


def test_workers_have_a_process_each(tmp_path):
    """Each of two workers has its own session; no process is left after both."""
    environment = {"AGENTOS_MCP_SERVERS": json.dumps({"peer": stdio(str(tmp_path))}), "AGENTOS_AGENT_METRICS": "on"}
    with Service(tmp_path / "service", environment, workers=2) as service:
        until("both sessions", lambda: len(pids(tmp_path)) == 2)
        until("the gauge", lambda: 'mcp_servers_up{mcp_server="peer"} 1\n' in service.metrics())
    assert pids(tmp_path) == []


async def test_a_look_at_an_open_session_is_no_trace_of_its_own():
    """Only the first look, at a new session, may be sampled: the later ones come every half minute."""
    sampled: list[bool] = []
    looked_again = asyncio.Event()

    class Lost:
        async def tool(self, wanted: str) -> tuple[str, str]:
            here = trace.get_current_span().get_span_context()
            sampled.append(here.trace_flags.sampled or not here.is_valid)
            if len(sampled) == 2:
                looked_again.set()
            return "look_up", "text"

        async def call(self, tool: str, arguments: dict[str, object]) -> str:
            raise ToolError("no answer", "timeout")

    @asynccontextmanager
    async def opener(lose: object) -> AsyncIterator[Lost]:
        yield Lost()

    server = McpServer("peer", opener)
    looking = asyncio.create_task(server.run())
    assert await server.tool() is not None
    with pytest.raises(ToolError):
        await server.call("look_up", "what?")
    async with asyncio.timeout(10):
        await looked_again.wait()
    looking.cancel()
    assert sampled == [True, False]


def test_settings_need_the_extra(start, monkeypatch):
    """Servers in the settings without the extra stop the start with one sentence."""
    monkeypatch.setattr("agents.runtime.builtin_tools.has_mcp", lambda: False)
    with pytest.raises(SettingsError, match=r"^AGENTOS_MCP_SERVERS names servers, which needs pip install 'agentos\[mcp\]'\.$"):
        start(mcp_servers={"peer": stdio()})


def test_without_the_extra_navi_uses_the_calculator_alone(start, monkeypatch, caplog):
    """Where no server is set and the extra is not installed, research uses the local tool, and the log says so once."""
    monkeypatch.setattr("agents.runtime.builtin_tools.has_mcp", lambda: False)
    service = start()
    for _ in range(2):
        output = service.run("navi", "what is 6 * 7?", operation="research").json()["output"]
        assert output.startswith("[calculate] 6 * 7 = 42\nThis is about question.")
    assert [one for one in caplog.messages if "extra mcp" in one] == [
        "the extra mcp is not installed: navi's research uses the calculator alone"
    ]
