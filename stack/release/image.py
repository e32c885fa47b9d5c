"""The context of the image's build, and that build without a container engine.

What the context holds is decided by ``.dockerignore`` alone, and how it is built by the Dockerfile alone: its first stage is
run here in a fresh virtual environment, with the folders at the root of its file system moved into one of ours.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from stack.environments import Environment
from stack.release import archive
from stack.release.refused import RefusedError
from stack.release.source import Source

__all__ = ["Built", "build", "context", "in_context"]

_ALWAYS = ("Dockerfile", ".dockerignore")
"""Files that a client sends whatever ``.dockerignore`` says."""
_ARGUMENT = re.compile(r"(?m)^ARG VERSION=.*$")
_ROOT = re.compile(r"(?<![\w./])/(src|wheels|dist|venv)\b")


@dataclass(frozen=True, slots=True)
class Built:
    """What the first stage of the Dockerfile leaves.

    Attributes:
        wheels: The packages that the lock file pins.
        dist: Both wheels of ours.
        python: The interpreter of the environment that the image gets.
    """

    wheels: Path
    dist: Path
    python: Path


def context(source: Source) -> dict[str, bytes]:
    """Returns the files of the context by their names; the Dockerfile has the version of the source as its default."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=source.root, capture_output=True, text=True, check=True).stdout.split("\0")
    patterns = (source.root / ".dockerignore").read_text().splitlines()
    names = [name for name in listed if name in _ALWAYS or in_context(name, patterns)]
    files = {name: (source.root / name).read_bytes() for name in names if (source.root / name).is_file()}
    dockerfile, replaced = _ARGUMENT.subn(f"ARG VERSION={source.version}", files["Dockerfile"].decode())
    if replaced != 1:
        raise RefusedError("The Dockerfile does not have one line `ARG VERSION=...`.")
    return {**files, "Dockerfile": dockerfile.encode()}


def in_context(name: str, patterns: Sequence[str]) -> bool:
    """Tells whether a path is sent: the last pattern of ``.dockerignore`` that matches it or a folder above it decides."""
    sent = True
    above = ["/".join(name.split("/")[:depth]) for depth in range(1, name.count("/") + 2)]
    for line in patterns:
        pattern = line.strip().removeprefix("!").strip("/")
        if pattern and not line.startswith("#") and any(_pattern(pattern).fullmatch(path) for path in above):
            sent = line.strip().startswith("!")
    return sent


@cache
def _pattern(pattern: str) -> re.Pattern[str]:
    parts = {"**/": r"(?:.*/)?", "**": r".*", "*": r"[^/]*", "?": r"[^/]"}
    return re.compile("".join(parts.get(part, re.escape(part)) for part in re.split(r"(\*\*/|\*\*|\*|\?)", pattern)))


def build(packed: Path, folder: Path, epoch: int) -> Built:
    """Runs the first stage of a context's Dockerfile below a folder.

    Raises:
        RefusedError: If the stage has an instruction that is not known here, or a command fails.
    """
    for name, content in archive.read(packed).items():
        (folder / "src" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "src" / name).write_bytes(content)
    Environment(folder / "base", pip=True)
    variables = {
        **os.environ,
        "PATH": f"{folder / 'base/bin'}:{os.environ['PATH']}",
        "PYTHONPATH": "",
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "PIP_NO_COMPILE": "1",  # the modules that are imported are compiled then
        "SOURCE_DATE_EPOCH": str(epoch),
    }
    for instruction, words in _first_stage((folder / "src/Dockerfile").read_text()):
        if instruction in {"ARG", "ENV"}:
            name, _, value = words.partition("=")
            variables[name] = value
        elif instruction == "RUN":
            _run(_ROOT.sub(rf"{folder}/\1", words), folder / "src", variables)
        elif instruction not in {"FROM", "WORKDIR", "COPY"}:
            raise RefusedError(f"The Dockerfile's first stage has {instruction}, which the check of the context does not know.")
    return Built(folder / "wheels", folder / "dist", folder / "venv/bin/python")


def _first_stage(dockerfile: str) -> Iterator[tuple[str, str]]:
    """Yields the instructions of the first stage, each with its words."""
    lines = [line for line in dockerfile.splitlines() if not line.lstrip().startswith("#")]
    stages = 0
    for line in re.sub(r"\\\n\s*", "", "\n".join(lines)).splitlines():
        instruction, _, words = line.strip().partition(" ")
        stages += instruction == "FROM"
        if stages > 1:
            return
        if instruction:
            yield instruction, re.sub(r"^(--mount=\S+\s+)+", "", words)


def _run(command: str, folder: Path, variables: dict[str, str]) -> None:
    done = subprocess.run(["sh", "-ec", command], cwd=folder, env=variables, capture_output=True, text=True, check=False)
    if done.returncode:
        said = (done.stderr or done.stdout).strip()[-1500:]
        raise RefusedError(f"The Dockerfile's first stage failed at `{command[:60]}...`: {said}")
