"""Quotas of providers: what headers of every form say, and when the gauges show it."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from telemetry import AgentOSTelemetry
from telemetry.agentos.catalogue import AGENTOS
from telemetry.agentos.catalogue_models import MODELS
from telemetry.agentos.quota import Quota, quotas_of
from telemetry.metric import telemetry_metrics
from tests.helpers.clock import Clock
from tests.helpers.samples import read

NOW = 1_700_000_000.0
"""2023-11-14T22:13:20Z."""


def said(*headers: tuple[str, str]) -> dict[str, Quota]:
    """What the headers say, by resource."""
    return {quota.resource: quota for quota in quotas_of(headers, lambda: NOW)}


def test_headers_of_openai() -> None:
    """Each resource has its limit, what remains of it, and the seconds until its reset; names are read in any case."""
    assert said(
        ("x-ratelimit-limit-requests", "60"),
        ("x-ratelimit-remaining-requests", "59"),
        ("x-ratelimit-reset-requests", "1s"),
        ("X-RateLimit-Limit-Tokens", "150000"),
        ("X-RateLimit-Remaining-Tokens", "149984"),
        ("X-RateLimit-Reset-Tokens", "6m0s"),
    ) == {"requests": Quota("requests", 60, 59, 1.0), "tokens": Quota("tokens", 150000, 149984, 360.0)}


def test_headers_of_azure() -> None:
    """Azure says what remains, without a limit, and had a spelling of its own for the reset of a refusal."""
    assert said(
        ("x-ratelimit-remaining-requests", "79"), ("x-ratelimit-remaining-tokens", "61353"), ("x-rate-limit-reset-tokens", "55")
    ) == {"requests": Quota("requests", None, 79), "tokens": Quota("tokens", None, 61353, 55.0)}
    unknown = [("x-ratelimit-limit-tokens", "-1"), ("x-ratelimit-remaining-tokens", "-1"), ("x-ratelimit-reset-tokens", "0")]
    assert said(*unknown) == {}


def test_headers_of_anthropic() -> None:
    """Of several limits for tokens the one that is used up most counts; dates are seconds from now."""
    assert said(
        ("anthropic-ratelimit-requests-limit", "50"),
        ("anthropic-ratelimit-requests-remaining", "49"),
        ("anthropic-ratelimit-requests-reset", "2023-11-14T22:14:20Z"),
        ("anthropic-ratelimit-tokens-limit", "1000"),
        ("anthropic-ratelimit-tokens-remaining", "900"),
        ("anthropic-ratelimit-output-tokens-limit", "100"),
        ("anthropic-ratelimit-output-tokens-remaining", "20"),
        ("anthropic-ratelimit-output-tokens-reset", "2023-11-14T23:13:30+01:00"),
        ("anthropic-ratelimit-input-tokens-limit", "800"),
        ("anthropic-ratelimit-input-tokens-remaining", "700"),
    ) == {"requests": Quota("requests", 50, 49, 60.0), "tokens": Quota("tokens", 100, 20, 10.0)}


def test_limits_of_several_periods() -> None:
    """Of limits for a minute and for a day the one that is used up most counts."""
    assert said(
        ("x-ratelimit-limit-req-minute", "60"),
        ("x-ratelimit-remaining-req-minute", "59"),
        ("x-ratelimit-limit-requests-day", "1000"),
        ("x-ratelimit-remaining-requests-day", "10"),
        ("x-ratelimit-reset-requests-day", "33011.382867"),
    ) == {"requests": Quota("requests", 1000, 10, 33011.382867)}


def test_headers_of_the_draft() -> None:
    """The fields that the IETF's draft had until its version 07 are about requests."""
    assert said(("RateLimit-Limit", "100"), ("RateLimit-Remaining", "50"), ("RateLimit-Reset", "5")) == {
        "requests": Quota("requests", 100, 50, 5.0)
    }


def test_header_that_comes_twice() -> None:
    """Of several values of a header the lowest number and the latest reset count, usable ones alone."""
    assert said(
        ("x-ratelimit-remaining-tokens", "70"),
        ("x-ratelimit-remaining-tokens", "500, 40, many"),
        ("x-ratelimit-reset-tokens", "1s, 3s"),
        ("x-ratelimit-reset-tokens", "2s"),
    ) == {"tokens": Quota("tokens", None, 40, 3.0)}


@pytest.mark.parametrize(
    "text",
    ["", " ", "-1", "-5", "+5", "1e3", "nan", "inf", "5.5", "0x10", "many", "5 tokens", "٣", "1_000", "9" * 17, "9" * 5000],
)
def test_number_that_is_no_quota_says_nothing(text: str) -> None:
    """A number that is negative, not whole, too large or no number leaves the quota unknown: Azure sends -1."""
    assert said(("x-ratelimit-remaining-tokens", text)) == {}
    assert said(("x-ratelimit-limit-tokens", "10"), ("x-ratelimit-remaining-tokens", text))["tokens"].remaining is None


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("12ms", 0.012),
        ("2m59.56s", 179.56),
        ("1h2m3.5s", 3723.5),
        ("100µs", 0.0001),
        ("1d", 86400.0),
        ("30", 30.0),
        ("0.5", 0.5),
        ("1700000030", 30.0),
        ("1700000030000", 30.0),
        ("2023-11-14T22:13:50Z", 30.0),
        ("2023-11-14T22:13:50.250", 30.25),
        ("999999999h", 999999999 * 3600.0),
    ],
)
def test_reset_in_each_form(text: str, seconds: float) -> None:
    """A reset is a duration of Go, seconds, Unix time in seconds or milliseconds, or a date."""
    reset = said(("x-ratelimit-limit-tokens", "1"), ("x-ratelimit-reset-tokens", text))["tokens"].reset
    assert reset == pytest.approx(seconds, rel=1e-12)


@pytest.mark.parametrize(
    "text",
    [
        *("", "0", "0s", "-6m0s", "6m0", "soon", "1.s", "ms", "1s" * 1000, "1700000000", "Tue, 14 Nov 2023 22:13:50 GMT"),
        *("2023-11-14T22:13:20Z", "2023-13-14T22:13:50Z", "0001-01-01T00:00:00+23:59", "2023-11-14T22:13:50.5.5"),
    ],
)
def test_reset_that_says_nothing(text: str) -> None:
    """A reset that is not in the future, or not in one of these forms, leaves the numbers as they are."""
    assert said(("x-ratelimit-limit-tokens", "1"), ("x-ratelimit-reset-tokens", text)) == {"tokens": Quota("tokens", 1)}


NAMES = st.sampled_from(
    [f"x-ratelimit-{field}-{what}" for field in ("limit", "remaining", "reset") for what in ("requests", "tokens", "req-day")]
    + [
        f"anthropic-ratelimit-{what}-{field}"
        for field in ("limit", "remaining", "reset")
        for what in ("tokens", "input-tokens")
    ]
    + ["ratelimit-limit", "ratelimit-reset", "content-type"]
)
DURATIONS = st.lists(
    st.tuples(st.integers(0, 10**6) | st.floats(0, 1e9), st.sampled_from(["h", "m", "s", "ms", "us", "ns", "d"])), max_size=5
).map(lambda parts: "".join(f"{number}{unit}" for number, unit in parts))
TEXTS = (
    st.text() | st.integers().map(str) | st.floats().map(str) | DURATIONS | st.datetimes().map(lambda date: date.isoformat())
)


@settings(deadline=None)
@given(headers=st.lists(st.tuples(NAMES | st.text(), TEXTS)))
def test_no_header_raises(headers: list[tuple[str, str]]) -> None:
    """Whatever the headers hold: at most one quota a resource, numbers from 0 on, resets in the future."""
    quotas = quotas_of(headers, lambda: NOW)
    assert len({quota.resource for quota in quotas}) == len(quotas)
    for quota in quotas:
        assert quota.resource in ("requests", "tokens")
        numbers = [number for number in (quota.limit, quota.remaining) if number is not None]
        assert numbers
        assert all(0 <= number <= 10**15 for number in numbers)
        assert quota.reset is None or quota.reset > 0


@settings(deadline=None)
@given(limit=st.integers(0, 10**15), remaining=st.integers(0, 10**15), seconds=st.integers(1, 86_400_000))
def test_numbers_are_read_exactly(limit: int, remaining: int, seconds: int) -> None:
    """Numbers are those of the headers, and a duration in milliseconds is read to the millisecond."""
    (quota,) = quotas_of(
        [
            ("x-ratelimit-limit-tokens", str(limit)),
            ("x-ratelimit-remaining-tokens", f" {remaining}.0 "),
            ("x-ratelimit-reset-tokens", f"{seconds // 60000}m{seconds % 60000 // 1000}s{seconds % 1000}ms"),
        ]
    )
    assert (quota.limit, quota.remaining) == (limit, remaining)
    assert quota.reset is not None
    assert round(quota.reset * 1000) == seconds


class Shown:
    """A telemetry whose clock the test moves, and its gauges."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.telemetry = AgentOSTelemetry(MODELS, strict=True, clock=self.clock)

    def record(self, resource: str, limit: int | None, remaining: int | None, reset: float | None = None) -> None:
        self.telemetry.recorder.models.record_quota("p", Quota(resource, limit, remaining, reset))

    @property
    def gauges(self) -> dict[str, float]:
        """The values of the gauges, such as ``remaining tokens``."""
        found = {key: value for key, value in read(self.telemetry).items() if key[0].startswith("ccr_quota_")}
        return {
            f"{name.removeprefix('ccr_quota_')} {dict(labels)['resource']}": value for (name, labels), value in found.items()
        }


@pytest.fixture
def shown() -> Iterator[Shown]:
    one = Shown()
    yield one
    one.telemetry.shutdown()


def test_gauges_are_absent_until_a_quota_is_seen(shown: Shown) -> None:
    """Without a quota there is no series; then there is one for each number that was said, 0 included."""
    assert shown.gauges == {}
    shown.record("requests", None, None)
    assert shown.gauges == {}
    shown.record("tokens", None, 0)
    assert shown.gauges == {"remaining tokens": 0}
    shown.record("requests", 60, 59)
    assert shown.gauges == {"remaining tokens": 0, "limit requests": 60, "remaining requests": 59}


def test_last_quota_replaces_the_one_before(shown: Shown) -> None:
    """A series has the value that was said last, and is gone when the last answer leaves its number out."""
    shown.record("tokens", 100, 10)
    shown.record("tokens", 200, 150)
    assert shown.gauges == {"limit tokens": 200, "remaining tokens": 150}
    shown.record("tokens", None, 149)
    assert shown.gauges == {"remaining tokens": 149}


def test_all_is_left_again_after_the_reset(shown: Shown) -> None:
    """From the reset on the limit remains, as the reset means; both are gone five minutes after the last answer."""
    shown.record("tokens", 100, 10, 12.0)
    shown.clock.now += 11.999
    assert shown.gauges == {"limit tokens": 100, "remaining tokens": 10}
    shown.clock.now += 0.001
    assert shown.gauges == {"limit tokens": 100, "remaining tokens": 100}
    shown.clock.now += 287.999
    assert shown.gauges == {"limit tokens": 100, "remaining tokens": 100}
    shown.clock.now += 0.002
    assert shown.gauges == {}


def test_remaining_without_a_limit_is_gone_after_the_reset(shown: Shown) -> None:
    """Where the limit is not known, what remains after the reset is not known either."""
    shown.record("tokens", None, 10, 12.0)
    assert shown.gauges == {"remaining tokens": 10}
    shown.clock.now += 12
    assert shown.gauges == {}


def test_quota_without_a_reset_is_gone_after_five_minutes(shown: Shown) -> None:
    """A quota without a reset is shown for five minutes."""
    shown.record("tokens", 100, 0)
    shown.clock.now += 299
    assert shown.gauges == {"limit tokens": 100, "remaining tokens": 0}
    shown.clock.now += 1
    assert shown.gauges == {}


@pytest.mark.parametrize(("reset", "seconds"), [(6 * 3600.0, 6 * 3600), (1e300, 86_400), (float("inf"), 86_400)])
def test_quota_with_a_late_reset_is_shown_until_then(shown: Shown, reset: float, seconds: int) -> None:
    """A quota for a day that is used up stays 0 until its reset, at most for a day."""
    shown.record("requests", 1000, 0, reset)
    shown.clock.now += seconds - 1
    assert shown.gauges == {"limit requests": 1000, "remaining requests": 0}
    shown.clock.now += 2
    assert shown.gauges == {}


@pytest.mark.parametrize("number", [-1, 10**16, True, 1.5, float("nan"), "5", [], object()])
def test_number_that_is_no_quota_is_left_out(shown: Shown, number: object) -> None:
    """A provider of one's own may yield anything: what is no quota is left out, and nothing raises."""
    shown.telemetry.recorder.models.record_quota("p", Quota("tokens", number, 7, None))  # type: ignore[arg-type]  # on purpose
    assert shown.gauges == {"remaining tokens": 7}


@pytest.mark.parametrize("quota", [Quota("credits", 5, 5), Quota("tokens", 5, 5, "soon"), None, "tokens"])  # type: ignore[arg-type]
def test_failure_of_the_telemetry_is_counted(shown: Shown, quota: Quota) -> None:
    """What cannot be recorded is counted as dropped and raises nothing, in strict mode too."""
    shown.telemetry.recorder.models.record_quota("p", quota)
    assert shown.gauges == {}
    assert shown.telemetry.diagnostics.values(telemetry_metrics.DROPPED.name) == {("span", "failed"): 1}


def test_providers_are_bounded() -> None:
    """Providers beyond the label's limit share one series: nothing grows with the names."""
    telemetry = AgentOSTelemetry(MODELS, limits={"provider": 2})
    for number in range(1000):
        telemetry.recorder.models.record_quota(f"p{number}", Quota("tokens", 1000, number))
    found = {
        dict(labels)["provider"]: value for (name, labels), value in read(telemetry).items() if name == "ccr_quota_remaining"
    }
    telemetry.shutdown()
    assert found == {"p0": 0, "p1": 1, "other": 999}


def test_catalogue_without_the_rows_shows_nothing() -> None:
    """Where the second part is off, a quota is not kept."""
    telemetry = AgentOSTelemetry(AGENTOS, strict=True)
    telemetry.recorder.models.record_quota("p", Quota("tokens", 100, 10))
    assert [name for name, _ in read(telemetry) if "quota" in name] == []
    telemetry.shutdown()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform has no fork")
def test_forked_child_has_seen_nothing(shown: Shown) -> None:
    """A child starts without the quotas of its parent: it has asked no provider."""
    shown.record("tokens", 100, 10)
    child = os.fork()
    if not child:
        os._exit(0 if shown.gauges == {} else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert shown.gauges == {"limit tokens": 100, "remaining tokens": 10}
