"""The ``OTEL_*`` variables that the SDK, its exporters and the instrumentations read, each checked before they do.

They answer an unusable value with an exception of their own, a stack trace in the log, or a default without a word, and some
show the value, which may be a secret. Here it is one sentence that ends the start, also where the specification would have the
value ignored with a warning. A blank variable means an unset one, as the specification demands; since parts of the SDK fail on
it, ``unset_blank`` removes it.
https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/
https://opentelemetry.io/docs/specs/otel/protocol/exporter/

``check_at_import`` needs nothing of OpenTelemetry: the variables that it checks fail the import of the API and the SDK.
"""

from __future__ import annotations

import os
import re
import ssl
import stat
from collections.abc import Callable, Collection, Mapping, MutableMapping
from importlib import import_module
from pathlib import Path
from types import ModuleType
from urllib.parse import unquote, urlsplit

from telemetry._base.printable import is_text, shown

__all__ = [
    "PROTOCOLS",
    "VARIABLES",
    "ExportSettingsError",
    "check",
    "check_at_import",
    "first_set",
    "import_grpc",
    "unset_blank",
]

PROTOCOLS = {"grpc": "http://localhost:4317", "http/protobuf": "http://localhost:4318"}
"""Protocol -> its default endpoint."""
_SIGNALS = ("TRACES", "METRICS")
_SHOWN = 100
"""Characters of a value that an error shows."""
_LARGEST = 2**31 - 1
_FILE_BYTES = 1 << 20
_PLAIN_URL = re.compile(r"([a-z][a-z0-9+.-]*://)?[\w.\[\]-]*(:\d*)?/?", re.ASCII)
"""URLs without a user, path, query or fragment, which may hold a secret."""
_HEADER = re.compile(r"[A-Za-z0-9_.-]+[ \t]*=.*", re.ASCII)
_NOT_SHOWN = "its value is not shown, it may hold a secret"
_HEADERS_RULE = "a list such as api-key=abc,team=blue is needed, each value printable and URL-encoded"


class ExportSettingsError(ValueError):
    """An ``OTEL_*`` variable has a value that is not allowed; one sentence with its name, its value and what is allowed.

    Values that may hold a secret are not shown.
    """


Rule = Callable[[str], str | None]
"""Returns what is needed in place of a value that cannot be used, None for one that can."""


def _one_of(*words: str, exactly: bool = False) -> Rule:
    needed = f"{' or '.join(words)} is needed"
    return lambda value: None if (value if exactly else value.lower()) in words else needed


def _whole(least: int, most: int = _LARGEST) -> Rule:
    needed = f"a whole number from {least} to {most} is needed"

    def rule(value: str) -> str | None:
        digits = value.strip()
        usable = digits.isascii() and digits.isdigit() and len(digits) <= 20 and least <= int(digits) <= most
        return None if usable else needed

    return rule


def _number(unit: str, least: float) -> Rule:
    needed = f"a number of {unit} from {least} to {_LARGEST} is needed"

    def rule(value: str) -> str | None:
        plain = re.fullmatch(r"\s*[0-9]{1,20}(\.[0-9]{0,20})?\s*", value)
        return None if plain and least <= float(value) <= _LARGEST else needed

    return rule


def _ratio(value: str) -> str | None:
    plain = re.fullmatch(r"\s*[0-9]?(\.[0-9]{0,30})?(e-[0-9]{1,3})?\s*", value) and any(c.isdigit() for c in value)
    try:
        usable = bool(plain) and 0 <= float(value) <= 1
    except ValueError:
        usable = False
    return None if usable else "a number from 0 to 1 is needed"


def _installed(group: str, *also: str) -> Rule:
    """A list of names that installed packages register."""

    def rule(value: str) -> str | None:
        from importlib.metadata import entry_points  # takes longer than the rest of this module

        names = {*entry_points(group=group).names, *also}
        found = [name.strip() for name in value.split(",")]
        usable = all(name in names or name.lower() in also for name in found)
        return None if usable else f"a list of {', '.join(sorted(names)) or 'nothing (none is installed)'} is needed"

    return rule


def _patterns(value: str) -> str | None:
    try:
        re.compile("|".join(part.strip() for part in value.split(",")), re.IGNORECASE)
    except Exception:  # re.error, RecursionError, OverflowError
        return "a list of regular expressions is needed"
    return None


def _text(_: str) -> str | None:
    return None


def _attributes(value: str) -> str | None:
    items = [item for item in value.split(",") if item.strip()]
    usable = items and all(item.partition("=")[0].strip() and "=" in item and is_text(unquote(item)) for item in items)
    return None if usable else "a list such as service.namespace=shop,team=blue is needed, each value URL-encoded"


def _headers(value: str) -> str | None:
    """The exporters skip what is no header, and log it with its value; gRPC and HTTP refuse others at each export."""
    items = [item.strip() for item in value.split(",") if item.strip()]
    usable = items and all(_HEADER.fullmatch(item) and re.fullmatch(r"[\x20-\x7e]*", unquote(item)) for item in items)
    quoted = any(mark in item.partition("=")[2] for item in items for mark in ('"', "\\", ";"))
    return None if usable and not quoted else _HEADERS_RULE


def _endpoint(value: str) -> str | None:
    needed = "a URL as in http://collector:4317 is allowed, without query and fragment"
    try:
        parts = urlsplit(value)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        usable = usable and not parts.query and not parts.fragment and re.fullmatch(r"[^\s\\]+", value) is not None
    except ValueError:
        usable = False
    return None if usable else needed


def import_grpc(name: str) -> ModuleType:
    """Imports a module that uses gRPC, whose C core writes to stderr past the logging, such as for each failed TLS handshake.

    It reads the variable when it is first imported. What it writes is in the exporters' errors too.
    """
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    return import_module(name)


def _codes(value: str) -> str | None:
    try:
        codes = import_grpc("grpc").StatusCode
    except ImportError:
        return None  # the exporter that reads it is not installed
    known = {code.name for code in codes}
    usable = all(code.strip().upper() in known for code in value.split(",") if code.strip())
    return None if usable else f"a list of {', '.join(sorted(known))} is needed"


def _pem_file(value: str) -> str | None:
    try:
        found = Path(value).stat()
        if not stat.S_ISREG(found.st_mode) or found.st_size > _FILE_BYTES:
            reason = "it is no file of at most 1 MiB"
        else:
            reason = "" if b"-----BEGIN " in Path(value).read_bytes() else "it holds no PEM block"
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it is no path"
    return f"the path of a PEM file is needed ({reason})" if reason else None


def _otlp(name: str, rule: Rule) -> dict[str, Rule]:
    return {f"OTEL_EXPORTER_OTLP_{signal}{name}": rule for signal in ("", *(f"{signal}_" for signal in _SIGNALS))}


_PROVIDERS = _installed("opentelemetry_otlp_credential_provider")
_AT_IMPORT: dict[str, Rule] = {
    "OTEL_PROPAGATORS": _installed("opentelemetry_propagator", "none"),
    "OTEL_PYTHON_CONTEXT": _installed("opentelemetry_context"),
    "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT": _whole(0),
    "OTEL_PYTHON_EXCLUDED_URLS": _patterns,
    "OTEL_PYTHON_FASTAPI_EXCLUDED_URLS": _patterns,
}
"""Read when the API, the SDK and the instrumentation of FastAPI are imported."""
_GENERAL: dict[str, Rule] = {
    "OTEL_SDK_DISABLED": _one_of("true", "false"),
    "OTEL_SERVICE_NAME": _text,
    "OTEL_RESOURCE_ATTRIBUTES": _attributes,
    "OTEL_EXPERIMENTAL_RESOURCE_DETECTORS": _installed("opentelemetry_resource_detector", "*"),
    "OTEL_SEMCONV_STABILITY_OPT_IN": _text,
    "OTEL_PYTHON_SDK_INTERNAL_METRICS_ENABLED": _one_of("true", "false"),
    "OTEL_PYTHON_TRACER_PROVIDER": _installed("opentelemetry_tracer_provider"),
    "OTEL_PYTHON_METER_PROVIDER": _installed("opentelemetry_meter_provider"),
    "OTEL_PYTHON_INSTRUMENTATION_HTTP_CAPTURE_ALL_METHODS": _text,
    "OTEL_INSTRUMENTATION_HTTP_CAPTURE_HEADERS_SERVER_REQUEST": _patterns,
    "OTEL_INSTRUMENTATION_HTTP_CAPTURE_HEADERS_SERVER_RESPONSE": _patterns,
    "OTEL_INSTRUMENTATION_HTTP_CAPTURE_HEADERS_SANITIZE_FIELDS": _patterns,
    "OTEL_INSTRUMENTATION_HTTP_CAPTURE_HEADERS_CLIENT_REQUEST": _patterns,
    "OTEL_INSTRUMENTATION_HTTP_CAPTURE_HEADERS_CLIENT_RESPONSE": _patterns,
    "OTEL_PYTHON_HTTPX_EXCLUDED_URLS": _patterns,
}
_PUSH: dict[str, Rule] = {
    **_otlp("PROTOCOL", lambda value: None if value.strip() in PROTOCOLS else "grpc and http/protobuf are allowed"),
    **_otlp("ENDPOINT", _endpoint),
    **_otlp("INSECURE", _one_of("true", "false")),
    **_otlp("HEADERS", _headers),
    **_otlp("COMPRESSION", lambda value: _one_of("gzip", "none", "deflate")(value.strip())),
    **_otlp("TIMEOUT", _number("seconds", 0.001)),
    **_otlp("CERTIFICATE", _pem_file),
    **_otlp("CLIENT_KEY", _pem_file),
    **_otlp("CLIENT_CERTIFICATE", _pem_file),
    "OTEL_PYTHON_EXPORTER_OTLP_GRPC_CREDENTIAL_PROVIDER": _PROVIDERS,
    "OTEL_PYTHON_EXPORTER_OTLP_HTTP_CREDENTIAL_PROVIDER": _PROVIDERS,
    "OTEL_PYTHON_EXPORTER_OTLP_GRPC_RETRYABLE_ERROR_CODES": _codes,
}
_OF_TRACES: dict[str, Rule] = {
    "OTEL_TRACES_EXPORTER": _text,  # checked where the exporters are chosen
    "OTEL_TRACES_SAMPLER": _one_of(
        *("always_on", "always_off", "traceidratio"),
        *("parentbased_always_on", "parentbased_always_off", "parentbased_traceidratio"),
    ),
    "OTEL_BSP_SCHEDULE_DELAY": _whole(1),
    "OTEL_BSP_EXPORT_TIMEOUT": _whole(0),
    "OTEL_BSP_MAX_QUEUE_SIZE": _whole(1),
    "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": _whole(1),
    "OTEL_ATTRIBUTE_COUNT_LIMIT": _whole(0),
    "OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT": _whole(0),
    "OTEL_EVENT_ATTRIBUTE_COUNT_LIMIT": _whole(0),
    "OTEL_LINK_ATTRIBUTE_COUNT_LIMIT": _whole(0),
    "OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT": _whole(0),
    "OTEL_SPAN_EVENT_COUNT_LIMIT": _whole(0),
    "OTEL_SPAN_LINK_COUNT_LIMIT": _whole(0),
    "OTEL_PYTHON_EXPORTER_OTLP_GRPC_TRACES_CREDENTIAL_PROVIDER": _PROVIDERS,
    "OTEL_PYTHON_EXPORTER_OTLP_HTTP_TRACES_CREDENTIAL_PROVIDER": _PROVIDERS,
}
_OF_METRICS: dict[str, Rule] = {
    "OTEL_METRICS_EXPORTER": _text,  # checked where the exporters are chosen
    "OTEL_METRICS_EXEMPLAR_FILTER": _one_of("trace_based", "always_on", "always_off", exactly=True),
    "OTEL_METRIC_EXPORT_INTERVAL": _number("milliseconds", 1),
    "OTEL_METRIC_EXPORT_TIMEOUT": _number("milliseconds", 1),
    "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE": lambda value: _one_of("cumulative", "delta", "lowmemory")(
        value.strip()
    ),
    "OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION": _one_of(
        "explicit_bucket_histogram", "base2_exponential_bucket_histogram", exactly=True
    ),
    "OTEL_PYTHON_EXPORTER_OTLP_GRPC_METRICS_CREDENTIAL_PROVIDER": _PROVIDERS,
    "OTEL_PYTHON_EXPORTER_OTLP_HTTP_METRICS_CREDENTIAL_PROVIDER": _PROVIDERS,
}
VARIABLES: Mapping[str, Rule] = {
    **_AT_IMPORT,
    **_GENERAL,
    **_OF_TRACES,
    **_OF_METRICS,
    **_PUSH,
    "OTEL_TRACES_SAMPLER_ARG": _ratio,
}
"""All variables that are checked."""
_SECRET = re.compile(r"HEADERS$|CLIENT_KEY$|RESOURCE_ATTRIBUTES$")


def unset_blank(environ: MutableMapping[str, str]) -> None:
    """Removes the variables that are set to nothing or to white space: they mean unset ones."""
    for name in VARIABLES:
        if name in environ and not environ[name].strip():
            del environ[name]


def check_at_import(environ: Mapping[str, str]) -> None:
    """Checks the variables that OpenTelemetry's modules read when they are imported. Raises ``ExportSettingsError``."""
    _check(environ, _AT_IMPORT)


def check(environ: Mapping[str, str], signals: Collection[str] = _SIGNALS) -> None:
    """Checks the variables, those of one signal only for the given ``signals``.

    Raises:
        ExportSettingsError: A variable has a value that cannot be used.
    """
    _check(environ, _AT_IMPORT)
    _check(environ, _GENERAL)
    if "TRACES" in signals:
        _check(environ, _OF_TRACES)
        _check_sampler(environ)
        _check_batches(environ)
    if "METRICS" in signals:
        _check(environ, _OF_METRICS)
    for name, rule in _PUSH.items():
        if not any(other in name for other in _SIGNALS if other not in signals):
            _check(environ, {name: rule})
    for signal in signals:
        _check_destination(environ, signal)


def _check(environ: Mapping[str, str], rules: Mapping[str, Rule]) -> None:
    for name, rule in rules.items():
        value = environ.get(name, "")
        if not value.strip():
            continue
        needed = rule(value) if is_text(value) else "text without control characters is needed"
        if needed is not None:
            raise _error(name, value, needed)


def _error(name: str, value: str, needed: str) -> ExportSettingsError:
    hidden = _SECRET.search(name) or (not _PLAIN_URL.fullmatch(value) if name.endswith("ENDPOINT") else _looks_secret(value))
    if hidden:
        return ExportSettingsError(f"{name} is not usable: {needed} ({_NOT_SHOWN}).")
    return ExportSettingsError(f"{name} is {shown(value, _SHOWN)}: {needed}.")


def _looks_secret(value: str) -> bool:
    return "@" in value or "-----BEGIN" in value


def _check_sampler(environ: Mapping[str, str]) -> None:
    if "traceidratio" in environ.get("OTEL_TRACES_SAMPLER", "").lower():  # others take no argument
        _check(environ, {"OTEL_TRACES_SAMPLER_ARG": _ratio})


def _check_batches(environ: Mapping[str, str]) -> None:
    queue = int(environ.get("OTEL_BSP_MAX_QUEUE_SIZE", "").strip() or 2048)
    batch = int(environ.get("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "").strip() or 512)
    if batch > queue:
        raise ExportSettingsError(
            f"OTEL_BSP_MAX_QUEUE_SIZE is {queue}: at least OTEL_BSP_MAX_EXPORT_BATCH_SIZE is needed, which is {batch}."
        )


def _check_destination(environ: Mapping[str, str], signal: str) -> None:
    """Checks what depends on the protocol: gRPC takes no user in the URL, no deflate, and no certificate without its key."""
    protocol = first_set(environ, *_names(signal, "PROTOCOL"))[1] or "grpc"
    certificate = first_set(environ, *_names(signal, "CLIENT_CERTIFICATE"))
    key = first_set(environ, *_names(signal, "CLIENT_KEY"))
    if certificate[1]:
        _check_pair(certificate, key, protocol)
    if protocol != "grpc":
        return
    name, url = first_set(environ, *_names(signal, "ENDPOINT"))
    if url and "@" in urlsplit(url).netloc:
        raise _error(name, url, f"{protocol} takes no user in the URL, use OTEL_EXPORTER_OTLP_HEADERS")
    name, compression = first_set(environ, *_names(signal, "COMPRESSION"))
    if compression.lower() == "deflate":
        raise _error(name, compression, "gzip or none is needed for the protocol grpc")


def _check_pair(certificate: tuple[str, str], key: tuple[str, str], protocol: str) -> None:
    if protocol == "grpc" and not key[1]:
        raise _error(*certificate, "its key is needed too, in OTEL_EXPORTER_OTLP_CLIENT_KEY")
    try:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_cert_chain(certificate[1], key[1] or None, password=lambda: b"-")  # never asks at the terminal
    except (OSError, ValueError):  # ssl.SSLError is an OSError
        raise _error(*certificate, "a certificate with its key, which has no pass phrase, is needed") from None


def _names(signal: str, suffix: str) -> tuple[str, str]:
    return f"OTEL_EXPORTER_OTLP_{signal}_{suffix}", f"OTEL_EXPORTER_OTLP_{suffix}"


def first_set(environ: Mapping[str, str], *names: str) -> tuple[str, str]:
    """Returns the first of the variables that is not blank, and its value; two empty strings if none is."""
    return next(((name, value) for name in names if (value := environ.get(name, "").strip())), ("", ""))
