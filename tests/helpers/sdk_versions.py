"""What a version of the SDK must have for a test."""

from __future__ import annotations

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.view import View

from telemetry._sdk.compatibility import keyword_arguments

__all__ = ["adds_readers_later", "bounds_streams"]

adds_readers_later = pytest.mark.skipif(
    not hasattr(MeterProvider, "add_metric_reader"), reason="this SDK takes readers only in the provider's constructor"
)
bounds_streams = pytest.mark.skipif(
    not keyword_arguments(View.__init__, aggregation_cardinality_limit=1), reason="this SDK bounds no stream"
)
