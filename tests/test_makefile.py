"""The Makefile's targets and what `make help` says of them."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_help_lists_each_target() -> None:
    """`make help` has one line for each phony target, with a sentence that begins in lower case."""
    targets = re.findall(r"(?m)^\.PHONY: (.*)$", (ROOT / "Makefile").read_text())[0].split()
    shown = subprocess.run(
        ["make", "--no-print-directory", "help"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    assert sorted(line.split()[0] for line in shown) == sorted(targets)
    assert [line for line in shown if not re.fullmatch(r"[a-z-]+ +[a-z].+", line)] == []
    assert max(map(len, shown)) < 132
