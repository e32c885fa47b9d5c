"""The wheels of the library and of the service: what they hold and what their package pages say."""

from __future__ import annotations

import re
import zipfile
from email.message import Message
from email.parser import Parser
from pathlib import Path
from typing import NamedTuple

import pytest
import trove_classifiers

from stack.environments import build, version_of

ROOT = Path(__file__).parents[2]


class Wheel(NamedTuple):
    """A wheel, opened."""

    version: str
    files: set[str]
    metadata: Message


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Wheel]:
    """Both wheels by the name of their package, each built from its source distribution."""
    library, service = build(tmp_path_factory.mktemp("dist"))
    return {"telemetry": opened(library), "agents": opened(service)}


def opened(path: Path) -> Wheel:
    wheel = zipfile.ZipFile(path)
    (metadata,) = (name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
    return Wheel(version_of(path), set(wheel.namelist()), Parser().parsestr(wheel.read(metadata).decode()))


@pytest.mark.parametrize(("package", "distribution"), [("telemetry", "agentos_telemetry"), ("agents", "agentos")])
def test_a_wheel_holds_the_modules_of_its_package_and_nothing_else(
    wheels: dict[str, Wheel], package: str, distribution: str
) -> None:
    """A wheel holds each module of its one package, the mark of its types, the licence and its metadata."""
    about = f"{distribution}-{wheels[package].version}.dist-info"
    modules = {str(path.relative_to(ROOT)) for path in (ROOT / package).rglob("*.py") if "build-hooks" not in path.parts}
    commands = {f"{about}/entry_points.txt"} & wheels[package].files
    facts = {f"{about}/{name}" for name in ("METADATA", "WHEEL", "RECORD", "licenses/LICENSE")}
    assert wheels[package].files == modules | {f"{package}/py.typed"} | facts | commands


@pytest.mark.parametrize("package", ["telemetry", "agents"])
def test_the_metadata_describes_the_distribution_without_an_address(wheels: dict[str, Wheel], package: str) -> None:
    """Version, licence, keywords and registered classifiers are given; no field names a URL."""
    about = wheels[package].metadata
    classifiers = about.get_all("Classifier") or []
    assert about["Version"] == wheels["telemetry"].version
    assert about["License-Expression"] == "Apache-2.0"
    assert about["Requires-Python"] == ">=3.11"
    assert "prometheus" in about["Keywords"].split(",")
    assert [f"Programming Language :: Python :: 3.{minor}" in classifiers for minor in (11, 12, 13)] == [True] * 3
    assert "Typing :: Typed" in classifiers
    assert set(classifiers) <= trove_classifiers.classifiers
    assert [name for name, value in about.items() if "url" in name.lower() or "://" in value] == []


@pytest.mark.parametrize("package", ["telemetry", "agents"])
def test_the_package_page_has_no_link_that_breaks(wheels: dict[str, Wheel], package: str) -> None:
    """The long description is the package's README, and has no relative link and no picture."""
    page = str(wheels[package].metadata.get_payload())
    assert wheels[package].metadata["Description-Content-Type"] == "text/markdown"
    assert page == (ROOT / package / "README.md").read_text()
    assert re.findall(r"\]\([^)]*\)|\]:|<img|<a ", page) == []


def test_the_library_needs_five_packages(wheels: dict[str, Wheel]) -> None:
    """The library needs four packages of OpenTelemetry and prometheus_client, without upper bounds; the rest are extras."""
    needed = wheels["telemetry"].metadata.get_all("Requires-Dist") or []
    assert sorted(one for one in needed if "extra ==" not in one) == [
        "opentelemetry-api>=1.36",
        "opentelemetry-exporter-prometheus>=0.57b0",
        "opentelemetry-sdk>=1.36",
        "opentelemetry-semantic-conventions>=0.57b0",
        "prometheus-client>=0.23",
    ]
    assert wheels["telemetry"].metadata.get_all("Provides-Extra") == ["fast", "mcp", "openai", "otlp"]


def test_the_service_needs_the_library_of_its_own_version(wheels: dict[str, Wheel]) -> None:
    """The service needs the library of the same release with its extra for OTLP."""
    needed = wheels["agents"].metadata.get_all("Requires-Dist") or []
    assert f"agentos-telemetry[otlp]=={wheels['telemetry'].version}" in needed
    assert wheels["agents"].metadata.get_all("Provides-Extra") == ["mcp", "openai"]
