"""Validates Kubernetes objects against the schemas of the real APIs."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from stack.schemas import SCHEMA_LOCATION

__all__ = ["Kubeconform", "Validation"]


@dataclass(frozen=True, slots=True)
class Validation:
    """What kubeconform found in a set of objects."""

    valid: int
    refused: dict[str, str]
    """Reason by ``Kind/name``. An object without a schema is refused."""
    skipped: int


class Kubeconform:
    """kubeconform with the schemas in a folder, and with no way around them: neither its own catalogue nor skipping."""

    def __init__(self, program: Path, schemas: Path) -> None:
        self._command = [str(program), "-strict", "-summary", "-output", "json"]
        self._command += ["-schema-location", str(schemas / SCHEMA_LOCATION)]

    def validate(self, manifest: str) -> Validation:
        """Validates the objects of a YAML stream."""
        done = subprocess.run(self._command, input=manifest, capture_output=True, text=True, timeout=120, check=False)
        found = json.loads(done.stdout)
        faults = found.get("resources") or []
        summary = found["summary"]
        assert len(faults) == summary["invalid"] + summary["errors"], done.stdout
        assert done.returncode == bool(faults), done.stdout + done.stderr
        refused = {f"{one.get('kind', '?')}/{one.get('name', '?')}": one["msg"] for one in faults}
        return Validation(summary["valid"], refused, summary["skipped"])

    def validate_objects(self, objects: Iterable[Mapping[str, Any]]) -> Validation:
        """Validates parsed objects, as YAML again."""
        return self.validate(yaml.safe_dump_all(objects))
