"""A small, bounded load over real HTTP: two agents with their tools, and three workspaces with budgets, one of them greedy."""

from __future__ import annotations

import asyncio
import itertools
import json
import random
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import httpx

__all__ = ["SERVICE_SETTINGS", "WORKSPACES", "Workspace", "run"]

_HERE = Path(__file__).parent
_GLOSSARY = {"command": [sys.executable, "-m", "demo.glossary"], "env": {"PYTHONPATH": str(_HERE.parent)}, "timeout": 5}

# The greedy workspace exceeds limit and budget, providers fail now and then, and the glossary lacks words: every panel has
# something to show.
SERVICE_SETTINGS: Mapping[str, str] = {
    "AGENTOS_RATE_LIMIT": "4/second",
    "AGENTOS_CLIENT_RATE_LIMIT": "off",
    "AGENTOS_PROVIDERS": ('{"swift": {"latency": 0.08, "failure_rate": 0.3}, "steady": {"latency": 0.3, "failure_rate": 0.2}}'),
    "AGENTOS_ENVIRONMENT": "demo",
    "AGENTOS_CACHE_TTL": "20",
    "AGENTOS_AGENT_METRICS": "on",
    "AGENTOS_MCP_SERVERS": json.dumps({"glossary": _GLOSSARY}),
    "AGENTOS_PRICES": str(_HERE / "prices.json"),
    "AGENTOS_BUDGETS": json.dumps(
        {name: {"USD": amount, "period": "day"} for name, amount in (("acme", "5.00"), ("globex", "2.50"), ("greedy", "2.00"))}
    ),
}


@dataclass(frozen=True, slots=True)
class Workspace:
    """One caller: ``at_once`` requests together, with a pause of ``every`` seconds."""

    name: str
    at_once: int
    every: float


WORKSPACES = (Workspace("acme", 1, 0.6), Workspace("globex", 1, 0.8), Workspace("greedy", 6, 1.5))

_CALLS = (
    ("navi", "query", False),
    ("herald", "brief", True),
    ("navi", "research", False),
    ("herald", "announce", True),
    ("navi", "query", False),
    ("herald", "announce", False),
)
_QUESTIONS = tuple(
    f"What does the {part} of a {thing} do, and what is {count} * {12 + number}?"
    for part, count in (("core", 3), ("edge", 5), ("frame", 7))
    for number, thing in enumerate(("river", "harbour", "lantern", "forest", "bridge"))
)


async def run(url: str, stop: asyncio.Event) -> None:
    """Sends requests until ``stop`` is set and ignores the answers: the demo shows the service's measurements."""
    async with httpx.AsyncClient(base_url=url, timeout=10) as client:
        await _glossary_up(client)
        async with asyncio.TaskGroup() as callers:
            for workspace in WORKSPACES:
                callers.create_task(_caller(client, workspace, stop))


async def _glossary_up(client: httpx.AsyncClient) -> None:
    """Waits for the MCP server's process, for two seconds at most, so that its start is not a part of the first answers."""
    with suppress(TimeoutError):
        async with asyncio.timeout(2):
            while 'mcp_servers_up{mcp_server="glossary"} 1' not in (await client.get("/metrics")).text:  # noqa: ASYNC110 - as below
                await asyncio.sleep(0.1)  # another process: there is no event to wait on


async def _caller(client: httpx.AsyncClient, workspace: Workspace, stop: asyncio.Event) -> None:
    calls = itertools.cycle(_CALLS)
    while not stop.is_set():
        batch = [_call(client, workspace.name, *next(calls)) for _ in range(workspace.at_once)]
        await asyncio.gather(*batch)
        try:
            await asyncio.wait_for(stop.wait(), workspace.every)
        except TimeoutError:
            continue


async def _call(client: httpx.AsyncClient, workspace: str, agent: str, operation: str, stream: bool) -> None:
    headers = {"X-Workspace-Id": workspace, "Accept": "text/event-stream" if stream else "application/json"}
    body = {"input": random.choice(_QUESTIONS), "operation": operation}
    async with client.stream("POST", f"/agents/{agent}/runs", json=body, headers=headers) as answer:
        async for _ in answer.aiter_bytes():
            pass
