"""Builds a release and checks it: ``python -m stack.release [--snapshot | --prepare X.Y.Z] [--out FOLDER]``.

Without an option HEAD has to have a tag ``vX.Y.Z``, the tree no change, and CHANGELOG.md a section of that version. The files
come to ``dist/<version>`` once all checks have passed.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from subprocess import CalledProcessError
from typing import TypeVar

from stack.environments import Environment
from stack.release import artifacts, checks, image
from stack.release.artifacts import Artifacts
from stack.release.changelog import prepared
from stack.release.refused import RefusedError
from stack.release.source import Source, snapshot, tagged
from stack.servers.binaries import BinaryMissingError
from stack.servers.process import ServerError

ROOT = Path(__file__).parents[2]


T = TypeVar("T")


def release(source: Source, target: Path) -> None:
    """Builds the files of a release, checks them, and puts them into a folder."""
    with tempfile.TemporaryDirectory(prefix="release-") as name:
        work = Path(name)
        files = Artifacts(work / "files", source)
        files.folder.mkdir()
        _step("build wheels and source distributions", lambda: artifacts.build_distributions(files))
        _step("package the chart", lambda: artifacts.build_chart(files))
        _step("pack the context of the image", lambda: artifacts.build_context(files))
        made = _step("run the Dockerfile's first stage on it", lambda: image.build(files.context, work / "image", source.epoch))
        library = _step("install the library alone", lambda: _installed(files, made, work / "library", "agentos-telemetry"))
        service = _step("install the service", lambda: _installed(files, made, work / "service", "agentos[openai,mcp]"))
        _step("write SBOMs", lambda: artifacts.write_sboms(files, library, service))
        _step("write checksums", lambda: artifacts.write_sums(files))
        _step("check that source distributions build the same wheels", lambda: checks.sdists(files))
        _step("check that the context builds the same wheels", lambda: checks.context(files, made.dist))
        _step("check the library: recorded and scraped", lambda: checks.library(files, library))
        _step("check the service: started and scraped", lambda: checks.service(files, service.python, work / "run"))
        _step("check the image's environment: likewise", lambda: checks.service(files, made.python, work / "image/run"))
        _step("check the chart: linted and rendered", lambda: checks.chart(files))
        _step("check SBOMs: schema, distributions, licences", lambda: checks.sboms(files, library, service))
        _step("check checksums", lambda: checks.sums(files))
        artifacts.publish(files, target)


def _installed(files: Artifacts, made: image.Built, folder: Path, name: str) -> Environment:
    """Returns a new environment with a distribution of the release, and what it needs at the versions of the lock file."""
    environment = Environment(folder)
    found = ("--no-index", "--find-links", made.wheels, "--find-links", files.folder)
    environment.install(*found, f"{name}=={files.source.version}")
    return environment


def _step(what: str, work: Callable[[], T]) -> T:
    print(f"{what} ...", end=" ", flush=True)
    started = time.monotonic()
    try:
        result = work()
    except BaseException:
        print("failed", flush=True)
        raise
    print(f"{time.monotonic() - started:.0f} s", flush=True)
    return result


def _prepare(version: str) -> None:
    changelog = ROOT / "CHANGELOG.md"
    changelog.write_text(prepared(changelog.read_text(), version, datetime.now(UTC).date()))
    print(f"CHANGELOG.md has the section {version}: commit it, then `git tag v{version}` and `make release`")


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command; returns 1 where the release is refused."""
    parser = argparse.ArgumentParser(prog="python -m stack.release", description=__doc__)
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--snapshot", action="store_true", help="the working tree at its development version, without a tag")
    which.add_argument("--prepare", metavar="X.Y.Z", help="turn `Unreleased` of CHANGELOG.md into a version, and build nothing")
    parser.add_argument("--out", type=Path, default=ROOT / "dist", help="gets a folder with the version's name (dist)")
    given = parser.parse_args(arguments)
    try:
        if given.prepare:
            _prepare(given.prepare)
            return 0
        source = snapshot(ROOT) if given.snapshot else tagged(ROOT)
        print(f"AgentOS {source.version}", flush=True)
        release(source, given.out / source.version)
    except (RefusedError, BinaryMissingError, ServerError) as reason:
        print(reason, file=sys.stderr)
        return 1
    except CalledProcessError as failed:
        said = failed.stderr.decode() if isinstance(failed.stderr, bytes) else failed.stderr or ""
        print(f"{failed} {said[-2000:]}", file=sys.stderr)
        return 1
    for path in sorted((given.out / source.version).iterdir()):
        print(f"{path.stat().st_size:>10,}  {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
