"""How the real servers are had, and what is said where they cannot be."""

from __future__ import annotations

from pathlib import Path

import pytest

from stack.servers import binaries
from stack.servers.binaries import BINARIES, BinaryMissingError, binary
from tests.helpers import needs


@pytest.fixture
def no_go(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A machine with an empty cache and without Go."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", str(tmp_path))


def test_without_go_the_message_says_how_to_get_it(no_go: None) -> None:
    """The reason names the program, what is missing, and the way."""
    with pytest.raises(BinaryMissingError) as missing:
        binary("jaeger")
    assert str(missing.value) == (
        "jaeger is built with Go, which is not installed: install Go 1.26 or newer (https://go.dev/doc/install), "
        "then `make binaries`"
    )


def test_a_missing_server_skips_its_test(no_go: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a machine that is not CI the test is skipped with the reason."""
    monkeypatch.setenv("CI", "")
    with pytest.raises(pytest.skip.Exception, match="install Go"):
        needs.built("prometheus")


def test_a_missing_server_fails_in_ci(no_go: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """With CI=true nothing may be missing, neither a built server nor a packaged one."""
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="install Go"):
        needs.built("prometheus")
    with pytest.raises(pytest.fail.Exception, match="sudo apt-get install redis-server"):
        needs.packaged("redis-server", "redis-server")


def test_what_is_built_is_found_again(no_go: None) -> None:
    """A program in the cache under its pin's name is used as it is, without Go."""
    program = BINARIES["jaeger"].kept_in() / "jaeger"
    program.parent.mkdir(parents=True)
    program.touch()
    assert binary("jaeger") == program


def test_another_pin_is_another_program(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A changed go.sum changes the place in the cache."""
    (tmp_path / "jaeger").mkdir()
    monkeypatch.setattr(binaries, "_PINS", tmp_path)
    places = set()
    for text in ("one", "two"):
        (tmp_path / "jaeger" / "go.sum").write_text(text)
        places.add(BINARIES["jaeger"].kept_in())
    assert len(places) == 2
