"""The settings: normalised values, and one sentence per setting that cannot be used."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from agents.settings import ProviderSettings, Settings, SettingsError

BAD = [
    ({"AGENTOS_CACHE_BYTES": "64MiB"}, "AGENTOS_CACHE_BYTES is '64MiB': a whole number above 0 is needed."),
    ({"AGENTOS_CACHE_ANSWER_BYTES": "0"}, "AGENTOS_CACHE_ANSWER_BYTES is '0': a whole number above 0 is needed."),
    ({"AGENTOS_TASKS_SIZE": "0"}, "AGENTOS_TASKS_SIZE is '0': a whole number above 0 is needed."),
    ({"AGENTOS_TASKS_BYTES": "1e6"}, "AGENTOS_TASKS_BYTES is '1e6': a whole number above 0 is needed."),
    ({"AGENTOS_TASKS_TTL": "0"}, "AGENTOS_TASKS_TTL is '0': a number of seconds above 0 is needed, such as 30 or 0.5."),
    (
        {"AGENTOS_AGENT_TIMEOUT": "soon"},
        "AGENTOS_AGENT_TIMEOUT is 'soon': a number of seconds above 0 is needed, such as 30 or 0.5.",
    ),
    (
        {"AGENTOS_AGENT_TIMEOUT": "inf"},
        "AGENTOS_AGENT_TIMEOUT is 'inf': a number of seconds above 0 is needed, such as 30 or 0.5.",
    ),
    ({"AGENTOS_REQUEST_LIMIT": "-1"}, "AGENTOS_REQUEST_LIMIT is '-1': a whole number above 0 is needed."),
    ({"AGENTOS_REQUEST_LIMIT": "1_000"}, "AGENTOS_REQUEST_LIMIT is '1_000': a whole number above 0 is needed."),
    ({"AGENTOS_MAX_CONCURRENT_SCRAPES": "0"}, "AGENTOS_MAX_CONCURRENT_SCRAPES is '0': a whole number above 0 is needed."),
    ({"AGENTOS_RETRIES": "-1"}, "AGENTOS_RETRIES is '-1': a whole number from 0 on is needed."),
    ({"AGENTOS_NATIVE_HISTOGRAMS": "both"}, "AGENTOS_NATIVE_HISTOGRAMS is 'both': true or false is needed."),
    ({"AGENTOS_HTTP_METRICS": "maybe"}, "AGENTOS_HTTP_METRICS is 'maybe': true or false is needed."),
    (
        {"AGENTOS_ENVIRONMENT": "a b"},
        "AGENTOS_ENVIRONMENT is 'a b': a name of letters, digits, '_', '.', '-', at most 64 of them is needed.",
    ),
    ({"AGENTOS_RATE_LIMIT_ON_ERROR": "shrug"}, "AGENTOS_RATE_LIMIT_ON_ERROR is 'shrug': allow or deny is needed."),
    (
        {"AGENTOS_RATE_LIMIT": "0/minute"},
        "AGENTOS_RATE_LIMIT is '0/minute': a number of requests a period is needed, such as 60/minute or 5/10seconds, "
        "several (at most 10) separated by ';' or ',', or off.",
    ),
    (
        {"AGENTOS_AGENTS": '{"navi": "ftp://host"}'},
        "AGENTOS_AGENTS is not usable: for 'navi' an http or https URL such as http://host:9000 is needed, "
        "without user, query and fragment (its value is not shown, it may hold a secret).",
    ),
    (
        {"AGENTOS_MCP_SERVERS": '{"wiki": {"url": "http://h/mcp", "command": ["wiki"]}}'},
        "AGENTOS_MCP_SERVERS is not usable: MCP server 'wiki' is not usable: either a command or a url is needed "
        "(its value is not shown, it may hold a secret).",
    ),
    (
        {"AGENTOS_MCP_SERVERS": '{"wiki": {"command": ["wiki"], "timeout": 0}}'},
        "AGENTOS_MCP_SERVERS is not usable: the timeout of MCP server 'wiki' is a number of seconds above 0, not 0 "
        "(its value is not shown, it may hold a secret).",
    ),
    (
        {"AGENTOS_PROVIDERS": '{"fast": {"speed": 1}}'},
        "AGENTOS_PROVIDERS is not usable: the settings of provider 'fast' are an object with some of kind, latency, "
        "failure_rate, model, base_url, api_key_env, timeout, stream, max_in_flight, response_limit "
        "(its value is not shown, it may hold a secret).",
    ),
    (
        {"AGENTOS_PROVIDERS": '{"fast": {"latency": "x"}}'},
        "AGENTOS_PROVIDERS is not usable: the latency of provider 'fast' is a number of seconds from 0 on "
        "(its value is not shown, it may hold a secret).",
    ),
    (
        {"AGENTOS_PROVIDERS": '{"fast": {"latency": -1}}'},
        "AGENTOS_PROVIDERS is not usable: the latency of provider 'fast' is a number of seconds from 0 on, not -1 "
        "(its value is not shown, it may hold a secret).",
    ),
    (
        {"AGENTOS_RATE_LIMIT": "1/second;" * 10 + "1/hour"},
        f"AGENTOS_RATE_LIMIT is {'1/second;' * 10 + '1/hour'!r}: a number of requests a period is needed, such as 60/minute "
        "or 5/10seconds, several (at most 10) separated by ';' or ',', or off.",
    ),
    (
        {"AGENTOS_BUDGETS": '{"acme": {"USD": 0, "period": "month"}}'},
        """AGENTOS_BUDGETS is '{"acme": {"USD": 0, "period": "month"}}': the USD of 'acme' is 0; a number above 0 is needed, """
        "at most 1000000000000.",
    ),
    ({"AGENTOS_BUDGETS": '{"acme": '}, """AGENTOS_BUDGETS is '{"acme":': it is no JSON, see line 1, column 10."""),
    (
        {"AGENTOS_BUDGETS": "/nowhere/budgets.json"},
        "AGENTOS_BUDGETS is '/nowhere/budgets.json': JSON, or the path of a file with it is needed; this one: it cannot be "
        "read (No such file or directory).",
    ),
    (
        {"AGENTOS_LEDGER": "/nowhere/ledger"},
        "AGENTOS_LEDGER is '/nowhere/ledger': the path of a file in a directory that exists is needed.",
    ),
    ({"AGENTOS_LEDGER": "/"}, "AGENTOS_LEDGER is '/': the path of a file in a directory that exists is needed."),
    ({"AGENTOS_CACHE_SIZE": "9" * 13}, "AGENTOS_CACHE_SIZE is '9999999999999': at most 1000000000000 is allowed."),
    ({"AGENTOS_SHUTDOWN_TIMEOUT": "1e308"}, "AGENTOS_SHUTDOWN_TIMEOUT is '1e308': at most 1000000000.0 is allowed."),
    ({"AGENTOS_CACHE_TTL": "1e-9"}, "AGENTOS_CACHE_TTL is '1e-9': at least 0.001 is needed."),
    (
        {"AGENTOS_AGENTS": "{}"},
        'AGENTOS_AGENTS is not usable: a JSON object of names and URLs is needed, such as {"navi": "http://navi:9000"}; '
        "without the variable the built-in agents are used (its value is not shown, it may hold a secret).",
    ),
    (
        {"AGENTOS_ROUTES": '{"summary": ["nobody"]}'},
        "AGENTOS_ROUTES sends 'summary' to 'nobody': the providers of AGENTOS_PROVIDERS are builtin.",
    ),
    (
        {"AGENTOS_REDIS_URL": "http://:hunter2@host"},
        "AGENTOS_REDIS_URL is not usable: a URL such as redis://:password@host:6379/0 is needed, with / # ? @ : % of a "
        "password URL-encoded and no options but those of TLS (its value is not shown, it may hold a password).",
    ),
]


@pytest.mark.parametrize(("environ", "sentence"), BAD)
def test_unusable_setting_is_one_sentence(environ, sentence):
    """The error names the setting, its value (unless it may be secret) and what is allowed."""
    with pytest.raises(SettingsError) as error:
        Settings.from_environment(environ)
    assert str(error.value) == sentence


def test_only_from_environment_reads_the_environment(monkeypatch, tmp_path):
    """A settings object made without arguments has the defaults, whatever variables and ``.env`` file there are."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".env").write_text("AGENTOS_CACHE_SIZE=7\n")
    monkeypatch.setenv("AGENTOS_AGENT_TIMEOUT", "7")
    settings = Settings()
    assert (settings.agent_timeout, settings.cache_size) == (30.0, 10_000)
    settings = Settings.from_environment()
    assert (settings.agent_timeout, settings.cache_size) == (7.0, 10_000)


def test_a_ledger_that_cannot_be_written_is_refused(monkeypatch, tmp_path):
    """Root may write everywhere but on a read-only disk, so the system's answer is scripted."""
    monkeypatch.setattr("agents.settings.budgets.os.access", lambda path, mode: path != tmp_path)
    with pytest.raises(
        SettingsError, match=r"^AGENTOS_LEDGER is '.*/ledger': the path of a file that can be written is needed\.$"
    ):
        Settings.from_environment({"AGENTOS_LEDGER": str(tmp_path / "ledger")})


def test_unknown_argument_is_refused():
    """A misspelt argument is an error of the caller's program."""
    with pytest.raises(TypeError, match="there is no setting 'agent_timout'"):
        Settings(agent_timout=3)


def test_values_from_the_environment_are_normalised():
    """Text becomes numbers, objects and URLs without a slash at the end; an empty variable means the default."""
    settings = Settings.from_environment(
        {
            "AGENTOS_AGENTS": '{"a": "http://host:9000/"}',
            "AGENTOS_AGENT_TIMEOUT": "2.5",
            "AGENTOS_PROVIDERS": '{"fast": {"latency": 0}, "steady": {}}',
            "AGENTOS_ROUTES": '{"summary": ["steady"]}',
            "AGENTOS_HTTP_METRICS": "True",
            "AGENTOS_RATE_LIMIT": "",
        }
    )
    assert settings.agents == {"a": "http://host:9000"}
    assert settings.agent_timeout == 2.5
    assert settings.providers == {"fast": ProviderSettings(latency=0), "steady": ProviderSettings()}
    assert settings.routes == {"summary": ("steady",)}
    assert settings.http_metrics is True
    assert settings.rate_limit == "60/minute"


def test_settings_cannot_be_changed():
    """A settings object is frozen, and so are its mappings."""
    settings = Settings(agents={"a": "http://host"})
    with pytest.raises(ValidationError, match="frozen"):
        settings.agent_timeout = 1  # type: ignore[misc]
    with pytest.raises(TypeError):
        settings.agents["b"] = "http://other"  # type: ignore[index]


def test_password_is_not_shown():
    """Neither the settings' repr nor that of the Redis URL, which may hold a password, shows it."""
    settings = Settings(redis_url="redis://:hunter2@host")
    assert "hunter2" not in repr(settings) + repr(settings.redis_url) + str(settings.redis_url)


@pytest.mark.parametrize(
    "bad",
    [
        {"kind": "magic"},
        {"failure_rate": 1.1},
        {"latency": -1},
        {"latency": "x"},
        {"timeout": 0},
        {"model": 3},
        {"kind": "openai"},
    ],
)
def test_provider_that_cannot_work_is_refused(bad):
    """A provider's setting outside its rule is refused."""
    with pytest.raises(SettingsError, match="AGENTOS_PROVIDERS is"):
        Settings(providers={"p": bad})


def test_a_request_waits_for_redis_50_ms_at_most():
    """The three uses of Redis in a request, the decision and the get and set of an answer, have 50 ms together."""
    assert 3 * Settings().redis_timeout <= 0.05


@pytest.mark.parametrize("name", ["AGENTOS_RATE_LIMIT", "AGENTOS_CLIENT_RATE_LIMIT"])
@pytest.mark.parametrize(
    "rates", ["off;5/minute", "5/minute,off", ";", "5/minute;", ";5/minute", "5/minute 6/hour", "5/minute;0/hour"]
)
def test_each_of_several_limits_is_checked(name, rates):
    """A list of limits with one that cannot be used, or with ``off``, stops the start."""
    with pytest.raises(SettingsError, match=f"^{name} is '"):
        Settings.from_environment({name: rates})
