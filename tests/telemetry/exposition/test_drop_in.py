"""``PrometheusReader`` replaces its parent: the same arguments with the same meaning."""

from __future__ import annotations

import inspect
from typing import Any

import pytest
from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.sdk.metrics import Counter, MeterProvider
from opentelemetry.sdk.resources import Resource
from prometheus_client import CollectorRegistry

from telemetry.exposition import PrometheusReader
from tests.helpers.providers import Samples, families, samples, text
from tests.helpers.sdk_versions import stock_reader_has_scope_labels

RESOURCE = Resource({"service.name": "shop", "host.name": "h1"})


STOCK = inspect.signature(PrometheusMetricReader).parameters
"""The arguments of the stock reader, which older versions have fewer of."""


def test_arguments() -> None:
    """Every argument of the parent has the same name, position and default."""
    ours = inspect.signature(PrometheusReader).parameters
    for position, (name, theirs) in enumerate(STOCK.items()):
        assert (ours[name].kind, ours[name].default) == (theirs.kind, theirs.default)
        assert theirs.kind is inspect.Parameter.KEYWORD_ONLY or list(ours)[position] == name


OPTIONS: dict[str, dict[str, Any]] = {
    "defaults": {},
    "no target": {"disable_target_info": True},
    "prefix": {"prefix": "my_app"},
    "no scope labels": {"scope_info_enabled": False},
    "resource labels": {"resource_attribute_filter": lambda key: key == "host.name"},
    "limits": {"cardinality_limits": {Counter: 1}},
}


@stock_reader_has_scope_labels
@pytest.mark.parametrize("direct", [True, False], ids=["direct", "public"])
@pytest.mark.parametrize("name", [name for name, options in OPTIONS.items() if options.keys() <= STOCK.keys()])
def test_each_argument_means_the_same(name: str, direct: bool) -> None:
    """With each of the parent's arguments the samples are those of the parent."""
    registry = CollectorRegistry()
    stock = PrometheusMetricReader(registry=registry, **OPTIONS[name])
    reader = PrometheusReader(registry=CollectorRegistry(), direct=direct, **OPTIONS[name])
    meters = MeterProvider([stock, reader], RESOURCE, shutdown_on_exit=False)
    meter = meters.get_meter("scope", "1.2", "https://schema")
    for user in ("a", "b", "c"):
        meter.create_counter("orders", "{order}", "Orders").add(2, {"user": user})
        meter.create_histogram("took", "s", "Took", explicit_bucket_boundaries_advisory=[0.5, 1.5]).record(1, {"user": user})
    meter.create_up_down_counter("level").add(-1)
    theirs: Samples = samples(registry.collect())
    assert samples(families(text(reader), openmetrics=False)) == theirs
