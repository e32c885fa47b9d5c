"""Builds the real servers from their pins, once per pin: ``python -m stack.servers.binaries [name ...]``.

Each folder in ``tests/stack/binaries`` pins one program by ``go.mod`` and ``go.sum``; ``parser``, ``adapter`` and ``compose``,
which wrap Prometheus' parsers, prometheus-adapter and Compose's loader for the tests, have their sources there too. The program
is kept in the user's cache folder under the hash of those files, so that every clone finds it.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

__all__ = ["BINARIES", "GET_GO", "PINS", "Binary", "BinaryMissingError", "binary", "cache_folder"]

PINS = Path(__file__).parents[2] / "tests" / "stack" / "binaries"
_LINE_EVERY_SECONDS = 20.0
_CHECKED_SD = "remove_all_sd,enable_kubernetes_sd"  # promtool reads configurations that discover pods
GET_GO = "install Go 1.26.7 or newer (https://go.dev/doc/install)"


class BinaryMissingError(Exception):
    """A server's program is missing and cannot be built here; the message says why and how to get it."""


@dataclass(frozen=True, slots=True)
class Binary:
    """A Go program, pinned by the module in ``folder``."""

    name: str
    folder: str
    package: str
    minutes: float
    """Minutes of a build on two cores with cold caches."""
    tags: str = ""
    generated_by: str = ""
    """Name of the program that first writes the sources from ``manifest.yaml``."""
    on_demand: bool = False
    """Whether it is built only where it is asked for: ``make test`` does without it."""

    @property
    def pins(self) -> Path:
        return PINS / self.folder

    def kept_in(self) -> Path:
        digest = hashlib.sha256(f"{self.package} {self.tags}".encode())
        for path in sorted(self.pins.iterdir()):
            digest.update(path.name.encode() + b"\0" + path.read_bytes())
        return cache_folder() / f"{self.name}-{digest.hexdigest()[:16]}"


BINARIES = {
    wanted.name: wanted
    for wanted in (
        Binary("prometheus", "prometheus", "github.com/prometheus/prometheus/cmd/prometheus", 2.5, tags="remove_all_sd"),
        Binary("promtool", "prometheus", "github.com/prometheus/prometheus/cmd/promtool", 1.5, tags=_CHECKED_SD),
        Binary("parser", "parser", ".", 0.5),
        Binary("compose-model", "compose", ".", 0.5),
        Binary("builder", "ocb", "go.opentelemetry.io/collector/cmd/builder", 0.5, on_demand=True),
        Binary("otelcol", "collector", ".", 7, tags="remove_all_sd,grpcnotrace", generated_by="builder"),
        Binary("jaeger", "jaeger", "github.com/jaegertracing/jaeger/cmd/jaeger", 6),
        Binary("victoria-metrics", "victoria", "github.com/VictoriaMetrics/VictoriaMetrics/app/victoria-metrics", 0.6),
        Binary("helm", "helm", "helm.sh/helm/v3/cmd/helm", 1.5),
        Binary("kubeconform", "kubeconform", "github.com/yannh/kubeconform/cmd/kubeconform", 0.3),
        Binary("controller-gen", "crds", "sigs.k8s.io/controller-tools/cmd/controller-gen", 0.5),
        Binary("cortex", "cortex", "github.com/cortexproject/cortex/cmd/cortex", 2, tags="netgo,slicelabels"),
        Binary("adapter", "adapter", ".", 1),
        Binary("kube-apiserver", "apiserver", "k8s.io/kubernetes/cmd/kube-apiserver", 4, on_demand=True),
        Binary("etcd", "etcd", "go.etcd.io/etcd/server/v3", 1, on_demand=True),
    )
}


def cache_folder() -> Path:
    """Returns the user's cache folder of this project, which all its clones share."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "agentos-telemetry"


def binary(name: str) -> Path:
    """Returns the path of a program, built first if the cache does not have it.

    Raises:
        BinaryMissingError: If Go is missing or the build fails.
    """
    wanted = BINARIES[name]
    program = wanted.kept_in() / wanted.name
    if program.exists():
        return program
    go = shutil.which("go")
    if go is None:
        raise BinaryMissingError(f"{name} is built with Go, which is not installed: {GET_GO}, then `make binaries`")
    generator = binary(wanted.generated_by) if wanted.generated_by else None
    with _locked(program.parent):
        if not program.exists():  # another run may have built it while this one waited for the lock
            _build(wanted, go, generator, program)
    return program


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _build(wanted: Binary, go: str, generator: Path | None, program: Path) -> None:
    _say(f"building {wanted.name}: about {wanted.minutes:g} min on 2 cores, once for this pin, kept in {program.parent}")
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix=f"build-{wanted.name}-") as folder:
        source = _lay_out(wanted, Path(folder), generator)
        command = [go, "build", "-v", "-mod=readonly", "-trimpath", "-ldflags", "-s -w"]
        command += ["-tags", wanted.tags] if wanted.tags else []
        _run(wanted, [*command, "-o", str(Path(folder) / "program"), wanted.package], source, started)
        staged = program.with_suffix(".new")
        shutil.move(Path(folder) / "program", staged)
        staged.replace(program)
    _say(f"built {wanted.name} in {time.monotonic() - started:.0f} s")


def _lay_out(wanted: Binary, folder: Path, generator: Path | None) -> Path:
    """Returns the folder to build in, with the pins and the sources: its own and the generated ones, if there are any."""
    source = folder / "source"  # the manifest's output_path
    if generator is not None:
        manifest = str(wanted.pins / "manifest.yaml")
        command = [str(generator), "--config", manifest, "--skip-compilation", "--skip-get-modules"]
        made = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        if made.returncode:
            raise BinaryMissingError(f"{wanted.name}: its sources could not be generated: {made.stderr.strip()[-500:]}")
    source.mkdir(exist_ok=True)
    for path in (wanted.pins / "go.mod", wanted.pins / "go.sum", *wanted.pins.glob("*.go")):
        shutil.copy(path, source / path.name)
    return source


def _run(wanted: Binary, command: list[str], source: Path, started: float) -> None:
    environment = {**os.environ, "CGO_ENABLED": "0", "GOWORK": "off"}
    last: list[str] = []
    said = started
    with subprocess.Popen(command, cwd=source, env=environment, stderr=subprocess.PIPE, text=True) as build:
        assert build.stderr is not None
        for lines, line in enumerate(build.stderr, 1):
            last = [*last[-19:], line]
            if time.monotonic() - said >= _LINE_EVERY_SECONDS:
                said = time.monotonic()
                _say(f"  {wanted.name}: {said - started:.0f} s, {lines} packages, now {line.strip()}")
    if build.returncode:
        raise BinaryMissingError(f"{wanted.name} could not be built: {''.join(last).strip()}")


def _say(line: str) -> None:
    print(line, file=sys.__stderr__, flush=True)


def main(names: list[str]) -> int:
    unknown = [name for name in names if name not in BINARIES]
    if unknown:
        _say(f"no such program: {', '.join(unknown)}; there are {', '.join(BINARIES)}")
        return 2
    missing = 0
    for name in names or [name for name, wanted in BINARIES.items() if not wanted.on_demand]:
        try:
            print(f"{name}: {binary(name)}")
        except BinaryMissingError as reason:
            _say(str(reason))
            missing = 1
    return missing if os.environ.get("CI") == "true" else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
