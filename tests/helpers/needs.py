"""Programs of the real servers. A missing one skips the test and says how to get it; with CI=true it fails the test."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import NoReturn

import pytest

from stack.servers.binaries import BinaryMissingError, binary

__all__ = ["built", "packaged"]


def _missing(reason: str) -> NoReturn:
    """Skips the test, or fails it in CI."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


def built(name: str) -> Path:
    """Returns a program that is built from its pins."""
    try:
        return binary(name)
    except BinaryMissingError as reason:
        _missing(str(reason))


def packaged(program: str, package: str) -> Path:
    """Returns a program from a Debian package."""
    found = shutil.which(program)
    if found is None:
        _missing(f"{program} is not installed: sudo apt-get install {package} (as root, `make packages` does it)")
    return Path(found)
