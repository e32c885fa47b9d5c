"""AgentOS' own metrics over several workers."""

from __future__ import annotations

from pathlib import Path

from telemetry import Telemetry
from telemetry.agentos.catalogue_models import BREAKER, BREAKER_LEVELS
from telemetry.metric import Catalogue
from telemetry.prefork import Workers
from tests.helpers.samples import read


def test_workers_agree_on_a_breaker(tmp_path: Path) -> None:
    """A provider that one worker has given up is shown as open by all workers: the highest state is shown."""
    workers = [Telemetry(Catalogue([BREAKER]), workers=Workers(tmp_path / "state")) for _ in range(2)]
    for worker, state in zip(workers, ("open", "closed"), strict=True):
        worker[BREAKER].watch(lambda state=state: {("swift",): BREAKER_LEVELS[state]})
    shown = [read(worker)["ccr_breaker_state", (("provider", "swift"),)] for worker in workers]
    for worker in workers:
        worker.shutdown()
    assert shown == [2, 2]
