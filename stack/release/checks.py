"""The checks of a release's files, each in an environment that has nothing of the source tree."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from stack.environments import SCRAPED, Environment
from stack.manifests import KUBERNETES
from stack.release import sbom
from stack.release.artifacts import Artifacts
from stack.release.refused import RefusedError
from stack.servers.binaries import binary
from stack.servers.service import Service

__all__ = ["chart", "context", "library", "sboms", "sdists", "service", "sums"]


def _require(true: bool, sentence: str) -> None:
    if not true:
        raise RefusedError(sentence)


def library(artifacts: Artifacts, environment: Environment) -> None:
    """The library alone says its version, records and is scraped, and brings no package `agents`."""
    version = environment.run("import telemetry; print(telemetry.__version__)").stdout.strip()
    _require(version == artifacts.source.version, f"The installed library says that it is {version}.")
    scraped = environment.run(SCRAPED)
    _require(scraped.stdout == "orders_total 1\n", f"The installed library cannot be scraped: {scraped.stderr.strip()[-500:]}")
    _require(environment.run("import agents").returncode == 1, "The installed library brings a package `agents`.")


def service(artifacts: Artifacts, python: Path, folder: Path) -> None:
    """The service of an environment becomes ready, answers a run and is scraped, with its version."""
    with Service(folder, python=python) as started:
        status = started.run("navi", "hello").json()["status"]
        scraped = started.metrics().splitlines()
    _require(status == "success", f"The installed service answers a run with {status}.")
    counted = 'a2a_requests_total{agent="navi",operation="query",status="success"} 1'
    _require(counted in scraped, "The installed service does not count a run.")
    (info,) = (line for line in scraped if line.startswith("agentos_info{"))
    _require(f'version="{artifacts.source.version}"' in info, f"The installed service says that it is {info}.")


def sdists(artifacts: Artifacts) -> None:
    """Each source distribution, unpacked outside of git, builds the wheel of the release byte by byte."""
    for packed, released in zip(artifacts.sdists, artifacts.wheels, strict=True):
        with tempfile.TemporaryDirectory() as folder:
            with tarfile.open(packed) as opened:
                opened.extractall(folder, filter="data")
            (unpacked,) = Path(folder).iterdir()
            command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, str(unpacked)]
            environ = {**os.environ, "SOURCE_DATE_EPOCH": str(artifacts.source.epoch)}
            subprocess.run(command, env=environ, check=True, capture_output=True)
            _require(_same(Path(folder, released.name), released), f"{packed.name} does not build {released.name}.")


def context(artifacts: Artifacts, dist: Path) -> None:
    """What the Dockerfile builds from the context are the wheels of the release byte by byte."""
    for released in artifacts.wheels:
        _require(_same(dist / released.name, released), f"The context does not build {released.name}.")


def _same(built: Path, released: Path) -> bool:
    return built.is_file() and built.read_bytes() == released.read_bytes()


def chart(artifacts: Artifacts) -> None:
    """The packaged chart passes `helm lint`, and all that it renders runs the image of the release."""
    tag = artifacts.source.tag
    _helm("lint", str(artifacts.chart))
    rendered = _helm("template", "agentos", str(artifacts.chart), "--kube-version", KUBERNETES)
    documents = [one for one in yaml.safe_load_all(rendered) if one]
    images = {one["image"] for document in documents if document["kind"] == "Deployment" for one in _containers(document)}
    _require(images == {f"agentos:{tag}"}, f"The chart runs {', '.join(sorted(images)) or 'no image'}, not agentos:{tag}.")


def _containers(deployment: dict[str, Any]) -> Iterator[dict[str, Any]]:
    pod = deployment["spec"]["template"]["spec"]
    yield from (*pod["containers"], *pod.get("initContainers", ()))


def _helm(*words: str) -> str:
    done = subprocess.run([str(binary("helm")), *words], capture_output=True, text=True, check=False)
    _require(done.returncode == 0, f"helm {words[0]} refuses the chart: {(done.stderr + done.stdout).strip()[-1000:]}")
    return done.stdout


def sboms(artifacts: Artifacts, alone: Environment, whole: Environment) -> None:
    """Both SBOMs fit CycloneDX's schema and name each installed distribution with its version and its licence."""
    of_library, of_service = artifacts.sboms
    sbom.check(of_library.read_text(), alone, "agentos-telemetry")
    sbom.check(of_service.read_text(), whole, "agentos")


def sums(artifacts: Artifacts) -> None:
    """The folder holds the files of the release and no others, each with its checksum."""
    wanted = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in artifacts.folder.iterdir()}
    wanted.pop(artifacts.sums.name)
    listed = {name: digest for digest, name in (line.split("  ") for line in artifacts.sums.read_text().splitlines())}
    _require(listed == wanted, "SHA256SUMS does not have the files of the release.")
