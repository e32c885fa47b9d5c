"""A short soak. `make soak` takes ten minutes and also checks the trend of memory, for which this one is too short."""

from __future__ import annotations

from pathlib import Path

import pytest

from stack.load.soak import SETTINGS, soak, trend
from stack.servers.service import Service


def test_fifteen_seconds_of_load_leak_nothing(tmp_path: Path) -> None:
    """Under load each scrape and each call is answered; afterwards no task, thread, file or socket is left."""
    with Service(tmp_path / "service", SETTINGS, app="stack.instrumented_app:app") as service:
        soaked = soak(service, 15, 5, lambda *_: None, first=100)
    print(f"{soaked.calls} calls, {soaked.scrapes} scrapes, {soaked.before}, {soaked.after}")
    assert (soaked.broken, soaked.failed_scrapes, soaked.left_behind) == (0, 0, {})
    assert soaked.calls > 50
    assert soaked.scrapes > 10


@pytest.mark.parametrize(
    ("values", "rise"),
    [([5.0] * 10, 0), ([float(n) for n in range(10)], 9), ([1.0] * 3 + [50.0] * 7, 0), ([1, 9, 1, 9, 1, 9, 1, 9, 1], 0)],
    ids=["flat", "steady", "one jump", "back and forth"],
)
def test_a_trend_is_a_steady_rise(values: list[float], rise: float) -> None:
    """A steady rise is a trend; a single jump and fluctuations are not."""
    assert trend(values)[0] == rise
