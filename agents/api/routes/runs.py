"""``POST /agents/{agent}/runs`` and ``GET /agents``."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Header, Request
from pydantic import BaseModel, ConfigDict, Field

from agents.api.run_response import RunResponse
from agents.api.workspace import workspace_of
from agents.gateway.dashboard_gateway import DashboardGateway
from agents.gateway.run import Run
from telemetry.exposition.negotiation import prefers

__all__ = ["runs_router"]


class RunRequest(BaseModel):
    """The body of a request for a run."""

    model_config = ConfigDict(extra="forbid", strict=True)

    input: str = Field(min_length=1, description="the text for the agent")
    operation: str = Field("query", min_length=1, max_length=64, description="a skill on the agent's card")


class RunResult(BaseModel):
    """The agent's answer; ``agent``, ``operation`` and ``status`` are the labels of its metrics."""

    agent: str
    operation: str
    status: str
    output: str
    task_id: str | None
    trace_id: str


class Failed(BaseModel):
    """The answer to a request that was refused."""

    error: str
    reason: str


class FailedRun(RunResult):
    """A run that failed: ``error`` is its ``error_type`` in the metrics."""

    error: str
    reason: str


class Agent(BaseModel):
    """An agent and its operations. ``known`` is false, and there are no operations, until its card has been read."""

    name: str
    known: bool
    operations: dict[str, str]


_REFUSALS: dict[int | str, dict[str, Any]] = {
    **{status: {"model": Failed} for status in (400, 404, 422, 429, 503)},
    413: {"model": Failed, "content": {"text/plain": {}}},
    **{status: {"model": FailedRun} for status in (500, 502, 504)},
    200: {"model": RunResult, "content": {"text/event-stream": {}}},
}


def runs_router(gateway: DashboardGateway) -> APIRouter:
    """Returns the routes of a gateway's agents and their runs."""
    router = APIRouter()

    @router.post("/agents/{agent}/runs", response_model=None, responses=_REFUSALS)
    async def run_agent(
        agent: str,
        body: RunRequest,
        request: Request,
        accept: Annotated[str, Header()] = "application/json",  # for the OpenAPI document: it has one header of several
        x_workspace_id: Annotated[str | None, Header(pattern=r"^[A-Za-z0-9_.\-]{1,64}$")] = None,
    ) -> RunResponse:
        """Calls an agent and answers with its output, as a stream if ``Accept`` prefers ``text/event-stream``."""
        run = Run(agent, body.operation, body.input, workspace_of(request.scope))
        accepts = ",".join(request.headers.getlist("accept"))
        return RunResponse(gateway, run, events=prefers(accepts, "text/event-stream", "application/json"))

    @router.get("/agents", responses={429: {"model": Failed}})
    async def list_agents() -> list[Agent]:
        """Lists the agents and the operations on their cards."""
        return [
            Agent(name=name, known=operations is not None, operations=dict(operations or {}))
            for name, operations in gateway.agents.items()
        ]

    return router
