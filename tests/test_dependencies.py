"""Every dependency is there for something, and says for what."""

from __future__ import annotations

import re
from importlib import metadata
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PROJECT = (ROOT / "pyproject.toml").read_text()
LISTS = re.findall(r"(?ms)^(?:dependencies|dev|openai) = \[\n(.*?)^\]$", PROJECT)
LINES = [line.strip() for text in LISTS for line in text.splitlines() if '"' in line]
NAMES = [found[1] for line in LINES if (found := re.match(r'"([A-Za-z0-9-]+)', line))]
BY_COMMAND = {
    "build": "Makefile",
    "hatchling": "pyproject.toml",
    "import-linter": "Makefile",
    "mypy": "Makefile",
    "ruff": "Makefile",
    "uv": "Makefile",
    "pytest-asyncio": "pyproject.toml",
    "types-pyyaml": "pyproject.toml",
}
"""What no line of ours imports, and the file that makes use of it."""


def test_each_says_what_it_is_for() -> None:
    """Behind each dependency stands its purpose."""
    assert len(NAMES) > 25
    assert [line for line in LINES if not re.search(r"  # \S", line)] == []


@pytest.mark.parametrize("name", NAMES)
def test_each_is_used(name: str) -> None:
    """Some module of ours imports it, or a command of ours runs it."""
    if name.lower() in BY_COMMAND:
        assert (ROOT / BY_COMMAND[name.lower()]).is_file()
        return
    files = [str(file).removesuffix(".py").replace("/", ".") for file in metadata.files(name) or () if file.suffix == ".py"]
    modules = {file.removesuffix(".__init__") for file in files}
    sources = [path for folder in ("agents", "telemetry", "dashboards", "stack", "demo", "benchmarks", "tests")
               for path in (ROOT / folder).rglob("*.py")]  # fmt: skip
    imported = {module for path in sources for module in re.findall(r"(?m)^\s*(?:from|import) ([\w.]+)", path.read_text())}
    assert imported & modules
