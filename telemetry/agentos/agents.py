"""Agents, workflows and tools of one's own, measured by the process's telemetry (``telemetry.install``).

Importing these functions, and decorating with them, loads no SDK: the first measured call does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypedDict, Unpack

from telemetry.agentos.call_counts import count_inference
from telemetry.agentos.default import current
from telemetry.agentos.measured import Measured

if TYPE_CHECKING:
    from telemetry.agentos.agent_calls import AgentInvocation, ToolCall

__all__ = ["AgentDetails", "ToolDetails", "WorkflowDetails", "agent_invocation", "count_inference", "tool_call", "workflow"]


class WorkflowDetails(TypedDict, total=False):
    """What ``Recorder.workflow`` takes beside the name."""

    description: str
    conversation: str


class AgentDetails(WorkflowDetails, total=False):
    """What ``Recorder.agent_invocation`` takes beside the name."""

    id: str
    version: str
    model: str
    provider: str
    remote: bool
    address: str
    port: int | None


class ToolDetails(TypedDict, total=False):
    """What ``Recorder.tool_call`` takes beside the name."""

    type: str
    id: str
    description: str
    content: bool


def agent_invocation(agent: str | None = None, **details: Unpack[AgentDetails]) -> Measured[AgentInvocation]:
    """See ``Recorder.agent_invocation``."""
    return Measured(lambda name: current().recorder.agent_invocation(name, **details).new(), agent)


def workflow(workflow: str | None = None, **details: Unpack[WorkflowDetails]) -> Measured[AgentInvocation]:
    """See ``Recorder.workflow``."""
    return Measured(lambda name: current().recorder.workflow(name, **details).new(), workflow)


def tool_call(tool: str | None = None, **details: Unpack[ToolDetails]) -> Measured[ToolCall]:
    """See ``Recorder.tool_call``."""
    return Measured(lambda name: current().recorder.tool_call(name, **details).new(), tool)
