"""The current span is kept as OpenTelemetry's API keeps it, also by another runtime context."""

from __future__ import annotations

import contextvars
import importlib.util
from types import ModuleType
from typing import Any

import pytest
from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.context.contextvars_context import ContextVarsRuntimeContext
from opentelemetry.trace import INVALID_SPAN, NonRecordingSpan, SpanContext

from telemetry._sdk import context

SPAN = NonRecordingSpan(SpanContext(1, 2, is_remote=False))


class Noting(ContextVarsRuntimeContext):
    """A runtime context of the host's, as ``OTEL_PYTHON_CONTEXT`` may name one."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[str] = []

    def attach(self, context: Any) -> Any:
        self.calls.append("attach")
        return super().attach(context)

    def detach(self, token: Any) -> None:
        self.calls.append("detach")
        super().detach(token)


def loaded_again() -> ModuleType:
    """Returns a second copy of the module, which looks at the runtime context anew."""
    spec = importlib.util.spec_from_file_location("context_again", context.__file__)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_attached_span_is_current_beside_what_was_there() -> None:
    """A span is added to the context it is given, and the context before comes back."""
    around = otel_context.attach(otel_context.set_value("key", "kept"))
    before = otel_context.get_current()
    token = context.attach(SPAN, context.current_context())
    assert trace.get_current_span() is SPAN
    assert otel_context.get_value("key") == "kept"
    assert otel_context.get_current() == trace.set_span_in_context(SPAN, before)
    context.detach(token)
    assert otel_context.get_current() is before
    otel_context.detach(around)


def test_context_of_another_run_is_left_alone(caplog: pytest.LogCaptureFixture) -> None:
    """Detaching in another context than that of ``attach`` does nothing, and logs nothing."""
    token = contextvars.copy_context().run(context.attach, SPAN, context.current_context())
    context.detach(token)
    assert trace.get_current_span() is INVALID_SPAN
    assert caplog.records == []


def test_runtime_context_of_the_host_is_called(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the host has a runtime context of its own, its methods are called."""
    runtime = Noting()
    monkeypatch.setattr(otel_context, "_RUNTIME_CONTEXT", runtime)
    again = loaded_again()
    token = again.attach(SPAN, again.current_context())
    assert trace.get_current_span() is SPAN
    again.detach(token)
    assert trace.get_current_span() is INVALID_SPAN
    assert runtime.calls == ["attach", "detach"]


@pytest.mark.parametrize("key", [context.SPAN_KEY, ""])
@pytest.mark.parametrize("span", [None, SPAN, INVALID_SPAN, "no span"])
def test_span_in_a_context(span: Any, key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The span of a context is that of the API, also where the key's name is gone."""
    values = otel_context.Context() if span is None else otel_context.Context({context.SPAN_KEY: span})
    monkeypatch.setattr(context, "SPAN_KEY", key)
    assert context.span_in(values) is trace.get_current_span(values)
