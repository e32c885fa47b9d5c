"""Two services with scripted model servers and agents, and the calls whose numbers the tests know."""

from __future__ import annotations

import json
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from starlette.responses import JSONResponse, Response

from stack.load.traffic import Call
from stack.servers.service import Service
from tests.helpers.asgi_server import closed_port
from tests.helpers.model_server import DONE, Gate, ModelServer, Stream, refusal, says, used
from tests.helpers.scripted_agent import ScriptedAgent, replying, status, task

__all__ = ["PEERS", "QUESTIONS", "SUMMARIES", "instances"]

ANSWER: Stream = [says("fine, "), says("thanks"), used(11, 5, cached=3, reasoning=2), DONE]
MAIN: list[Response | Stream] = [
    *[ANSWER] * 4,
    refusal(429, Retry_After="0"),
    ANSWER,
    refusal(500),
    refusal(500),
    [says("no usage"), DONE],
    refusal(400),
]
BACKUP: list[Response | Stream] = [*[ANSWER] * 7, refusal(400)]
QUESTIONS = [Call("herald", "query", "acme", f"question {n}") for n in range(8)]
SUMMARIES = [Call("navi", "summarize", "acme", f"text {n}") for n in range(6)]
PRICES = {"per": 1000, "models": {"main.v1/m": {"input": 2, "cached": 1, "output": 8}}}
PEERS = [Call("peer", "query", "acme", "hello")] * 3 + [Call("strict", "query", "acme", "hello")] * 3


def _settings(urls: dict[str, str], prices: Path) -> dict[str, str]:
    prices.write_text(json.dumps(PRICES))
    models = {"main.v1": "m", "backup": "n", "down": "m", "narrow": "m"}
    providers: dict[str, dict[str, Any]] = {
        name: {"kind": "openai", "base_url": urls[name], "model": model, "timeout": 600} for name, model in models.items()
    }
    providers["narrow"]["max_in_flight"] = 1
    routes = {"question": ["main.v1", "backup"], "summary": ["down", "backup"], "writing": ["narrow"]}
    return _COMMON | {
        "AGENTOS_PROVIDERS": json.dumps(providers),
        "AGENTOS_ROUTES": json.dumps(routes),
        "AGENTOS_PRICES": str(prices),
        "AGENTOS_RETRIES": "1",
        "AGENTOS_RETRY_WAIT": "0.01",
        "AGENTOS_BREAKER_FAILURES": "3",
        "AGENTOS_BREAKER_PAUSE": "3600",
    }


_COMMON = {
    "AGENTOS_MODEL_METRICS": "on",
    "AGENTOS_NATIVE_HISTOGRAMS": "on",
    "AGENTOS_RATE_LIMIT": "off",
    "AGENTOS_CLIENT_RATE_LIMIT": "off",
    "AGENTOS_CALL_TIMEOUT": "600",
    "AGENTOS_AGENT_TIMEOUT": "600",
    "AGENTOS_SHUTDOWN_TIMEOUT": "0.5",
}


def _strict() -> ScriptedAgent:
    """An agent that answers with an internal error twice, then with an unknown task."""
    codes = iter([-32603, -32603, -32001])

    async def reply(call: dict[str, Any]) -> Response:
        return JSONResponse({"jsonrpc": "2.0", "id": call["id"], "error": {"code": next(codes), "message": "no"}})

    agent = ScriptedAgent(reply)
    agent.streaming = False
    return agent


def instances(stack: ExitStack, folder: Path) -> tuple[Service, Service]:
    """Starts a service with built-in agents and scripted model servers, and one with scripted agents."""
    servers = {"main.v1": ModelServer(*MAIN), "backup": ModelServer(*BACKUP), "narrow": ModelServer([Gate(), *ANSWER])}
    urls = {name: stack.enter_context(server.running()) for name, server in servers.items()}
    urls["down"] = f"http://127.0.0.1:{closed_port()}/v1"
    states = ("TASK_STATE_SUBMITTED", "TASK_STATE_WORKING", "TASK_STATE_COMPLETED")
    peer = ScriptedAgent(replying(task(states[0]), *(status(state, "hi") for state in states[1:])))
    agents = {name: stack.enter_context(one.running()).url for name, one in (("peer", peer), ("strict", _strict()))}
    return (
        stack.enter_context(Service(folder / "models", _settings(urls, folder / "prices.json"))),
        stack.enter_context(Service(folder / "agents", _COMMON | {"AGENTOS_AGENTS": json.dumps(agents)})),
    )
