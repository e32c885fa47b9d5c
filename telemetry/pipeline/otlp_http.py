"""What an endpoint answers to a push over HTTP, read as the protocol has it.

The SDK's exporter takes every status below 400 for a success and does not look into the answer. Here a redirect is a failure
and is never followed: the headers with their keys, and the telemetry, go to the configured endpoint only. An answer that is a
web page, or that does not end, comes from no OTLP receiver. What a receiver says that it has rejected is lost.
https://opentelemetry.io/docs/specs/otlp/#otlphttp-response
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from http.cookiejar import DefaultCookiePolicy
from importlib import import_module
from importlib.metadata import entry_points
from io import BytesIO
from time import monotonic
from typing import Any

from telemetry._base.otel_settings import first_set

__all__ = ["Answers", "guarded_session"]

_LIMIT = 16_384
"""Bytes of an answer that are read: the protocol's answers are a few bytes, and a message."""
_RESPONSES = {
    "TRACES": ("trace.v1.trace_service_pb2", "ExportTraceServiceResponse", "rejected_spans", "rejectedSpans"),
    "METRICS": ("metrics.v1.metrics_service_pb2", "ExportMetricsServiceResponse", "rejected_data_points", "rejectedDataPoints"),
}
"""By signal: module and class of the answer, and the field with the number that was rejected, in protobuf and in JSON."""


class Answers:
    """The answers to one export, which may be of several requests.

    Args:
        signal: ``TRACES`` or ``METRICS``.

    Attributes:
        failure: Why an answer that the SDK takes for a success is none; None where there is no such answer.
        rejected: How many spans or points the receiver did not take.
        message: What it says about that, or about what it has taken.
    """

    def __init__(self, signal: str) -> None:
        module, name, self._field, self._json_field = _RESPONSES[signal]
        self._response: Any = getattr(import_module(f"opentelemetry.proto.collector.{module}"), name)
        self.clear()

    def clear(self) -> None:
        """Forgets the answers of the last export."""
        self.failure: str | None = None
        self.rejected = 0
        self.message = ""

    def take(self, status: int, content_type: str, body: bytes | None) -> None:
        """Reads one answer.

        Args:
            status: Its status.
            content_type: The header's value.
            body: Its body; None where that is too long, or did not come in time.
        """
        kind = content_type.partition(";")[0].strip().lower()
        if 300 <= status < 400:
            self.failure = f"it answers {status}, a redirect, which is not followed"
        elif not 200 <= status < 300:
            return  # a failure to the SDK as well
        elif body is None:
            self.failure = f"it answers {status} with more than {_LIMIT} bytes, or without an end: this is no OTLP receiver"
        elif kind == "text/html" or body.lstrip().startswith(b"<"):
            self.failure = f"it answers {status} with a web page: this is no OTLP receiver"
        elif kind.endswith("json"):
            self._take_json(body)
        elif body:
            self._take_protobuf(status, kind, body)

    def _take_protobuf(self, status: int, kind: str, body: bytes) -> None:
        try:
            partial = self._response.FromString(body).partial_success
        except Exception:  # DecodeError of whichever protobuf there is
            if kind.endswith("protobuf"):
                self.failure = f"it answers {status} with what is no answer of OTLP"
            return
        self._reject(getattr(partial, self._field), partial.error_message)

    def _take_json(self, body: bytes) -> None:
        try:
            partial = json.loads(body)["partialSuccess"]
            self._reject(int(partial.get(self._json_field, 0)), str(partial.get("errorMessage", "")))
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            return  # any JSON may be a receiver's way to say yes

    def _reject(self, count: int, message: str) -> None:
        self.rejected += max(count, 0)
        self.message = self.message or message


def guarded_session(signal: str, answers: Answers, environ: Mapping[str, str] = os.environ) -> Any:
    """Returns a session of ``requests`` for the SDK's exporter: it follows no redirect, keeps no cookie, and reads the answers.

    It is that of the credential provider where ``OTEL_PYTHON_EXPORTER_OTLP_HTTP_CREDENTIAL_PROVIDER`` names one.

    Args:
        signal: ``TRACES`` or ``METRICS``.
        answers: Gets each answer.
        environ: The variables.
    """
    provider = "CREDENTIAL_PROVIDER"
    of_signal = f"OTEL_PYTHON_EXPORTER_OTLP_HTTP_{signal}_{provider}"
    name = first_set(environ, f"OTEL_PYTHON_EXPORTER_OTLP_HTTP_{provider}", of_signal)[1]
    if name:
        (found, *_) = entry_points(group="opentelemetry_otlp_credential_provider", name=name)
        session: Any = found.load()()
    else:
        session = import_module("requests").Session()
    session.headers["Accept-Encoding"] = "identity"  # so that no answer grows when it is decoded
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    session.get_redirect_target = lambda _: None
    session.send = _reading(session.send, answers)
    return session


def _reading(send: Callable[..., Any], answers: Answers) -> Callable[..., Any]:
    def read(request: Any, **options: Any) -> Any:
        timeout = options.get("timeout")
        end = monotonic() + timeout if isinstance(timeout, int | float) else None
        response = send(request, **{**options, "stream": True, "allow_redirects": False})
        body = _body(response.raw, end)
        response.raw = BytesIO(body or b"")  # the SDK may read it once more
        answers.take(response.status_code, response.headers.get("Content-Type", ""), body)
        return response

    return read


def _body(raw: Any, end: float | None) -> bytes | None:
    """Returns the body as it came; None, with the connection closed, where it is too long, cut off, or not there by ``end``."""
    found = bytearray()
    try:
        for byte in raw.stream(1, decode_content=False):  # more at once would wait for more, as long as some comes
            found += byte
            if len(found) > _LIMIT or (end is not None and monotonic() > end):
                raise TimeoutError
    except Exception:  # of urllib3, of the socket, or ours
        raw.close()
        return None
    return bytes(found)
