"""A service with a scripted model server and a scripted MCP server, and runs of its agents whose numbers the tests know."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from stack.servers.jaeger import Jaeger
from stack.servers.process import until
from stack.servers.service import Service
from tests.helpers.asgi_server import closed_port
from tests.helpers.model_server import DONE, Gate, ModelServer, Stream, refusal, says, used

__all__ = ["Traffic", "agent_traffic"]

ROOT = Path(__file__).parents[2]
ANSWER: Stream = [says("fine, "), says("thanks"), used(11, 5, cached=3, reasoning=2), DONE]
QUOTA = (
    ("x-ratelimit-limit-requests", "500"),
    ("x-ratelimit-remaining-requests", "417"),
    ("x-ratelimit-limit-tokens", "30000"),
    ("x-ratelimit-remaining-tokens", "29000"),
    ("x-ratelimit-reset-requests", "1h"),
    ("x-ratelimit-reset-tokens", "1h"),
)
PRICES = {"per": 1000, "models": {"m": {"input": "0.2", "cached": "0.1", "output": "0.8"}}}
BUDGETS = {"acme": {"USD": "1", "period": "month"}, "globex": {"USD": "0.01", "period": "month"}}
_SETTINGS = {
    "AGENTOS_AGENT_METRICS": "on",
    "AGENTOS_MODEL_METRICS": "on",
    "AGENTOS_GENAI_METRICS": "all",
    "OTEL_SEMCONV_STABILITY_OPT_IN": "gen_ai_latest_experimental",
    "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "grpc",
    "OTEL_BSP_SCHEDULE_DELAY": "200",
    "AGENTOS_RATE_LIMIT": "off",
    "AGENTOS_CLIENT_RATE_LIMIT": "off",
    "AGENTOS_RETRIES": "1",
    "AGENTOS_RETRY_WAIT": "0.01",
    "AGENTOS_BREAKER_FAILURES": "0",
    "AGENTOS_SHUTDOWN_TIMEOUT": "1",
}


@dataclass(frozen=True, slots=True)
class Traffic:
    """The service and the trace store after the runs, and the trace of each run by its name."""

    service: Service
    jaeger: Jaeger
    traces: dict[str, str]


@contextmanager
def agent_traffic(program: Path, folder: Path) -> Iterator[Traffic]:
    """Starts the servers and makes the runs, one after the other."""
    main = ModelServer(
        *[ANSWER] * 4,  # research, brief (its research and its own), and a research whose tools fail
        refusal(500),
        ANSWER,  # a research whose first model call fails, and whose server is lost
        [says("never "), says("reported"), Gate(), DONE],  # the announcement whose caller leaves
        headers=QUOTA,
    )
    with ExitStack() as stack:
        jaeger = stack.enter_context(Jaeger(program, folder / "jaeger"))
        settings = _settings(stack.enter_context(main.running()), jaeger, folder)
        service = stack.enter_context(Service(folder / "service", settings))
        traces = {
            "research": _run(service, "navi", "research", "acme", "what is 6 * 7"),
            "brief": _run(service, "herald", "brief", "acme", "what is 2 + 3"),
            "failing tools": _run(service, "navi", "research", "globex", "fail at 1 / 0"),
            "failing server": _run(service, "navi", "research", "globex", "crash now"),
            "no provider": _run(service, "navi", "summarize", "globex", "a text", status="error"),
        }
        _leave(service)
        until("the server's next session", lambda: 'mcp_servers_up{mcp_server="tools"} 1' in service.metrics())
        yield Traffic(service, jaeger, traces)


def _settings(url: str, jaeger: Jaeger, folder: Path) -> dict[str, str]:
    (folder / "prices.json").write_text(json.dumps(PRICES))
    urls = {"main": url, "down": f"http://127.0.0.1:{closed_port()}/v1"}
    program = [sys.executable, "-m", "tests.helpers.tool_server", "stdio"]
    tools = {"command": program, "env": {"PYTHONPATH": str(ROOT)}, "timeout": 60}
    return _SETTINGS | {
        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": f"http://127.0.0.1:{jaeger.otlp}",
        "AGENTOS_PROVIDERS": json.dumps(
            {name: {"kind": "openai", "base_url": one, "model": "m"} for name, one in urls.items()}
        ),
        "AGENTOS_ROUTES": json.dumps({"question": ["main"], "writing": ["main"], "summary": ["down"]}),
        "AGENTOS_PRICES": str(folder / "prices.json"),
        "AGENTOS_BUDGETS": json.dumps(BUDGETS),
        "AGENTOS_MCP_SERVERS": json.dumps({"tools": tools}),
        "AGENTOS_STATE_DIRECTORY": str(folder / "state"),
    }


def _run(service: Service, agent: str, operation: str, workspace: str, text: str, *, status: str = "success") -> str:
    answer = service.run(agent, text, operation=operation, workspace=workspace).json()
    assert answer["status"] == status, answer
    return str(answer["trace_id"])


def _leave(service: Service) -> None:
    """Reads a stream until the model server holds it, and closes the connection."""
    body, headers = {"input": "12345678", "operation": "announce"}, {"Accept": "text/event-stream", "X-Workspace-Id": "zen"}
    with httpx.stream("POST", f"{service.url}/agents/herald/runs", json=body, headers=headers, timeout=30) as answer:
        next(text for text in answer.iter_lines() if "reported" in text)
    left = 'gen_ai_invoke_agent_duration_seconds_count{error_type="cancelled"'
    until("the end of the run", lambda: left in service.metrics())
