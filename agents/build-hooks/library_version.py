"""Hatchling's metadata hook of the service: its dependencies, among them the library of the version that is built.

Both distributions are released together from one tag, and the service imports more of the library than its public names.
"""

from __future__ import annotations

from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface

LIBRARY = "agentos-telemetry[otlp]"


class LibraryVersionHook(MetadataHookInterface):
    """Sets ``dependencies`` to those of the hook's table in pyproject.toml, and the library of the same version before them."""

    def update(self, metadata: dict[str, Any]) -> None:
        metadata["dependencies"] = [f"{LIBRARY}=={metadata['version']}", *self.config["dependencies"]]
