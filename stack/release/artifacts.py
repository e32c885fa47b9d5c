"""The files of a release, and how each is built."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from stack import environments
from stack.environments import Environment
from stack.release import archive, image, sbom
from stack.release.refused import RefusedError
from stack.release.source import Source
from stack.servers.binaries import binary

__all__ = ["CHART", "Artifacts", "build_chart", "build_context", "build_distributions", "publish", "write_sboms", "write_sums"]

CHART = Path("deploy/helm/agentos")


@dataclass(frozen=True, slots=True)
class Artifacts:
    """The files of a release in one folder.

    Attributes:
        folder: Holds them and nothing else.
        source: What they are built from.
    """

    folder: Path
    source: Source

    @property
    def wheels(self) -> tuple[Path, Path]:
        """The wheels of the library and of the service."""
        return self._named("agentos_telemetry-{}-py3-none-any.whl"), self._named("agentos-{}-py3-none-any.whl")

    @property
    def sdists(self) -> tuple[Path, Path]:
        """The source distributions, likewise."""
        return self._named("agentos_telemetry-{}.tar.gz"), self._named("agentos-{}.tar.gz")

    @property
    def sboms(self) -> tuple[Path, Path]:
        """The SBOMs, likewise."""
        return self._named("agentos_telemetry-{}.cdx.json"), self._named("agentos-{}.cdx.json")

    @property
    def chart(self) -> Path:
        return self.folder / f"agentos-{self.source.tag}.tgz"

    @property
    def context(self) -> Path:
        """The context of the image's build; not ``.tar.gz``, which uploaders of Python packages take for theirs."""
        return self._named("agentos-image-context-{}.tgz")

    @property
    def sums(self) -> Path:
        return self.folder / "SHA256SUMS"

    def all(self) -> list[Path]:
        """Returns each file but the checksums."""
        return sorted([*self.wheels, *self.sdists, *self.sboms, self.chart, self.context])

    def _named(self, pattern: str) -> Path:
        return self.folder / pattern.format(self.source.version)


def build_distributions(artifacts: Artifacts) -> None:
    """Builds a wheel and a source distribution of library and service."""
    environments.build(artifacts.folder, root=artifacts.source.root, epoch=artifacts.source.epoch)


def build_chart(artifacts: Artifacts) -> None:
    """Packages the chart; its links to rules and dashboards are followed."""
    source = artifacts.source
    with tempfile.TemporaryDirectory() as folder:
        versions = ["--version", source.tag, "--app-version", source.tag]
        command = [str(binary("helm")), "package", *versions, "--destination", folder, str(source.root / CHART)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RefusedError(f"The chart could not be packaged: {done.stderr.strip()}")
        (packed,) = Path(folder).iterdir()
        archive.write(artifacts.chart, archive.read(packed), source.epoch)  # Helm's has the times of the files


def build_context(artifacts: Artifacts) -> None:
    """Packs the context of the image's build."""
    archive.write(artifacts.context, image.context(artifacts.source), artifacts.source.epoch)


def write_sboms(artifacts: Artifacts, library: Environment, service: Environment) -> None:
    """Writes the SBOM of each distribution from the environment that it is installed into."""
    of_library, of_service = artifacts.sboms
    sbom.write(library, "agentos-telemetry", "library", artifacts.source.epoch, of_library)
    sbom.write(service, "agentos", "application", artifacts.source.epoch, of_service)


def write_sums(artifacts: Artifacts) -> None:
    """Writes the checksums as ``sha256sum --check`` reads them."""
    lines = [f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n" for path in artifacts.all()]
    artifacts.sums.write_text("".join(lines))


def publish(artifacts: Artifacts, target: Path) -> None:
    """Moves the files to their folder, which has those of no other build then."""
    staged = target.with_name(f".{target.name}.{os.getpid()}")
    shutil.copytree(artifacts.folder, staged)
    shutil.rmtree(target, ignore_errors=True)
    staged.rename(target)
