"""The versions that the documents name are those that are tested."""

from __future__ import annotations

import re

import pytest

from stack.matrix import LOCKS, NEWEST, ROOT, SDKS, Run, table


def test_documented_versions_are_the_tested_ones() -> None:
    """Each tested SDK has a row in the table, in order."""
    rows = re.findall(r"^\| (\d\S*) \|", (ROOT / "docs/versions.md").read_text(), re.MULTILINE)
    assert rows == list(SDKS)


def test_oldest_version_is_the_lower_bound() -> None:
    """The oldest tested SDK is the one that the distribution asks for."""
    assert f'"opentelemetry-sdk>={next(iter(SDKS))}"' in (ROOT / "pyproject.toml").read_text()


@pytest.mark.parametrize("sdk", SDKS)
def test_each_version_is_pinned_without_an_address(sdk: str) -> None:
    """A version's lock file has its SDK, hashes, and no registry's address."""
    lock = (LOCKS / f"sdk-{sdk}.lock").read_text()
    assert re.search(rf"^opentelemetry-sdk=={re.escape(sdk)}\.\d+ ", lock, re.MULTILINE)
    assert "--hash=sha256:" in lock
    assert "://" not in lock


def test_newest_version_is_the_locked_one() -> None:
    """The newest tested SDK is the one of the project's own lock file."""
    assert f"opentelemetry-sdk=={NEWEST}." in (ROOT / "requirements.lock").read_text()


def test_table_is_aligned() -> None:
    """A run is one line under the headings."""
    assert table([Run("1.36", "3.11", "direct", "public", 1299, 0, 75.4)]).splitlines() == [
        "SDK   Python  record  scrape  passed  failed  seconds",
        "1.36  3.11    direct  public    1299       0       75",
    ]
