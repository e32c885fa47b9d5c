"""The operations guide is complete."""

from __future__ import annotations

import re
from pathlib import Path

from agents.settings import Settings

ROOT = Path(__file__).parents[1]
GUIDE = (ROOT / "docs" / "operations.md").read_text()


def test_the_guide_names_every_setting() -> None:
    """Each variable of the service's settings is in the table."""
    assert [name for name in map(Settings.variable, Settings.model_fields) if f"`{name}`" not in GUIDE] == []


def test_the_guide_names_every_variable_of_the_collector() -> None:
    """Each variable that otel-collector.yaml reads is in the table."""
    variables = set(re.findall(r"\$\{env:(\w+)", (ROOT / "otel-collector.yaml").read_text()))
    assert variables
    assert sorted(name for name in variables if f"`{name}`" not in GUIDE) == []


def test_links_lead_to_files_that_exist() -> None:
    """Each relative link of README and docs has its file."""
    pages = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
    links = [(page, link) for page in pages for link in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text())]
    assert links
    assert [(str(page), link) for page, link in links if not (page.parent / link).exists()] == []
