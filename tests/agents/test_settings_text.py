"""Any text of any setting: the service is built, or one sentence names the variable and shows no secret."""

from __future__ import annotations

import json
import os
import threading
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from agents.main import create_app
from agents.settings import Settings, SettingsError, values
from telemetry import AgentOSTelemetry, current, install

SECRET = "hunter2-S3cr3t"
FIELDS = sorted(Settings.model_fields)
VARIABLES = [Settings.variable(name) for name in FIELDS]
JSON = ["AGENTOS_AGENTS", "AGENTOS_MCP_SERVERS", "AGENTOS_PROVIDERS", "AGENTOS_ROUTES", "AGENTOS_LABEL_LIMITS"]
NESTED = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8) | st.sampled_from(["a", "kind"]), inner),
    max_leaves=8,
).map(json.dumps)
ODD = [
    *(
        " ",
        ",",
        "[]",
        "{}",
        "null",
        "0",
        "-0",
        "1e308",
        "nan",
        "inf",
        "9" * 5000,
        "0.5",
        "true",
        "off",
        "auto",
        "\x7f",
        "a\u2028b",
    ),
    *("[" * 60_000, '{"a":' * 60_000, '{"a": 1%s}' % ("0" * 5000), '{"a": 1e999}', '{"a": NaN}', '{"a": 1, "a": 2}'),
    *(
        '{"a": "\\ud800"}',
        '{"\\ud800": 1}',
        "\udc80",
        "a\udcffb",
        "a\0b",
        "x" * 100_000,
        '{"p": {"latency": 1%s}}' % ("0" * 400),
    ),
    *(
        "1/second",
        "1e9/minute",
        "9" * 30 + "/minute",
        "1/" + "9" * 30 + "years",
        "60/minute;",
        "http://[::1",
        "unix:/",
        "::1:80",
    ),
    *(
        "redis://h:0",
        "redis://h:99999",
        "redis://h/x",
        "redis://[::1",
        "redis://h?foo=bar",
        "redis://h?socket_timeout=x",
        "rediss://",
    ),
    *("0.0.0.0/33", "10.0.0.1/8", "/dev/null", "/dev/zero", "/", "~", "unix:/" + "x" * 300, "localhost:0", "localhost:65536"),
]


def sentence_of(environ: dict[str, str]) -> str:
    """Returns the sentence with which this environment is refused; nothing where the service is built."""
    try:
        chosen = Settings.from_environment(environ)
        telemetry = AgentOSTelemetry()
        try:
            create_app(chosen, telemetry)
        finally:
            telemetry.shutdown()
    except SettingsError as error:
        return str(error)
    return ""


def check_sentence(told: str, variable: str) -> None:
    if told:
        assert variable in told
        assert told.isprintable()
        assert len(told) <= 1000


@pytest.mark.parametrize("variable", VARIABLES)
def test_odd_text_is_taken_or_refused_with_a_sentence(variable: str) -> None:
    """Blank, huge, deep, undecodable and nearly right text builds the service, or is one bounded sentence."""
    for text in ODD:
        check_sentence(sentence_of({variable: text}), variable)


@settings(max_examples=500, deadline=None)
@given(st.sampled_from(VARIABLES), st.text(max_size=60) | NESTED)
@example("AGENTOS_PROVIDERS", '{"p": {"kind": "openai", "base_url": "http://h", "api_key_env": "\\u0000"}}')
def test_any_text_is_taken_or_refused_with_a_sentence(variable: str, text: str) -> None:
    """No text of a setting is an exception other than the one with the sentence."""
    check_sentence(sentence_of({variable: text}), variable)


@pytest.mark.parametrize("variable", JSON)
def test_ten_megabytes_of_json_are_refused(variable: str) -> None:
    """JSON beyond 1 MiB is not parsed."""
    told = sentence_of({variable: '{"a": "%s"}' % ("x" * 10_000_000)})
    assert "it has more than 1048576 characters" in told
    check_sentence(told, variable)


@pytest.mark.parametrize("variable", [name for name in VARIABLES if name not in ("AGENTOS_STATE_DIRECTORY",)])
@pytest.mark.parametrize("blank", [" ", ",", " , \t", "\n"])
def test_setting_that_holds_nothing_is_refused(variable: str, blank: str) -> None:
    """A setting of white space and commas, of any type, is no way to switch a guard off."""
    check_sentence(sentence_of({variable: blank}) or pytest.fail("it was taken"), variable)


def test_blank_state_directory_is_refused() -> None:
    """A directory of white space would be made in the current one."""
    told = sentence_of({"AGENTOS_STATE_DIRECTORY": " ", "AGENTOS_WORKERS": "on"})
    assert told == "AGENTOS_STATE_DIRECTORY is '': the path of a directory is needed."


GUARDS = [Settings.variable(name) for name, field in Settings.model_fields.items() if values.is_marked(field, values.Guard)]


def test_restrictions_are_marked() -> None:
    """The settings that say who may read /metrics, and where, are known as restrictions."""
    metrics = ("TOKENS", "TOKEN_FILE", "NETWORKS", "PROXIES", "LISTEN")
    assert {f"AGENTOS_METRICS_{name}" for name in metrics} <= set(GUARDS)


@pytest.mark.parametrize("variable", GUARDS)
def test_restriction_that_is_set_and_empty_is_refused(variable: str) -> None:
    """An empty variable means the default elsewhere; of a restriction it would mean none."""
    told = sentence_of({variable: ""})
    assert told == f"{variable} is '': it would restrict nothing, so give a value or unset it."


def test_token_file_without_a_token_is_refused(tmp_path: Any) -> None:
    """A file of blank lines gives no token."""
    (tmp_path / "tokens").write_text("\n \n")
    told = sentence_of({"AGENTOS_METRICS_TOKEN_FILE": str(tmp_path / "tokens")})
    assert told.startswith("AGENTOS_METRICS_TOKEN_FILE is not usable: ")
    assert told.endswith("(the file holds no token).")


@pytest.mark.parametrize("variable", ["AGENTOS_PRICES", "AGENTOS_METRICS_TOKEN_FILE"])
def test_file_that_cannot_be_read_is_refused(tmp_path: Any, variable: str) -> None:
    """A FIFO does not hang, and directories, devices, binary and huge files are one sentence."""
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "binary").write_bytes(bytes(range(256)))
    with (tmp_path / "huge").open("wb") as file:
        file.truncate(2**33)
    for name in ("fifo", "binary", "huge", ".", "missing", "a\0b", "\udc80", "x" * 300):
        told = sentence_of({variable: str(tmp_path / name)})
        assert told
        check_sentence(told, variable)


SECRETS = [
    *(
        ("AGENTOS_REDIS_URL", f"redis://:{SECRET}{rest}")
        for rest in ("/x@h:6379/0", "#x@h", "?x@h", "@h:x", "@h/a", "@h:6379?foo=bar")
    ),
    *(("AGENTOS_REDIS_URL", f"{scheme}://:{SECRET}@h") for scheme in ("http", "unix", "")),
    ("AGENTOS_REDIS_URL", f"redis://h:6379/{SECRET}"),
    ("AGENTOS_REDIS_URL", f"redis://h:{SECRET}"),
    ("AGENTOS_AGENTS", f'{{"a": "http://u:{SECRET}@h"}}'),
    ("AGENTOS_AGENTS", f'{{"a": "http://h/?key={SECRET}"}}'),
    ("AGENTOS_AGENTS", f'{{"a b": "{SECRET}"}}'),
    ("AGENTOS_AGENTS", f'{{"{SECRET}@": "http://h"}}'),
    ("AGENTOS_AGENTS", f'{{"a": "{SECRET}"'),
    ("AGENTOS_PROVIDERS", f'{{"p": {{"kind": "openai", "api_key": "{SECRET}"}}}}'),
    ("AGENTOS_PROVIDERS", f'{{"p": {{"kind": "openai", "base_url": "http://u:{SECRET}@h"}}}}'),
    ("AGENTOS_PROVIDERS", f'{{"p": {{"kind": "{SECRET}"}}}}'),
    ("AGENTOS_PROVIDERS", f'{{"p": {{"api_key_env": "{SECRET}"}}}}'),
    ("AGENTOS_PROVIDERS", f'{{"p": {{"timeout": "{SECRET}"}}}}'),
    ("AGENTOS_PROVIDERS", f'{{"p": "{SECRET}"}}'),
    ("AGENTOS_MCP_SERVERS", f'{{"m": {{"command": "run --token={SECRET}"}}}}'),
    ("AGENTOS_MCP_SERVERS", f'{{"m": {{"command": ["run"], "env": {{"{SECRET}": 1}}}}}}'),
    ("AGENTOS_MCP_SERVERS", f'{{"m": {{"command": ["run"], "env": ["{SECRET}"]}}}}'),
    ("AGENTOS_MCP_SERVERS", f'{{"m": {{"command": ["run"], "token": "{SECRET}"}}}}'),
    ("AGENTOS_MCP_SERVERS", f'{{"m": {{"url": "http://u:{SECRET}@h/mcp"}}}}'),
    ("AGENTOS_MCP_SERVERS", f'{{"m": {{"url": "ftp://h/mcp?key={SECRET}"}}}}'),
    ("AGENTOS_MCP_SERVERS", f'{{"m": {{"url": "http://h/mcp", "env": {{"KEY": "{SECRET}"}}}}}}'),
    ("AGENTOS_MCP_SERVERS", f'{{"m": {{"url": "http://h/mcp", "headers": {{"{SECRET}:": "x"}}}}}}'),
    ("AGENTOS_MCP_SERVERS", f'{{"m": {{"url": "http://h/mcp", "headers": {{"Authorization": "{SECRET}\\n"}}}}}}'),
    ("AGENTOS_MCP_SERVERS", f'{{"m": {{"command": ["run"], "headers": {{"Authorization": "{SECRET}"}}}}}}'),
    ("AGENTOS_MCP_SERVERS", f'{{"m": "{SECRET}"}}'),
    ("AGENTOS_METRICS_TOKENS", f"{SECRET}, {SECRET}{SECRET}"),
    ("AGENTOS_METRICS_TOKEN_FILE", SECRET * 2),
    ("AGENTOS_METRICS_NETWORKS", f"http://u:{SECRET}@h"),
    ("AGENTOS_RATE_LIMIT", f"redis://:{SECRET}@h"),
]


@pytest.mark.parametrize(("variable", "value"), SECRETS)
def test_secret_is_not_shown(variable: str, value: str) -> None:
    """The sentence of a setting that may hold a secret has no part of it."""
    told = sentence_of({variable: value})
    assert told.startswith(f"{variable} is ")
    assert SECRET not in told
    assert SECRET[:7] not in told


@pytest.mark.parametrize(
    "url",
    [
        "redis://h",
        "redis://h/",
        "redis://user@h:6379/15",
        "redis://:p%2Fa%23s%3Fs%40%3A%25@h:6379/0",
        "redis://:p@ss:word%@[::1]:6379/0",
        "rediss://h?ssl_cert_reqs=none&ssl_ca_path=/etc",
    ],
)
def test_usable_redis_url_reaches_the_clients(url: str) -> None:
    """Both clients of Redis are made with what is accepted."""
    assert sentence_of({"AGENTOS_REDIS_URL": url}) == ""


@pytest.mark.parametrize(
    "url",
    [
        "redis://h?db=1",
        "redis://h?ssl_cert_reqs=none",
        "rediss://h?ssl_cert_reqs=x",
        "rediss://h?ssl_ca_certs=/no",
        "rediss://h?ssl_ca_certs=/etc/hostname",
        "rediss://h?ssl_ca_path=/etc/hostname",
        "rediss://h?ssl_certfile=/etc/hostname",
        "rediss://h?ssl_keyfile=/etc/hostname",
        "rediss://h?ssl_cert_reqs=none&ssl_cert_reqs=required",
        "redis://h\n",
    ],
)
def test_redis_url_that_fails_at_the_connection_is_refused(url: str) -> None:
    """What redis-py would refuse at its first connection, or take from another place than our settings, is refused."""
    assert sentence_of({"AGENTOS_REDIS_URL": url}).startswith("AGENTOS_REDIS_URL is not usable: ")


def test_key_that_no_header_can_carry_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A provider's key with a line end or other bytes is one sentence, without the key."""
    monkeypatch.setenv("MY_KEY", f"{SECRET}\n")
    chosen = Settings(providers={"p": {"kind": "openai", "base_url": "http://h", "api_key_env": "MY_KEY"}})
    with pytest.raises(SettingsError) as error:
        create_app(chosen, AgentOSTelemetry())
    assert str(error.value) == "MY_KEY is not usable: a key of printable ASCII characters is needed."


@pytest.mark.parametrize(
    "bad",
    [
        {"label_limits": {"workspace": 1}},
        {"label_limits": {"workspace_id": 10**12}},
        {"max_series": 1},
        {"workers": "on", "state_directory": "/proc/no"},
        {"workers": "on", "state_directory": "/" + "x" * 300},
    ],
)
def test_setting_that_fails_in_the_build_leaves_nothing_open(bad: dict[str, Any]) -> None:
    """What is found wrong only while the telemetry is built is a sentence too, and the process keeps its telemetry."""
    before, threads = current(), set(threading.enumerate())
    with pytest.raises(SettingsError) as error:
        create_app(Settings(**bad))
    check_sentence(str(error.value), "AGENTOS_")
    assert (current(), set(threading.enumerate())) == (before, threads)
    install(before)
