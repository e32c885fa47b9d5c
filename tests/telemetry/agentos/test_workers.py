"""AgentOS' own metrics over several workers."""

from __future__ import annotations

from pathlib import Path

from telemetry import AgentOSTelemetry, Telemetry
from telemetry.agentos.catalogue_models import BREAKER, BREAKER_LEVELS, MODELS
from telemetry.agentos.quota import Quota
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


def test_workers_show_the_lowest_quota(tmp_path: Path) -> None:
    """Of what living workers were told, the lowest limit and the lowest rest are shown; those of an ended one are gone."""
    workers = [AgentOSTelemetry(MODELS, workers=Workers(tmp_path / "state"), strict=True) for _ in range(3)]
    for worker, quota in zip(
        workers, (Quota("tokens", 100, 40), Quota("tokens", 100, 90), Quota("tokens", 80, 70)), strict=True
    ):
        worker.recorder.models.record_quota("swift", quota)

    def shown(worker: AgentOSTelemetry) -> dict[str, float]:
        return {name: value for (name, _), value in read(worker).items() if name.startswith("ccr_quota")}

    assert [shown(worker) for worker in workers] == [{"ccr_quota_limit": 80, "ccr_quota_remaining": 40}] * 3
    workers[0].shutdown()
    assert [shown(worker) for worker in workers[1:]] == [{"ccr_quota_limit": 80, "ccr_quota_remaining": 70}] * 2
    workers[2].shutdown()
    assert shown(workers[1]) == {"ccr_quota_limit": 100, "ccr_quota_remaining": 90}
    workers[1].shutdown()
