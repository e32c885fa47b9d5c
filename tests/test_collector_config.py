"""What ``otel-collector.yaml`` promises to an operator, read from the file. ``tests/stack`` runs it."""

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
    """What comes from outside meets the limiter before anything else."""
    assert FROM_OUTSIDE[name]["processors"][0] == "memory_limiter"


@pytest.mark.parametrize("name", [name for name in FROM_OUTSIDE if name != "metrics/scraped"])
def test_secrets_are_removed_from_what_is_pushed(name: str) -> None:
    """Every pipeline that an application pushes into removes secrets before it sends anything on."""
    assert FROM_OUTSIDE[name]["processors"][1] == "transform/secrets"


@pytest.mark.parametrize("name", EXPORTERS)
def test_an_exporter_keeps_what_it_cannot_send(name: str) -> None:
    """Each exporter tries for ever, and what waits for it lies on disk."""
    exporter = EXPORTERS[name]
    assert exporter["retry_on_failure"]["max_elapsed_time"] == 0
    assert "wal" in exporter or exporter["sending_queue"]["storage"] == "file_storage"


def _addresses(part: Any) -> Iterator[str]:
    """The defaults of all that is listened on."""
    if isinstance(part, dict):
        for key, value in part.items():
            if key in ("endpoint", "host"):
                yield re.fullmatch(r"\$\{env:\w+:-(.*)\}", value)[1]  # type: ignore[index]  # no match fails the test
            else:
                yield from _addresses(value)
    elif isinstance(part, list):
        for value in part:
            yield from _addresses(value)


def test_nothing_is_bound_beyond_loopback_unless_told() -> None:
    """Every address that is listened on comes by environment, and its default is loopback."""
    bound = list(_addresses([CONFIG["receivers"], CONFIG["extensions"], CONFIG["service"]["telemetry"]]))
    assert [address.partition(":")[0] for address in bound] == ["127.0.0.1"] * 5
