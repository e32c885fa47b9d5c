"""An agent of one's own with a tool, measured without the service: answers each question of its input in one line.

``yes "What is 6 * 7?" | python examples/own_agent.py``, and ``curl localhost:9464/metrics`` meanwhile.
"""

import os
import re
import sys
from collections.abc import Iterator

from telemetry import AgentOSTelemetry, install
from telemetry.agentos import agent_invocation, tool_call
from telemetry.agentos.catalogue_agents import AGENTS
from telemetry.exposition import start_http_server

telemetry = AgentOSTelemetry.from_environment(AGENTS, service_name="own-agent")
install(telemetry)


@tool_call(description="Multiplies two whole numbers.")
def multiply(first: str, second: str) -> int:
    """Each call is an execution of the tool ``multiply``; its exception would be the failure."""
    return int(first) * int(second)


def ask_model(prompt: str) -> str:
    """Stands for the client of a model; the block counts the call for the agent, and its tokens."""
    with telemetry.recorder.model_call(provider="local", task_type="question") as call:
        call.usage(input_tokens=len(prompt.split()), output_tokens=1)
        return "call multiply" if "=" not in prompt else prompt.rpartition("= ")[2]


@agent_invocation("calculator", description="Multiplies.", model="local-1")
def answer(question: str) -> Iterator[str]:
    """An invocation lasts until the generator has given the last piece, however slowly it is read."""
    numbers = re.findall(r"\d+", question)
    if ask_model(question) == "call multiply" and len(numbers) == 2:
        product = multiply(*numbers)
        yield "It is "
        yield ask_model(f"{question} = {product}")
    else:
        yield "I can only multiply two numbers."


def main() -> None:
    """Answers until the input ends."""
    server = start_http_server(telemetry.reader, port=int(os.environ.get("PORT", "9464")))
    for line in sys.stdin:
        sys.stdout.write("".join(answer(line.strip())) + "\n")
        sys.stdout.flush()
    server.close()
    telemetry.shutdown()


if __name__ == "__main__":
    main()
