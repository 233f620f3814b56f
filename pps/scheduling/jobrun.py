"""One job as it runs: feeds what happens to the state machine (state.py) and does what that asks for.

Everything is called by the scheduler's thread. Events of the executor come in through `take`; the state machine's
effects are done at once, in order, and what comes of them is the next event.
"""

from __future__ import annotations

import dataclasses
from collections import deque
from typing import TYPE_CHECKING

from msgspec.structs import replace

from pfs.errors import BranchMovedError, FailedError, StorageFullError
from pfs.ids import CommitId, new_commit_id
from pfs.trees.tree import Tree
from pps.datums.inputs import EmptyKeyError
from pps.datums.table import Result
from pps.executor import DatumDone, Lost, Started, UnitDone, UnitId
from pps.model import events, state
from pps.model.event_log import EventLog
from pps.model.infos import NO_WORK
from pps.model.records import Head, JobRecord
from pps.model.state import DatumState, JobState
from pps.scheduling.deliveries import Run
from pps.scheduling.egressing import JobEgress
from pps.scheduling.handout import Handout
from pps.scheduling.jobcause import job_id, why_broken
from pps.scheduling.jobdata import JobData, Outcome
from pps.scheduling.jobplan import result_of, tasks_to_run
from pps.scheduling.livedatums import LiveDatums
from pps.scheduling.queue import Due
from pps.scheduling.surroundings import Surroundings
from pps.scheduling.thawing import thaw_inputs

if TYPE_CHECKING:
    from pps.executor import Event as ExecutorEvent

_PUBLISH_ROUNDS = 5


class JobRun:
    """A job between its start and its publication."""

    def __init__(self, around: Surroundings, due: Due, *, number: int) -> None:
        self._around, self.due = around, due
        self.pipeline = due.pipeline
        now_ns = around.store.clock_ns()
        resumed = due.resume
        self.id = resumed.id if resumed else job_id(around.store, due)
        self._number = resumed.number if resumed else number
        self._restart = resumed.restart + 1 if resumed else 0
        self._work = resumed.work if resumed else NO_WORK
        self._started_ns = resumed.started_ns if resumed else now_ns
        self._finished_ns: int | None = None
        self._meta_commit: CommitId | None = None
        self._data = JobData(around.store, due, self.id)
        self._job = state.Job()
        self._log = EventLog()
        self._isolation = resumed.isolation if resumed else ""
        self._handout = Handout(around, due, self.id, attempt=self._restart)
        self.live = LiveDatums(around.run_dir, self.pipeline.name, self.id)
        self.is_noted = False
        """Whether the store has a record of this run of the job, so that the next controller knows when it began."""
        self._outcome: Outcome | None = None
        self._egress = JobEgress(due.pipeline, around.wake)

    @property
    def is_over(self) -> bool:
        """Whether the job is published."""
        return self._job.state.is_final

    def start(self) -> None:
        """Begin the job; one without anything to run is over when this returns."""
        self._tell(events.JobStarted(replace(self.record(), state=JobState.STARTING).info()))
        if self.due.broken:
            self._feed(state.Unrunnable(why_broken(self.due)))
            return
        self._feed(state.Begun(self.pipeline.spec.datum_tries, bool(self.pipeline.spec.egresses)))

    def claim(self) -> None:
        """Move ``.meta``, so that nobody who began this pipeline's jobs before can commit what they did.

        Raises:
            BranchMovedError: such a one was faster; the job is not due any more, or in another way.
        """
        self._around.fence()
        left = self.due.resume  # what it had come to is true until more is known
        self._data.note(self.record() if left is None else replace(left, restart=self._restart))
        self.is_noted = True

    def awaits(self, unit: UnitId) -> bool:
        """Say whether events of a unit still count: it is one of this attempt, and neither done nor cancelled."""
        return self._handout.awaits(unit)

    def take(self, event: ExecutorEvent) -> None:
        """Take an event of a unit that the job awaits.

        Raises:
            StorageFullError: there is no room for what its datums read or put out; it cannot go on before there is.
            ThawingError: what its datums read is in an archive, and was asked for.
        """
        number = event.unit.number
        match event:
            case Started():
                self.live.begun(event.datum, event.attempt_no)
            case DatumDone():
                done = dataclasses.replace(event, tries=self.live.tries(event))
                if (task := self._handout.note(done)) is not None:
                    self.live.tell(event.datum, result_of(task, done, self.id))
            case UnitDone():
                self._unit_done(event.unit)
            case Lost(full=True):
                place = f"in {self._around.store.path}"
                raise StorageFullError(f"run the datums of pipeline {self.pipeline.name} {place}", event.reason)
            case Lost(archived=True):
                thaw_inputs(self._around.store, self.pipeline.name, self._handout.open_tasks(), why=event.reason)
            case Lost():
                self._unit_lost(number, event.reason)

    def stop(self, reason: str) -> None:
        """End the job as killed; what succeeded is kept for the next one."""
        self._feed(state.Stopped(reason))

    def restart(self, datum: str | None) -> None:
        """Begin again with the units that have this datum, or with all that run; what they did is dropped.

        ``datum``: its id, the beginning of that, or the paths of some of its inputs, ``/a,/b``.
        """
        for number in self._handout.units_of(datum):
            self.live.wait_again([task.id for task in self._handout.take_back(number)], restarted=True)
            self._feed(state.Restarted(number))

    def show(self) -> None:
        """Let others see how the datums stand."""
        self.live.show(self._data.planned)

    def look(self, now_ns: int) -> None:
        """Go on if the egress is done; stop the job if it runs longer than its spec allows."""
        if self._job.state == JobState.EGRESSING and self._egress.is_done(self._tell):
            self._feed(state.Egressed(self._egress.refusal))
        limit = self.pipeline.spec.job_timeout_s
        if limit is not None and now_ns - self._started_ns > limit * 1e9:
            self.stop(f"the job ran longer than its job_timeout of {limit:g} s")

    def checkpoint(self) -> None:
        """Save the datums that are done."""
        if self._data.has_news and not self.is_over:
            self._save(self.record())

    def note(self) -> None:
        """Save that the job has begun, and nothing of its datums."""
        self._around.fence()
        self._data.note(self.record())
        self.is_noted = True

    def leave(self) -> None:
        """Save the datums that are done, and what hinders the egress; only `abandon` may follow."""
        record, troubled = self.record(), bool(self._egress.trouble)
        self._egress.end(goes_on=True)
        if (self._data.has_news or troubled) and not self.is_over:
            self._save(record)

    def _save(self, record: JobRecord) -> None:
        self._around.fence()
        self._data.checkpoint(record)
        self.is_noted = True

    def abandon(self) -> None:
        """Give the job up without a trace of its end, as a crash would: the next controller goes on with it."""
        self._handout.abandon()
        self._egress.end(goes_on=True)
        self._data.session.abandon()

    def record(self) -> JobRecord:
        """Return the job as it stands."""
        due, spec = self.due, self.pipeline.spec
        inputs = ((leaf, due.inputs[leaf.repo, leaf.branch]) for leaf in self.pipeline.leaves)
        return JobRecord(
            id=self.id,
            pipeline=self.pipeline.name,
            number=self._number,
            cause=due.cause,
            state=self._job.state,
            reason=self._job.reason or self._egress.trouble,
            started_ns=self._started_ns,
            finished_ns=self._finished_ns,
            counters=self._job.counters,
            inputs=tuple((leaf.name, leaf.repo, leaf.branch, commit) for leaf, commit in inputs),
            pages=self._data.pages,
            position=tuple(Head(repo, branch, commit) for (repo, branch), commit in due.position.items()),
            spec_commit=self.pipeline.spec_commit,
            version=self.pipeline.record.version,
            output_branch=spec.output_branch,
            has_output=self._job.state.is_final,
            meta_commit=self._meta_commit,
            isolation=self._isolation,
            restart=self._restart,
            work=self._work,
            events=self._log.lines(),
        )

    def _tell(self, event: events.RunEvent) -> None:
        self._around.on_event(event)

    def _feed(self, event: state.Event) -> None:
        """Step the state machine, do its effects, and go on with what comes of them."""
        waiting = deque([event])
        while waiting:
            one = waiting.popleft()
            self._log.add(self._around.store.clock_ns() - self._started_ns, one)
            self._job, effects = state.step(self._job, one)
            for effect in effects:
                waiting += self._do(effect)

    def _do(self, effect: state.Effect) -> list[state.Event]:
        match effect:
            case state.MakePlan():
                return [self._make_plan()]
            case state.GiveOut():
                return self._handout.give(effect, waiting=self._job.waiting)
            case state.GiveUp():
                self._give_up(effect.datum, effect.reason)
                return []
            case state.Cancel():
                self._handout.cancel(effect.units)
                return []
            case state.Gather():
                return [self._gather()]
            case state.SendOut():
                assert self._outcome is not None, "it is sent after it was put together"
                run = Run(self._around.store, self.id, self._started_ns, self.due.inputs)
                begun = self._egress.begin(run, Tree(self._data.session, self._outcome.output), self._tell)
                return [] if begun else [state.Egressed()]
            case state.StopSending():
                self._egress.end()
                return []
            case state.Publish():
                self._publish(effect.outcome, effect.reason)
                return [state.Published()]

    def _make_plan(self) -> state.Event:
        try:
            plan, asks = self._data.plan(), self.pipeline.spec.asks
        except EmptyKeyError as error:
            return state.Unrunnable(str(error))
        self._handout.plan(tasks_to_run(self.pipeline, self._data.matches, plan))
        if plan.run.any() and asks and (lacking := self._around.executor().capacity().lacks(asks)):
            return state.Unrunnable(lacking)
        units = self._prepare_executor() if plan.run.any() else 1
        skipped, done = int(plan.skipped.sum()), int(plan.done.sum())
        planned = state.Planned(total=plan.total, skipped=skipped, done=done, units=units)
        told, _ = state.step(self._job, planned)
        self._tell(events.JobPlanned(replace(self.record(), counters=told.counters).info()))
        return planned

    def _prepare_executor(self) -> int:
        """Make the executor; return how many units may be in flight."""
        units = self._handout.prepare()
        self._isolation = self._around.executor().isolation
        return units

    def _unit_done(self, unit: UnitId) -> None:
        ended, executor = self._handout.finish(unit.number), self._around.executor()
        self._data.session.adopt(executor.take_session(unit))
        # Known at once now: whether the image can be had was found out when the unit ran.
        self._isolation = executor.isolation_for(self.pipeline.spec.transform)
        told = []
        for task, done in ended:
            self._data.add(task, done)
            self._work = self._work.plus(done.seconds, done.bytes)
            told.append((done, state.Ended(task.index, DatumState(done.state), _reason(done))))
        event = state.UnitEnded(unit.number, tuple(one for _, one in told))
        after, _ = state.step(self._job, event)
        for done, one in told:
            self._tell_datum(done.datum, one.state, done.error or "", counters=after.counters)
        self._feed(event)

    def _unit_lost(self, number: int, reason: str) -> None:
        self.live.wait_again([task.id for task in self._handout.take_back(number)])
        self._feed(state.UnitLost(number, reason))

    def _give_up(self, place: int, reason: str) -> None:
        task = self._handout.give_up(place)
        self._data.fail(place, reason)
        self.live.tell(task.id, Result(DatumState.FAILED, reason=reason))
        self._tell_datum(task.id, DatumState.FAILED, reason, counters=self._job.counters)

    def _tell_datum(self, datum: str, how: DatumState, reason: str, *, counters: state.Counters) -> None:
        self._tell(events.DatumFinished(self.pipeline.name, self.id, datum, how, counters, reason))

    def _gather(self) -> state.Event:
        self._handout.end()
        try:
            if self._job.outcome == JobState.KILLED:
                self._outcome = self._data.nothing()
            else:
                if self.pipeline.spec.egresses and self._data.has_news:
                    # What is sent must be readable, which it is when it is published.
                    sends = self._job.outcome == JobState.SUCCESS
                    self._save(replace(self.record(), state=JobState.EGRESSING) if sends else self.record())
                self._outcome = self._data.gather(success=self._job.outcome == JobState.SUCCESS)
        except FailedError as error:
            self._outcome = self._data.nothing()
            return state.Gathered(str(error))
        return state.Gathered()

    def _publish(self, outcome: JobState, reason: str) -> None:
        """Commit the job; when the output branch was moved meanwhile, put the outputs together again."""
        self._finished_ns = self._around.store.clock_ns()
        self._data.take_notes(self._egress.notes())
        for round_no in range(_PUBLISH_ROUNDS):
            self._meta_commit = new_commit_id()
            record = replace(self.record(), state=outcome, reason=reason, has_output=True)
            self._around.fence()
            try:
                self._data.finish(record, self._outcome or self._data.nothing())
            except BranchMovedError:
                if round_no == _PUBLISH_ROUNDS - 1:
                    raise
                self._data.look_again()
                self._gather()
            except FailedError as error:
                # A bucket became something since that no task may write to.
                outcome, reason, self._outcome = JobState.FAILURE, str(error), self._data.nothing()
            else:
                self._tell(events.JobFinished(record.info()))
                return


def _reason(done: DatumDone) -> str:
    if done.state != "failed":
        return ""
    return f"datum {done.datum} failed: {done.error or 'no reason was given'}"
