"""The version is written alike in each place that a release sets."""

from __future__ import annotations

import tomllib
from pathlib import Path

from agents import __version__

ROOT = Path(__file__).parents[1]


def test_the_version_is_the_same_everywhere() -> None:
    """pyproject.toml, the package and the newest released section of the changelog name one version."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    headings = [line for line in (ROOT / "CHANGELOG.md").read_text().splitlines() if line.startswith("## [")]
    assert project["version"] == __version__
    assert headings[0] == "## [Unreleased]"
    assert headings[1].startswith(f"## [{__version__}] - ")
