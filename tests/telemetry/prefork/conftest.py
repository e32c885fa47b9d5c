"""Workers of one run within one process: each with a lock, a socket and a state of its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from telemetry import Telemetry
from telemetry.prefork import Workers
from tests.helpers.workers import Join, catalogue


@pytest.fixture
def join(tmp_path: Path) -> Iterator[Join]:
    """Makes one more worker of the run; it saves only when asked to."""
    made: list[Telemetry] = []

    def make(**options: Any) -> Telemetry:
        workers = Workers(tmp_path / "state", **{"save_every": 3600.0, "timeout": 5.0, **options})
        made.append(Telemetry(catalogue(), workers=workers))
        return made[-1]

    yield make
    for telemetry in made:
        telemetry.shutdown()
