"""The catalogue's fourth part: agents, their tools, and MCP, by OpenTelemetry's conventions. Switched on by setting.

Version 0.1.0 of the conventions records workflows as invocations of their own ``gen_ai.operation.name`` beside agents, with the
workflow's name in ``gen_ai.agent.name``; drafts before it had a metric ``gen_ai.invoke_workflow.duration``.

https://github.com/open-telemetry/semantic-conventions-genai/blob/v0.1.0/docs/gen-ai/gen-ai-metrics.md
https://github.com/open-telemetry/semantic-conventions-genai/blob/v0.1.0/docs/gen-ai/mcp.md
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from opentelemetry.semconv.attributes.error_attributes import ERROR_TYPE
from opentelemetry.semconv.attributes.network_attributes import NETWORK_PROTOCOL_NAME, NETWORK_TRANSPORT

from telemetry.agentos import agent_names as names
from telemetry.agentos.catalogue import AGENTOS
from telemetry.agentos.catalogue_genai import ADDRESS, PORT
from telemetry.agentos.genai_names import GEN_AI_OPERATION_NAME, GEN_AI_REQUEST_MODEL
from telemetry.metric import (
    Catalogue,
    HistogramKind,
    Label,
    Metric,
    MultiprocessMode,
    closed_label,
    histogram,
    observable_gauge,
    open_label,
)

INVOCATION = closed_label(GEN_AI_OPERATION_NAME, "what was invoked", "invoke_agent", "invoke_workflow")
AGENT_NAME = replace(open_label(names.GEN_AI_AGENT_NAME, "name of the agent or workflow", limit=50), optional=True)
AGENT_MODEL = replace(open_label(GEN_AI_REQUEST_MODEL, "model of an agent that has one alone", limit=20), optional=True)
TOOL_NAME = open_label(names.GEN_AI_TOOL_NAME, "name of the tool", limit=100)
TOOL_TYPE = closed_label(names.GEN_AI_TOOL_TYPE, "who executes the tool", "function", "extension", "datastore")
FAILURE = replace(open_label(ERROR_TYPE, "why it failed", limit=40), optional=True)

_DOUBLING_SECONDS = tuple(0.1 * 2**n for n in range(13))
_SECONDS = tuple(0.01 * 2**n for n in range(14))
_CALLS = tuple(2**n for n in range(8))
_SERIES = 2000
"""Series of one metric, as for the GenAI metrics: the product of the labels' limits is far too high."""
_AGENTS = "telemetry/agentos/agent_calls.py"
_MCP = "telemetry/agentos/mcp"


def _limited(
    name: str, unit: str, help: str, *labels: Label, bounds: Sequence[float], recorded_in: str
) -> Metric[HistogramKind]:
    metric = histogram(name, unit, help, *labels, bounds=bounds, recorded_in=recorded_in)
    return replace(metric, cardinality_limit=_SERIES)


INVOKE_AGENT_DURATION = _limited(
    "gen_ai.invoke_agent.duration",
    "s",
    "The end-to-end duration of a single in-process agent invocation.",
    INVOCATION,
    AGENT_NAME,
    AGENT_MODEL,
    FAILURE,
    bounds=_DOUBLING_SECONDS,
    recorded_in=_AGENTS,
)
INFERENCE_CALLS = histogram(
    "gen_ai.invoke_agent.inference_calls",
    "{inference_call}",
    "The number of inference (model) calls a GenAI agent makes during a single invocation.",
    AGENT_NAME,
    bounds=_CALLS,
    recorded_in=_AGENTS,
)
TOOL_CALLS = histogram(
    "gen_ai.invoke_agent.tool_calls",
    "{tool_call}",
    "The number of tool calls a GenAI agent makes during a single invocation.",
    AGENT_NAME,
    bounds=_CALLS,
    recorded_in=_AGENTS,
)
EXECUTE_TOOL_DURATION = _limited(
    "gen_ai.execute_tool.duration",
    "s",
    "The duration of a single tool execution.",
    AGENT_NAME,
    TOOL_NAME,
    TOOL_TYPE,
    FAILURE,
    bounds=_SECONDS,
    recorded_in=_AGENTS,
)

# MCP

METHOD = open_label("mcp.method.name", "MCP method", limit=40)
MCP_TOOL = replace(TOOL_NAME, optional=True)
MCP_PROMPT = replace(open_label("gen_ai.prompt.name", "name of the prompt", limit=50), optional=True)
MCP_OPERATION = replace(closed_label("gen_ai.operation.name", "execute_tool for a tool call", "execute_tool"), optional=True)
STATUS_CODE = replace(
    open_label("rpc.response.status_code", "JSON-RPC error code", limit=30, pattern=r"-?[0-9]{1,9}"), optional=True
)
PROTOCOL_VERSION = replace(open_label("mcp.protocol.version", "version that the session speaks", limit=10), optional=True)
TRANSPORT = replace(closed_label(NETWORK_TRANSPORT, "transport of the session", "pipe", "tcp", "quic"), optional=True)
PROTOCOL_NAME = replace(open_label(NETWORK_PROTOCOL_NAME, "protocol above the transport", limit=5), optional=True)
MCP_SERVER = open_label("mcp_server", "name of the MCP server, from the settings", limit=50)

_MCP_OPERATION = (METHOD, MCP_OPERATION, MCP_TOOL, MCP_PROMPT, FAILURE, STATUS_CODE, PROTOCOL_VERSION, TRANSPORT, PROTOCOL_NAME)
_MCP_SESSION = (FAILURE, PROTOCOL_VERSION, TRANSPORT, PROTOCOL_NAME)
_MCP_SECONDS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60, 120, 300)

MCP_CLIENT_OPERATION_DURATION = _limited(
    "mcp.client.operation.duration",
    "s",
    "The duration of the MCP request or notification as observed on the sender from the time it was sent until the "
    "response or ack is received.",
    *_MCP_OPERATION,
    ADDRESS,
    PORT,
    bounds=_MCP_SECONDS,
    recorded_in=_MCP,
)
MCP_SERVER_OPERATION_DURATION = _limited(
    "mcp.server.operation.duration",
    "s",
    "MCP request or notification duration as observed on the receiver from the time it was received until the result or "
    "ack is sent.",
    *_MCP_OPERATION,
    bounds=_MCP_SECONDS,
    recorded_in=_MCP,
)
MCP_CLIENT_SESSION_DURATION = _limited(
    "mcp.client.session.duration",
    "s",
    "The duration of the MCP session as observed on the MCP client.",
    *_MCP_SESSION,
    ADDRESS,
    PORT,
    bounds=_MCP_SECONDS,
    recorded_in=_MCP,
)
MCP_SERVER_SESSION_DURATION = _limited(
    "mcp.server.session.duration",
    "s",
    "The duration of the MCP session as observed on the MCP server.",
    *_MCP_SESSION,
    bounds=_MCP_SECONDS,
    recorded_in=_MCP,
)
MCP_SERVERS_UP = observable_gauge(
    "mcp.servers.up",
    "{server}",
    "1 while the MCP server answers, else 0; of several workers, 0 where it does not answer one of them",
    MCP_SERVER,
    multiprocess_mode=MultiprocessMode.MIN,
    recorded_in=_MCP,
)

ROWS = tuple(row for row in list(globals().values()) if isinstance(row, Metric))
"""The rows above, in their order."""

AGENTS = Catalogue([*AGENTOS, *ROWS])
"""The contract's rows and those of this part, for an agent of one's own."""
