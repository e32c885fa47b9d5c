"""The ``OTEL_*`` variables: each is usable, or one sentence says what is allowed and shows no secret."""

from __future__ import annotations

import logging
import os
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.sdk import environment_variables

from telemetry import Telemetry
from telemetry._base.otel_settings import VARIABLES, ExportSettingsError, check, check_at_import, unset_blank
from tests.helpers.catalogue import CATALOGUE

SECRET = "hunter2"
OTLP = "OTEL_EXPORTER_OTLP_"
PUSH = {
    "OTEL_TRACES_EXPORTER": "otlp",
    "OTEL_METRICS_EXPORTER": "otlp",
    "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1",
    "OTEL_METRIC_EXPORT_INTERVAL": "2000000000",
}
NOT_READ = {
    *(name for name in vars(environment_variables) if any(part in name for part in ("BLRP", "LOGRECORD", "LOGS", "ZIPKIN"))),
    "OTEL_CONFIG_FILE",  # of OpenTelemetry's own configuration, as the configurators are
    "OTEL_EXPORTER_PROMETHEUS_HOST",  # of the reader that it loads, see test_autoload.py
    "OTEL_EXPORTER_PROMETHEUS_PORT",
    "OTEL_LOG_LEVEL",
    "OTEL_PYTHON_LOGGER_CONFIGURATOR",
    "OTEL_PYTHON_METER_CONFIGURATOR",
    "OTEL_PYTHON_TRACER_CONFIGURATOR",
}
WHOLE = "a whole number from {} to 2147483647 is needed"
MILLISECONDS = "a number of milliseconds from 1 to 2147483647 is needed"
SECONDS = "a number of seconds from 0.001 to 2147483647 is needed"
PATTERNS = "a list of regular expressions is needed"
URL = "a URL as in http://collector:4317 is allowed, without query and fragment"
BAD = [
    ("OTEL_BSP_SCHEDULE_DELAY", ["0", "-1", "soon", "1.5", "1e3", "inf", "٣", "9" * 5000], WHOLE.format(1)),
    ("OTEL_BSP_MAX_QUEUE_SIZE", ["0", "-1", "x", "2147483648"], WHOLE.format(1)),
    ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", ["0", "x"], WHOLE.format(1)),
    ("OTEL_BSP_EXPORT_TIMEOUT", ["-1", "x"], WHOLE.format(0)),
    ("OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", ["-1", "x"], WHOLE.format(0)),
    ("OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT", ["-1", "unset"], WHOLE.format(0)),
    ("OTEL_METRIC_EXPORT_INTERVAL", ["0", "0.0001", "-1", "x", "inf", "nan", "1e400"], MILLISECONDS),
    ("OTEL_METRIC_EXPORT_TIMEOUT", ["0", "30s"], MILLISECONDS),
    ("OTEL_EXPORTER_OTLP_TIMEOUT", ["10s", "0", "-1", "nan", "inf"], SECONDS),
    ("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", ["10s"], SECONDS),
    ("OTEL_EXPORTER_OTLP_METRICS_TIMEOUT", ["10s"], SECONDS),
    ("OTEL_EXPORTER_OTLP_INSECURE", ["yes", "true "], "true or false is needed"),
    ("OTEL_SDK_DISABLED", ["1", "yes"], "true or false is needed"),
    ("OTEL_EXPORTER_OTLP_COMPRESSION", ["br", "snappy"], "gzip or none or deflate is needed"),
    ("OTEL_EXPORTER_OTLP_COMPRESSION", ["deflate"], "gzip or none is needed for the protocol grpc"),
    ("OTEL_EXPORTER_OTLP_PROTOCOL", ["http/json", "udp"], "grpc and http/protobuf are allowed"),
    ("OTEL_EXPORTER_OTLP_ENDPOINT", ["collector:4317", "http://", "ftp://host"], URL),
    ("OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE", ["deltas"], "cumulative or delta or lowmemory is needed"),
    ("OTEL_METRICS_EXEMPLAR_FILTER", ["on", "TRACE_BASED"], "trace_based or always_on or always_off is needed"),
    ("OTEL_TRACES_SAMPLER", ["sometimes"], None),
    ("OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION", ["exponential"], None),
    ("OTEL_PROPAGATORS", ["b3", "tracecontext,,baggage"], "a list of baggage, none, tracecontext is needed"),
    ("OTEL_EXPERIMENTAL_RESOURCE_DETECTORS", ["nowhere"], None),
    ("OTEL_PYTHON_CONTEXT", ["nowhere"], "a list of contextvars_context is needed"),
    ("OTEL_PYTHON_METER_PROVIDER", ["nowhere"], None),
    ("OTEL_PYTHON_EXPORTER_OTLP_GRPC_CREDENTIAL_PROVIDER", ["x"], "a list of nothing (none is installed) is needed"),
    ("OTEL_PYTHON_EXPORTER_OTLP_GRPC_RETRYABLE_ERROR_CODES", ["UNAVAILABLE,NO"], None),
    ("OTEL_INSTRUMENTATION_HTTP_CAPTURE_HEADERS_SERVER_REQUEST", ["(", "a{9999999999999}"], PATTERNS),
    ("OTEL_PYTHON_FASTAPI_EXCLUDED_URLS", ["*"], PATTERNS),
    ("OTEL_PYTHON_HTTPX_EXCLUDED_URLS", ["["], PATTERNS),
    ("OTEL_INSTRUMENTATION_HTTP_CAPTURE_HEADERS_CLIENT_REQUEST", ["("], PATTERNS),
    ("OTEL_INSTRUMENTATION_HTTP_CAPTURE_HEADERS_CLIENT_RESPONSE", ["("], PATTERNS),
    ("OTEL_SERVICE_NAME", ["a\udc80", "a\nb", "\0"], "text without control characters is needed"),
    ("OTEL_EXPORTER_OTLP_CERTIFICATE", ["/nowhere.pem"], "the path of a PEM file is needed (No such file or directory)"),
    ("OTEL_EXPORTER_OTLP_CERTIFICATE", ["/", "/dev/zero"], "the path of a PEM file is needed (it is no file of at most 1 MiB)"),
    ("OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE", ["/etc/hostname"], "the path of a PEM file is needed (it holds no PEM block)"),
]
HIDDEN = [
    (f"{OTLP}HEADERS", f"api-key {SECRET}"),
    (f"{OTLP}HEADERS", f"api-key={SECRET}\n"),
    (f"{OTLP}HEADERS", ","),
    (f"{OTLP}HEADERS", f"api key={SECRET}"),
    (f"{OTLP}HEADERS", f"authorization=Bearer%0A{SECRET}"),
    (f"{OTLP}TRACES_HEADERS", f"a=b,{SECRET}"),
    (f"{OTLP}METRICS_HEADERS", f'a="{SECRET}"'),
    (f"{OTLP}ENDPOINT", f"http://u:{SECRET}@host:x"),
    (f"{OTLP}ENDPOINT", f"http://u:{SECRET}@host:4317"),
    (f"{OTLP}ENDPOINT", f"http://u:{SECRET}"),
    (f"{OTLP}ENDPOINT", f"http://[::1/{SECRET}"),
    (f"{OTLP}TRACES_ENDPOINT", f"host/{SECRET}"),
    (f"{OTLP}ENDPOINT", f"https://host/?key={SECRET}"),
    (f"{OTLP}ENDPOINT", f"https://host/#{SECRET}"),
    (f"{OTLP}METRICS_ENDPOINT", f"https://host:99999/?token={SECRET}"),
    (f"{OTLP}METRICS_ENDPOINT", f" http://host/{SECRET}"),
    (f"{OTLP}CLIENT_KEY", f"-----BEGIN PRIVATE KEY-----{SECRET}"),
    (f"{OTLP}CERTIFICATE", f"-----BEGIN CERTIFICATE-----{SECRET}"),
    ("OTEL_RESOURCE_ATTRIBUTES", f"service.namespace {SECRET}"),
    ("OTEL_RESOURCE_ATTRIBUTES", f"={SECRET}"),
    ("OTEL_RESOURCE_ATTRIBUTES", f"a=%00{SECRET}"),
    ("OTEL_RESOURCE_ATTRIBUTES", ","),
]
USABLE = {
    "OTEL_BSP_SCHEDULE_DELAY": "1",
    "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "2048",
    "OTEL_METRIC_EXPORT_INTERVAL": "1500.5",
    "OTEL_EXPORTER_OTLP_TIMEOUT": "0.5",
    "OTEL_EXPORTER_OTLP_INSECURE": "TRUE",
    "OTEL_EXPORTER_OTLP_COMPRESSION": "none",
    "OTEL_EXPORTER_OTLP_METRICS_COMPRESSION": "gzip",
    "OTEL_EXPORTER_OTLP_HEADERS": "api-key=a%20b, authorization=Basic dTpw==,",
    "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE": "Delta",
    "OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION": "base2_exponential_bucket_histogram",
    "OTEL_TRACES_SAMPLER": "ParentBased_Always_Off",
    "OTEL_TRACES_SAMPLER_ARG": ".25",
    "OTEL_RESOURCE_ATTRIBUTES": "service.namespace=shop,team=b%C3%BCro",
    "OTEL_SEMCONV_STABILITY_OPT_IN": "http/dup,gen_ai_latest_experimental",
    "OTEL_ATTRIBUTE_COUNT_LIMIT": "0",
    "OTEL_PYTHON_EXPORTER_OTLP_GRPC_RETRYABLE_ERROR_CODES": "unavailable, ABORTED",
}


@contextmanager
def environment(**variables: str) -> Iterator[None]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    with patch.dict(os.environ, {**kept, **variables}, clear=True):
        yield


def build() -> None:
    telemetry = Telemetry.from_environment(CATALOGUE)
    telemetry.shutdown(1)


@pytest.mark.parametrize(("name", "values", "needed"), BAD)
def test_value_that_cannot_be_used_is_one_sentence(name: str, values: list[str], needed: str | None) -> None:
    """The sentence names the variable, its value and what is allowed."""
    for value in values:
        with pytest.raises(ExportSettingsError) as error:
            check({name: value})
        told = str(error.value)
        assert told.startswith(f"{name} is ")
        assert needed is None or told.endswith(f": {needed}.")
        assert told.isprintable()
        assert len(told) < 500


@pytest.mark.parametrize(("name", "value"), HIDDEN)
def test_value_that_may_be_secret_is_not_shown(name: str, value: str) -> None:
    """The sentence of a header, a key, or a URL with more than a host has no part of the value."""
    with pytest.raises(ExportSettingsError) as error:
        check({name: value})
    told = str(error.value)
    assert told.startswith(f"{name} is not usable: ")
    assert SECRET not in told
    assert told.endswith("(its value is not shown, it may hold a secret).")


def test_queue_below_the_batch_is_named_with_both() -> None:
    """A queue below the size of a batch, which has a default, names both variables."""
    with pytest.raises(ExportSettingsError) as error:
        check({"OTEL_BSP_MAX_QUEUE_SIZE": "256"})
    assert str(error.value) == (
        "OTEL_BSP_MAX_QUEUE_SIZE is 256: at least OTEL_BSP_MAX_EXPORT_BATCH_SIZE is needed, which is 512."
    )
    check({"OTEL_BSP_MAX_QUEUE_SIZE": "256", "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "256"})


@pytest.mark.parametrize("argument", ["1.5", "-0.1", "nan", "x", "1e9999", "0x1", "1e5"])
def test_sampler_argument_is_a_ratio_where_the_sampler_takes_one(argument: str) -> None:
    """The argument is checked for the samplers by ratio only."""
    with pytest.raises(ExportSettingsError, match=r"OTEL_TRACES_SAMPLER_ARG is .*: a number from 0 to 1"):
        check({"OTEL_TRACES_SAMPLER": "parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG": argument})
    check({"OTEL_TRACES_SAMPLER": "always_on", "OTEL_TRACES_SAMPLER_ARG": argument})


def test_fifo_as_a_certificate_does_not_hang(tmp_path: Path) -> None:
    """A path that is no regular file is not opened."""
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(ExportSettingsError, match="it is no file of at most 1 MiB"):
        check({"OTEL_EXPORTER_OTLP_CERTIFICATE": str(tmp_path / "fifo")})


def test_client_certificate_needs_its_own_key(tmp_path: Path) -> None:
    """Over gRPC a client's certificate needs a key, and the key must be the certificate's."""
    for name in ("one", "two"):
        command = f"openssl req -x509 -nodes -newkey rsa:2048 -subj /CN=x -keyout {name}.key -out {name}.pem"
        subprocess.run(command.split(), cwd=tmp_path, check=True, capture_output=True)
    certificate = {f"{OTLP}CLIENT_CERTIFICATE": str(tmp_path / "one.pem")}
    with pytest.raises(ExportSettingsError, match="its key is needed too, in OTEL_EXPORTER_OTLP_CLIENT_KEY"):
        check(certificate)
    with pytest.raises(ExportSettingsError, match="a certificate with its key, which has no pass phrase, is needed"):
        check({**certificate, f"{OTLP}CLIENT_KEY": str(tmp_path / "two.key")})
    check({**certificate, f"{OTLP}CLIENT_KEY": str(tmp_path / "one.key")})


def test_variables_of_a_signal_that_the_host_exports_are_not_checked() -> None:
    """Where the host makes a signal's pipeline, its variables are the host's."""
    check({"OTEL_BSP_MAX_QUEUE_SIZE": "x", "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT": "x"}, ["METRICS"])
    check({"OTEL_METRIC_EXPORT_INTERVAL": "x", "OTEL_EXPORTER_OTLP_METRICS_TIMEOUT": "x"}, ["TRACES"])


def test_variables_of_the_sdk_are_all_known() -> None:
    """Each variable that the SDK lists is checked, or known to be read by nothing of ours."""
    listed = {name for name in vars(environment_variables) if name.startswith("OTEL_")}
    assert listed - set(VARIABLES) - NOT_READ == set()


@pytest.mark.parametrize("blank", ["", " ", "\t "])
def test_blank_variable_means_an_unset_one(blank: str, caplog: pytest.LogCaptureFixture) -> None:
    """All variables may be blank, as templates leave them: everything is built, and nothing is logged."""
    with environment(**dict.fromkeys(VARIABLES, blank)):
        unset_blank(os.environ)
        assert not set(os.environ) & set(VARIABLES)
    with environment(**{**dict.fromkeys(VARIABLES, blank), **PUSH}):
        build()
    assert caplog.records == []


@pytest.mark.parametrize("name", USABLE)
def test_usable_value_is_taken_without_a_word(name: str, caplog: pytest.LogCaptureFixture) -> None:
    """What the check lets through the SDK and its exporters take too."""
    with environment(**PUSH, **{name: USABLE[name]} if name not in PUSH else {}), caplog.at_level(logging.WARNING):
        build()
    assert caplog.records == []


def test_failed_export_leaves_no_thread() -> None:
    """Where one signal's exporter cannot be made, the threads of the other's end."""
    before = set(threading.enumerate())
    with environment(OTEL_TRACES_EXPORTER="console", OTEL_METRICS_EXPORTER="nowhere"), pytest.raises(ExportSettingsError):
        build()
    assert set(threading.enumerate()) == before


TEXTS = st.one_of(
    st.text(max_size=40),
    st.sampled_from(
        ["0", "-1", "1e308", "nan", "inf", "9" * 5000, "true", "[" * 5000, "a=b", "%", "http://h:99999999999", "://"]
    ),
    st.sampled_from([value for _, values, _ in BAD for value in values] + list(USABLE.values())),
)


@settings(max_examples=400, deadline=None)
@given(st.sampled_from(sorted(VARIABLES)), TEXTS)
def test_any_text_is_taken_or_refused_with_a_sentence(name: str, text: str) -> None:
    """Any text of any variable builds a telemetry, or is refused with one bounded sentence that names the variable."""
    value = text.encode("utf-8", "surrogatepass").replace(b"\0", b"").decode("utf-8", "surrogateescape")
    told = name
    with environment(**{**PUSH, name: value}):
        try:
            check_at_import(os.environ)
            build()
        except ExportSettingsError as error:
            told = str(error)
    assert name in told
    assert told.isprintable()
    assert len(told) < 600


@settings(max_examples=200)
@given(
    st.sampled_from([name for name in sorted(VARIABLES) if name.endswith(("HEADERS", "ENDPOINT", "CLIENT_KEY"))]),
    st.text(max_size=20),
    st.sampled_from(["@", ":", "/", "=", "?", ""]),
    st.text(max_size=20),
)
def test_secret_is_never_shown(name: str, before: str, mark: str, after: str) -> None:
    """Whatever stands around a secret in a header, a key or a URL's password, the sentence does not show it."""
    prefix = "http://u:" if name.endswith("ENDPOINT") else ""
    told = ""
    try:
        check({name: f"{prefix}{before}{SECRET}{mark}{after}@h" if prefix else f"{before}{SECRET}{mark}{after}"})
    except ExportSettingsError as error:
        told = str(error)
    assert SECRET not in told
