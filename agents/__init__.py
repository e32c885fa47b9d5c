"""AgentOS: the service whose A2A calls, model calls, cache and rate limits are measured."""

import os
from importlib.metadata import PackageNotFoundError, version

DISTRIBUTION = "agentos"
"""Tells this package from those of the same name that other distributions bring: ``agents.own_package`` reads it."""

try:
    __version__ = version(DISTRIBUTION)
except PackageNotFoundError:  # a source tree that is not installed: the git tag, which names a release, is not known there
    __version__ = "0.0.0.dev0"

# a2a-sdk reads this once, when it is first imported. Its own spans (70 and more for one call, unconnected) would hide ours.
os.environ.setdefault("OTEL_INSTRUMENTATION_A2A_SDK_ENABLED", "false")
# gRPC comes with a2a-sdk; its C core would write to stderr what the exporters log in one line.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")
