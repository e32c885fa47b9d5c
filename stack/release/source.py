"""What is released: the commit with its tag, or the working tree as a snapshot."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from stack.release.changelog import problems, sections
from stack.release.refused import RefusedError

__all__ = ["Source", "snapshot", "tagged"]

_TAG = re.compile(r"v(\d+\.\d+\.\d+)")


@dataclass(frozen=True, slots=True)
class Source:
    """A source tree that is built.

    Attributes:
        root: Its folder.
        version: The version that its builds get, by PEP 440.
        epoch: The time of the commit, which is that of each file in the archives (``SOURCE_DATE_EPOCH``).
    """

    root: Path
    version: str
    epoch: int

    @property
    def tag(self) -> str:
        """The version for chart and image: SemVer, without what an image's tag cannot have."""
        return re.sub(r"\.dev(\d+)", r"-dev.\1", self.version.partition("+")[0])


def snapshot(root: Path) -> Source:
    """Returns the working tree, whatever its state, at its development version."""
    return Source(root, _version(root), int(_git(root, "log", "-1", "--format=%ct")))


def tagged(root: Path) -> Source:
    """Returns the commit with its tag.

    Raises:
        RefusedError: If the tree has changes, HEAD has no tag of a version or one below another, or the changelog is not in its
            form or does not begin with that version.
    """
    changed = _git(root, "status", "--porcelain").splitlines()
    if changed:
        others = f" and {len(changed) - 1} more" if changed[1:] else ""
        raise RefusedError(f"The tree has changes that are not committed: {changed[0].split(maxsplit=1)[1]}{others}.")
    version = _tagged_version(root)
    _check_changelog((root / "CHANGELOG.md").read_text(), version)
    source = snapshot(root)
    if source.version != version:
        raise RefusedError(f"Builds get the version {source.version}, not the tag's: is a variable SETUPTOOLS_SCM_* set?")
    return source


def _tagged_version(root: Path) -> str:
    """Returns the version of HEAD's tag, which is above that of each tag before."""
    here = _versions(_git(root, "tag", "--points-at", "HEAD"))
    if len(here) != 1:
        tags = ", ".join("v" + _text(version) for version in here) or "no tag vX.Y.Z"
        raise RefusedError(f"HEAD has {tags}: one is needed, as in `git tag v1.2.3`.")
    before = [version for version in _versions(_git(root, "tag", "--merged", "HEAD")) if version != here[0]]
    if before and here[0] < before[-1]:
        raise RefusedError(f"The tag v{_text(here[0])} is below the last one, v{_text(before[-1])}.")
    return _text(here[0])


def _check_changelog(text: str, version: str) -> None:
    for problem in problems(text):
        raise RefusedError(f"CHANGELOG.md: {problem}")
    released = [section.version for section in sections(text)[1:]]
    if _text(released[0] if released else ()) != version:
        raise RefusedError(f"CHANGELOG.md's first section below `Unreleased` is not `## [{version}] - YYYY-MM-DD`.")


def _versions(tags: str) -> list[tuple[int, ...]]:
    return sorted(tuple(map(int, found[1].split("."))) for tag in tags.split() if (found := _TAG.fullmatch(tag)))


def _text(version: tuple[int, ...]) -> str:
    return ".".join(map(str, version))


def _version(root: Path) -> str:
    command = [sys.executable, "-m", "hatchling", "version"]
    return subprocess.run(command, cwd=root, capture_output=True, text=True, check=True).stdout.strip()


def _git(root: Path, *words: str) -> str:
    done = subprocess.run(["git", *words], cwd=root, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RefusedError(f"git {words[0]}: {done.stderr.strip()}")
    return done.stdout.rstrip()
