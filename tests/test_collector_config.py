"""Properties of ``otel-collector.yaml``, read from the file. ``tests/stack/test_collector.py`` runs it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from stack.servers.collector import GATES

CONFIG: dict[str, Any] = yaml.safe_load((Path(__file__).parents[1] / "otel-collector.yaml").read_text())
PIPELINES: dict[str, Any] = CONFIG["service"]["pipelines"]
EXPORTERS = {name: exporter for name, exporter in CONFIG["exporters"].items() if name != "nop"}
FROM_OUTSIDE = {name: one for name, one in PIPELINES.items() if set(one["receivers"]) & CONFIG["receivers"].keys()}


@pytest.mark.parametrize("name", FROM_OUTSIDE)
def test_the_memory_limiter_comes_first(name: str) -> None:
    """Each pipeline that receives data from outside has the memory limiter as its first processor."""
    assert FROM_OUTSIDE[name]["processors"][0] == "memory_limiter"


CLEANED = ["transform/secrets", "redaction/values", "transform/texts"]
"""The steps that remove secrets, in their order."""


def _ways(pipeline: str, before: tuple[str, ...] = ()) -> Iterator[tuple[str, list[str]]]:
    """Yields each exporter that data of a pipeline may reach, with the processors on its way there."""
    one = PIPELINES[pipeline]
    passed = (*before, *one["processors"]) if isinstance(one["processors"], list) else before
    for name in one["exporters"]:
        if name not in CONFIG["connectors"]:
            yield name, list(passed)
        for following, other in PIPELINES.items():
            if name in CONFIG["connectors"] and name in other["receivers"]:
                yield from _ways(following, passed)


WAYS = [(name, exporter, passed) for name in FROM_OUTSIDE for exporter, passed in _ways(name)]


@pytest.mark.parametrize(("name", "exporter", "passed"), WAYS)
def test_secrets_are_removed_before_each_exporter(name: str, exporter: str, passed: list[str]) -> None:
    """Whatever is received passes the steps that remove secrets, right behind the memory limiter, before it is sent on."""
    assert passed[1:4] == CLEANED
    if "traces" in name:
        assert passed[4] == "filter/links"


def test_each_exporter_is_on_a_way() -> None:
    """The ways above lead to all exporters."""
    reached = {exporter for _, exporter, _ in WAYS}
    assert reached == {*EXPORTERS, "${env:REMOTE_WRITE:-nop}"} - {"prometheus_remote_write"}


def test_only_signals_whose_secrets_are_removed_have_a_pipeline() -> None:
    """There are pipelines for traces and metrics; logs have none, and the receiver refuses them."""
    assert {name.partition("/")[0] for name in PIPELINES} == {"traces", "metrics"}


@pytest.mark.parametrize("name", [*(name for name in CLEANED if name.startswith("transform")), "filter/links"])
def test_a_failing_step_lets_nothing_pass(name: str) -> None:
    """An error in a step that removes secrets refuses the data."""
    assert CONFIG["processors"][name]["error_mode"] == "propagate"
    groups = [group for key, found in CONFIG["processors"][name].items() if key != "error_mode" for group in found]
    assert [group for group in groups if "error_mode" in group] == []


def test_the_keys_put_aside_are_the_keys_brought_back() -> None:
    """The two statements about harmless keys have the same pattern."""
    for group in CONFIG["processors"]["transform/secrets"]["trace_statements"]:
        kept = [text for text in group["statements"] if text.startswith('keep_matching_keys(cache["harmless"]')]
        if kept:
            removed = kept[0].replace('keep_matching_keys(cache["harmless"]', "delete_matching_keys(attributes")
            assert removed in group["statements"]


def test_compose_starts_the_collector_as_the_tests_do() -> None:
    """The compose file passes the feature gate without which spans with links are dropped."""
    compose = yaml.safe_load((Path(__file__).parents[1] / "compose.yaml").read_text())
    assert compose["services"]["otel-collector"]["command"][1:] == list(GATES)


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
