"""A small, bounded load over real HTTP: two agents and three workspaces, one of which exceeds its rate limit."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import Mapping
from dataclasses import dataclass

import httpx

__all__ = ["SERVICE_SETTINGS", "WORKSPACES", "Workspace", "run"]

# The greedy workspace exceeds the limit and the providers fail now and then, so that every panel has something to show.
SERVICE_SETTINGS: Mapping[str, str] = {
    "AGENTOS_RATE_LIMIT": "4/second",
    "AGENTOS_CLIENT_RATE_LIMIT": "off",
    "AGENTOS_PROVIDERS": ('{"swift": {"latency": 0.08, "failure_rate": 0.3}, "steady": {"latency": 0.3, "failure_rate": 0.2}}'),
    "AGENTOS_ENVIRONMENT": "demo",
    "AGENTOS_CACHE_TTL": "20",
}


@dataclass(frozen=True, slots=True)
class Workspace:
    """One caller: ``at_once`` requests together, with a pause of ``every`` seconds."""

    name: str
    at_once: int
    every: float


WORKSPACES = (Workspace("acme", 1, 0.6), Workspace("globex", 1, 0.8), Workspace("greedy", 6, 1.5))

_CALLS = (("navi", "query", False), ("herald", None, True), ("navi", "query", False), ("herald", None, False))
_QUESTIONS = tuple(
    f"What does the {part} of a {thing} do?"
    for part in ("core", "edge", "frame")
    for thing in ("river", "harbour", "lantern", "forest", "bridge")
)


async def run(url: str, stop: asyncio.Event) -> None:
    """Sends requests until ``stop`` is set and ignores the answers: the demo shows the service's measurements."""
    async with httpx.AsyncClient(base_url=url, timeout=10) as client:
        operations = await _operations(client)
        async with asyncio.TaskGroup() as callers:
            for workspace in WORKSPACES:
                callers.create_task(_caller(client, workspace, operations, stop))


async def _operations(client: httpx.AsyncClient) -> dict[str, str]:
    """Returns each agent's first operation, from the service's own list."""
    agents = (await client.get("/agents", headers={"X-Workspace-Id": WORKSPACES[0].name})).raise_for_status().json()
    return {agent["name"]: next(iter(agent["operations"])) for agent in agents}


async def _caller(client: httpx.AsyncClient, workspace: Workspace, operations: Mapping[str, str], stop: asyncio.Event) -> None:
    calls = itertools.cycle(_CALLS)
    while not stop.is_set():
        batch = [_call(client, workspace.name, operations, *next(calls)) for _ in range(workspace.at_once)]
        await asyncio.gather(*batch)
        try:
            await asyncio.wait_for(stop.wait(), workspace.every)
        except TimeoutError:
            continue


async def _call(
    client: httpx.AsyncClient, workspace: str, operations: Mapping[str, str], agent: str, operation: str | None, stream: bool
) -> None:
    headers = {"X-Workspace-Id": workspace, "Accept": "text/event-stream" if stream else "application/json"}
    body = {"input": random.choice(_QUESTIONS), "operation": operation or operations[agent]}
    async with client.stream("POST", f"/agents/{agent}/runs", json=body, headers=headers) as answer:
        async for _ in answer.aiter_bytes():
            pass
