"""Properties of ``otel-collector.yaml``, read from the file. ``tests/stack/test_collector.py`` runs it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

CONFIG: dict[str, Any] = yaml.safe_load((Path(__file__).parents[1] / "otel-collector.yaml").read_text())
PIPELINES: dict[str, Any] = CONFIG["service"]["pipelines"]
EXPORTERS = {name: exporter for name, exporter in CONFIG["exporters"].items() if name != "nop"}
FROM_OUTSIDE = {name: one for name, one in PIPELINES.items() if set(one["receivers"]) & CONFIG["receivers"].keys()}


@pytest.mark.parametrize("name", FROM_OUTSIDE)
def test_the_memory_limiter_comes_first(name: str) -> None:
    """Each pipeline that receives data from outside has the memory limiter as its first processor."""
    assert FROM_OUTSIDE[name]["processors"][0] == "memory_limiter"


@pytest.mark.parametrize("name", [name for name in FROM_OUTSIDE if name != "metrics/scraped"])
def test_secrets_are_removed_from_pushed_data(name: str) -> None:
    """Each pipeline that applications push into removes secrets as its second step."""
    assert FROM_OUTSIDE[name]["processors"][1] == "transform/secrets"


@pytest.mark.parametrize("name", EXPORTERS)
def test_an_exporter_keeps_unsent_data(name: str) -> None:
    """Each exporter retries without limit and has its queue on disk."""
    exporter = EXPORTERS[name]
    assert exporter["retry_on_failure"]["max_elapsed_time"] == 0
    assert "wal" in exporter or exporter["sending_queue"]["storage"] == "file_storage"


def _addresses(part: Any) -> Iterator[str]:
    """Yields the default of each address that the Collector listens on."""
    if isinstance(part, dict):
        for key, value in part.items():
            if key in ("endpoint", "host"):
                yield re.fullmatch(r"\$\{env:\w+:-(.*)\}", value)[1]  # type: ignore[index]  # no match fails the test
            else:
                yield from _addresses(value)
    elif isinstance(part, list):
        for value in part:
            yield from _addresses(value)


def test_only_loopback_is_bound_by_default() -> None:
    """Each address that the Collector listens on is set by environment, and its default is loopback."""
    bound = list(_addresses([CONFIG["receivers"], CONFIG["extensions"], CONFIG["service"]["telemetry"]]))
    assert [address.partition(":")[0] for address in bound] == ["127.0.0.1"] * 5
