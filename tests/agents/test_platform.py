"""The service on a platform without file locks and forks."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
SERVICE = """
from tests.helpers.platform_without import remove_unix
remove_unix(sockets=False)
from fastapi.testclient import TestClient
from agents.main import create_app
from agents.settings import Settings, SettingsError
try:
    create_app(Settings(workers="on"))
except SettingsError as error:
    print(error)
with TestClient(create_app(Settings())) as client:
    print([client.get(path).status_code for path in ("/metrics", "/health/live")])
"""


def test_the_service_works_without_several_workers() -> None:
    """One process serves requests and /metrics; ``AGENTOS_WORKERS=on`` stops the start with one sentence."""
    done = subprocess.run([sys.executable, "-c", SERVICE], capture_output=True, text=True, check=True, timeout=120, cwd=ROOT)
    sentence, answers = done.stdout.splitlines()
    needed = "several workers behind one /metrics need file locks and user ids, which this platform does not have."
    assert sentence == f"AGENTOS_WORKERS is 'on': {needed}"
    assert answers == "[200, 200]"
