"""The version is written alike in each place that a release sets."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

import telemetry
from agents import __version__

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("folder", [".", "agents"])
def test_the_version_is_the_same_everywhere(folder: str) -> None:
    """Each pyproject.toml, both packages and the newest released section of the changelog name one version."""
    project = tomllib.loads((ROOT / folder / "pyproject.toml").read_text())["project"]
    headings = [line for line in (ROOT / "CHANGELOG.md").read_text().splitlines() if line.startswith("## [")]
    assert project["version"] == __version__
    assert __version__ == telemetry._SOURCE_VERSION
    assert headings[0] == "## [Unreleased]"
    assert headings[1].startswith(f"## [{__version__}] - ")


def test_the_service_needs_the_library_of_its_own_version() -> None:
    """The service's dependency on the library names the version that both have."""
    needed = tomllib.loads((ROOT / "agents/pyproject.toml").read_text())["project"]["dependencies"]
    assert f"agentos-telemetry[otlp]=={__version__}" in needed


def test_both_distributions_bring_the_same_licence() -> None:
    """The service's copy of the licence is the project's."""
    assert (ROOT / "agents/LICENSE").read_bytes() == (ROOT / "LICENSE").read_bytes()
