"""Bearer tokens: what is one, what becomes of it, and their file."""

from __future__ import annotations

import gc
import os
from pathlib import Path

import pytest

from telemetry.exposition import Token, TokenError, TokenFile, Tokens

OLD, NEW = "old-token-0123456789", "new-token-0123456789"


@pytest.mark.parametrize("text", ["", "short", "x" * 1025, "with space 0123456789", "ä" * 20, "line\n0123456789012", "a=b" * 9])
def test_what_is_no_token(text: str) -> None:
    """Text that is too short, too long or could not be sent in a header is refused, and the error does not show it."""
    with pytest.raises(TokenError) as error:
        Token(text)
    assert str(error.value) == "a token has 16 to 1024 letters, digits and marks of -._~+/ (and = at its end)"


def test_the_token_is_nowhere() -> None:
    """Neither repr nor any object that a Token refers to holds the text."""
    text = "".join(["secret", "-", "0123456789-abcdef"])
    tokens = Tokens([Token(text)])
    assert repr(Token(text)) == "<Token>"
    reached = [tokens, *gc.get_referents(tokens), *gc.get_referents(*gc.get_referents(tokens)), Token(text)]
    assert [one for one in reached if text in repr(one)] == []
    assert tokens.accept(text.encode())


def write(path: Path, text: str) -> None:
    """As an operator rotates: a new file takes the place of the old one."""
    new = path.with_suffix(".new")
    new.write_text(text)
    new.replace(path)


class Told(list[str]):
    def __call__(self, what: str) -> None:
        self.append(what)


def test_rotation_by_the_file(tmp_path: Path) -> None:
    """A changed file holds from the next request on: first both tokens, then the new one alone."""
    path, told = tmp_path / "tokens", Told()
    tokens = Tokens(file=TokenFile(path, told))
    accepted = []
    for text in (f"{OLD}\n", f"{OLD}\n\n  {NEW}\r\n", f"{NEW}\n"):
        write(path, text)
        accepted.append((tokens.accept(OLD.encode()), tokens.accept(NEW.encode())))
    assert (accepted, told) == ([(True, False), (True, True), (False, True)], [])


def test_same_size_in_the_same_moment(tmp_path: Path) -> None:
    """Two writes that time, size and inode do not tell apart are told apart: a fresh file is read again."""
    path = tmp_path / "tokens"
    tokens = Tokens(file=TokenFile(path, Told(), clock=lambda: 1000.5))
    for text in (OLD, NEW):
        path.write_text(text)
        os.utime(path, (1000, 1000))
        assert [tokens.accept(OLD.encode()), tokens.accept(NEW.encode())] == [text == OLD, text == NEW]


def test_a_settled_file_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that has not changed for a while is only looked at."""
    path = tmp_path / "tokens"
    path.write_text(OLD)
    tokens = Tokens(file=TokenFile(path, Told(), clock=lambda: path.stat().st_mtime + 60))
    assert tokens.accept(OLD.encode())

    def unreadable(*_: object) -> None:
        raise AssertionError("read again")

    monkeypatch.setattr(Path, "open", unreadable)
    assert tokens.accept(OLD.encode())


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (None, "FileNotFoundError"),
        ("", "the file holds no token"),
        ("short", "a token has 16 to 1024 letters, digits and marks of -._~+/ (and = at its end)"),
        (f"{OLD}\n" * 4000, "a file of tokens has at most 65536 bytes"),
    ],
)
def test_a_file_that_cannot_be_used_lets_nobody_in(tmp_path: Path, text: str | None, reason: str) -> None:
    """A file that is gone, empty or wrong holds no token until it is mended, and the reason does not show its content."""
    path, told = tmp_path / "tokens", Told()
    tokens = Tokens(file=TokenFile(path, told))
    write(path, OLD)
    assert tokens.accept(OLD.encode())
    if text is None:
        path.unlink()
    else:
        write(path, text)
    assert not tokens.accept(OLD.encode())
    assert not tokens.accept(b"")
    assert set(told) == {reason}
    write(path, OLD)
    assert tokens.accept(OLD.encode())


def test_given_tokens_hold_beside_a_broken_file(tmp_path: Path) -> None:
    """A token of the environment goes on when the file is gone."""
    tokens = Tokens([Token(NEW)], TokenFile(tmp_path / "none", Told()))
    assert [tokens.accept(OLD.encode()), tokens.accept(NEW.encode())] == [False, True]
