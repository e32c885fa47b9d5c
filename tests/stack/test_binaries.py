"""Where the real servers come from, and the message if one is missing."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from stack.servers import binaries
from stack.servers.binaries import BINARIES, BinaryMissingError, binary
from tests.helpers import required_servers


@pytest.fixture
def no_go(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A machine with an empty cache and without Go."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", str(tmp_path))


def test_without_go_the_message_says_how_to_get_it(no_go: None) -> None:
    """The reason names the server, the missing program, and how to install it."""
    with pytest.raises(BinaryMissingError) as missing:
        binary("jaeger")
    assert str(missing.value) == (
        "jaeger is built with Go, which is not installed: install Go 1.26.7 or newer (https://go.dev/doc/install), "
        "then `make binaries`"
    )


def test_a_missing_server_skips_its_test(no_go: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Outside CI the test is skipped with the reason."""
    monkeypatch.setenv("CI", "")
    with pytest.raises(pytest.skip.Exception, match="install Go"):
        required_servers.built_server("prometheus")


def test_a_missing_server_fails_in_ci(no_go: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """With CI=true the test fails, for a built server and for a packaged one."""
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="install Go"):
        required_servers.built_server("prometheus")
    with pytest.raises(pytest.fail.Exception, match="sudo apt-get install redis-server"):
        required_servers.packaged_server("redis-server", "redis-server")


def test_a_built_server_is_reused(no_go: None) -> None:
    """A program in the cache under its pin's name is used without Go."""
    program = BINARIES["jaeger"].kept_in() / "jaeger"
    program.parent.mkdir(parents=True)
    program.touch()
    assert binary("jaeger") == program


def test_another_pin_is_another_program(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A changed go.sum changes the path in the cache."""
    (tmp_path / "jaeger").mkdir()
    monkeypatch.setattr(binaries, "PINS", tmp_path)
    places = set()
    for text in ("one", "two"):
        (tmp_path / "jaeger" / "go.sum").write_text(text)
        places.add(BINARIES["jaeger"].kept_in())
    assert len(places) == 2


def test_a_changed_source_is_another_program(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A changed Go file of a program of our own changes the path in the cache."""
    shutil.copytree(BINARIES["parser"].pins, tmp_path / "parser")
    before = BINARIES["parser"].kept_in()
    monkeypatch.setattr(binaries, "PINS", tmp_path)
    assert BINARIES["parser"].kept_in() == before
    (tmp_path / "parser" / "main.go").write_text("package main\n")
    assert BINARIES["parser"].kept_in() != before
