"""When to come back and in which version: the rules alone, without a clock."""

import pytest

from link.errors import Outcome
from link.retry import Backoff, Delays, Versions

RULE = Backoff(first_s=1, limit_s=8, jitter=0.5, stable_s=30, refused_s=300)


def test_delays_double_to_the_limit_and_jitter_only_shortens_them():
    latest, earliest = Delays(RULE, lambda: 0.0), Delays(RULE, lambda: 1.0)
    assert [latest.after(up_s=None, permanent=False) for _ in range(6)] == [1, 2, 4, 8, 8, 8]
    assert [earliest.after(up_s=None, permanent=False) for _ in range(6)] == [0.5, 1, 2, 4, 4, 4]


def test_only_a_connection_that_lasted_starts_the_delays_over():
    delays = Delays(RULE, lambda: 0.0)
    assert [delays.after(up_s=up_s, permanent=False) for up_s in (None, 0.1, 29.9, 30, 5)] == [1, 2, 4, 1, 2]


def test_what_an_operator_must_mend_is_retried_slowly_from_the_first_time():
    delays = Delays(RULE, lambda: 1.0)
    assert delays.after(up_s=None, permanent=True) == 150
    assert delays.after(up_s=None, permanent=False) == 0.5


def test_a_fleet_that_fails_for_years_overflows_nothing():
    delays = Delays(RULE, lambda: 0.0)
    assert {delays.after(up_s=None, permanent=False) for _ in range(5000)} == {1, 2, 4, 8}


@pytest.mark.parametrize(
    "change", [{"first_s": 0}, {"limit_s": 0.5}, {"jitter": 1.1}, {"jitter": -1}, {"refused_s": 0}]
)
def test_a_backoff_that_would_hammer_cannot_be_made(change):
    with pytest.raises(ValueError, match="not a usable backoff"):
        Backoff(**change)


@pytest.mark.parametrize("mode", ["5", "3.1.1"])
def test_a_version_that_was_asked_for_is_never_changed(mode):
    versions = Versions(mode)
    for outcome in Outcome:
        assert not versions.learn(mode, outcome)
        assert versions.next() == mode


def test_the_choice_of_the_version_by_what_happened_before():
    steps = [
        ("5", Outcome.LOST, "5"),
        ("5", Outcome.UNANSWERED, "3.1.1"),
        ("3.1.1", Outcome.LOST, "5"),
        ("5", Outcome.MALFORMED, "3.1.1"),
        ("3.1.1", Outcome.UNANSWERED, "5"),
        ("5", Outcome.UNSUPPORTED, "3.1.1"),
        ("3.1.1", Outcome.LOST, "3.1.1"),
        ("3.1.1", Outcome.MALFORMED, "3.1.1"),
        ("3.1.1", Outcome.UNSUPPORTED, "5"),
    ]
    versions = Versions("auto")
    for tried, outcome, then in steps:
        assert versions.next() == tried
        at_once = versions.learn(tried, outcome)
        assert at_once == (tried == "5" and outcome is Outcome.UNSUPPORTED)
        assert versions.next() == then
