"""AgentOS: the service whose A2A calls, model calls, cache and rate limits are measured."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    __version__: str
    """The service's version."""

DISTRIBUTION = "agentos"
"""Tells this package from those of the same name that other distributions bring: ``agents.own_package`` reads it."""

# a2a-sdk reads this once, when it is first imported. Its own spans (70 and more for one call, unconnected) would hide ours.
os.environ.setdefault("OTEL_INSTRUMENTATION_A2A_SDK_ENABLED", "false")
# gRPC comes with a2a-sdk; its C core would write to stderr what the exporters log in one line.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return _version()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version  # loads the parsers of mail and zip files

    try:
        return version(DISTRIBUTION)
    except PackageNotFoundError:  # a source tree that is not installed: the git tag, which names a release, is not known there
        return "0.0.0.dev0"
