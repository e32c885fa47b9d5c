"""Fresh virtual environments with the distributions built from this source tree.

``python -m stack.environments`` prints what the library alone and the library beside ``openai-agents`` install.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from importlib.metadata import distributions
from pathlib import Path

__all__ = ["SCRAPED", "Environment", "build", "version_of"]

ROOT = Path(__file__).parents[1]
SCRAPED = """
from telemetry import Catalogue, Telemetry
from telemetry.metric import counter
ORDERS = counter("orders", "{order}", "Orders taken")
telemetry = Telemetry(Catalogue([ORDERS]))
telemetry[ORDERS].labels().inc()
print(next(line for line in telemetry.reader.expose().body.decode().splitlines() if line.startswith("orders_total")))
"""
"""A program that declares a counter, records once and prints the scraped sample."""


def build(folder: Path, *, root: Path = ROOT, epoch: int | None = None) -> tuple[Path, Path]:
    """Builds both distributions as ``make wheel`` does, and returns the wheels of the library and of the service.

    Args:
        folder: Gets the wheels and the source distributions.
        root: The source tree.
        epoch: The time that the files in them have, in seconds since 1970; Hatchling's constant if it is None.
    """
    environ = os.environ if epoch is None else {**os.environ, "SOURCE_DATE_EPOCH": str(epoch)}
    for source in (root, root / "agents"):
        command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), str(source)]
        subprocess.run(command, env=environ, check=True, capture_output=True)
    (library,) = folder.glob("agentos_telemetry-*.whl")
    (service,) = folder.glob("agentos-*.whl")
    return library, service


def version_of(wheel: Path) -> str:
    """Returns the version that a wheel's name has."""
    return wheel.name.split("-")[1]


class Environment:
    """A new virtual environment outside the source tree.

    Args:
        folder: Created; holds the environment.
        pip: Whether pip is in it; its absence shows what a distribution itself needs.
    """

    def __init__(self, folder: Path, *, pip: bool = False) -> None:
        self.folder = folder
        self.python = folder / "bin/python"
        self._uv("venv", *(["--seed"] if pip else []), "--python", sys.executable, str(folder))

    def install(self, *requirements: str | Path) -> None:
        """Installs packages with uv; raises ``CalledProcessError`` where that fails."""
        self._uv("pip", "install", "--python", str(self.python), *map(str, requirements))

    def uninstall(self, name: str) -> None:
        """Removes one package, and none that it needed."""
        self._uv("pip", "uninstall", "--python", str(self.python), name)

    def run(self, program: str) -> subprocess.CompletedProcess[str]:
        """Runs a Python program in the environment's folder and returns its status and output."""
        return self.call("python", "-c", program)

    def call(self, command: str, *arguments: str, environ: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        """Runs a command of the environment in the environment's folder and returns its status and output."""
        whole = [str(self.folder / "bin" / command), *arguments]
        return subprocess.run(whole, cwd=self.folder, env=environ, capture_output=True, text=True, timeout=120, check=False)

    def packages(self) -> list[str]:
        """Returns the names of the installed distributions, sorted."""
        return sorted(one.name for one in distributions(path=[str(self.site)]))

    def megabytes(self) -> float:
        """Returns the size of the installed files in MB, without compiled bytecode."""
        files = (path for path in self.site.rglob("*") if path.is_file() and path.suffix != ".pyc")
        return sum(path.stat().st_size for path in files) / 1e6

    @property
    def site(self) -> Path:
        """The folder of the installed packages."""
        (found,) = self.folder.glob("lib/python*/site-packages")
        return found

    def _uv(self, *words: str) -> None:
        uv = Path(sys.executable).with_name("uv")
        subprocess.run([str(uv), *words, "--quiet"], check=True)


def main() -> None:
    """Prints packages and MB of each environment, and what a program records and imports there."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        library, service = build(folder / "dist")
        print(f"{'environment':<34} {'packages':>8} {'MB':>6}  a counter scraped")
        for label, requirements in (
            ("agentos-telemetry", [library]),
            ("agentos-telemetry, openai-agents", [library, "openai-agents"]),
            ("agentos", [library, service]),
        ):
            environment = Environment(folder / label.replace(", ", "+"))
            environment.install(*requirements)
            scraped = environment.run(SCRAPED).stdout.strip()
            print(f"{label:<34} {len(environment.packages()):>8} {environment.megabytes():>6.1f}  {scraped}", flush=True)


if __name__ == "__main__":
    main()
