"""What the job of a service leaves in the store: a record when its command gets the data, and one when it has ended.

The record of the beginning is what the next controller finds when this one is killed: it goes on with the job. There
is no output: the output commit, which says that the job is over, has the files that there were before.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec.structs import replace as with_fields

from pfs.errors import BranchMovedError, FailedError, NotFoundError
from pfs.ids import new_commit_id
from pps.datums.datum import datum_id
from pps.datums.inputs import datums
from pps.executor import DatumTask
from pps.model.catalog import Catalog, Pipeline
from pps.model.records import Head, JobRecord
from pps.model.state import Counters, JobState
from pps.model.variables import pipeline_variables
from pps.scheduling.jobcause import job_id
from pps.scheduling.jobdata import JobData
from pps.scheduling.jobplan import CommitMatches, datum_inputs
from pps.scheduling.queue import Due
from pps.spec.types import Reprocess

if TYPE_CHECKING:
    from pfs.store import Store

_ROUNDS = 5


class NotOneDatumError(FailedError):
    """What a service reads is no datum, or more than one: ``(pipeline, how)``."""

    kind = "not-one-datum"

    def __init__(self, pipeline: str, how: str) -> None:
        super().__init__(pipeline, how)
        self.pipeline, self.how = pipeline, how

    def __str__(self) -> str:
        return f"services must have a single datum, and the input of {self.pipeline} has {self.how}"


class ServiceJob:
    """The job of a service: ``due`` is what it reads. One thread at a time."""

    def __init__(self, store: Store, due: Due, *, fence: Callable[[], object]) -> None:
        """``fence`` raises PfsError once another one is the controller."""
        self._store, self._due, self._fence = store, due, fence
        resumed = due.resume
        self.id = resumed.id if resumed else job_id(store, due)
        self._number = resumed.number if resumed else due.pipeline.jobs.next_number
        self._restart = resumed.restart + 1 if resumed else 0
        self._started_ns = resumed.started_ns if resumed else store.clock_ns()
        self._isolation = ""

    def task(self) -> DatumTask:
        """Return the datum.

        Raises:
            NotOneDatumError: there is none, or there are several.
        """
        pipeline = self._due.pipeline
        found = list(islice(datums(pipeline.spec.input, CommitMatches(self._store, self._due.inputs)), 2))
        if len(found) != 1:
            raise NotOneDatumError(pipeline.name, "several: give it the glob '/'" if found else "none")
        env = pipeline_variables(pipeline.name, pipeline.spec_commit)
        return DatumTask(datum_id(found[0]).hex(), 0, datum_inputs(found[0]), env, tries=1)

    def begin(self, isolation: str) -> JobRecord:
        """Store that the command gets the data; returns the record.

        Raises:
            PfsError: it cannot be stored; nothing changed.
        """
        self._isolation = isolation
        return self._stored(lambda data, record: data.checkpoint(record), JobState.RUNNING, "")

    def end(self, outcome: JobState, reason: str, *, log: tuple[str, Path] | None = None) -> JobRecord:
        """Store how the job ended; ``log``: id of the datum, and the file with what its command wrote.

        Raises:
            PfsError: it cannot be stored; nothing changed.
        """

        def publish(data: JobData, record: JobRecord) -> None:
            if log is not None:
                data.plan()
                data.keep_log(*log)
            data.finish(record, data.nothing())

        return self._stored(publish, outcome, reason)

    def _stored(self, act: Callable[[JobData, JobRecord], None], state: JobState, reason: str) -> JobRecord:
        for round_no in range(_ROUNDS):
            record, present = self.record(state, reason), self._present()
            # After the look at the store: whoever takes over later moves `.meta` first, and this swap fails.
            self._fence()
            data = JobData(self._store, present, self.id)
            try:
                act(data, record)
            except BranchMovedError:
                data.session.abandon()
                if round_no == _ROUNDS - 1:
                    raise
            except BaseException:
                data.session.abandon()
                raise
            else:
                return record
        raise AssertionError

    def _present(self) -> Due:
        """Return the job with its pipeline as it is now, but for what it is to run, which may have another version."""
        then, now = self._due.pipeline, Catalog(self._store).get(self._due.pipeline.name)
        if now.record.created_ns != then.record.created_ns:
            raise NotFoundError(f"pipeline {then.name!r} was deleted, and another one has its name")
        same = now.spec.output_branch == then.spec.output_branch
        pipeline: Pipeline = replace(
            then,
            spec=replace(then.spec, reprocess=Reprocess.EVERY_JOB),
            output=now.output if same else None,
            meta=now.meta,
            meta_root=now.meta_root,
            jobs=now.jobs,
            rewrites=now.rewrites,
        )
        return replace(self._due, pipeline=pipeline)

    def record(self, state: JobState, reason: str) -> JobRecord:
        """Return the job in a state."""
        due, spec = self._due, self._due.pipeline.spec
        inputs = ((leaf, due.inputs[leaf.repo, leaf.branch]) for leaf in due.pipeline.leaves)
        bare = JobRecord(
            id=self.id,
            pipeline=due.pipeline.name,
            number=self._number,
            cause=due.cause,
            state=state,
            reason=reason,
            started_ns=self._started_ns,
            counters=Counters(total=1, processed=int(state == JobState.SUCCESS)),
            inputs=tuple((leaf.name, leaf.repo, leaf.branch, commit) for leaf, commit in inputs),
            position=tuple(Head(repo, branch, commit) for (repo, branch), commit in due.position.items()),
            spec_commit=due.pipeline.spec_commit,
            version=due.pipeline.record.version,
            output_branch=spec.output_branch,
            isolation=self._isolation,
            restart=self._restart,
        )
        if not state.is_final:
            return bare
        counters = bare.counters if state not in {JobState.FAILURE, JobState.UNRUNNABLE} else Counters()
        now_ns = self._store.clock_ns()
        return with_fields(bare, finished_ns=now_ns, has_output=True, meta_commit=new_commit_id(), counters=counters)
