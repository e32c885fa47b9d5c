"""Copies of the source tree in git repositories of their own, with the tags that a test gives them."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path

__all__ = ["METADATA", "commit", "copy", "git", "tracked"]

ROOT = Path(__file__).parents[2]
METADATA = (
    "pyproject.toml",
    "LICENSE",
    "telemetry/README.md",
    "agents/pyproject.toml",
    "agents/LICENSE",
    "agents/README.md",
    "agents/build-hooks/library_version.py",
)
"""The files that the metadata of both distributions are made from."""


def copy(names: Iterable[str], folder: Path) -> Path:
    """Copies files of the source tree, links as links, into a folder and returns it."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, folder / name, follow_symlinks=False)
    return folder


def tracked() -> list[str]:
    """Returns the files of the working tree that git does not ignore."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\0")
    return [name for name in listed if name and (ROOT / name).exists()]


def git(folder: Path, *words: str) -> str:
    """Runs git in a folder with an identity of its own, and returns what it prints."""
    identity = ("-c", "user.name=Test", "-c", "user.email=test@localhost", "-c", "init.defaultBranch=main")
    command = ["git", *identity, *words]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True).stdout.strip()


def commit(folder: Path) -> None:
    """Commits each file of a folder, which becomes a repository."""
    git(folder, "init", "--quiet")
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", "A commit")
