"""The tests mirror the source, and share code only through ``tests/helpers``."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TESTS = [path for path in (ROOT / "tests").rglob("*.py") if "helpers" not in path.parts]


@pytest.mark.parametrize("path", TESTS, ids=lambda path: str(path.relative_to(ROOT / "tests")))
def test_a_test_imports_nothing_from_another_test(path: Path) -> None:
    """Tests and conftests import of ``tests`` only ``tests.helpers``."""
    imported = re.findall(r"(?m)^\s*(?:from|import) (tests[\w.]*|conftest|test_\w+)", path.read_text())
    assert [name for name in imported if not name.startswith("tests.helpers")] == []


def test_each_folder_of_the_librarys_tests_is_a_room() -> None:
    """Each folder of ``tests/telemetry`` has the name of a room of ``telemetry``."""
    folders = {
        path.parent.relative_to(ROOT / "tests/telemetry").parts[0] for path in ROOT.glob("tests/telemetry/*/**/test_*.py")
    }
    assert folders <= {path.parent.name for path in ROOT.glob("telemetry/*/__init__.py")}
