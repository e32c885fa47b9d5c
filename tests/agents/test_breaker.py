"""The circuit breaker by itself, on a clock that the tests move."""

from __future__ import annotations

from agents.services.breaker import Breaker
from tests.helpers.clock import Clock


def breaker() -> tuple[Breaker, Clock, list[str]]:
    """One that opens at 3 failures for 30 seconds, its clock, and what it told."""
    clock, told = Clock(), list[str]()
    return Breaker(3, 30.0, told.append, clock), clock, told


def failing(one: Breaker, times: int) -> None:
    for _ in range(times):
        assert one.allows()
        one.failed()


def test_breaker_opens_after_failures_in_a_row():
    """The third failure in a row opens it; a success between them starts the count anew."""
    one, _, told = breaker()
    failing(one, 2)
    assert one.allows()
    one.succeeded()
    failing(one, 2)
    assert (one.state, told) == ("closed", [])
    failing(one, 1)
    assert (one.state, told) == ("open", ["open"])
    assert not one.allows()


def test_breaker_lets_one_call_try_after_its_pause():
    """When the pause is over, and not a moment before, one call is let through and no second one beside it."""
    one, clock, told = breaker()
    failing(one, 3)
    clock.now += 29.999
    assert not one.allows()
    clock.now += 0.001
    assert [one.allows(), one.allows()] == [True, False]
    assert told == ["open", "half_open"]


def test_breaker_closes_when_the_trial_succeeds():
    """A trial that succeeds closes it, and it takes as many failures as before to open it again."""
    one, clock, told = breaker()
    failing(one, 3)
    clock.now += 30
    assert one.allows()
    one.succeeded()
    failing(one, 2)
    assert told == ["open", "half_open", "closed"]


def test_breaker_opens_again_when_the_trial_fails():
    """A trial that fails opens it for another whole pause."""
    one, clock, told = breaker()
    failing(one, 3)
    clock.now += 30
    failing(one, 1)
    assert told == ["open", "half_open", "open"]
    clock.now += 29
    assert not one.allows()


def test_breaker_lets_another_try_when_a_trial_says_nothing():
    """A trial whose reader left leaves it half-open for the next call."""
    one, clock, _ = breaker()
    failing(one, 3)
    clock.now += 30
    assert one.allows()
    one.released()
    assert (one.allows(), one.state) == (True, "half_open")


def test_breaker_ignores_calls_from_before_its_change():
    """What a call that began before the breaker opened ends as says nothing of the trial that is under way."""
    one, clock, told = breaker()
    begun = one.generation
    failing(one, 3)
    clock.now += 30
    assert one.allows()
    one.failed(begun)
    one.released(begun)
    one.succeeded(begun)
    assert (one.state, one.allows(), told) == ("half_open", False, ["open", "half_open"])
    one.succeeded(one.generation)
    assert one.state == "closed"


def test_breaker_of_no_failures_never_opens():
    """With a limit of 0 there is no breaker."""
    one = Breaker(0, 30.0)
    failing(one, 100)
    assert one.state == "closed"
