"""The API reference that ``make docs`` builds from the docstrings."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MAKEFILE = (ROOT / "Makefile").read_text()
ROOMS = re.findall(r"(?m)^ROOMS := (.*)$", MAKEFILE)[0].split()
MODULES = ["telemetry", *(f"telemetry.{room}" for room in ROOMS)]
LEFT_OUT = shlex.split(re.findall(r"(?m)^NOT_IN_REFERENCE := (.*)$", MAKEFILE)[0])


@pytest.fixture(scope="module", name="pages")
def built(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The built pages by module; a warning of pdoc is an error."""
    folder = tmp_path_factory.mktemp("reference")
    options = re.findall(r"(?m)^\t\$\(PY\) -m pdoc (.*) --output-directory", MAKEFILE)[0]
    command = [
        sys.executable,
        "-W",
        "error::UserWarning",
        "-m",
        "pdoc",
        *shlex.split(options),
        "-o",
        str(folder),
        *MODULES,
        *LEFT_OUT,
    ]
    done = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    pages = folder.rglob("*.html")
    return {".".join(page.relative_to(folder).with_suffix("").parts): page.read_text() for page in pages}


@pytest.mark.parametrize("module", MODULES)
def test_each_public_name_is_documented(pages: dict[str, str], module: str) -> None:
    """Each class and function of ``__all__`` has its own entry on the module's page."""
    imported = import_module(module)
    public = [name for name in getattr(imported, "__all__", []) if callable(getattr(imported, name))]
    assert [name for name in public if f'<section id="{name}">' not in pages[module]] == []


def test_each_link_leads_to_an_entry(pages: dict[str, str]) -> None:
    """Each link inside the reference has its page, and its entry on that page."""
    broken = []
    for module, page in pages.items():
        folder = module.split(".")[:-1]
        shown = re.sub(r"(?s)<script.*?</script>", "", page)
        for path, anchor in re.findall(r'href="([^":]*?)(?:\.html)?(?:#([^"]*))?"', shown):
            target = ".".join(_resolved(folder, path)) if path else module
            if target not in pages or (anchor and f'id="{anchor}"' not in pages[target]):
                broken.append((module, path, anchor))
    assert broken == []


def _resolved(folder: list[str], path: str) -> list[str]:
    """Returns the module's parts that a relative path leads to."""
    parts = list(folder)
    for part in path.split("/"):
        if part == "..":
            parts.pop()
        elif part != ".":
            parts.append(part)
    return parts
