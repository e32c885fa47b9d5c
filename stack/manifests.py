"""Writes what is made of the Helm chart: the manifests in ``deploy/kubernetes``, and the table of values in the document.

``python -m stack.manifests``; with ``--check``, fails if a committed file differs.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from stack.servers.binaries import binary

__all__ = ["CHART", "DOCUMENT", "KUBERNETES", "MANIFESTS", "Manifest", "render", "with_values_table"]

ROOT = Path(__file__).resolve().parents[1]
CHART = ROOT / "deploy/helm/agentos"
DOCUMENT = ROOT / "docs/kubernetes.md"

KUBERNETES = "1.34.0"
"""The version that the chart is rendered for: a Helm that `go build` made knows none of its own."""

_OF_HELM = re.compile(r" *(?:app\.kubernetes\.io/managed-by|helm\.sh/chart): .*\n")
"""Labels that are untrue of a manifest that Helm does not manage."""

_NOTE = "# Written by `make manifests` from deploy/helm/agentos.\n"

_TABLE = re.compile(r"(?s)(<!-- values -->\n).*?(<!-- end of values -->)")


@dataclass(frozen=True, slots=True)
class Manifest:
    """One file of plain manifests: some templates of the chart, with values that switch them on."""

    head: str
    templates: tuple[str, ...]
    values: tuple[str, ...] = ()

    def text(self) -> str:
        """Returns the file's text."""
        arguments = [part for name in self.templates for part in ("--show-only", f"templates/{name}.yaml")]
        arguments += [part for value in self.values for part in ("--set", value)]
        return f"{_NOTE}# {self.head}\n{_OF_HELM.sub('', render(*arguments))}"


MANIFESTS = {
    "agentos.yaml": Manifest(
        "The service; any cluster takes it. kustomization.yaml names the image and what else is applied.",
        ("configmap", "serviceaccount", "service", "deployment", "poddisruptionbudget", "networkpolicy"),
    ),
    "autoscaling.yaml": Manifest(
        "Needs prometheus-adapter with prometheus-adapter-values.yaml. The Deployment then must not have spec.replicas.",
        ("horizontalpodautoscaler",),
        ("autoscaling.enabled=true",),
    ),
    "monitoring.yaml": Manifest(
        "Needs the types of the Prometheus Operator.",
        ("monitor", "prometheusrule"),
        ("metrics.monitor=ServiceMonitor", "rules.enabled=true"),
    ),
    "collector.yaml": Manifest(
        "Needs the OpenTelemetry Operator. The service pushes to it with the last two patches of kustomization.yaml.",
        ("collector",),
        ("collector.enabled=true",),
    ),
}


def render(*arguments: str) -> str:
    """Returns what ``helm template`` prints for a release named agentos.

    Raises:
        subprocess.CalledProcessError: Helm refuses the chart or the values; ``stderr`` has the reason.
    """
    command = [str(binary("helm")), "template", "agentos", str(CHART), "--kube-version", KUBERNETES, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def with_values_table(document: str, values: str) -> str:
    """Returns the document with a table of the values between its two marks."""
    table = "".join(f"| `{name}` | {default} | {meaning} |\n" for name, default, meaning in _described(values))
    return _TABLE.sub(lambda marks: f"{marks[1]}| value | default | meaning |\n|---|---|---|\n{table}{marks[2]}", document)


def _described(values: str) -> Iterator[tuple[str, str, str]]:
    """Yields name, default and meaning of each value that has a comment above it."""
    path: list[str] = []
    comment: list[str] = []
    for line in values.splitlines():
        if said := re.fullmatch(r" *# (.*)", line):
            comment.append(said[1])
            continue
        if key := re.match(r"( *)(\w+):", line):
            path = [*path[: len(key[1]) // 2], key[2]]
            if comment:
                yield ".".join(path), _shown(_default(yaml.safe_load(values), path)), " ".join(comment)
        comment = []


def _default(values: object, path: Sequence[str]) -> object:
    for key in path:
        assert isinstance(values, Mapping)
        values = values[key]
    return values


def _shown(value: object) -> str:
    return f"`{json.dumps(value)}`" if value or value in (0, False) else ""


def main(arguments: Sequence[str]) -> int:
    """Writes or checks every file.

    Returns:
        0 if all is well, 1 if a file differs, 2 for an unknown argument.
    """
    if unknown := set(arguments) - {"--check"}:
        sys.stderr.write(f"unknown: {' '.join(sorted(unknown))}; there is --check, and nothing else\n")
        return 2
    written = {ROOT / "deploy/kubernetes" / name: manifest.text() for name, manifest in MANIFESTS.items()}
    written[DOCUMENT] = with_values_table(DOCUMENT.read_text(), (CHART / "values.yaml").read_text())
    differs = [path for path, text in written.items() if not path.exists() or path.read_text() != text]
    if "--check" in arguments:
        sys.stderr.writelines(f"{path.relative_to(ROOT)} is stale: run make manifests\n" for path in differs)
        return 1 if differs else 0
    for path in differs:
        path.write_text(written[path])
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
