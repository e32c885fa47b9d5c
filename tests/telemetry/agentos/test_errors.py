"""Exceptions as label values."""

from __future__ import annotations

import asyncio

import pytest

from telemetry.agentos.errors import error_type_of, reason_of, status_or_reason_of


class WithAttributes(Exception):
    """An exception with the attributes given."""

    def __init__(self, **attributes: object) -> None:
        vars(self).update(attributes)


BY_CLASS = [
    (asyncio.CancelledError(), "cancelled"),
    (GeneratorExit(), "cancelled"),
    (KeyboardInterrupt(), "cancelled"),
    (TimeoutError(), "timeout"),
    (ConnectionRefusedError(), "unreachable"),
    (OSError(), "unreachable"),
    (ZeroDivisionError(), "internal"),
]


@pytest.mark.parametrize(("error", "value"), BY_CLASS, ids=lambda value: repr(value))
def test_exception_is_classified_by_its_class(error: BaseException, value: str) -> None:
    """Both labels have the same value for an exception that says nothing itself."""
    assert (error_type_of(error), reason_of(error)) == (value, value)


def test_attribute_of_the_exception_wins_if_it_is_allowed() -> None:
    """An exception's own ``error_type`` or ``reason`` is its value where the label allows it, and is ignored elsewhere."""
    error = WithAttributes(error_type="agent", reason="rate_limit")
    assert (error_type_of(error), reason_of(error)) == ("agent", "rate_limit")
    error = WithAttributes(error_type="rate_limit", reason="agent")
    assert (error_type_of(error), reason_of(error)) == ("internal", "internal")
    error = WithAttributes(error_type=["agent"], reason=429)
    assert (error_type_of(error), reason_of(error)) == ("internal", "internal")


def test_status_of_the_answer_goes_before_the_reason() -> None:
    """The conventions' ``error.type`` is the HTTP status as text, or the reason of a failure without an answer."""
    assert status_or_reason_of(WithAttributes(status=503, reason="server")) == "503"
    assert status_or_reason_of(WithAttributes(status=None, reason="server")) == "server"


class APITimeoutError(Exception):
    """Named as openai's and anthropic's."""


class ConnectError(Exception):
    """Named as httpx'."""


@pytest.mark.parametrize(
    ("error", "conventions", "reason"),
    [
        (WithAttributes(status_code=429), "429", "rate_limit"),
        (WithAttributes(status_code=504), "504", "timeout"),
        (WithAttributes(response=WithAttributes(status_code=500)), "500", "server"),
        (WithAttributes(response=WithAttributes(status=404)), "404", "client"),
        (WithAttributes(status_code=429, reason="server"), "429", "server"),
        (WithAttributes(status_code="429", response=None), "internal", "internal"),
        (WithAttributes(status_code=True), "internal", "internal"),
        (APITimeoutError(), "timeout", "timeout"),
        (ConnectError(), "unreachable", "unreachable"),
    ],
)
def test_exceptions_of_client_libraries(error: Exception, conventions: str, reason: str) -> None:
    """The exceptions of providers' clients have the status of the answer, or tell timeouts and broken connections by name."""
    assert (status_or_reason_of(error), reason_of(error)) == (conventions, reason)


def test_a_reader_who_leaves_is_no_failure_of_the_provider() -> None:
    """A cancellation stays one, whatever attributes it has."""
    error = asyncio.CancelledError()
    error.status = 500  # type: ignore[attr-defined]
    assert reason_of(error) == "cancelled"
