"""One state with every kind of metric in every format and escaping, to the byte; protobuf in its text form."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from telemetry.exposition.negotiation import Choice, Escaping, Format
from tests.helpers import client_model
from tests.helpers.every_kind import body
from tests.helpers.openmetrics2 import parse

GOLDEN = Path(__file__).parent / "golden"
REGENERATE = "EXPOSITION_GOLDEN=write python -m pytest tests/telemetry/exposition/test_golden.py"
FILES = {
    Format.TEXT: "text-0.0.4",
    Format.TEXT_1: "text-1.0.0",
    Format.OPENMETRICS: "openmetrics-1.0.0",
    Format.OPENMETRICS_2: "openmetrics-2.0.0",
    Format.PROTOBUF: "protobuf",
}
CHOICES = {
    f"{name}.{escaping.value}.txt": Choice(format_, escaping) for format_, name in FILES.items() for escaping in Escaping
}


@pytest.mark.parametrize("file", CHOICES)
def test_golden(file: str) -> None:
    """The body is the golden file of its format and escaping."""
    text = body(CHOICES[file])
    if CHOICES[file].format is Format.PROTOBUF:
        text = client_model.text(text).encode()
    if os.environ.get("EXPOSITION_GOLDEN") == "write":
        (GOLDEN / file).write_bytes(text)
    assert text == (GOLDEN / file).read_bytes(), f"{REGENERATE} writes the files anew; check the difference"


def test_each_file_is_of_a_format() -> None:
    """There is no file of a format or an escaping that is gone."""
    assert {path.name for path in GOLDEN.glob("*.txt")} == set(CHOICES)


@pytest.mark.parametrize("escaping", Escaping)
def test_openmetrics2_is_of_its_grammar(escaping: Escaping) -> None:
    """The grammar of OpenMetrics 2.0 admits the body, with each family that has a series."""
    found = parse((GOLDEN / f"openmetrics-2.0.0.{escaping.value}.txt").read_bytes().decode())
    assert len(found) == 10
