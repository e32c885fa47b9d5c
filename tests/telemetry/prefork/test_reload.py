"""Workers that define a metric differently: those of before a reload, and those beside each other in a rolling one."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from telemetry import Telemetry
from telemetry.metric import Catalogue, Metric, closed_label, counter, gauge, histogram, open_label, up_down_counter
from telemetry.metric.telemetry_metrics import TELEMETRY
from telemetry.metricdata.stream import StreamKind
from telemetry.prefork import Workers
from telemetry.prefork.merge import Contribution, Merger
from tests.helpers.samples import above_zero
from tests.helpers.worker_states import merged, one, state, values
from tests.helpers.workers import tick, vanish

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]
Start = Callable[[Metric], Telemetry]

WHO = open_label("who", "name of a caller", limit=3)
HOW = closed_label("how", "way", "fast", "slow")
CLASHES = "agentos_telemetry_clashes_total"


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Returns a function that starts one more worker with one metric."""
    made: list[Telemetry] = []

    def make(metric: Metric) -> Telemetry:
        workers = Workers(tmp_path / "state", save_every=3600.0, timeout=5.0)
        made.append(Telemetry(Catalogue([metric, *TELEMETRY]), workers=workers))
        return made[-1]

    yield make
    for telemetry in made:
        telemetry.shutdown()


def record(telemetry: Telemetry, metric: Metric, times: int = 1) -> None:
    """Records the number 3 for the first values of the metric's labels."""
    values = {"who": "x", "how": "fast"}
    handle = telemetry[metric].labels(*(values[key] for key in metric.keys))
    for _ in range(times):
        (getattr(handle, "observe", None) or handle.inc)(3)


def shown(telemetry: Telemetry) -> Samples:
    """What a scrape shows, without the telemetry's own metrics."""
    return {key: value for key, value in above_zero(telemetry).items() if not key[0].startswith("agentos_")}


TIME = histogram("time", "s", "Time", WHO, bounds=(1, 5))
SEEN = {("time_seconds_bucket", (("le", "5.0"), ("who", "x"))): 2, ("time_seconds_bucket", (("le", "+Inf"), ("who", "x"))): 2}
SEEN |= {("time_seconds_count", (("who", "x"),)): 2, ("time_seconds_sum", (("who", "x"),)): 6}
OTHERS = {
    "other bounds": histogram("time", "s", "Time", WHO, bounds=(2, 4, 8)),
    "more bounds": histogram("time", "s", "Time", WHO, bounds=(1, 5, 10)),
    "another unit": histogram("time", "ms", "Time", WHO, bounds=(1, 5)),
    "a counter": counter("time", "s", "Time", WHO),
    "a gauge": gauge("time", "s", "Time", WHO),
    "an up-down counter": up_down_counter("time", "s", "Time", WHO),
}


@pytest.mark.parametrize("folded", [False, True], ids=["its own state", "the folded state"])
@pytest.mark.parametrize("old", OTHERS.values(), ids=OTHERS.keys())
def test_a_living_worker_wins_over_ended_ones(start: Start, old: Metric, folded: bool) -> None:
    """After a reload only the new definition is shown, with the numbers of the living workers, whatever the old one was."""
    before = start(old)
    record(before, old)
    before.shutdown()
    after = start(TIME)
    if folded:
        tick(after)
    shown(after)
    record(after, TIME, 2)
    assert shown(after) == SEEN


@pytest.mark.parametrize("old", OTHERS.values(), ids=OTHERS.keys())
def test_the_youngest_living_worker_wins(start: Start, old: Metric) -> None:
    """In a rolling reload each worker shows the definition of the youngest one, and that one's totals."""
    first, second = start(old), start(TIME)
    record(first, old)
    record(second, TIME, 2)
    assert [shown(first), shown(second), shown(first)] == [SEEN] * 3
    record(first, old)
    third = start(TIME)
    record(third, TIME)
    second.shutdown()
    assert shown(first)["time_seconds_count", (("who", "x"),)] == 3


def test_totals_of_equal_definitions_are_exact(start: Start) -> None:
    """Ended and living workers that define a metric alike are added up beside one that does not."""
    other = OTHERS["other bounds"]
    for metric, times in ((TIME, 1), (other, 5), (TIME, 2)):
        worker = start(metric)
        record(worker, metric, times)
        worker.shutdown()
    living = start(TIME)
    record(living, TIME, 4)
    tick(living)
    assert shown(living)["time_seconds_count", (("who", "x"),)] == 7


def test_totals_come_back_with_their_definition(start: Start) -> None:
    """When a reload is taken back, the totals of the first definition go on."""
    first = start(TIME)
    record(first, TIME, 2)
    first.shutdown()
    second = start(OTHERS["other bounds"])
    record(second, OTHERS["other bounds"])
    tick(second)
    assert shown(second)["time_seconds_count", (("who", "x"),)] == 1
    second.shutdown()
    third = start(TIME)
    record(third, TIME)
    tick(third)
    assert shown(third)["time_seconds_count", (("who", "x"),)] == 3


def test_what_is_left_out_is_counted_and_logged_once(start: Start, caplog: pytest.LogCaptureFixture) -> None:
    """A definition that is left out counts as one clash and logs one line, however often it is scraped."""
    first, second = start(OTHERS["other bounds"]), start(TIME)
    record(first, OTHERS["other bounds"])
    record(second, TIME)
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            found = above_zero(second)
    assert found[CLASHES, (("metric", "time_seconds"),)] == 1
    assert caplog.messages == [
        "several workers: time_seconds as histogram with bounds [2.0, 4.0, 8.0] is left out, "
        "a younger worker defines it differently"
    ]


def test_until_the_new_definition_has_series_the_old_one_is_shown(start: Start) -> None:
    """A total is not hidden by a definition that nothing was recorded for."""
    before = start(OTHERS["other bounds"])
    record(before, OTHERS["other bounds"], 3)
    before.shutdown()
    after = start(histogram("time", "s", "Time", WHO, bounds=(1, 5)))
    assert shown(after)["time_seconds_count", (("who", "x"),)] == 3


def test_other_labels_are_shown_beside_the_old_ones(start: Start) -> None:
    """Series of a metric that has got another label are shown beside those of before: both are totals of their own."""
    old, new = counter("hits", "{hit}", "Hits", WHO), counter("hits", "{hit}", "Hits", WHO, HOW)
    before = start(old)
    record(before, old)
    before.shutdown()
    after = start(new)
    record(after, new, 2)
    assert shown(after) == {("hits_total", (("who", "x"),)): 3, ("hits_total", (("how", "fast"), ("who", "x"))): 6}


def test_the_help_of_the_youngest_worker_is_shown(start: Start) -> None:
    """After a reload HELP is the new text, in each worker's answer, and the totals go on."""
    old, new = (counter("hits", "{hit}", text, WHO) for text in ("Hits of before", "Hits of now"))
    before = start(old)
    record(before, old)
    assert "# HELP hits_total Hits of before" in before.reader.expose().body.decode()
    after = start(new)
    record(after, new)
    for worker in (before, after):
        body = worker.reader.expose().body.decode()
        assert "# HELP hits_total Hits of now\n" in body
        assert 'hits_total{who="x"} 6' in body


def test_a_metric_of_another_name_in_opentelemetry_wins_too(start: Start) -> None:
    """Where the old and the new metric have one name in Prometheus only, the living worker's is shown."""
    old, new = up_down_counter("hits.done", "{hit}", "Hits", WHO), counter("hits_done", "{hit}", "Hits", WHO)
    before = start(old)
    record(before, old)
    after = start(new)
    shown(after)
    vanish(before)
    record(after, new)
    assert shown(after) == {("hits_done_total", (("who", "x"),)): 3}


def test_a_worker_killed_before_a_reload_changes_nothing(start: Start) -> None:
    """The last saved state of a killed worker with another definition is left out as well."""
    before = start(OTHERS["a counter"])
    record(before, OTHERS["a counter"])
    tick(before)
    vanish(before)
    after = start(TIME)
    record(after, TIME, 2)
    assert shown(after) == SEEN


def test_a_scope_of_another_version_is_the_same_metric() -> None:
    """Totals go on where only the version of the instrumentation scope is another one."""
    old, new = (one("c", value, who="x") for value in (3, 4))
    old.scope = type(old.scope)("test", "1")
    new.scope = type(new.scope)("test", "2")
    assert values(merged(state("a", old), state("b", new), ended=("a",))) == {("c", (("who", "x"),)): 7}


def test_two_versions_of_a_scope_in_one_worker_stay_apart() -> None:
    """Streams that one worker has at the same time are shown apart."""
    streams = [one("c", value, who="x") for value in (3, 4)]
    for stream, version in zip(streams, "12", strict=True):
        stream.scope = type(stream.scope)("test", version)
    found = merged(state("a", *streams), state("b", *streams))
    assert [(stream.scope.version, stream.values) for stream in found.streams] == [("1", [6]), ("2", [8])]


def test_a_state_with_its_series_in_another_order_is_read_rightly() -> None:
    """Numbers go to their own series where a state has been replaced by one with another order of series."""
    merger = Merger({})

    def shown(*who: str) -> dict[tuple[str, tuple[tuple[str, str], ...]], object]:
        made = one("c", 1, who=who[0])
        for n, each in enumerate(who[1:], 2):
            made.attributes.append({"who": each})
            made.starts.append(5)
            made.values.append(n)
        return values(merger.merge(None, [Contribution(state("folded", made), alive=False)]))

    assert shown("x", "y") == {("c", (("who", "x"),)): 1, ("c", (("who", "y"),)): 2}
    assert shown("y", "x") == {("c", (("who", "y"),)): 1, ("c", (("who", "x"),)): 2}
    assert shown("y", "z", "x")["c", (("who", "x"),)] == 3


def test_folding_keeps_every_definition() -> None:
    """The folded state has the numbers of all definitions, each for itself."""
    states = [state("a", one("c", 3)), state("b", one("c", 4, kind=StreamKind.GAUGE)), state("d", one("c", 5))]
    states.append(state("e", one("c", ([1, 0, 0], 0.5), kind=StreamKind.HISTOGRAM)))
    found = Merger({}).merge(None, [Contribution(each, alive=False) for each in states], exact=True)
    totals = {stream.kind: stream.values for stream in found.streams}
    ((counts, total),) = totals[StreamKind.HISTOGRAM]
    assert (list(totals), totals[StreamKind.COUNTER]) == ([StreamKind.COUNTER, StreamKind.HISTOGRAM], [8])
    assert (list(counts), total) == ([1, 0, 0], 0.5)
