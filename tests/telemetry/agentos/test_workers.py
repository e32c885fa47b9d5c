"""AgentOS' own metrics over several workers."""

from __future__ import annotations

from pathlib import Path

from telemetry import AgentOSTelemetry
from telemetry.agentos.catalogue_models import MODELS
from telemetry.prefork import Workers


def test_workers_agree_on_a_breaker(tmp_path: Path) -> None:
    """A provider that one worker has given up is shown as open by all workers: the highest state is shown."""
    workers = [AgentOSTelemetry(MODELS, workers=Workers(tmp_path / "state")) for _ in range(2)]
    for worker, state in zip(workers, ("open", "closed"), strict=True):
        worker.recorder.models.breaker("swift", state)
    for worker in workers:
        assert b'\nccr_breaker_state{provider="swift"} 2.0\n' in worker.reader.expose().body
    for worker in workers:
        worker.shutdown()
