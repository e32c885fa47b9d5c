"""Each dependency has a stated purpose and is used."""

from __future__ import annotations

import re
from importlib import metadata
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PROJECTS = [(ROOT / folder / "pyproject.toml").read_text() for folder in (".", "agents")]
NAMED = r"(?ms)^(?:dependencies|dev|fast|mcp|openai|otlp) = \[\n(.*?)^\]$"
LISTS = [text for one in PROJECTS for text in re.findall(NAMED, one)]
LINES = [line.strip() for text in LISTS for line in text.splitlines() if '"' in line]
NAMES = sorted({found[1] for line in LINES if (found := re.match(r'"([A-Za-z0-9-]+)', line))} - {"agentos-telemetry"})
BY_COMMAND = {
    "basedpyright": ("pyproject.toml", "basedpyright"),
    "build": ("Makefile", "-m build"),
    "cyclonedx-bom": ("stack/release/sbom.py", '"cyclonedx_py"'),
    "flask": ("examples/flask_app.py", "from flask import"),
    "gunicorn": ("stack/servers/service.py", '"gunicorn"'),
    "hatch-vcs": ("pyproject.toml", 'source = "vcs"'),
    "hatchling": ("pyproject.toml", "hatchling.build"),
    "import-linter": ("Makefile", "lint-imports"),
    "mypy": ("Makefile", "mypy"),
    "opentelemetry-configuration": ("tests/telemetry/exposition/test_autoload.py", "OTEL_CONFIG_FILE"),
    "opentelemetry-distro": ("tests/agents/test_auto_instrumented.py", "opentelemetry-instrument"),
    "opentelemetry-exporter-otlp-proto-grpc": ("telemetry/pipeline/otlp.py", "opentelemetry.exporter.otlp.proto."),
    "opentelemetry-exporter-otlp-proto-http": ("telemetry/pipeline/otlp.py", "opentelemetry.exporter.otlp.proto."),
    "pdoc": ("Makefile", "-m pdoc"),
    "pytest-asyncio": ("pyproject.toml", "asyncio_mode"),
    "ruff": ("Makefile", "ruff check"),
    "types-pyyaml": ("pyproject.toml", "[tool.mypy]"),
    "uv": ("Makefile", "uv pip compile"),
    "uvicorn-worker": ("stack/servers/service.py", "uvicorn_worker"),
}
"""Packages that no module imports: the file that uses them, and the text that does."""


def test_each_has_a_stated_purpose() -> None:
    """Each dependency has a comment with its purpose."""
    assert len(NAMES) > 25
    assert [line for line in LINES if not re.search(r"  # \S", line)] == []


@pytest.mark.parametrize("name", NAMES)
def test_each_is_used(name: str) -> None:
    """One of our modules imports it, or one of our commands runs it."""
    if name.lower() in BY_COMMAND:
        file, words = BY_COMMAND[name.lower()]
        assert words in (ROOT / file).read_text()
        return
    found = [str(one).removesuffix(".py").replace("/", ".") for one in metadata.files(name) or () if one.suffix == ".py"]
    modules = {module.removesuffix(".__init__") for module in found}
    sources = [
        path
        for folder in ("agents", "telemetry", "dashboards", "stack", "demo", "benchmarks", "tests")
        for path in (ROOT / folder).rglob("*.py")
    ]
    imported = {module for path in sources for module in re.findall(r"(?m)^\s*(?:from|import) ([\w.]+)", path.read_text())}
    assert imported & modules
