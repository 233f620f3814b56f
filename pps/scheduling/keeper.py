"""Keeping one command of a service or a spout: run, start again after growing pauses, until it is told to end.

A keeper is a thread. That of newer data puts in place what its command needs first, and only then ends the keeper
before it, so that the old data is served until then.
"""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from pfs.errors import NotFoundError, PfsError
from pps.executor import DatumTask, Executor, Standing, WorkUnit
from pps.model import events
from pps.model.catalog import Pipeline
from pps.model.records import JobRecord
from pps.model.standing import StandingRecord, StandingState
from pps.model.state import JobState
from pps.model.variables import pipeline_variables
from pps.scheduling.backoff import Backoff
from pps.scheduling.codedir import drop_other_code, lay_out_code
from pps.scheduling.live import LiveJobs
from pps.scheduling.livestanding import LiveStanding
from pps.scheduling.queue import Due
from pps.scheduling.servicejob import NotOneDatumError, ServiceJob
from pps.workers.forward import address_of

if TYPE_CHECKING:
    from pfs.store import Store

SPOUT: Final = "spout"
"""Stands for the datum in names of a spout, which has none."""
GRACE_S: Final = 5.0


@dataclass(frozen=True, slots=True)
class Grounds:
    """What all keepers of a controller share. ``fence`` raises PfsError once another one is the controller."""

    store: Store
    run_dir: Path
    on_event: events.OnEvent
    backoff: Backoff
    fence: Callable[[], object]


class Post(NamedTuple):
    """What is kept: a version of a pipeline, over the data of ``due``; a spout has none."""

    pipeline: Pipeline
    due: Due | None

    @property
    def key(self) -> tuple[str, str]:
        """What tells it from others of the pipeline: the commit of the code, and the cause of the job."""
        return self.pipeline.spec_commit, "" if self.due is None else self.due.cause


class _End(NamedTuple):
    """How a job ends; without an outcome it leaves no end. Without a reason it is the next controller's, all of it."""

    outcome: JobState | None
    reason: str


class Keeper:
    """A command that is kept. `end` from any thread; all else happens in its own."""

    def __init__(self, grounds: Grounds, post: Post, *, executor: Executor, number: int, before: Keeper | None) -> None:
        """``number`` is of this keeper alone; ``before``: the one whose place it takes."""
        self._grounds, self.post, self._executor, self._number = grounds, post, executor, number
        self._before = before
        self._job = None if post.due is None else ServiceJob(grounds.store, post.due, fence=grounds.fence)
        self._ending = threading.Event()
        self._lock = threading.Lock()
        self._end: _End | None = None
        self._standing: Standing | None = None
        self._has_begun = self._is_shown = False
        self._restarts, self._tail = 0, ""
        self._live = LiveStanding(grounds.run_dir)
        self._thread = threading.Thread(target=self._work, name=f"pps-keep-{post.pipeline.name}")

    @property
    def name(self) -> str:
        """The pipeline."""
        return self.post.pipeline.name

    @property
    def job(self) -> str:
        """The id of the job; empty for a spout."""
        return "" if self._job is None else self._job.id

    @property
    def is_over(self) -> bool:
        """Whether nothing of it is left."""
        return not self._thread.is_alive()

    @property
    def is_ending(self) -> bool:
        """Whether it was told to end."""
        return self._ending.is_set()

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def end(self, outcome: JobState | None, reason: str) -> None:
        """Let the command end, and its job with this outcome; None: as a crash would leave it. Returns at once.

        What was said first counts.
        """
        with self._lock:
            self._end = self._end or _End(outcome, reason)
            self._ending.set()
            if self._standing is not None:
                self._standing.stop(GRACE_S)

    def join(self) -> None:
        """Wait until nothing of it is left."""
        self._thread.join()

    def _work(self) -> None:
        try:
            self._keep()
        except NotOneDatumError as error:
            self._refuse(str(error))
        except Exception as error:  # a thread must not end in silence, whatever the bug
            self._tell_trouble(f"{type(error).__name__}: {error}")
        finally:
            self._finish()

    def _keep(self) -> None:
        backoff = self._grounds.backoff
        while not self._ending.is_set():
            began = time.monotonic()
            reason = self._run_once()
            if self._ending.is_set():
                return
            pause_s, backoff = backoff.after(time.monotonic() - began)
            self._restarts += 1
            if self._standing is not None:
                self._tail = self._standing.tail
                self._standing.note(f"{reason or 'the command ended'}; it is started again in {pause_s:g} s")
            self._show("restarting" if reason is None else "crashing", reason or "", again_s=pause_s)
            self._ending.wait(pause_s)

    def _run_once(self) -> str | None:
        """Run the command to its end; return why that was bad.

        Raises:
            NotOneDatumError: it cannot run at all.
        """
        try:
            if self._before is None:
                self._show("starting")
            standing = self._stand()
            with standing.ready() as run:
                self._take_over()
                if self._job is None:
                    self._drop_unfinished(standing)
                self._show("running")
                return run()
        except NotOneDatumError:
            raise
        except PfsError as error:
            return str(error)
        except OSError as error:
            return f"it cannot be run: {error.strerror or error}"

    def _stand(self) -> Standing:
        """Return the command, the same for each run."""
        if self._standing is None:
            standing = self._executor.stand(self._unit(self._task()))
            with self._lock:
                self._standing = standing
                if self._ending.is_set():
                    standing.stop(GRACE_S)
        return self._standing

    def _task(self) -> DatumTask:
        if self._job is not None:
            return self._job.task()
        pipeline = self.post.pipeline
        store = {"PFS_STORE": str(self._grounds.store.path)}
        env = {**pipeline_variables(pipeline.name, pipeline.spec_commit), **store}
        return DatumTask(SPOUT, 0, (), env, tries=1)

    def _unit(self, task: DatumTask) -> WorkUnit:
        pipeline = self.post.pipeline
        return WorkUnit(
            job=self.job or pipeline.spec_commit,
            pipeline=pipeline.name,
            attempt=self._number,
            number=self._number,
            transform=pipeline.spec.transform,
            code_dir=lay_out_code(self._grounds.store, self._grounds.run_dir, pipeline),
            datums=(task,),
            limits=pipeline.spec.limits,
            service=pipeline.spec.service,
            spout=pipeline.spec.spout,
            output_branch=pipeline.spec.output_branch,
        )

    def _take_over(self) -> None:
        """End the keepers before this one, and begin the job; the first time only.

        Raises:
            PfsError: the beginning of the job cannot be stored.
        """
        self._end_before(JobState.SUCCESS, "newer data took its place")
        if self._job is not None and not self._has_begun:
            record = self._job.begin(self._executor.isolation_for(self.post.pipeline.spec.transform))
            LiveJobs(self._grounds.run_dir).show(record)
            self._grounds.on_event(events.JobStarted(record.info()))
        self._has_begun = True
        drop_other_code(self._grounds.run_dir / "code" / self.name / self.post.pipeline.spec_commit)

    def _end_before(self, outcome: JobState | None, reason: str) -> None:
        older = self._before
        while older is not None:
            older.end(outcome, reason)
            older.join()
            older = older._before  # one that ended before it took over leaves its own behind
        self._before = None

    def _drop_unfinished(self, standing: Standing) -> None:
        """Drop the commits that a run of the spout left open: the next one could begin none."""
        name, branch = self.name, self.post.pipeline.spec.output_branch
        repo = self._grounds.store.repo(name)
        for commit in self._grounds.store.refs.read(name).body.all_open_on(branch):
            repo.drop_open(commit)
            standing.note(f"commit {name}@{commit} was left open by the run before: it is dropped")

    def _refuse(self, reason: str) -> None:
        """End the job as failed without having run, and with it the service: what is newest cannot be served."""
        if self._job is None or self._ending.is_set():
            return
        self._end_before(JobState.SUCCESS, "newer data took its place")
        with self._lock:
            self._end = self._end or _End(JobState.FAILURE, reason)
        self._has_begun = True

    def _finish(self) -> None:
        end = self._end or _End(None, "")
        if self._before is not None:
            self._end_before(end.outcome, end.reason)
        log = None if self._standing is None else self._standing.finish()
        record = self._end_job(end, log) if self._has_begun else None
        self._executor.end_job(self.name, self.job or self.post.pipeline.spec_commit, self._number)
        if end.reason:
            LiveJobs(self._grounds.run_dir).clear(self.name, self.job)
        if end.reason and self._is_shown:
            self._live.clear(self.name)
        if record is not None:
            self._grounds.on_event(events.JobFinished(record.info()))

    def _end_job(self, end: _End, log: Path | None) -> JobRecord | None:
        """Store how the job ended; None: it has no end, or it cannot be stored."""
        if self._job is None or end.outcome is None:
            return None
        try:
            datum = None if log is None else (self._job.task().id, log)
            record = self._job.end(end.outcome, end.reason, log=datum)
        except NotFoundError:
            return None  # it was deleted under its job
        except (PfsError, OSError) as error:
            self._tell_trouble(f"the end of job {self.job} cannot be stored: {error}")
            return None
        shutil.rmtree(self._grounds.run_dir / "logs" / self.name / self.job, ignore_errors=True)
        return record

    def _show(self, state: StandingState, reason: str = "", *, again_s: float | None = None) -> None:
        """Let others see the state, unless they still see that of the keeper before."""
        if self._before is not None:
            self._tell_trouble(f"its newest data is not served yet: {reason}" if reason else "")
            return
        now_ns = self._grounds.store.clock_ns()
        record = StandingRecord(
            pipeline=self.name,
            spec_commit=self.post.pipeline.spec_commit,
            state=state,
            since_ns=now_ns,
            reason=reason,
            restarts=self._restarts,
            again_ns=None if again_s is None else now_ns + int(again_s * 1e9),
            address=address_of(self.post.pipeline.spec.service),
            job=self.job,
            log_tail=self._tail,
        )
        self._is_shown = True
        self._live.show(record)
        self._grounds.on_event(events.Stands(self.name, state, record.address, reason, again_s))

    def _tell_trouble(self, message: str) -> None:
        if message:
            self._grounds.on_event(events.Trouble(self.name, message))
