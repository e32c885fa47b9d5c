"""Queries from catalogue rows."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dashboards.promql import Not, Query, le, ratio
from telemetry.metric import (
    Metric,
    MultiprocessMode,
    Native,
    closed_label,
    counter,
    histogram,
    observable_gauge,
    open_label,
    up_down_counter,
)

CALLS = counter("calls", "{call}", "Calls", open_label("agent", "agent", limit=5), closed_label("status", "end", "good", "bad"))
TIME = histogram("time", "s", "Time", open_label("agent", "agent", limit=5), bounds=(0.5, 1, 2.5))
LEVEL = up_down_counter("level", "{call}", "Level", open_label("agent", "agent", limit=5))
WORST = observable_gauge("worst", "", "Worst", open_label("agent", "agent", limit=5), multiprocess_mode=MultiprocessMode.MAX)
LEFT = observable_gauge("left", "", "Left", open_label("agent", "agent", limit=5), multiprocess_mode=MultiprocessMode.MIN)
DOTTED = counter("dotted", "", "Dotted", closed_label("a.state", "state", "on", "off"))

FAILED = counter("failed", "", "Failed", replace(open_label("error", "error", limit=5), optional=True))

ONE = Query(job="one", variables={})
BOARD = Query(job="$job", variables={"agent": "${agent:regex}", "status": "${status:regex}"})


def test_a_selector_names_the_job_and_the_values() -> None:
    """The selector of a counter has its Prometheus name, the job, and each given label value."""
    assert ONE.series(CALLS, status="bad") == 'calls_total{job="one", status="bad"}'


def test_a_variable_narrows_open_labels_only() -> None:
    """A variable narrows an open label of its name, and not a closed one."""
    assert BOARD.series(CALLS) == 'calls_total{job="$job", agent=~`${agent:regex}`}'


def test_several_values_and_exceptions_are_matched() -> None:
    """Several values become a pattern, and an exception becomes an inequality."""
    assert ONE.series(CALLS, status=("good", "bad")) == 'calls_total{job="one", status=~"good|bad"}'
    assert ONE.series(CALLS, status=Not("bad")) == 'calls_total{job="one", status!="bad"}'


def test_several_exceptions_and_missing_labels_are_matched() -> None:
    """Several exceptions become a pattern; the empty value stands for an optional label that is missing."""
    assert ONE.series(FAILED, error=Not("")) == 'failed_total{job="one", error!=""}'
    assert ONE.series(FAILED, error=Not(("", "cancelled"))) == 'failed_total{job="one", error!~"|cancelled"}'
    with pytest.raises(ValueError, match="agent is never ''"):
        ONE.series(CALLS, agent=Not(""))


def test_the_top_of_a_gauge() -> None:
    """Of several series of a gauge the highest is taken, whatever the catalogue says."""
    assert ONE.top(LEVEL) == 'max(level{job="one"})'


def test_instance_narrows_every_metric() -> None:
    """A variable for Prometheus' own label ``instance`` narrows every metric, and every metric can be grouped by it."""
    query = Query(job="$job", variables={"instance": "${instance:regex}"})
    assert query.level(WORST, "instance") == 'max by (instance) (worst{job="$job", instance=~`${instance:regex}`})'


@pytest.mark.parametrize(
    ("metric", "expr"),
    [
        (LEVEL, 'topk(3, max by (agent) (max_over_time(level{job="one"}[$__range] @ end())))'),
        (LEFT, 'topk(3, max by (agent) (max_over_time(left{job="one"}[$__range] @ end())))'),
        (CALLS, 'topk(3, sum by (agent) (increase(calls_total{job="one"}[$__range] @ end())))'),
        (
            TIME,
            'topk(3, sum by (agent) (histogram_sum(increase(time_seconds{job="one"}[$__range] @ end())) '
            'or increase(time_seconds_sum{job="one"}[$__range] @ end())))',
        ),
    ],
    ids=["sum", "minimum", "counter", "histogram"],
)
def test_the_leading_label_sets_of_the_time_range(metric: Metric, expr: str) -> None:
    """Label sets lead by a gauge's maximum, a counter's increase, or the increase of a histogram's sum, in the whole range."""
    assert ONE.leading(3, metric, "agent") == expr


def test_the_trailing_label_sets_of_the_time_range() -> None:
    """Label sets trail by a gauge's minimum in the whole range."""
    assert ONE.trailing(3, LEVEL, "agent") == ('bottomk(3, min by (agent) (min_over_time(level{job="one"}[$__range] @ end())))')


def test_what_moved_in_the_time_range() -> None:
    """A series had events in the range if it grew, or is above 0 and was not there before; a histogram's are its count."""
    assert ONE.moved(CALLS, "agent") == (
        'sum by (agent) ((increase(calls_total{job="one"}[$__range] @ end())) > 0 '
        'or (calls_total{job="one"} @ end()) > 0 unless (calls_total{job="one"} @ end() offset $__range))'
    )
    total = 'histogram_count(time_seconds{{job="one"}} @ end(){0}) or time_seconds_count{{job="one"}} @ end(){0}'
    assert ONE.moved(TIME).endswith(f"or ({total.format('')}) > 0 unless ({total.format(' offset $__range')}))")


def test_a_value_outside_the_domain_raises() -> None:
    """A condition on a closed label with a value outside its domain raises."""
    with pytest.raises(ValueError, match="status is never 'ugly'; it is one of good, bad"):
        ONE.series(CALLS, status="ugly")


def test_an_unknown_label_raises() -> None:
    """A condition or a grouping by a label that the metric does not have raises."""
    with pytest.raises(KeyError, match="calls_total has no label 'colour', it has agent, status"):
        ONE.series(CALLS, colour="red")
    with pytest.raises(KeyError, match="level has no label 'status', it has agent"):
        ONE.level(LEVEL, "status")


def test_only_a_histogram_has_parts() -> None:
    """A histogram without a part and a counter with one raise."""
    with pytest.raises(ValueError, match="time is a histogram: it has parts only"):
        ONE.series(TIME)
    with pytest.raises(ValueError, match="calls is a counter: it has no part"):
        ONE.series(CALLS, "sum")


def test_a_level_of_several_is_what_the_catalogue_says() -> None:
    """A gauge is summed, or its maximum or minimum is taken where the catalogue says so."""
    assert ONE.level(LEVEL) == 'sum(level{job="one"})'
    assert ONE.level(WORST, "agent") == 'max by (agent) (worst{job="one"})'
    assert ONE.level(LEFT, "agent") == 'min by (agent) (left{job="one"})'
    assert ONE.highest(WORST, "5m", "agent") == 'max by (agent) (max_over_time(worst{job="one"}[5m]))'
    assert ONE.count_at(WORST, 2) == 'sum(worst{job="one"} == bool 2)'


def test_a_dotted_key_has_its_prometheus_spelling() -> None:
    """Dots of the catalogue's keys become underscores in matchers and groupings."""
    assert ONE.rate(DOTTED, "5m", "a.state", **{"a.state": "on"}) == (
        'sum by (a_state) (rate(dotted_total{job="one", a_state="on"}[5m]))'
    )


def test_a_quantile_reads_the_native_form_and_the_buckets_of_the_other_series() -> None:
    """A quantile is the higher of that of the native form and that of the series without one, and drops NaN."""
    assert ONE.quantile(0.9, TIME, "5m", "agent") == (
        """max by (agent) (histogram_quantile(0.9,
  sum by (agent) (rate(time_seconds{job="one"}[5m]))
  or
  sum by (le, job, agent) (rate(time_seconds_bucket{job="one"}[5m]) unless ignoring (le) rate(time_seconds{job="one"}[5m]))
)) >= 0"""
    )


def test_the_rate_of_a_histogram_is_that_of_its_observations() -> None:
    """The rate and the increase of a histogram are those of its count, of each series in the native form where it has one."""
    assert ONE.rate(TIME, "5m", "agent") == (
        'sum by (agent) (histogram_count(rate(time_seconds{job="one"}[5m])) or rate(time_seconds_count{job="one"}[5m]))'
    )
    assert ONE.increase(TIME, "1h", offset="10m") == (
        'sum(histogram_count(increase(time_seconds{job="one"}[1h] offset 10m)) '
        'or increase(time_seconds_count{job="one"}[1h] offset 10m))'
    )


def test_a_mean_divides_the_sums_by_the_counts() -> None:
    """A mean divides sums by counts of the same form, and drops the NaN of no traffic."""
    assert ONE.mean(TIME, "5m") == (
        'sum(histogram_sum(rate(time_seconds{job="one"}[5m])) or rate(time_seconds_sum{job="one"}[5m]))\n/\n'
        'sum(histogram_count(rate(time_seconds{job="one"}[5m])) or rate(time_seconds_count{job="one"}[5m])) >= 0'
    )


def test_observations_are_one_counter_over_a_change_of_form() -> None:
    """The number of observations is the increase of a counter that is the native count where there is one."""
    assert ONE.observations(TIME, "10m", "job") == (
        'sum by (job) (increase((histogram_count(time_seconds{job="one"}) or 1 * time_seconds_count{job="one"})[10m:1m]))'
    )


def test_a_share_below_a_bound_adds_both_forms() -> None:
    """The share of observations below a bound adds buckets and native histograms above and below the line."""
    native = 'rate(time_seconds{job="one"}[5m])'
    assert ONE.share_at_or_below(TIME, 2.5, "5m", "job") == (
        f"""sum by (job) (
  rate(time_seconds_bucket{{job="one", le=~"2[.]50*"}}[5m])
  or histogram_fraction(-Inf, 2.5, {native}) * histogram_count({native}) >= 0
)
/
sum by (job) (
  rate(time_seconds_bucket{{job="one", le="+Inf"}}[5m])
  or histogram_count({native})
) >= 0"""
    )


def test_a_share_of_a_histogram_without_bounds_reads_the_native_form() -> None:
    """A histogram that has native buckets only has a share below any bound."""
    native = histogram("size", "By", "Size", native=Native())
    assert ONE.share_at_or_below(native, 700, "5m") == (
        'histogram_fraction(-Inf, 700, sum(rate(size_bytes{job="one"}[5m]))) >= 0'
    )


def test_a_share_is_zero_where_no_part_was_seen() -> None:
    """A missing part counts as zero times the whole, so that a share without bad events is 0."""
    assert ratio("bad", "all") == "(bad or 0 * all) / all >= 0"


@pytest.mark.parametrize(("bound", "matcher"), [(2.5, 'le=~"2[.]50*"'), (1, 'le=~"1([.]0*)?"'), (0.5, 'le=~"0[.]50*"')])
def test_a_bound_matches_every_spelling(bound: float, matcher: str) -> None:
    """The matcher of a bound fits 2.5 and 2.50, 1 and 1.0."""
    assert le(TIME, bound) == matcher


def test_an_unknown_bound_raises() -> None:
    """A share below a bound that is no bucket bound raises."""
    with pytest.raises(ValueError, match=r"time has no bucket bound 2, it has 0.5, 1, 2.5"):
        ONE.share_at_or_below(TIME, 2, "5m")
