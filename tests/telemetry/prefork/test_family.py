"""Processes that make each other: which run each belongs to."""

from __future__ import annotations

import multiprocessing
from pathlib import Path

import pytest

from tests.helpers.worker_family import family

METHODS = [method for method in ("fork", "spawn", "forkserver") if method in multiprocessing.get_all_start_methods()]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    ("shape", "hits"), [("children", 115), ("nested", 103), ("nested_without", 105), ("before", 105)], ids=lambda shape: shape
)
def test_children_belong_to_the_run_of_the_first_process(tmp_path: Path, method: str, shape: str, hits: int) -> None:
    """Children of each start method, and theirs, count in the first process' run, and nothing of them is lost at their end."""
    assert family(tmp_path / "state", method, shape) == {"hits": hits, "runs": 1, "own": True}


@pytest.mark.parametrize("method", METHODS)
def test_a_pools_processes_belong_to_the_run(tmp_path: Path, method: str) -> None:
    """The processes of a ``ProcessPoolExecutor`` count in the run of the process that uses it."""
    assert family(tmp_path / "state", method, "pool") == {"hits": 120, "runs": 1, "own": True, "in": 1}


def test_children_of_a_fork_server_that_has_telemetry_belong_to_the_run(tmp_path: Path) -> None:
    """A fork server that makes telemetry while it loads modules is a worker of its parent's run, and so are its children."""
    assert family(tmp_path / "state", "forkserver", "preloaded") == {"hits": 115, "runs": 1, "own": True}


@pytest.mark.parametrize("method", METHODS)
def test_another_program_has_a_run_of_its_own(tmp_path: Path, method: str) -> None:
    """A program that a worker starts is no worker of its run, though its environment and its directory are the same."""
    assert family(tmp_path / "state", method, "program") == {"hits": 105, "runs": 2, "own": True}


@pytest.mark.parametrize("method", METHODS)
def test_children_that_outlive_their_parent_stay_together(tmp_path: Path, method: str) -> None:
    """A child that makes its telemetry after its parent has ended joins the parent's run while another worker lives in it."""
    assert family(tmp_path / "state", method, "orphans") == {"together": True}
