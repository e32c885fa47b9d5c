"""The OpenMetrics parser of the tests agrees with the OpenMetrics project's conformance cases."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

CASES = sorted((Path(__file__).parent / "conformance" / "parsers").iterdir())


def test_all_cases_are_here() -> None:
    """There are 211 cases."""
    assert len(CASES) == 211


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_parser_agrees(case: Path) -> None:
    """prometheus_client's OpenMetrics parser accepts the valid cases and refuses the invalid ones."""
    should_parse = json.loads((case / "test.json").read_text())["shouldParse"]
    text = (case / "metrics").read_bytes().decode()
    try:
        list(text_string_to_metric_families(text))
    except (ValueError, KeyError, IndexError):
        parsed = False
    else:
        parsed = True
    assert parsed is should_parse
