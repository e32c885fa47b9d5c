"""The example of docs/agents-and-tools.md runs and records what the page states."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from tests.helpers.samples import labelled, samples_of

ROOT = Path(__file__).parents[1]
GUIDE = (ROOT / "docs" / "agents-and-tools.md").read_text()
MAIN = """
import asyncio
import sys
from telemetry import current

assert asyncio.run(report()) == "There are 2."
sys.stdout.write(current().reader.expose().body.decode())
"""


def test_example_counts_a_workflow_an_agent_and_a_tool() -> None:
    """The guide's workflow invokes its agent once, which calls its tool once."""
    (example,) = re.findall(r"```python\n(.*?)```", GUIDE, re.DOTALL)
    ran = subprocess.run([sys.executable, "-c", example + MAIN], cwd=ROOT, check=True, capture_output=True, text=True)
    found = samples_of(ran.stdout)
    name = "gen_ai_invoke_agent_duration_seconds_count"
    assert found[labelled(name, gen_ai_operation_name="invoke_workflow", gen_ai_agent_name="report")] == 1
    assert found[labelled(name, gen_ai_operation_name="invoke_agent", gen_ai_agent_name="clerk")] == 1
    tool = {"gen_ai_agent_name": "clerk", "gen_ai_tool_name": "find_orders", "gen_ai_tool_type": "datastore"}
    assert found[labelled("gen_ai_execute_tool_duration_seconds_count", **tool)] == 1
    assert found[labelled("gen_ai_invoke_agent_tool_calls_sum", gen_ai_agent_name="report")] == 0
