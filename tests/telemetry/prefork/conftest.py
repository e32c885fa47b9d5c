"""Workers of one run within one process, each with its own lock, socket and state."""

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
    """Returns a function that starts one more worker; its state is saved only when a test asks for it."""
    made: list[Telemetry] = []

    def make(**options: Any) -> Telemetry:
        workers = Workers(tmp_path / "state", **{"save_every": 3600.0, "timeout": 5.0, **options})
        made.append(Telemetry(catalogue(), workers=workers))
        return made[-1]

    yield make
    for telemetry in made:
        telemetry.shutdown()
