"""Writes the generated files; with ``--check``, fails if a committed file differs from the generated text."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from dashboards.adapter import adapter_yaml
from dashboards.alerting.federation import federation_yaml, global_yaml
from dashboards.alerting.rules import alerts_yaml, days_tests_yaml, hours_tests_yaml, recording_yaml, tests_yaml
from dashboards.panels.agentos import AGENTOS
from dashboards.panels.agents import AGENTS
from dashboards.panels.lint import problems
from dashboards.panels.models import MODELS
from dashboards.panels.runtime import RUNTIME
from dashboards.provisioning import dashboards_yaml, datasources_with_tempo_yaml, datasources_yaml
from dashboards.reference import metrics_markdown

ROOT = Path(__file__).resolve().parent.parent

FILES = {  # the reference first: it shows every row in full and is quick to build, so the mutation check ends early
    "docs/metrics.md": metrics_markdown,
    "dashboards/agentos-dashboard.json": AGENTOS.json,
    "dashboards/agentos-models.json": MODELS.json,
    "dashboards/agentos-agents.json": AGENTS.json,
    "dashboards/agentos-runtime.json": RUNTIME.json,
    "dashboards/rules/agentos-recording.yml": recording_yaml,
    "dashboards/rules/agentos-alerts.yml": alerts_yaml,
    "dashboards/rules/tests/agentos-tests.yml": tests_yaml,
    "dashboards/rules/tests/agentos-tests-hours.yml": hours_tests_yaml,
    "dashboards/rules/tests/agentos-tests-days.yml": days_tests_yaml,
    "deploy/scale/rules/agentos-federation.yml": federation_yaml,
    "deploy/scale/rules/agentos-global.yml": global_yaml,
    "dashboards/grafana/datasources/agentos.yml": datasources_yaml,
    "dashboards/grafana/datasources-tempo/agentos.yml": datasources_with_tempo_yaml,
    "dashboards/grafana/dashboards/agentos.yml": dashboards_yaml,
    "deploy/kubernetes/prometheus-adapter-values.yaml": adapter_yaml,
}

BOARDS = tuple(name for name in FILES if name.endswith(".json"))


def main(arguments: Sequence[str]) -> int:
    """Writes or checks every file.

    Returns:
        0 if all is well, 1 if a file differs or a dashboard breaks a rule of ``panels/lint.py``, 2 for an unknown argument.
    """
    if unknown := set(arguments) - {"--check"}:
        sys.stderr.write(f"unknown: {' '.join(sorted(unknown))}; there is --check, and nothing else\n")
        return 2
    written = {name: build() for name, build in FILES.items()}
    found = [f"{name}: {problem}" for name in BOARDS for problem in problems(written[name])]
    sys.stderr.writelines(f"{problem}\n" for problem in found)
    differs = [name for name, content in written.items() if not _same(name, content, check="--check" in arguments)]
    return 1 if found or differs else 0


def stale() -> Iterator[str]:
    """Yields the names of the committed files that differ from the generated text."""
    for name, build in FILES.items():
        if (ROOT / name).read_text(encoding="utf-8") != build():
            yield name


def _same(name: str, content: str, *, check: bool) -> bool:
    path = ROOT / name
    if not check:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")
        return True
    committed = path.read_text(encoding="utf-8") if path.exists() else ""
    diff = difflib.unified_diff(committed.splitlines(), content.splitlines(), f"{name} (committed)", f"{name} (generated)")
    lines = [f"{line.rstrip()}\n" for line in diff]
    if lines:
        sys.stderr.writelines([*lines[:20], f"{name} is stale: run python -m dashboards\n"])
    return not lines


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
