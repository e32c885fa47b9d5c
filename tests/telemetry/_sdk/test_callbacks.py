"""Callbacks of observable instruments that raise or hang."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from threading import Barrier, Thread
from threading import enumerate as enumerate_threads
from time import monotonic

import pytest
from opentelemetry.metrics import CallbackOptions, Observation

from telemetry._base.diagnostics import Diagnostics
from telemetry.exposition import ScrapeRefusedError
from telemetry.metric import telemetry_metrics
from tests.helpers.hanging_callback import HangingCallback
from tests.helpers.providers import provider, text
from tests.helpers.sdk_versions import drops_non_finite


def good(_: CallbackOptions) -> list[Observation]:
    """A callback that works."""
    return [Observation(1)]


def raising(_: CallbackOptions) -> Iterator[Observation]:
    """A callback that raises after its first observation."""
    yield Observation(1, {"a": "b"})
    raise RuntimeError("broken")


GOOD = "# TYPE good gauge\ngood 1\n"


def test_raising_callback(caplog: pytest.LogCaptureFixture) -> None:
    """A callback that raises keeps its observations so far, is counted each time and logged once; the others go on."""
    diagnostics = Diagnostics()
    meters, reader = provider(diagnostics=diagnostics)
    meter = meters.get_meter("m")
    meter.create_observable_gauge("bad", [raising])
    meter.create_observable_gauge("good", [good])
    with caplog.at_level(logging.WARNING):
        assert {text(reader) for _ in range(2)} == {f'# TYPE bad gauge\nbad{{a="b"}} 1\n{GOOD}'}
    assert diagnostics.values(telemetry_metrics.CALLBACK_FAILURES.name) == {("bad", "raised"): 2}
    assert [record.getMessage() for record in caplog.records] == [
        "a callback of bad raised RuntimeError: broken; its series are left out"
    ]


def test_hanging_callback(caplog: pytest.LogCaptureFixture) -> None:
    """A callback that hangs loses its own series only, is not called again while it hangs, and is shown again afterwards."""
    diagnostics, hanging = Diagnostics(), HangingCallback()
    meters, reader = provider(diagnostics=diagnostics, callback_timeout=1)
    meter = meters.get_meter("m")
    meter.create_observable_gauge("bad", [hanging])
    meter.create_observable_gauge("good", [good])
    meter.create_counter("c").add(1)
    expected = f"# TYPE c_total counter\nc_total 1\n{GOOD}"
    with caplog.at_level(logging.WARNING):
        assert [text(reader) for _ in range(3)] == [expected] * 3
    assert hanging.calls == 1
    assert diagnostics.values(telemetry_metrics.CALLBACK_FAILURES.name) == {("bad", "hung"): 1}
    assert [record.getMessage() for record in caplog.records] == [
        "a callback of bad did not return within 1 s; its series are left out"
    ]
    hanging.go.set()
    for thread in enumerate_threads():
        if thread.name == "metric-callbacks":
            thread.join(30)
    assert "bad 2" in text(reader)
    assert hanging.calls == 2


def test_callbacks_after_a_hanging_one_run_side_by_side() -> None:
    """Once a callback hangs, those after it run at the same time, so that a scrape waits two limits at the most."""
    hanging, together = HangingCallback(), Barrier(4)
    meters, reader = provider(callback_timeout=1)
    meter = meters.get_meter("m")
    meter.create_observable_gauge("bad", [hanging])

    def waits_for_the_others(_: CallbackOptions) -> list[Observation]:
        return [Observation(together.parties if together.wait(30) >= 0 else 0)]

    for n in range(4):
        meter.create_observable_gauge(f"g{n}", [waits_for_the_others])
    try:
        assert text(reader) == "".join(f"# TYPE g{n} gauge\ng{n} 4\n" for n in range(4))
    finally:
        hanging.go.set()


def test_hanging_callback_holds_no_lock() -> None:
    """While a callback hangs, instruments can be created and recorded."""
    hanging = HangingCallback()
    meters, reader = provider(callback_timeout=30)
    meters.get_meter("m").create_observable_gauge("bad", [hanging])
    bodies: list[str] = []
    scrape = Thread(target=lambda: bodies.append(text(reader)))
    scrape.start()
    assert hanging.entered.wait(30)
    meters.get_meter("other").create_counter("c").add(1)
    meters.get_meter("other").create_observable_gauge("late", [good])
    hanging.go.set()
    scrape.join(30)
    assert bodies == ["# TYPE c_total counter\nc_total 1\n# TYPE bad gauge\nbad 1\n"]


@drops_non_finite
@pytest.mark.parametrize("direct", [True, False], ids=["direct", "public"])
def test_non_finite_observations_are_left_out(direct: bool) -> None:
    """NaN and infinity from a callback are left out, as the SDK leaves them out."""
    meters, reader = provider(direct=direct)
    values = [Observation(float("nan"), {"a": "1"}), Observation(float("inf"), {"a": "2"}), Observation(1, {"a": "3"})]
    meters.get_meter("m").create_observable_gauge("g", [lambda _: values])
    assert text(reader) == '# TYPE g gauge\ng{a="3"} 1\n'


def test_public_path_refuses_in_time() -> None:
    """On the public path a hanging callback holds the SDK's lock: the scrape is refused with the reason until it returns."""
    hanging = HangingCallback()
    meters, reader = provider(direct=False, scrape_timeout=0.05)
    meters.get_meter("m").create_observable_gauge("bad", [hanging])
    for _ in range(2):
        with pytest.raises(ScrapeRefusedError, match=r"a callback held up the collection for more than 0.05 s") as refused:
            text(reader)
        assert refused.value.reason == "timeout"
    assert hanging.calls == 1
    hanging.go.set()
    deadline = monotonic() + 30
    while True:
        try:
            body = text(reader)
        except ScrapeRefusedError:
            assert monotonic() < deadline
        else:
            break
    assert body.startswith("# TYPE bad gauge\nbad ")


@pytest.mark.parametrize("name", ["callback_timeout", "scrape_timeout"])
def test_limits_must_be_positive(name: str) -> None:
    """A time limit of 0 raises an error that names it."""
    with pytest.raises(ValueError, match=f"{name} must be above 0 seconds, it is 0"):
        provider(**{name: 0})
