"""Compose files as Compose reads them: without a key twice, and several merged by its rules."""

from __future__ import annotations

from collections.abc import Hashable
from functools import cache
from pathlib import Path
from typing import Any

import yaml

__all__ = ["PLAIN", "ROOT", "WITH_TEMPO", "StrictLoader", "merged", "read"]

ROOT = Path(__file__).parents[2]
PLAIN = ("compose.yaml",)
WITH_TEMPO = ("compose.yaml", "compose.tempo.yaml")


class StrictLoader(yaml.SafeLoader):
    """Refuses a mapping that has a key twice; YAML's own loader keeps the last one."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        own = [self.construct_object(key) for key, _ in node.value if key.tag != "tag:yaml.org,2002:merge"]
        if twice := sorted({key for key in own if own.count(key) > 1}):
            raise yaml.constructor.ConstructorError(None, None, f"twice: {', '.join(twice)}", node.start_mark)
        return super().construct_mapping(node, deep)


def read(name: str) -> dict[str, Any]:
    """Returns a file of the project; a key that a mapping has twice is an error."""
    with (ROOT / name).open(encoding="utf-8") as file:
        content: dict[str, Any] = yaml.load(file, StrictLoader)  # a SafeLoader
    return content


@cache
def merged(files: tuple[str, ...]) -> dict[str, Any]:
    """Returns the files as one, by https://docs.docker.com/reference/compose-file/merge/.

    Mappings are merged. A later list follows an earlier one, but a command and the test of a health check take its place, and
    so does a mount at the same path in the container.
    """
    model: dict[str, Any] = {}
    for name in files:
        model = _over(model, read(name))
    return model


def _over(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    both = dict(below)
    for key, value in above.items():
        if isinstance(value, dict) and isinstance(below.get(key), dict):
            both[key] = _over(below[key], value)
        elif key == "volumes" and isinstance(value, list):
            mounts = {_target(mount): mount for mount in (*below.get(key, ()), *value)}
            both[key] = list(mounts.values())
        elif isinstance(value, list) and key not in ("command", "test"):
            both[key] = [*below.get(key, ()), *value]
        else:
            both[key] = value
    return both


def _target(mount: str) -> str:
    return mount.split(":")[1]
