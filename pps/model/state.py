"""The state machine of a job: a pure function from (state, event) to (state, effects).

No I/O, clock or threads. The scheduler does the effects and reports what came of them as events; all events of a job
are kept with it, so that what went wrong can be replayed (`replay`). Datums are numbers here: their place in the order
in which the job's inputs yield them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import NamedTuple


class JobState(StrEnum):
    """The states of a job; the last four are final. EGRESSING: the output is sent elsewhere."""

    CREATED = "created"
    STARTING = "starting"
    RUNNING = "running"
    EGRESSING = "egressing"
    FINISHING = "finishing"
    SUCCESS = "success"
    FAILURE = "failure"
    KILLED = "killed"
    UNRUNNABLE = "unrunnable"

    @property
    def is_final(self) -> bool:
        """Whether the job is over."""
        return self in _FINAL


_FINAL = frozenset({JobState.SUCCESS, JobState.FAILURE, JobState.KILLED, JobState.UNRUNNABLE})


class DatumState(StrEnum):
    """The states of a datum in a job."""

    STARTING = "starting"
    SUCCESS = "success"
    FAILED = "failed"
    SKIPPED = "skipped"
    RECOVERED = "recovered"


class Counters(NamedTuple):
    """How many datums a job has, and how many ended how."""

    total: int = 0
    processed: int = 0
    skipped: int = 0
    failed: int = 0
    recovered: int = 0


NO_COUNTERS = Counters()


class Ended(NamedTuple):
    """One datum's end: ``error`` is one line, for a datum that failed."""

    datum: int
    state: DatumState
    error: str = ""


@dataclass(frozen=True, slots=True)
class Begun:
    """The job's turn has come. ``tries``: so many times may the worker of a datum be lost before it has failed.

    ``egress``: the output is sent elsewhere before the job succeeds.
    """

    tries: int
    egress: bool = False


@dataclass(frozen=True, slots=True)
class Unrunnable:
    """The job cannot run: an input is broken."""

    reason: str


@dataclass(frozen=True, slots=True)
class Planned:
    """It is known what runs. ``units``: most units in flight.

    ``done``: datums that were processed by an earlier, interrupted run of this same job.
    """

    total: int
    skipped: int
    done: int = 0
    units: int = 1


@dataclass(frozen=True, slots=True)
class Submitted:
    """A unit with these datums is with the executor."""

    unit: int
    datums: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class UnitEnded:
    """The executor is done with a unit; a datum without an end counts as lost."""

    unit: int
    ended: tuple[Ended, ...]


@dataclass(frozen=True, slots=True)
class UnitLost:
    """The worker of a unit is gone; nothing of the unit counts."""

    unit: int
    reason: str


@dataclass(frozen=True, slots=True)
class Restarted:
    """A unit is to be done again from the start, because somebody said so; that counts as no loss."""

    unit: int


@dataclass(frozen=True, slots=True)
class Stopped:
    """The job is to end now: its time is up, or somebody said so."""

    reason: str


@dataclass(frozen=True, slots=True)
class Gathered:
    """The outputs are put together; ``error`` says why they cannot be."""

    error: str = ""


@dataclass(frozen=True, slots=True)
class Egressed:
    """The output was sent elsewhere; ``error``: or was refused there, for this reason."""

    error: str = ""


@dataclass(frozen=True, slots=True)
class Published:
    """The outcome is in the store."""


Event = (
    Begun
    | Unrunnable
    | Planned
    | Submitted
    | UnitEnded
    | UnitLost
    | Restarted
    | Stopped
    | Gathered
    | Egressed
    | Published
)


@dataclass(frozen=True, slots=True)
class MakePlan:
    """List the datums and compare them with what there is; answer Planned."""


@dataclass(frozen=True, slots=True)
class GiveOut:
    """Submit up to ``units`` units; the datums of ``again`` first, each in a unit of its own.

    Answer Submitted for each.
    """

    units: int
    again: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class GiveUp:
    """Note that a datum has failed of which no worker could tell."""

    datum: int
    reason: str


@dataclass(frozen=True, slots=True)
class Cancel:
    """Cancel these units; nothing that they still report counts."""

    units: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Gather:
    """Put the outputs together; answer Gathered."""


@dataclass(frozen=True, slots=True)
class SendOut:
    """Send the output elsewhere; answer Egressed."""


@dataclass(frozen=True, slots=True)
class StopSending:
    """End the sending; it is not answered."""


@dataclass(frozen=True, slots=True)
class Publish:
    """Commit the job with its outcome; answer Published."""

    outcome: JobState
    reason: str


Effect = MakePlan | GiveOut | GiveUp | Cancel | Gather | SendOut | StopSending | Publish


@dataclass(frozen=True, slots=True)
class Job:
    """Where a job stands. ``waiting``: datums not given out yet; ``again``: lost ones that are to be given out again.

    ``outcome`` is what the job will be once it is published; ``state`` what it is now.
    """

    state: JobState = JobState.CREATED
    counters: Counters = NO_COUNTERS
    reason: str = ""
    outcome: JobState = JobState.SUCCESS
    tries: int = 1
    units: int = 1
    waiting: int = 0
    again: tuple[int, ...] = ()
    in_flight: Mapping[int, tuple[int, ...]] = field(default_factory=dict)
    losses: Mapping[int, int] = field(default_factory=dict)
    egress: bool = False


def step(job: Job, event: Event) -> tuple[Job, list[Effect]]:
    """Apply ``event``; return the new state and what is to be done now, in order.

    Events that have no meaning in the present state (late reports of cancelled units, a second stop) change nothing.
    """
    if job.state.is_final:
        return job, []
    match event:
        case Begun() if job.state == JobState.CREATED:
            started = replace(job, state=JobState.STARTING, tries=event.tries, egress=event.egress)
            return started, [MakePlan()]
        case Unrunnable() if job.state in {JobState.CREATED, JobState.STARTING}:
            return _finish(replace(job, outcome=JobState.UNRUNNABLE, reason=event.reason))
        case Planned() if job.state == JobState.STARTING:
            return _go_on(_planned(job, event))
        case Submitted() if job.state == JobState.RUNNING:
            return _submitted(job, event), []
        case UnitEnded() if event.unit in job.in_flight:
            return _unit_ended(job, event)
        case UnitLost() if event.unit in job.in_flight:
            return _lose(_without_unit(job, event.unit), job.in_flight[event.unit], event.reason)
        case Restarted() if event.unit in job.in_flight:
            return _restarted(job, event.unit)
        case Stopped() if job.state in {JobState.STARTING, JobState.RUNNING, JobState.EGRESSING}:
            return _stopped(job, event.reason)
        case Gathered() if job.state == JobState.FINISHING:
            return _gathered(job, event.error)
        case Egressed() if job.state == JobState.EGRESSING:
            return _egressed(job, event.error)
        case Published() if job.state == JobState.FINISHING:
            return replace(job, state=job.outcome), []
        case _:
            return job, []


def replay(events: Iterable[Event]) -> Job:
    """Return where a job stands after ``events``."""
    job = Job()
    for event in events:
        job, _ = step(job, event)
    return job


def _planned(job: Job, event: Planned) -> Job:
    counters = Counters(total=event.total, skipped=event.skipped, processed=event.done)
    waiting = event.total - event.skipped - event.done
    return replace(job, state=JobState.RUNNING, counters=counters, waiting=waiting, units=event.units)


def _submitted(job: Job, event: Submitted) -> Job:
    again = tuple(datum for datum in job.again if datum not in event.datums)
    fresh = len(event.datums) - (len(job.again) - len(again))
    in_flight = {**job.in_flight, event.unit: event.datums}
    return replace(job, again=again, waiting=job.waiting - fresh, in_flight=in_flight)


def _without_unit(job: Job, unit: int) -> Job:
    return replace(job, in_flight={number: datums for number, datums in job.in_flight.items() if number != unit})


def _unit_ended(job: Job, event: UnitEnded) -> tuple[Job, list[Effect]]:
    given = set(job.in_flight[event.unit])
    known = []
    for ended in event.ended:
        if ended.datum in given:
            given.discard(ended.datum)
            known.append(ended)
    return _lose(_count(_without_unit(job, event.unit), known), tuple(sorted(given)), "its worker did not report it")


def _count(job: Job, ended: Sequence[Ended]) -> Job:
    """Count the ends of datums, of which a unit may have thousands; the first error is the job's reason."""
    failed = [one for one in ended if one.state == DatumState.FAILED]
    recovered = sum(one.state == DatumState.RECOVERED for one in ended)
    old = job.counters
    counters = old._replace(
        processed=old.processed + len(ended) - len(failed) - recovered,
        failed=old.failed + len(failed),
        recovered=old.recovered + recovered,
    )
    if not failed:
        return replace(job, counters=counters)
    reason = next((one.error for one in failed if one.error), "")
    return replace(job, counters=counters, outcome=JobState.FAILURE, reason=job.reason or reason)


def _lose(job: Job, datums: tuple[int, ...], reason: str) -> tuple[Job, list[Effect]]:
    """Note datums whose worker is gone: they run again, alone; one that was lost too often has failed. Then go on."""
    losses, again = dict(job.losses), list(job.again)
    given_up: list[Effect] = []
    for datum in datums:
        losses[datum] = losses.get(datum, 0) + 1
        if losses[datum] < job.tries:
            again.append(datum)
        else:
            why = f"worker lost {losses[datum]} times: {reason}"
            job = _count(job, [Ended(datum, DatumState.FAILED, why)])
            given_up.append(GiveUp(datum, why))
    job, effects = _go_on(replace(job, losses=losses, again=tuple(again)))
    return job, given_up + effects


def _restarted(job: Job, unit: int) -> tuple[Job, list[Effect]]:
    again = (*job.again, *job.in_flight[unit])
    job, effects = _go_on(replace(_without_unit(job, unit), again=again))
    return job, [Cancel((unit,)), *effects]


def _go_on(job: Job) -> tuple[Job, list[Effect]]:
    if job.state != JobState.RUNNING:
        return job, []
    if not job.waiting and not job.again and not job.in_flight:
        return replace(job, state=JobState.FINISHING), [Gather()]
    free = job.units - len(job.in_flight)
    if free <= 0 or not (job.waiting or job.again):
        return job, []
    return job, [GiveOut(free, job.again[:free])]


def _stopped(job: Job, reason: str) -> tuple[Job, list[Effect]]:
    running = tuple(job.in_flight)
    job = replace(job, waiting=0, again=(), in_flight={}, outcome=JobState.KILLED, reason=reason)
    effects: list[Effect] = [Cancel(running)] if running else []
    if job.state == JobState.EGRESSING:
        effects.append(StopSending())
    if job.state == JobState.STARTING:
        finished, more = _finish(job)
        return finished, effects + more
    return replace(job, state=JobState.FINISHING), [*effects, Gather()]


def _gathered(job: Job, error: str) -> tuple[Job, list[Effect]]:
    if error and job.outcome == JobState.SUCCESS:
        job = replace(job, outcome=JobState.FAILURE, reason=error)
    if job.egress and job.outcome == JobState.SUCCESS:
        return replace(job, state=JobState.EGRESSING), [SendOut()]
    return _finish(job)


def _egressed(job: Job, error: str) -> tuple[Job, list[Effect]]:
    if not error:
        return _finish(job)
    # What was put together is that of a success; a failed job keeps what its datums did, and drops nothing.
    return replace(job, state=JobState.FINISHING, outcome=JobState.FAILURE, reason=error), [Gather()]


def _finish(job: Job) -> tuple[Job, list[Effect]]:
    return replace(job, state=JobState.FINISHING), [Publish(job.outcome, job.reason)]
