"""The example of a function that the platform freezes between invocations."""

from __future__ import annotations

import os
import subprocess
import sys
from queue import Empty

import pytest

from tests.helpers.example_process import clean_environment
from tests.helpers.otlp_receiver import Receiver, receiving

PLATFORM = """
import sys
from lambda_handler import handler
for line in sys.stdin:
    print(handler({"orders": int(line)}, None)["statusCode"], flush=True)
"""


@pytest.mark.parametrize(("temporality", "second"), [("cumulative", 3), ("delta", 2)])
def test_each_invocation_has_pushed_its_totals_and_its_span_when_it_returns(temporality: str, second: int) -> None:
    """After an invocation with 1 order 1 has arrived, after one with 2 the total or what was added; each with one span."""
    with receiving() as receiver, _platform(receiver, temporality) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for orders, total in ((1, 1), (2, second)):
            process.stdin.write(f"{orders}\n")
            process.stdin.flush()
            assert process.stdout.readline() == "200\n"
            assert _orders(receiver) == total
            assert _span_names(receiver) == ["handling.duration"]
            with pytest.raises(Empty):  # nothing else was sent
                receiver.metrics.get_nowait()
        process.stdin.close()
        assert process.wait(20) == 0


def _platform(receiver: Receiver, temporality: str) -> subprocess.Popen[str]:
    settings = {"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url, "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE": temporality}
    environment = {**os.environ, **clean_environment(), **settings}
    pipe = subprocess.PIPE
    return subprocess.Popen([sys.executable, "-c", PLATFORM], env=environment, stdin=pipe, stdout=pipe, text=True)


def _orders(receiver: Receiver) -> int:
    (resource,) = receiver.metrics.get_nowait().resource_metrics
    (orders,) = [metric for scope in resource.scope_metrics for metric in scope.metrics if metric.name == "orders"]
    return int(orders.sum.data_points[0].as_double or orders.sum.data_points[0].as_int)


def _span_names(receiver: Receiver) -> list[str]:
    (resource,) = receiver.traces.get_nowait().resource_spans
    return [span.name for scope in resource.scope_spans for span in scope.spans]
