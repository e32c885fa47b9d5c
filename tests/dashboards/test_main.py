"""The generated files match the catalogue, and the check notices every difference."""

from __future__ import annotations

from pathlib import Path

import pytest

from dashboards import __main__ as command
from telemetry.metric import Metric
from tests.helpers.mutation import EVERY, mutants, noticed


def test_the_committed_files_match_the_catalogue(capfd: pytest.CaptureFixture[str]) -> None:
    """The check finds no difference and prints nothing."""
    assert command.main(["--check"]) == 0
    assert capfd.readouterr().err == ""


def test_a_stale_file_fails_the_check_and_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """A changed line fails the check, which prints the line and the command to run."""
    monkeypatch.setattr(command, "ROOT", tmp_path)
    assert command.main([]) == 0
    reference = tmp_path / "docs/metrics.md"
    reference.write_text(reference.read_text().replace("Total A2A requests", "All A2A requests"))
    assert command.main(["--check"]) == 1
    said = capfd.readouterr().err
    assert "-All A2A requests." in said
    assert "docs/metrics.md is stale: run python -m dashboards" in said


def test_writing_twice_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each run writes the same bytes."""
    monkeypatch.setattr(command, "ROOT", tmp_path)
    command.main([])
    first = {name: (tmp_path / name).read_bytes() for name in command.FILES}
    command.main([])
    assert {name: (tmp_path / name).read_bytes() for name in command.FILES} == first


def test_an_unknown_argument_is_refused(capfd: pytest.CaptureFixture[str]) -> None:
    """A misspelt argument is an error and writes no file."""
    assert command.main(["--chekc"]) == 2
    assert capfd.readouterr().err == "unknown: --chekc; there is --check, and nothing else\n"


@pytest.mark.parametrize("metric", EVERY, ids=lambda metric: f"{metric.name}-{metric.keys[1:2]}")
def test_no_change_of_a_row_goes_unnoticed(metric: Metric) -> None:
    """Renaming a row, or dropping or renaming its label, value or bucket bound, fails the build or makes a file stale."""
    assert [what for what, changed in mutants(metric) if not noticed(metric, changed)] == []
