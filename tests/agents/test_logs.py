"""The service's log lines."""

from __future__ import annotations

import io
import logging

import pytest

from agents.observability.logs import log_to_stderr
from agents.services.providers.base import ProviderError


@pytest.fixture
def lines(monkeypatch):
    """Has the service log to a buffer; yields a logger of its own and what it has written."""
    buffer = io.StringIO()
    root, mine = logging.getLogger(), logging.getLogger("agents")
    monkeypatch.setattr(root, "handlers", [])
    monkeypatch.setattr(mine, "handlers", [])
    monkeypatch.setattr("sys.stderr", buffer)
    log_to_stderr()
    yield logging.getLogger("agents.test"), buffer.getvalue
    mine.handlers[0].close()


def test_message_is_one_printable_line(lines):
    """A message with line ends and escape sequences forges no line, and its length has a limit."""
    log, written = lines
    log.warning("it says: %s", "\nCRITICAL forged \x1b[31m" + "x" * 10_000)
    (line,) = written().splitlines()
    assert "it says: CRITICAL forged \ufffd[31mxxx" in line
    assert len(line) < 2200


def test_exception_is_logged_without_what_it_quotes(lines):
    """An exception and its causes are named by class and place; only our own and the system's messages are shown."""
    log, written = lines
    try:
        try:
            raise ValueError("how are you?")
        except ValueError as error:
            raise ProviderError("status 500\nCRITICAL forged") from error
    except ProviderError as error:
        log.error("failed", exc_info=error)
    text = written()
    assert "ProviderError: status 500 CRITICAL forged" in text
    assert "\nValueError\n" in text
    assert "in test_exception_is_logged_without_what_it_quotes" in text
    assert "how are you?" not in text.replace('raise ValueError("how are you?")', "")


def test_causes_of_an_exception_have_a_limit(lines):
    """Of a long chain of causes only the last ones are logged, also where the chain is a circle."""
    log, written = lines
    first, second = OSError("first"), OSError("second")
    first.__cause__, second.__cause__ = second, first
    log.error("failed", exc_info=first)
    assert written().count("OSError: ") == 5
