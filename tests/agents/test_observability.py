"""The stable import surface for the metrics."""

from __future__ import annotations

from agents import observability
from telemetry.agentos.default import current


def test_asking_for_the_content_type_is_no_scrape() -> None:
    """``get_content_type`` returns the type of ``get_metrics`` and leaves the cost of the last scrape as it is."""
    assert observability.get_metrics()
    scrape = current().reader.last_scrape
    assert scrape is not None
    assert observability.get_content_type() == "text/plain; version=0.0.4; charset=utf-8"
    assert current().reader.last_scrape is scrape
