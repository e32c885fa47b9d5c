"""The lock files pin by hashes and name no registry."""

from __future__ import annotations

import json
import re
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_the_python_lock_pins_each_package_by_hashes() -> None:
    """Each requirement has one version and at least one hash; neither our own distributions nor an address are in it."""
    text = (ROOT / "requirements.lock").read_text()
    assert "://" not in text
    assert "index-url" not in text
    requirements = [part for part in re.split(r"(?m)^(?=[a-z0-9])", text) if part and not part.startswith("#")]
    assert len(requirements) > 90
    assert [part for part in requirements if part.startswith("agentos")] == []  # ours are built from the source
    assert [part.splitlines()[0] for part in requirements if not re.search(r"==\S+.*\n( +--hash=sha256:\w{64})", part)] == []


def test_the_lock_of_grafanas_packages_pins_each_by_its_hash() -> None:
    """Each package has one version and an integrity hash, and none names its origin."""
    packages = json.loads((ROOT / "tests/stack/grafana/package-lock.json").read_text())["packages"]
    locked = {name: package for name, package in packages.items() if name}
    assert len(locked) > 500
    assert [name for name, package in locked.items() if not package["integrity"].startswith("sha512-")] == []
    assert [name for name, package in locked.items() if "resolved" in package] == []
