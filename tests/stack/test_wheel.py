"""The wheel: built here, installed and run elsewhere."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from agents import __version__
from stack.servers.service import Service

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Builds the wheel from the source with `python -m build`."""
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--no-isolation", "--wheel", "--outdir", str(folder), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True)
    (found,) = folder.iterdir()
    return found


def test_the_wheel_runs_in_an_empty_environment(wheel: Path, tmp_path: Path) -> None:
    """Installed into an empty environment outside the source tree, the service answers a run and counts it."""
    uv = shutil.which("uv", path=str(Path(sys.executable).parent))
    assert uv is not None
    subprocess.run([uv, "venv", "--quiet", "--python", sys.executable, tmp_path / "venv"], check=True)
    python = tmp_path / "venv" / "bin" / "python"
    subprocess.run([uv, "pip", "install", "--quiet", "--python", python, wheel], check=True, cwd=tmp_path)
    with Service(tmp_path / "elsewhere", python=python) as service:
        assert service.run("navi", "hello").json()["status"] == "success"
        assert 'a2a_requests_total{agent="navi",operation="query",status="success"} 1' in service.metrics()
        assert f'version="{__version__}"' in service.metrics()


def test_the_wheel_holds_the_two_packages_and_the_licence(wheel: Path) -> None:
    """The wheel holds the library, the service and the licence, and no tests, dashboards or tools."""
    import zipfile

    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0] for name in names} == {"agents", "telemetry", f"agentos_telemetry-{__version__}.dist-info"}
    assert f"agentos_telemetry-{__version__}.dist-info/licenses/LICENSE" in names
    assert {"agents/py.typed", "telemetry/py.typed"} <= set(names)
