"""The library's tests with other versions of the SDK and of Python: ``python -m stack.matrix [--ci] [--lock]``.

Each version has a lock file in ``tests/matrix`` and an environment of its own, kept in the user's cache folder under the hash
of that file. The tests are those of the rooms in ``tests/telemetry`` that need no OTLP exporter.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

__all__ = ["NEWEST", "SDKS", "Run", "main"]

ROOT = Path(__file__).parents[1]
LOCKS = ROOT / "tests" / "matrix"
SDKS = {"1.36": "0.57b0", "1.40": "0.61b0", "1.42": "0.63b0", "1.44": "0.65b0", "1.45": "0.66b2"}
"""The tested versions of the SDK, the oldest that is supported first, and those of the packages that belong to each."""
PATCHES = {"1.45": "1.45.2"}
NEWEST = list(SDKS)[-1]
PYTHONS = ("3.11", "3.12", "3.13", "3.14")
TESTS = [
    f"tests/telemetry/{room}"
    for room in ("_base", "metric", "instruments", "_sdk", "tracing", "exposition", "runtime", "agentos")
]
TOOLS = (
    "prometheus-client",
    "pytest",
    "pytest-asyncio",
    "hypothesis",
    "httpx",
    "starlette",
    "fastapi",
    "uvicorn",
    "pyyaml",
    "grpcio-tools",
)
SDKS_OWN_WARNING = "ignore:SelectableGroups dict interface:DeprecationWarning"
"""SDK 1.42 warns on Python 3.11, at its import."""
PATHS = """
from telemetry import Catalogue, Telemetry
from telemetry._sdk.aggregation import PublicSource
from telemetry.metric import counter
COUNT = counter("n", "", "N")
telemetry = Telemetry(Catalogue([COUNT]))
telemetry[COUNT].inc()
telemetry.reader.expose()
record = "public" if isinstance(telemetry[COUNT].source, PublicSource) else "direct"
print(record, "direct" if telemetry.reader._source.direct else "public")
"""


@dataclass(frozen=True, slots=True)
class Run:
    """One line of the table.

    Attributes:
        sdk: The SDK's minor version.
        python: The minor version of Python.
        record: ``direct`` or ``public``: how measurements reach the SDK.
        scrape: Likewise, how its state is read.
        passed: How many tests passed.
        failed: How many failed or could not be run.
        seconds: How long the tests took.
    """

    sdk: str
    python: str
    record: str
    scrape: str
    passed: int
    failed: int
    seconds: float


def lock(sdk: str) -> None:
    """Writes the lock file of a version: hashes, no registry's address."""
    exact, beside = PATCHES.get(sdk, f"{sdk}.0"), SDKS[sdk]
    wanted = [f"opentelemetry-{name}=={exact}" for name in ("api", "sdk")]
    wanted += [f"opentelemetry-{name}=={beside}" for name in ("exporter-prometheus", "semantic-conventions")]
    command = [_uv(), "pip", "compile", "-", "--quiet", "--universal", "--python-version", "3.11", "--generate-hashes"]
    subprocess.run(
        [*command, "--no-header", "--no-annotate", "-o", str(LOCKS / f"sdk-{sdk}.lock")],
        input="\n".join([*wanted, *TOOLS]),
        text=True,
        check=True,
        stdout=subprocess.DEVNULL,
    )


def environment(sdk: str, python: str) -> Path:
    """Returns the interpreter of a version's environment, which is made at the first call for this lock file."""
    pins = LOCKS / f"sdk-{sdk}.lock"
    digest = hashlib.sha256(pins.read_bytes() + python.encode()).hexdigest()[:16]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = cache / "agentos-telemetry" / f"matrix-{digest}"
    if not (folder / "ready").exists():
        print(f"installing SDK {sdk} for Python {python}", flush=True)
        _install(folder, python, "--require-hashes", "-r", str(pins))
        (folder / "ready").touch()
    return folder / "bin/python"


def _install(folder: Path, python: str, *wanted: str) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    subprocess.run([_uv(), "venv", "--quiet", "--python", _interpreter(python), str(folder)], check=True)
    subprocess.run([_uv(), "pip", "install", "--quiet", "--python", str(folder / "bin/python"), *wanted], check=True)


def pythons() -> list[str]:
    """Returns the versions of Python that this machine has, of those that the library supports."""
    return [version for version in PYTHONS if _interpreter(version)]


def run(sdk: str, python: str, interpreter: Path) -> Run:
    """Runs the tests in an environment; prints the output of a run that fails."""
    print(f"testing with SDK {sdk}, Python {python}", flush=True)
    asked = subprocess.run([interpreter, "-c", PATHS], cwd=ROOT, capture_output=True, text=True, check=False)
    if asked.returncode != 0:
        print(asked.stderr[-2000:], flush=True)
    record, scrape = asked.stdout.split() if asked.returncode == 0 else ("-", "-")
    start = time.monotonic()
    command = [str(interpreter), "-m", "pytest", *TESTS, "-m", "not stack", "-p", "no:cacheprovider", "-W", SDKS_OWN_WARNING]
    command += ["--hypothesis-seed=0", "--show-capture=no"]  # versions are compared on the same generated examples
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        print(done.stdout[-6000:] + done.stderr[-2000:], flush=True)
    failed = _count("failed", done.stdout) + _count("error", done.stdout) or int(done.returncode != 0)
    return Run(sdk, python, record, scrape, _count("passed", done.stdout), failed, time.monotonic() - start)


def run_prerelease(python: str) -> str:
    """Runs the tests with the SDK's newest pre-release, if there is one, and returns what became of them: it may fail."""
    sdk = prerelease()
    if not sdk:
        return f"none newer than {PATCHES[NEWEST]}"
    with tempfile.TemporaryDirectory() as folder:
        wanted = [f"opentelemetry-sdk=={sdk}", "opentelemetry-exporter-prometheus", "opentelemetry-semantic-conventions"]
        try:
            _install(Path(folder) / "venv", python, "--prerelease", "allow", *wanted, *TOOLS)
        except subprocess.CalledProcessError:
            return f"{sdk} cannot be installed (allowed)"
        found = run(sdk, python, Path(folder) / "venv/bin/python")
    return table([found]) + ("\nits failures are allowed" if found.failed else "")


def table(runs: Sequence[Run]) -> str:
    """Returns the runs as an aligned table."""
    lines = ["SDK   Python  record  scrape  passed  failed  seconds"]
    for one in runs:
        counts = f"{one.passed:>6}  {one.failed:>6}  {one.seconds:>7.0f}"
        lines.append(f"{one.sdk:<5} {one.python:<7} {one.record:<7} {one.scrape:<7} {counts}")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the matrix; returns 1 where a test failed."""
    parser = argparse.ArgumentParser(prog="python -m stack.matrix", description=__doc__)
    parser.add_argument("--ci", action="store_true", help="the oldest SDK, and the newest on two versions of Python")
    parser.add_argument("--sdk", nargs="+", choices=SDKS, help="these versions of the SDK only, on the oldest Python")
    parser.add_argument("--lock", action="store_true", help="write the lock files anew, and run nothing")
    given = parser.parse_args(arguments)
    if given.lock:
        for sdk in SDKS:
            lock(sdk)
        return 0
    found = pythons()
    others = found[1:2] if given.ci else found[1:]
    wanted = given.sdk or ([next(iter(SDKS)), NEWEST] if given.ci else list(SDKS))
    cells = [(sdk, found[0]) for sdk in wanted] + ([] if given.sdk else [(NEWEST, python) for python in others])
    runs = [run(sdk, python, environment(sdk, python)) for sdk, python in cells]
    print(table(runs))
    if not given.sdk:
        print(f"pre-release: {run_prerelease(found[0])}")
    return int(any(one.failed for one in runs))


def prerelease() -> str:
    """Returns the newest pre-release of the SDK; empty where its newest version is a release."""
    command = [_uv(), "pip", "compile", "-", "--quiet", "--no-header", "--no-annotate", "--prerelease", "allow"]
    done = subprocess.run(command, input="opentelemetry-sdk", capture_output=True, text=True, check=False)
    found = re.search(r"^opentelemetry-sdk==(\S*[a-z]\S*)", done.stdout, re.MULTILINE)
    return found[1] if found else ""


def _interpreter(python: str) -> str:
    """Returns the path of a Python that uv finds or that pyenv has installed; empty where neither has it."""
    command = [_uv(), "python", "find", "--offline", "--no-project", python]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    if found.returncode == 0:
        return found.stdout.strip()
    root = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    return str(next(iter(sorted(root.glob(f"versions/{python}.*/bin/python"), reverse=True)), ""))


def _uv() -> str:
    return str(Path(sys.executable).with_name("uv"))


def _count(word: str, output: str) -> int:
    found = re.search(rf"(\d+) {word}", output[output.rstrip().rfind("\n") :])
    return int(found[1]) if found else 0


if __name__ == "__main__":
    sys.exit(main())
