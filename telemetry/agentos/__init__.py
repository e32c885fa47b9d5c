"""AgentOS' own vocabulary: its catalogue, the recorder of its events, and the process's default telemetry.

``agent_invocation``, ``tool_call``, ``workflow`` and ``count_inference`` measure agents of one's own; they load on first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from telemetry._base.lazy import names_on_first_use

if TYPE_CHECKING:
    from telemetry.agentos.agents import agent_invocation as agent_invocation
    from telemetry.agentos.agents import count_inference as count_inference
    from telemetry.agentos.agents import tool_call as tool_call
    from telemetry.agentos.agents import workflow as workflow

_MODULES = dict.fromkeys(("agent_invocation", "count_inference", "tool_call", "workflow"), "telemetry.agentos.agents")

__all__ = [*_MODULES]

__getattr__, __dir__ = names_on_first_use(globals(), _MODULES)
