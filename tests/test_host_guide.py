"""The examples of docs/host.md run as programs and print what their comments state."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
BLOCKS = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "host.md").read_text(), re.DOTALL)
PRINTED = [
    [r"^\['pay', 'checkout\.duration'\]$"],
    [r'^orders_total\{shop="north"\} 1$', r'^queue_wait_bucket\{le="10(\.0)?"\} 1$'],
    [r"^10$"],
    [r"^unattached$"],
]


@pytest.mark.parametrize(("block", "lines"), list(zip(BLOCKS, PRINTED, strict=True)))
def test_example_prints_what_it_states(block: str, lines: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Each example, run as a program, prints the lines that its comment names, and no label of a scope."""
    for name in ("OTEL_SDK_DISABLED", "OTEL_TRACES_SAMPLER", "OTEL_METRICS_EXPORTER", "OTEL_TRACES_EXPORTER"):
        monkeypatch.delenv(name, raising=False)
    shown = subprocess.run([sys.executable, "-c", block], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert [line for line in lines if not re.search(line, shown, re.MULTILINE)] == []
    assert "otel_scope" not in shown
