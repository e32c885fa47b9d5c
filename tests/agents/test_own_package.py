"""The start where the package `agents` is another distribution's, and the command `agentos`."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import uvicorn

from agents import command

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("init", ["", None], ids=["replaced", "removed"])
def test_anothers_package_ends_the_start_with_one_sentence(tmp_path: Path, init: str | None) -> None:
    """Where `agents/__init__.py` was replaced or removed, importing the service writes one sentence and exits with 3."""
    package = tmp_path / "agents"
    package.mkdir()
    for name in ("main.py", "own_package.py"):
        shutil.copy(ROOT / "agents" / name, package)
    if init is not None:
        (package / "__init__.py").write_text(init)
    started = subprocess.run(
        [sys.executable, "-c", "import agents.main"], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    assert started.stderr == (
        f"The package `agents` is not the service's but {package}: install agentos into an environment of its own.\n"
    )
    assert started.returncode == 3


def test_the_command_hands_its_options_to_uvicorn(monkeypatch: pytest.MonkeyPatch) -> None:
    """`agentos --port 1` is uvicorn with the service's folder, the service's application and that option."""
    called: list[list[str]] = []
    monkeypatch.setattr(uvicorn, "main", lambda words, prog_name: called.append([prog_name, *words]))
    monkeypatch.setattr(sys, "argv", ["agentos", "--port", "1"])
    command.main()
    assert called == [["agentos", "--app-dir", str(ROOT), "agents.main:app", "--port", "1"]]
