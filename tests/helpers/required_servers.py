"""Paths of the real servers. A missing server skips the test and says how to get it; with CI=true it fails the test."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import pytest

from stack.servers.binaries import BinaryMissingError, binary

__all__ = ["built_server", "packaged_server", "pinned"]


def _missing(reason: str) -> NoReturn:
    """Skips the test; fails it with CI=true."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


def pinned(get: Callable[..., Path], *wanted: str) -> Path:
    """Returns what ``get`` builds or downloads from its pins."""
    try:
        return get(*wanted)
    except BinaryMissingError as reason:
        _missing(str(reason))


def built_server(name: str) -> Path:
    """Returns the path of a server that is built from its pins."""
    return pinned(binary, name)


def packaged_server(program: str, package: str) -> Path:
    """Returns the path of a server from a Debian package."""
    found = shutil.which(program)
    if found is None:
        _missing(f"{program} is not installed: sudo apt-get install {package} (as root, `make packages` does it)")
    return Path(found)
