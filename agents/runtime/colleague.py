"""An agent that another agent asks, over A2A."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

from agents.gateway.dashboard_gateway import DashboardGateway, UnknownAgent, UnknownOperation
from agents.gateway.failure import RunFailure
from agents.gateway.run import Run

__all__ = ["Colleague", "ColleagueError"]


class ColleagueError(Exception):
    """The other agent did not answer. Its message is a sentence for the caller.

    Attributes:
        error_type: Why, as the label ``error_type`` of A2A calls has it.
        reason: The same, as the value of ``error.type``.
    """

    def __init__(self, message: str, error_type: str) -> None:
        super().__init__(message)
        self.error_type = error_type
        self.reason = error_type


class Colleague:
    """One operation of one agent, asked by the gateway like the calls of the service's own callers.

    So the call is counted in the A2A metrics as any call of that agent is, and carries the trace and the workspace. The
    agent asked here asks no other one: calls of agents do not go in circles.

    Args:
        gateway: Makes and measures the call.
        agent: Name of the agent.
        operation: The skill that is asked for.
        seconds: Time that a call may take.
    """

    def __init__(self, gateway: DashboardGateway, agent: str, operation: str, seconds: float) -> None:
        self._gateway = gateway
        self._agent = agent
        self._operation = operation
        self._seconds = seconds

    async def ask(self, text: str, workspace: str) -> str:
        """Returns the agent's whole answer. Raises ``ColleagueError``."""
        run = Run(self._agent, self._operation, text, workspace)
        try:
            async with asyncio.timeout(self._seconds):
                await self._gateway.prepare(run)
                async with aclosing(self._gateway.stream(run)) as pieces:
                    async for _ in pieces:
                        pass
        except TimeoutError:
            raise ColleagueError(f"agent {self._agent} did not answer in time", "timeout") from None
        except RunFailure as failure:
            raise ColleagueError(f"agent {self._agent} failed: {failure.reason}", failure.error_type) from failure
        except (UnknownAgent, UnknownOperation):
            raise ColleagueError(f"agent {self._agent} has no skill {self._operation}", "protocol") from None
        return run.output
