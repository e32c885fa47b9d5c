"""A dashboard in Grafana's own code."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
import yaml

from stack.servers.binaries import BinaryMissingError
from stack.servers.grafana import judge
from stack.servers.prometheus import Prometheus

__all__ = ["in_grafana"]

ROOT = Path(__file__).parents[2]


def in_grafana(store: Prometheus, name: str, start: float, end: float) -> dict[str, Any]:
    """Returns what Grafana shows of a dashboard with All everywhere. Without its packages it skips the test; in CI it fails."""
    sources = yaml.safe_load((ROOT / "dashboards/grafana/datasources/agentos.yml").read_text().replace("$$", "$"))
    board = json.loads((ROOT / f"dashboards/{name}.json").read_text())
    try:
        return judge(board, sources["datasources"], store.url, start, end, {"job": ["agentos"]})
    except BinaryMissingError as reason:
        if os.environ.get("CI") == "true":
            pytest.fail(str(reason), pytrace=False)
        pytest.skip(str(reason))
