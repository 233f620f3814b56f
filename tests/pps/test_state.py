"""The job's state machine, by hand for the plain cases and by hypothesis for all orders of events."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pps.model.state import (
    Begun,
    Cancel,
    Counters,
    DatumState,
    Effect,
    Ended,
    Event,
    Gather,
    Gathered,
    GiveOut,
    GiveUp,
    Job,
    JobState,
    MakePlan,
    Planned,
    Publish,
    Published,
    Restarted,
    Stopped,
    Submitted,
    UnitEnded,
    UnitLost,
    Unrunnable,
    replay,
    step,
)

OK, FAILED, RECOVERED = DatumState.SUCCESS, DatumState.FAILED, DatumState.RECOVERED


def run(*events: Event) -> tuple[Job, list[Effect]]:
    job, effects = Job(), list[Effect]()
    for event in events:
        job, effects = step(job, event)
    return job, effects


BEGUN = Begun(tries=2)


@pytest.mark.row("2.5 state CREATED", "2.5 state STARTING", "2.5 state RUNNING", "2.5 state FINISHING")
def test_a_job_from_start_to_end() -> None:
    events: list[Event] = [BEGUN]
    assert run(*events)[1] == [MakePlan()]
    events.append(Planned(total=5, skipped=2, units=2))
    assert run(*events)[1] == [GiveOut(2, ())]
    events += [Submitted(1, (0, 1)), Submitted(2, (4,))]
    job, effects = run(*events)
    assert (job.state, job.waiting, effects) == (JobState.RUNNING, 0, [])
    events.append(UnitEnded(2, (Ended(4, RECOVERED),)))
    assert run(*events)[1] == []
    events.append(UnitEnded(1, (Ended(0, OK), Ended(1, OK))))
    job, effects = run(*events)
    assert (job.state, effects) == (JobState.FINISHING, [Gather()])
    events.append(Gathered())
    assert run(*events)[1] == [Publish(JobState.SUCCESS, "")]
    job, effects = run(*events, Published())
    assert (job.state, effects) == (JobState.SUCCESS, [])
    assert job.counters == Counters(total=5, processed=2, skipped=2, recovered=1)
    assert replay([*events, Published()]) == job


def test_nothing_to_run_goes_straight_to_the_gathering() -> None:
    assert run(BEGUN, Planned(total=3, skipped=3))[1] == [Gather()]
    assert run(BEGUN, Planned(total=0, skipped=0))[1] == [Gather()]
    assert run(BEGUN, Planned(total=3, skipped=1, done=2))[0].counters == Counters(total=3, processed=2, skipped=1)


def test_a_failed_datum_does_not_stop_the_others() -> None:
    job, effects = run(BEGUN, Planned(2, 0), Submitted(1, (0,)), UnitEnded(1, (Ended(0, FAILED, "exit code 3"),)))
    assert effects == [GiveOut(1, ())]
    job, _ = step(job, Submitted(2, (1,)))
    job, effects = step(job, UnitEnded(2, (Ended(1, FAILED, "exit code 4"),)))
    assert effects == [Gather()]
    job, effects = step(job, Gathered())
    assert effects == [Publish(JobState.FAILURE, "exit code 3")]
    assert job.counters.failed == 2


@pytest.mark.row("2.6 lost workers")
def test_lost_datums_run_again_alone_and_fail_when_lost_too_often() -> None:
    job, effects = run(BEGUN, Planned(2, 0, units=2), Submitted(1, (0, 1)), UnitLost(1, "killed"))
    assert effects == [GiveOut(2, (0, 1))]
    job, _ = step(job, Submitted(2, (0,)))
    job, _ = step(job, Submitted(3, (1,)))
    assert (job.again, job.waiting) == ((), 0)
    job, effects = step(job, UnitLost(2, "killed"))
    assert effects == [GiveUp(0, "worker lost 2 times: killed")]
    assert (job.counters.failed, job.reason) == (1, "worker lost 2 times: killed")
    job, effects = step(job, UnitEnded(3, (Ended(1, OK),)))
    assert effects == [Gather()]
    assert step(job, Gathered())[1] == [Publish(JobState.FAILURE, "worker lost 2 times: killed")]


def test_a_datum_that_its_unit_does_not_report_is_lost() -> None:
    job, effects = run(BEGUN, Planned(2, 0, units=2), Submitted(1, (0, 1)), UnitEnded(1, (Ended(0, OK),)))
    assert effects == [GiveOut(2, (1,))]
    assert job.counters.processed == 1


def test_a_stopped_job_cancels_and_keeps_what_is_done() -> None:
    job, effects = run(BEGUN, Planned(4, 0, units=2), Submitted(1, (0,)), Submitted(2, (1,)), Stopped("time is up"))
    assert effects == [Cancel((1, 2)), Gather()]
    assert step(job, UnitEnded(1, (Ended(0, OK),))) == (job, [])
    assert step(job, Gathered("collision"))[1] == [Publish(JobState.KILLED, "time is up")]
    assert run(BEGUN, Stopped("x"))[1] == [Publish(JobState.KILLED, "x")]


def test_an_unrunnable_job_is_published_at_once() -> None:
    job, effects = run(Unrunnable("input images failed"))
    assert effects == [Publish(JobState.UNRUNNABLE, "input images failed")]
    assert step(job, Published())[0].state == JobState.UNRUNNABLE


def test_outputs_that_do_not_fit_fail_the_job() -> None:
    assert run(BEGUN, Planned(0, 0), Gathered("same path"))[1] == [Publish(JobState.FAILURE, "same path")]


@pytest.mark.row("2.5 final states")
def test_final_is_final() -> None:
    job, _ = run(BEGUN, Planned(0, 0), Gathered(), Published())
    for event in (BEGUN, Planned(3, 0), Stopped("x"), Gathered("y"), Published(), Unrunnable("z")):
        assert step(job, event) == (job, [])


class Executor:
    """Plays the scheduler's part: does the effects, and draws what comes of each unit."""

    def __init__(self, data: st.DataObject, total: int) -> None:
        self.data = data
        self.fresh = list(range(total))
        self.running: dict[int, tuple[int, ...]] = {}
        self.units = 0
        self.restarts = 3

    def give_out(self, effect: GiveOut) -> list[Event]:
        events = [self._submit((datum,)) for datum in effect.again]
        while self.fresh and len(events) < effect.units:
            size = self.data.draw(st.integers(1, 3))
            taken, self.fresh = self.fresh[:size], self.fresh[size:]
            events.append(self._submit(tuple(taken)))
        return events

    def _submit(self, datums: tuple[int, ...]) -> Event:
        self.units += 1
        self.running[self.units] = datums
        return Submitted(self.units, datums)

    def next(self) -> Event:
        unit = self.data.draw(st.sampled_from(sorted(self.running)))
        datums = self.running.pop(unit)
        if self.restarts and self.data.draw(st.booleans()):
            self.restarts -= 1
            return Restarted(unit)
        if self.data.draw(st.booleans()):
            return UnitLost(unit, "gone")
        told = [one for one in datums if self.data.draw(st.integers(0, 4))]
        states = st.sampled_from([OK, OK, FAILED, RECOVERED])
        return UnitEnded(unit, tuple(Ended(one, self.data.draw(states), "bad") for one in told))


@settings(max_examples=150, deadline=None)
@given(st.data(), st.integers(0, 8), st.integers(1, 3), st.integers(1, 3))
def test_every_datum_ends_once_whatever_happens(data: st.DataObject, total: int, tries: int, units: int) -> None:
    outside = Executor(data, total)
    job, log = Job(), list[Event]()
    given_up: list[int] = []
    todo: list[Event] = [Begun(tries=tries)]
    while not job.state.is_final:
        event = todo.pop(0) if todo else outside.next()
        log.append(event)
        job, effects = step(job, event)
        for effect in effects:
            match effect:
                case MakePlan():
                    todo.append(Planned(total, 0, units=units))
                case GiveOut():
                    todo += outside.give_out(effect)
                case Gather():
                    todo.append(Gathered())
                case Publish():
                    todo.append(Published())
                case GiveUp():
                    given_up.append(effect.datum)
                case Cancel():
                    assert isinstance(event, Restarted)
                    assert effect.units == (event.unit,)
        assert len(job.in_flight) <= units
    counters = job.counters
    assert counters.processed + counters.failed + counters.recovered == counters.total == total
    assert job.state == (JobState.FAILURE if counters.failed else JobState.SUCCESS)
    assert len(given_up) == len(set(given_up)) <= counters.failed
    assert replay(log) == job
