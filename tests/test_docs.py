"""The operations guide is complete, and the documents' links and paths lead to files."""

from __future__ import annotations

import re
from pathlib import Path

from agents.settings import Settings

ROOT = Path(__file__).parents[1]
GUIDE = (ROOT / "docs" / "operations.md").read_text()


def test_the_guide_names_every_setting() -> None:
    """Each variable of the service's settings is in the table of docs/operations.md."""
    assert [name for name in map(Settings.variable, Settings.model_fields) if f"`{name}`" not in GUIDE] == []


def test_the_guide_names_every_variable_of_the_collector() -> None:
    """Each variable that otel-collector.yaml reads is in the table."""
    variables = set(re.findall(r"\$\{env:(\w+)", (ROOT / "otel-collector.yaml").read_text()))
    assert variables
    assert sorted(name for name in variables if f"`{name}`" not in GUIDE) == []


def test_links_lead_to_files_that_exist() -> None:
    """Each relative link of a document has its file."""
    pages = [*ROOT.glob("*.md"), ROOT / "dashboards/README.md", *(ROOT / "docs").rglob("*.md")]
    assert len(pages) > 25
    links = [(page, link) for page in pages for link in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text())]
    assert [(str(page), link) for page, link in links if not (page.parent / link).exists()] == []


def test_paths_lead_to_files_that_exist() -> None:
    """Each path of a module or test that a document names between backticks exists."""
    pages = [*ROOT.glob("*.md"), ROOT / "dashboards/README.md", *(ROOT / "docs").rglob("*.md")]
    folders = "agents|telemetry|dashboards|stack|demo|benchmarks|tests|docs"
    named = [(page, path) for page in pages for path in re.findall(rf"`((?:{folders})/[\w./*-]*)`", page.read_text())]
    assert len(named) > 60
    assert [(str(page), path) for page, path in named if not list(ROOT.glob(path.rstrip("/")))] == []
