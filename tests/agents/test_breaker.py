"""The circuit breaker by itself, on a clock that the tests move."""

from __future__ import annotations

from agents.services.breaker import Breaker
from tests.helpers.clock import Clock


def breaker() -> tuple[Breaker, Clock, list[str]]:
    """A breaker that opens at 3 failures for 30 seconds, its clock, and the states that it reported."""
    clock, states = Clock(), list[str]()
    return Breaker(3, 30.0, states.append, clock), clock, states


def failing(one: Breaker, times: int) -> None:
    for _ in range(times):
        assert one.allows()
        one.failed()


def test_breaker_opens_after_failures_in_a_row():
    """The third failure in a row opens it; a success between them starts the count anew."""
    one, _, states = breaker()
    failing(one, 2)
    assert one.allows()
    one.succeeded()
    failing(one, 2)
    assert (one.state, states) == ("closed", [])
    failing(one, 1)
    assert (one.state, states) == ("open", ["open"])
    assert not one.allows()


def test_breaker_lets_one_call_try_after_its_pause():
    """At the end of the pause, and not before, the breaker lets one call through and no second one beside it."""
    one, clock, states = breaker()
    failing(one, 3)
    clock.now += 29.999
    assert not one.allows()
    clock.now += 0.001
    assert [one.allows(), one.allows()] == [True, False]
    assert states == ["open", "half_open"]


def test_breaker_closes_when_the_trial_succeeds():
    """A trial that succeeds closes it, and it takes as many failures as before to open it again."""
    one, clock, states = breaker()
    failing(one, 3)
    clock.now += 30
    assert one.allows()
    one.succeeded()
    failing(one, 2)
    assert states == ["open", "half_open", "closed"]


def test_breaker_opens_again_when_the_trial_fails():
    """A trial that fails opens it for another whole pause."""
    one, clock, states = breaker()
    failing(one, 3)
    clock.now += 30
    failing(one, 1)
    assert states == ["open", "half_open", "open"]
    clock.now += 29
    assert not one.allows()


def test_breaker_lets_another_try_when_a_trial_says_nothing():
    """A trial that says nothing about the provider leaves the breaker half-open for the next call."""
    one, clock, _ = breaker()
    failing(one, 3)
    clock.now += 30
    assert one.allows()
    one.released()
    assert (one.allows(), one.state) == (True, "half_open")


def test_breaker_ignores_calls_from_before_its_change():
    """The end of a call that began before the breaker opened does not end the trial that is under way."""
    one, clock, states = breaker()
    begun = one.generation
    failing(one, 3)
    clock.now += 30
    assert one.allows()
    one.failed(begun)
    one.released(begun)
    one.succeeded(begun)
    assert (one.state, one.allows(), states) == ("half_open", False, ["open", "half_open"])
    one.succeeded(one.generation)
    assert one.state == "closed"


def test_breaker_of_no_failures_never_opens():
    """With a limit of 0 the breaker stays closed."""
    one = Breaker(0, 30.0)
    failing(one, 100)
    assert one.state == "closed"
