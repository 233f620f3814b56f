"""Pauses before a command that ended is started again."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pps.scheduling.backoff import Backoff, saving_pause_ns


def test_pauses_grow_up_to_the_longest_and_a_good_run_begins_anew() -> None:
    backoff, pauses = Backoff(first_s=1.0, longest_s=6.0, steady_s=60.0), []
    for ran_s in (0.0, 3.0, 0.0, 0.0, 60.0, 0.0):
        pause, backoff = backoff.after(ran_s)
        pauses.append(pause)
    assert pauses == [1.0, 2.0, 4.0, 6.0, 1.0, 2.0]


@given(st.lists(st.floats(0.0, 200.0), max_size=30))
def test_no_pause_is_shorter_than_the_first_or_longer_than_the_longest(runs: list[float]) -> None:
    backoff = Backoff()
    for ran_s in runs:
        pause, backoff = backoff.after(ran_s)
        assert backoff.first_s <= pause <= backoff.longest_s


def test_saving_takes_a_tenth_of_the_time_at_most_unless_it_is_to_go_on_all_the_time() -> None:
    pauses = [saving_pause_ns(30, took) for took in (0, 1, 3, 4, 100)]
    assert pauses == [30, 30, 30, 36, 900]
    assert saving_pause_ns(0, 100) == 0
