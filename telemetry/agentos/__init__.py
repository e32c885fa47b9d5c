"""AgentOS' own vocabulary: its catalogue, the recorder of its events, and the process's default telemetry.

``agent_invocation``, ``tool_call``, ``workflow`` and ``count_inference`` measure agents of one's own; they load on first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from telemetry.agentos.agents import agent_invocation as agent_invocation
    from telemetry.agentos.agents import count_inference as count_inference
    from telemetry.agentos.agents import tool_call as tool_call
    from telemetry.agentos.agents import workflow as workflow

__all__ = ["agent_invocation", "count_inference", "tool_call", "workflow"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from telemetry.agentos import agents

    value = globals()[name] = getattr(agents, name)
    return value
