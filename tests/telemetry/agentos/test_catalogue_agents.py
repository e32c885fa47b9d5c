"""The rows of agents and tools: names, units, labels and bounds of the conventions, version 0.1.0."""

from __future__ import annotations

import pytest
from opentelemetry.semconv._incubating.attributes import gen_ai_attributes

from telemetry.agentos import agent_names
from telemetry.agentos import catalogue_agents as rows
from telemetry.agentos.catalogue import AGENTOS
from telemetry.metric import Metric

DOUBLING = (0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 51.2, 102.4, 204.8, 409.6)
FROM_10_MS = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92)
CALLS = (1, 2, 4, 8, 16, 32, 64, 128)
AGENT, TOOL, TYPE, ERROR = "gen_ai.agent.name", "gen_ai.tool.name", "gen_ai.tool.type", "error.type"


@pytest.mark.parametrize(
    ("row", "name", "unit", "keys", "bounds"),
    [
        (
            rows.INVOKE_AGENT_DURATION,
            "gen_ai.invoke_agent.duration",
            "s",
            ("gen_ai.operation.name", AGENT, "gen_ai.request.model", ERROR),
            DOUBLING,
        ),
        (rows.INFERENCE_CALLS, "gen_ai.invoke_agent.inference_calls", "{inference_call}", (AGENT,), CALLS),
        (rows.TOOL_CALLS, "gen_ai.invoke_agent.tool_calls", "{tool_call}", (AGENT,), CALLS),
        (rows.EXECUTE_TOOL_DURATION, "gen_ai.execute_tool.duration", "s", (AGENT, TOOL, TYPE, ERROR), FROM_10_MS),
    ],
)
def test_rows(row: Metric, name: str, unit: str, keys: tuple[str, ...], bounds: tuple[float, ...]) -> None:
    """A row has the conventions' name, unit, attributes and bounds."""
    assert (row.name, row.unit, row.keys, row.bounds) == (name, unit, keys, bounds)


@pytest.mark.skipif(not hasattr(gen_ai_attributes, "GEN_AI_WORKFLOW_NAME"), reason="the package has older conventions")
def test_names_are_those_of_the_conventions_package() -> None:
    """Each GenAI name has the value that it has in the conventions' package; A2A has none there yet."""
    ours = {name: value for name, value in vars(agent_names).items() if name.startswith("GEN_AI_")}
    assert len(ours) == 12
    assert ours == {name: getattr(gen_ai_attributes, name) for name in ours}


def test_catalogue_of_ones_own_agent_begins_with_the_contract() -> None:
    """The catalogue for an agent without the service has the contract's rows first, unchanged, and then these."""
    assert list(rows.AGENTS) == [*AGENTOS, *rows.ROWS]
