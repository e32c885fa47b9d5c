"""SBOMs in CycloneDX's JSON: what is installed with a distribution, at the versions that requirements.lock pins."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from importlib.metadata import Distribution, distributions
from pathlib import Path
from typing import Any

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from stack.environments import Environment
from stack.release.refused import RefusedError

__all__ = ["check", "write"]

_SCHEMA = SchemaVersion.V1_6
_NOT_IN_IT = ("pythonhosted", "/simple/", "file:", "localhost", tempfile.gettempdir())
"""Marks of a package index, of a file and of this machine."""


def write(environment: Environment, name: str, kind: str, epoch: int, target: Path) -> None:
    """Writes the SBOM of an environment.

    Args:
        environment: Holds the distribution and what it needs, and nothing else.
        name: The distribution that the SBOM describes; the others are its components.
        kind: Its type, ``application`` or ``library``.
        epoch: The SBOM's timestamp.
        target: The file.
    """
    installed = {one.name: one for one in distributions(path=[str(environment.site)])}
    with tempfile.TemporaryDirectory() as folder:
        described = Path(folder) / "pyproject.toml"
        described.write_text(_project(installed[name]))
        command = [
            sys.executable,
            "-m",
            "cyclonedx_py",
            "environment",
            "--output-reproducible",
            "--no-validate",
            "--spec-version",
            "1.6",
        ]
        command += ["--pyproject", str(described), "--mc-type", kind, str(environment.python)]
        variables = {**os.environ, "SOURCE_DATE_EPOCH": str(epoch)}
        done = subprocess.run(command, env=variables, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RefusedError(f"The SBOM of {name} could not be written: {done.stderr.strip()[-500:]}")
    bom = json.loads(done.stdout)
    for tool in bom["metadata"]["tools"]["components"]:
        tool.pop("externalReferences", None)  # where the tool that wrote it can be had is no part of what it describes
    for component in bom["components"]:
        _complete(component, installed)
    target.write_text(json.dumps(bom, indent=2, ensure_ascii=False) + "\n")


def check(text: str, environment: Environment, name: str) -> None:
    """Checks an SBOM against CycloneDX's schema and against the environment that it describes.

    Raises:
        RefusedError: If it does not fit the schema, lacks an installed distribution, its version or a licence, or names a
            registry or a path of the building machine.
    """
    error = JsonStrictValidator(_SCHEMA).validate_str(text)
    if error is not None:
        raise RefusedError(f"The SBOM of {name} does not fit CycloneDX's schema: {error}.")
    bom = json.loads(text)
    described: list[dict[str, Any]] = [bom["metadata"]["component"], *bom["components"]]
    installed = {one.name: one.version for one in distributions(path=[str(environment.site)])}
    if described[0]["name"] != name or {one["name"]: one.get("version") for one in described} != installed:
        raise RefusedError(f"The SBOM of {name} does not have the distributions of its environment.")
    _refuse_any(f"The SBOM of {name} has no licence of", (one["name"] for one in described if not one.get("licenses")))
    _refuse_any(f"The SBOM of {name} contains", (word for word in _NOT_IN_IT if word in text))


def _refuse_any(sentence: str, found: Iterable[str]) -> None:
    names = sorted(found)
    if names:
        raise RefusedError(f"{sentence} {', '.join(names)}.")


def _project(described: Distribution) -> str:
    """Returns what a pyproject.toml without anything dynamic says of a distribution."""
    about = described.metadata
    fields = {
        "name": described.name,
        "version": described.version,
        "description": about["Summary"],
        "license": about["License-Expression"],
    }
    lines = [f"{name} = {json.dumps(value)}" for name, value in fields.items()]
    return "\n".join(["[project]", *lines, f"dependencies = {json.dumps(described.requires or [])}", ""])


def _complete(component: dict[str, Any], installed: dict[str, Distribution]) -> None:
    """Gives a component the licence that its metadata name in words, where they have neither an identifier nor a classifier."""
    about = installed[component["name"]].metadata
    if not component.get("licenses") and "License" in about:
        component["licenses"] = [{"license": {"name": about["License"]}}]
