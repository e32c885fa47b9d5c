"""Fixtures: the service on a real socket with its metrics and spans, and scripted agents."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from agents.settings import Settings
from tests.helpers.scripted_agent import Reply, ScriptedAgent
from tests.helpers.service import RunningService, StartService, running_service


@pytest.fixture
def start() -> Iterator[StartService]:
    """Starts services with the given settings and stops them after the test."""
    with ExitStack() as stack:

        def started(**settings: Any) -> RunningService:
            return stack.enter_context(running_service(Settings(**settings)))

        yield started


@pytest.fixture
def agent() -> Iterator[Callable[[Reply], ScriptedAgent]]:
    """Starts scripted agents and stops them after the test."""
    with ExitStack() as stack:
        yield lambda reply: stack.enter_context(ScriptedAgent(reply).running())
