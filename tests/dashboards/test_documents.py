"""The documents name only metrics, settings, panels and files that exist."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml

from agents.settings import Settings
from telemetry.agentos import agent_names, genai_names
from telemetry.agentos.recorder import Recorder
from telemetry.agentos.tokens import Modalities
from telemetry.metric import Kind
from tests.helpers.mutation import EVERY

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("dashboards/**/*.md")])

PYTHON = {"agentos_telemetry", *(name for name in dir(Recorder) if not name.startswith("_"))}
"""The wheel's name and the names of the Python interface."""

REPORTED = {"cache_creation_input_tokens", "cache_creation_tokens", "cache_read_input_tokens", "cache_write_tokens"}
"""Names of model servers, for the tokens of their cache."""

FAMILIES = re.compile(
    r"(?<![\w.:/-])(?:a2a|agentos|cache|ccr|gen_ai|rate_limit)_(?!latest_experimental)[A-Za-z0-9_]+(?![\w./-]*[/(]|\.py|\w)"
)
INSTRUMENTS = re.compile(r"`((?:a2a|ccr|gen_ai|rate_limit)\.[a-z0-9_.]+[a-z0-9])`")
"""OpenTelemetry's names stand between backticks."""


def _known() -> set[str]:
    names = PYTHON | REPORTED
    for metric in EVERY:
        names |= {name for label in metric.labels for name in (label.prometheus_key, *label.values)}
        name = metric.prometheus_name
        parts = ("_bucket", "_sum", "_count") if metric.kind is Kind.HISTOGRAM else ("",)
        names |= {name, name.removesuffix("_total"), *(name + part for part in parts), f"{name.removesuffix('_total')}_created"}
    return names


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_document_names_no_metric_that_does_not_exist(document: Path) -> None:
    """Each word that looks like one of our metrics is a metric, or a recorded rule."""
    rules = yaml.safe_load((ROOT / "dashboards/rules/agentos-recording.yml").read_text())
    records = {rule["record"].split(":")[1] for group in rules["groups"] for rule in group["rules"]}
    text = re.sub(r"\]\(#[^)]*\)", "]", document.read_text())  # a link's target on the page is in small letters
    words = set(FAMILIES.findall(text))
    assert words - _known() - records == set()


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_document_names_no_instrument_that_does_not_exist(document: Path) -> None:
    """Each dotted name of ours is an instrument, a label key, a span, or an attribute of one."""
    known = {name for metric in EVERY for name in (metric.name, *metric.keys)}
    spans = {"a2a.request", "ccr.request", "ccr.route", "cache.operation", "ccr.attempt"}
    spans |= {"ccr.estimated.input_tokens", "ccr.estimated.output_tokens"}
    spans |= {name for names in (genai_names, agent_names) for name in vars(names).values() if isinstance(name, str)}
    spans |= {name.format(kind) for name in genai_names.USAGE_OF_MODALITY.values() for kind in Modalities._fields}
    gone = {"gen_ai.invoke_workflow.duration"}  # of drafts of the conventions
    assert set(INSTRUMENTS.findall(document.read_text())) - known - spans - gone == set()


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_document_names_no_setting_that_does_not_exist(document: Path) -> None:
    """The settings read each ``AGENTOS_`` variable of a document."""
    known = set(map(Settings.variable, Settings.model_fields))
    assert set(re.findall(r"AGENTOS_[A-Z_]*[A-Z]", document.read_text())) - known == set()


@pytest.mark.parametrize("document", sorted((ROOT / "docs/runbooks").glob("*.md")), ids=lambda path: path.stem)
def test_a_runbook_names_no_panel_that_does_not_exist(document: Path) -> None:
    """Each text in italics in a runbook is the title of a panel."""
    boards = [json.loads(board.read_text()) for board in (ROOT / "dashboards").glob("agentos-*.json")]
    every = [one for board in boards for panel in board["panels"] for one in (panel, *panel.get("panels", ()))]
    titles = {panel["title"] for panel in every} | {"Request Duration Percentiles"}
    assert set(re.findall(r"(?<![*\w])\*([A-Z][^*\n]+)\*(?!\*)", document.read_text())) - titles == set()


@pytest.mark.parametrize("document", sorted((ROOT / "docs/runbooks").glob("*.md")), ids=lambda path: path.stem)
def test_a_runbooks_links_lead_to_files(document: Path) -> None:
    """Every relative link of a runbook leads to a file."""
    links = re.findall(r"\]\(([^)#:]+)\)", document.read_text())
    assert [link for link in links if not (document.parent / link).is_file()] == []
