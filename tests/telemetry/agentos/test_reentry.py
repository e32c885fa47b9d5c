"""The process's telemetry and its recorder are made once, also if a signal handler records while they are made."""

from __future__ import annotations

import pytest

from telemetry import AgentOSTelemetry
from telemetry.agentos import default, recorder
from telemetry.agentos import telemetry as module
from tests.helpers.samples import counters, labelled


def test_default_that_is_made_in_a_handler_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a handler records while the default is built is in the default."""
    monkeypatch.setattr(default, "_current", None)
    built = []

    class Interrupted(AgentOSTelemetry):
        def __init__(self) -> None:
            built.append(self)
            if len(built) == 1:
                default.current().recorder.record_rate_limit_hit("/a", "allowed")
            super().__init__()

    monkeypatch.setattr(module, "AgentOSTelemetry", Interrupted)
    default.current().recorder.record_rate_limit_hit("/a", "allowed")
    hits = labelled("rate_limit_hits_total", endpoint="/a", result="allowed", workspace_id="unknown")
    assert counters(default.current())[hits] == 2.0


def test_recorder_that_is_made_in_a_handler_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a handler records while the recorder is made is counted."""
    telemetry = AgentOSTelemetry()
    make = recorder.SeriesCache.__init__
    made: list[recorder.SeriesCache] = []

    def interrupted(self: recorder.SeriesCache, of: AgentOSTelemetry) -> None:
        made.append(self)
        if len(made) == 1:
            telemetry.recorder.record_rate_limit_hit("/a", "allowed")
        make(self, of)

    monkeypatch.setattr(recorder.SeriesCache, "__init__", interrupted)
    telemetry.recorder.record_rate_limit_hit("/a", "allowed")
    hits = labelled("rate_limit_hits_total", endpoint="/a", result="allowed", workspace_id="unknown")
    assert counters(telemetry)[hits] == 2.0
