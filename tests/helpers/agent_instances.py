"""Two instances with scripted agents, tools, MCP servers and workspaces, whose numbers the tests know."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack
from decimal import Decimal
from pathlib import Path

from telemetry import AgentOSTelemetry
from telemetry.agentos import catalogue_agents as rows
from telemetry.agentos import catalogue_models as models
from telemetry.agentos.catalogue_workspaces import ROWS as WORKSPACES
from telemetry.agentos.mcp.servers_up import ServersUp
from telemetry.agentos.quota import Quota
from telemetry.agentos.workspace_budgets import WorkspaceBudgets
from telemetry.exposition import metrics_app
from telemetry.metric import Catalogue
from tests.helpers.asgi_server import serving

__all__ = ["BUDGETS", "Instance", "running"]

BUDGETS = {"acme": {"USD": "100", "period": "month"}, "zen": {"USD": "10", "period": "month"}}
_CATALOGUE = Catalogue([*rows.AGENTS, *models.ROWS, *WORKSPACES])


class Instance:
    """The telemetry of one instance, and what is done in it."""

    def __init__(self, folder: Path, url: str, telemetry: AgentOSTelemetry) -> None:
        self.address = url.removeprefix("http://")
        self._telemetry = telemetry
        self._recorder = telemetry.recorder
        self._servers = ServersUp(telemetry)
        self._budgets = WorkspaceBudgets(BUDGETS, folder / "ledger")
        self._recorder.workspaces.use(self._budgets)

    def start(self) -> None:
        """Does things once, so that their series are there before the traffic; most failures come later."""
        for agent in ("navi", "herald"):
            self.invoke(agent, tools={"search": 1, "weather": 1})
        self.invoke("navi", tools={"weather": 1}, fails="weather")
        for workspace in ("acme", "zen", "free"):
            self._recorder.workspaces.start(workspace)
        self.spend("acme", "0")
        self.spend("zen", "0")
        self._servers.set("notes", True)
        self._servers.set("files", True)
        self.mcp("tools/call", 0.02, tool="search")
        self.session(1)
        self.stream("main", 0.02)

    def invoke(self, agent: str, *, tools: dict[str, int], error: BaseException | None = None, fails: str = "") -> None:
        """Invokes an agent that calls each tool so many times; the tool ``fails`` fails each time, and the agent goes on."""
        try:
            with self._recorder.agent_invocation(agent):
                for tool, calls in tools.items():
                    for _ in range(calls):
                        self._call(tool, TimeoutError() if tool == fails else None)
                if error is not None:
                    raise error
        except (OSError, asyncio.CancelledError):
            pass

    def _call(self, tool: str, error: BaseException | None) -> None:
        try:
            with self._recorder.tool_call(tool):
                if error is not None:
                    raise error
        except TimeoutError:
            pass

    def mcp(self, method: str, seconds: float, *, tool: str = "", error: str = "") -> None:
        """Records a request to an MCP server, and the same one as our own server takes it."""
        labels = {rows.METHOD.key: method, rows.MCP_TOOL.key: tool, rows.FAILURE.key: error, rows.TRANSPORT.key: "pipe"}
        for row in (rows.MCP_CLIENT_OPERATION_DURATION, rows.MCP_SERVER_OPERATION_DURATION):
            absent = dict.fromkeys(set(row.keys) - labels.keys(), "")
            self._telemetry[row].labels(**labels, **absent).observe(seconds)

    def session(self, seconds: float) -> None:
        """Records the end of an MCP session on both sides."""
        for row in (rows.MCP_CLIENT_SESSION_DURATION, rows.MCP_SERVER_SESSION_DURATION):
            labels = dict.fromkeys(row.keys, "") | {rows.TRANSPORT.key: "pipe"}
            self._telemetry[row].labels(**labels).observe(seconds)

    def stream(self, provider: str, seconds: float, *, tokens: int = 1) -> None:
        """Records a stream with this time between two tokens."""
        self._telemetry[models.INTER_TOKEN_LATENCY].labels(provider).observe(seconds)
        self._telemetry[models.OUTPUT_RATE].labels(provider).observe(1 / seconds)
        self._telemetry[models.MODEL_TOKENS].labels(provider, "m", "output").inc(tokens)

    def cancel(self, provider: str, tokens: int) -> None:
        """Records a stream that its caller cancelled after so many tokens."""
        self._telemetry[models.ESTIMATED_TOKENS].labels(provider, "m", "output").inc(tokens)

    def allow(self, provider: str, resource: str, limit: int, remaining: int) -> None:
        """Records what the last answer of a provider said of its quota."""
        self._recorder.models.record_quota(provider, Quota(resource, limit, remaining, 3600))

    def lose(self, server: str) -> None:
        """Lets an MCP server stop answering."""
        self._servers.set(server, False)

    def find(self, server: str) -> None:
        """Lets an MCP server answer again."""
        self._servers.set(server, True)

    def spend(self, workspace: str, usd: str | None, **tokens: int) -> None:
        """Records what a model call used; None for a call without a price."""
        cost = None if usd is None else Decimal(usd)
        self._recorder.workspaces.record_usage(workspace, tokens, cost, complete=True)

    def estimate(self, workspace: str, input_tokens: int, output_tokens: int) -> None:
        """Records a call that its caller cancelled."""
        self._recorder.workspaces.record_estimate(workspace, input_tokens, output_tokens)

    def close(self) -> None:
        """Ends the ledger's thread."""
        self._budgets.close()


def running(stack: ExitStack, folder: Path) -> Instance:
    """Starts an instance on a socket of its own."""
    folder.mkdir()
    telemetry = AgentOSTelemetry(_CATALOGUE, strict=True, native_histograms=True)
    stack.callback(telemetry.shutdown)
    instance = Instance(folder, stack.enter_context(serving(metrics_app(telemetry.reader), lifespan="off")), telemetry)
    stack.callback(instance.close)
    return instance
