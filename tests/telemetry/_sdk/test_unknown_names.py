"""An SDK in which a private name is another one: equal results by the public path, one log line each, no exception."""

from __future__ import annotations

import subprocess
import sys
from functools import cache

import pytest

PROGRAM = '''
import importlib.util, json, logging, re, sys
from importlib.machinery import PathFinder, SourceFileLoader
from pathlib import Path

NAME = sys.argv[1]

class Renaming(SourceFileLoader):
    """Compiles the SDK's source with the private name renamed throughout."""

    def get_code(self, fullname):
        text = re.sub(rf"\\b{NAME}\\b", NAME + "_of_another_sdk", Path(self.path).read_text())
        return compile(text, self.path, "exec")

class Finder:
    @staticmethod
    def find_spec(fullname, path=None, target=None):
        spec = PathFinder.find_spec(fullname, path, target)
        if fullname.startswith("opentelemetry.sdk.metrics") and spec is not None and spec.origin:
            spec.loader = Renaming(fullname, spec.origin)
        return spec

if NAME:
    sys.meta_path.insert(0, Finder)
logging.basicConfig(format="LOG %(message)s")
from opentelemetry.sdk.metrics import Counter, MeterProvider
from opentelemetry.sdk.metrics.export import AggregationTemporality, InMemoryMetricReader
from telemetry import Catalogue, Telemetry
from telemetry.metric import Native, counter, histogram, open_label

COUNT = counter("count", "", "Count", open_label("a", "a value", limit=9))
TOOK = histogram("took", "s", "Took", bounds=(1, 5))
BOTH = histogram("both", "s", "Both", bounds=(1, 5), native=Native())
ALONE = histogram("alone", "s", "Alone", native=Native())
delta = InMemoryMetricReader(preferred_temporality={Counter: AggregationTemporality.DELTA})
build = lambda readers, views: MeterProvider([*readers, delta], views=views, shutdown_on_exit=False)
telemetry = Telemetry(Catalogue([COUNT, TOOK, BOTH, ALONE]), meter_provider=build)
gauge = telemetry.meter_provider.get_meter("m").create_observable_gauge("level", [lambda _: []])
shown = []
for _ in range(3):
    telemetry[COUNT].source.instrument.add(5, {"a": "q"})
    telemetry[COUNT].labels("q").inc(2)
    for metric in (TOOK, BOTH, ALONE):
        telemetry[metric].observe(3)
    body = telemetry.reader.expose().body.decode()
    shown.append([line for line in body.splitlines() if not line.startswith(("#", "target_info"))])
    data = json.loads(delta.get_metrics_data().to_json())["resource_metrics"][0]["scope_metrics"]
    points = [m["data"]["data_points"] for scope in data for m in scope["metrics"] if m["name"] == "count"]
    shown.append([point["value"] for one in points for point in one])
print(json.dumps(shown))
'''
NAMES = [
    *("_hash_attributes", "_reset_on_collect", "_get_or_create_aggregation", "_attributes_aggregation", "_view"),
    *("_aggregation", "_meter_config", "_is_enabled", "_measurement_consumer", "_reader_storages", "_sdk_config"),
    *("_async_instruments", "_get_or_init_view_instrument_match", "_instrument_view_instrument_matches"),
    *("_instrument_class_temporality", "_instrument_class_aggregation", "_instrument_class_cardinality_limit"),
    *("_attribute_keys", "_boundaries", "_sum", "_value", "_previous_value", "_previous_sum", "_reservoir"),
    *("_record_min_max", "_SumAggregation", "_DropAggregation", "_lock", "_attributes", "_start_time_unix_nano"),
    *("_cardinality_limit", "_match", "_min", "_sample_exemplar", "_get_empty_bucket_counts", "_Aggregation"),
    *("_ExplicitBucketHistogramAggregation", "_ExponentialBucketHistogramAggregation"),
]


@cache
def outcome(name: str) -> tuple[str, list[str]]:
    """Returns what the program shows, and its log lines."""
    done = subprocess.run([sys.executable, "-c", PROGRAM, name], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout, done.stderr.splitlines()


@pytest.mark.parametrize("name", NAMES)
def test_unknown_private_name_changes_no_result(name: str) -> None:
    """With the name renamed, /metrics and a delta reader show the same, and each path logs at most once."""
    shown, lines = outcome(name)
    assert shown == outcome("")[0]
    assert all(line.startswith("LOG ") for line in lines)
    assert len(lines) == len(set(lines)) <= 3


def test_known_sdk_logs_nothing() -> None:
    """The installed SDK takes the direct paths without a word."""
    assert outcome("")[1] == []


@pytest.mark.parametrize("name", ["_measurement_consumer", "_boundaries"])
def test_public_recording_is_logged(name: str) -> None:
    """Where recording takes the public path, one line names the SDK's version and what it costs."""
    assert sum("measurements take the public path" in line for line in outcome(name)[1]) == 1
