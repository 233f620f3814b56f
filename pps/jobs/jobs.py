"""The jobs of a store's pipelines, their datums and logs: looked up, explained, stopped. Delegates; thread-safe."""

from __future__ import annotations

import heapq
import time
from collections import deque
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING

from pfs.errors import ConflictError, InvalidInputError, NotFoundError
from pfs.ids import CommitId
from pps.datums.table import Entry, entries
from pps.jobs.datums import datum_info, find_datum, job_datums
from pps.jobs.explain import Explanation, explain
from pps.jobs.interrupted import as_left
from pps.jobs.joblogs import LogReader
from pps.jobs.jobsets import JobSetInfo, job_sets
from pps.jobs.spoutlogs import spout_logs
from pps.model.catalog import Catalog, Pipeline
from pps.model.infos import DatumInfo, JobInfo, LogLine
from pps.model.records import JobRecord
from pps.model.state import DatumState, JobState
from pps.scheduling.live import of, running_jobs
from pps.scheduling.livedatums import live_table
from pps.scheduling.orders import Orders, RestartDatum, StopJob
from pps.scheduling.queue import due_jobs
from pps.workers.logs import log_time

if TYPE_CHECKING:
    from pfs.store import Store
    from pps.executor import DatumDone
    from pps.job_gateway import OpenGateway
    from pps.jobs.repeat import Again, Repeat

_LOOK_S = 0.2


class Jobs:
    """What `pps` commands do with jobs and datums."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._run_dir = store.path / "run"

    def jobs(
        self,
        pipeline: str | None = None,
        *,
        states: Collection[JobState] = (),
        inputs: Collection[tuple[str, CommitId]] = (),
        history: int | None = None,
    ) -> Iterator[JobInfo]:
        """Return jobs, newest first, those that run now too; of one pipeline or of all that can be read.

        ``states``: only jobs in one of them; ``inputs``: only jobs that read all of these commits, as (repo, commit);
        ``history``: only jobs of the present version and of so many before it.

        Raises:
            NotFoundError: there is no such pipeline.
        """
        live = running_jobs(self._run_dir)
        catalog = Catalog(self._store)
        pipelines = catalog.all() if pipeline is None else [catalog.get(pipeline)]
        each = [_recent(_records(one, live), one, history) for one in pipelines]
        found = heapq.merge(*each, key=lambda job: (job.started_ns, job.number), reverse=True)
        return (job.info() for job in found if (not states or job.state in states) and _reads(job, inputs))

    def job_sets(self) -> list[JobSetInfo]:
        """Return the jobs of all pipelines by id, the set that began last first."""
        return job_sets(self.jobs())

    def job_set(self, ref: str) -> JobSetInfo:
        """Return the jobs of one id, or of an unambiguous beginning of it.

        Raises:
            NotFoundError: no job has such an id.
            InvalidInputError: jobs of several ids begin like that.
        """
        found = [one for one in self.job_sets() if one.id.startswith(ref)] if ref else []
        if not found:
            raise NotFoundError(f"job set {ref!r} not found: `pps list-job-set` shows what exists")
        if len(found) > 1:
            raise InvalidInputError(f"job set {ref!r} is ambiguous: give more of its id")
        return found[0]

    def job(self, pipeline: str, ref: str) -> JobInfo:
        """Return one job by its id or an unambiguous beginning of it.

        Raises:
            NotFoundError: there is no such pipeline or job.
            InvalidInputError: several jobs begin like that.
        """
        return self._look(pipeline).job(ref).info()

    def datums(self, pipeline: str, job: str, *, states: Collection[DatumState] = ()) -> Iterator[DatumInfo]:
        """Return the datums of a job by id, those in one of ``states`` if any are given.

        Of a job that runs: as they are now, a moment late; those under way have ``tries`` from 1 up.

        Raises:
            NotFoundError: there is no such pipeline or job.
        """
        found = self._look(pipeline)
        record = found.job(job)
        return (datum_info(record, entry) for entry in job_datums(self._store, found.pipeline, record, states=states))

    def datum(self, pipeline: str, job: str, datum: str) -> DatumInfo:
        """Return one datum by its id or an unambiguous beginning of it.

        Raises:
            NotFoundError: there is no such pipeline, job or datum.
            InvalidInputError: several datums begin like that.
        """
        found = self._look(pipeline)
        record = found.job(job)
        return datum_info(record, find_datum(self._store, found.pipeline, record, datum))

    def explain(self, pipeline: str, job: str, datum: str) -> Explanation:
        """Say why a datum of a job ran or was skipped; raises as `datum`."""
        found = self._look(pipeline)
        return explain(self._store, found.pipeline, found.job(job), datum)

    @contextmanager
    def repeating(
        self, pipeline: str, job: str, datum: str, *, work_dir: Path, isolation: str, gateways: OpenGateway
    ) -> Iterator[tuple[Repeat, Callable[[DatumDone], Again]]]:
        """Lend a datum of a job, ready to run again here, and what compares how it went; see `pps.jobs.repeat`.

        Raises:
            PfsError: as `datum`, and as `pps.jobs.repeat.repeating`.
        """
        from pps.jobs.repeat import compare, repeating

        found = self._look(pipeline)
        record = found.job(job)
        entry = find_datum(self._store, found.pipeline, record, datum)
        given = (self._store, found.pipeline, record, entry)
        with repeating(*given, work_dir=work_dir, isolation=isolation, gateways=gateways) as repeat:
            yield repeat, partial(compare, *given)

    def logs(
        self,
        pipeline: str,
        *,
        job: str | None = None,
        datum: str | None = None,
        inputs: Collection[str] = (),
        follow: bool = False,
        tail: int | None = None,
        since_ns: int | None = None,
    ) -> Iterator[LogLine]:
        """Return what the commands of a job wrote, datum by datum; ``job`` None: the newest; ``tail``: last lines only.

        ``follow``: go on until the job ends. A datum that was skipped has its log in the job that ran it: asked for by
        ``datum``, that is shown. ``inputs``: only datums of these paths, of a job that runs only what is saved as
        done; not with ``datum`` or ``follow``. ``since_ns``: only lines written at this time or later. Of a spout: what
        its command wrote (`spout_logs`).

        Raises:
            NotFoundError: there is no such pipeline, job or datum; the pipeline has no jobs.
        """
        found = self._look(pipeline)
        if found.pipeline.spec.spout and job is None:
            found_lines = spout_logs(self._store, self._run_dir, pipeline, follow=follow)
            return _narrowed(found_lines, since_ns, None if follow else tail)
        newest = found.newest
        if newest is None and job is None:
            raise NotFoundError(f"pipeline {pipeline!r} has no jobs: `pps run` runs what is due")
        record = newest if newest is not None and job is None else found.job(job or "")
        reader = LogReader(self._store, self._run_dir, record)
        if not inputs and since_ns is None:
            return reader.lines(datum, follow=follow, tail=tail)
        paths = [f"/{path.lstrip('/')}" for path in inputs]
        lines = reader.of_inputs(paths) if inputs else reader.lines(datum, follow=follow, tail=None)
        return _narrowed(lines, since_ns, None if follow else tail)

    def _look(self, pipeline: str) -> _Look:
        live = running_jobs(self._run_dir)
        found = Catalog(self._store).get(pipeline)
        return _Look(found, live)

    def running_of(self, ref: str) -> list[tuple[str, CommitId]]:
        """Return (pipeline, job) of the jobs of an id that have not ended; raises as `job_set`.

        Raises:
            ConflictError: all have ended.
        """
        found = self.job_set(ref)
        running = [(job.pipeline, job.id) for job in found.jobs if not job.state.is_final]
        if not running:
            raise ConflictError(f"all jobs of {found.id} have ended")
        return running

    def stop_job(self, pipeline: str, job: str) -> JobInfo:
        """Ask the running controller to end a job as killed; returns the job as it is now.

        Raises:
            NotFoundError: there is no such pipeline or job.
            ConflictError: it has ended, or no controller runs it.
        """
        record = self._running_record(pipeline, job)
        Orders(self._run_dir).give(StopJob(pipeline, record.id))
        return record.info()

    def restart_datum(self, pipeline: str, job: str, datum: str | None = None) -> None:
        """Ask the running controller to begin again with a datum that runs, or with all.

        ``datum``: its id, the beginning of that, or the paths of some of its inputs, ``/a,/b``.

        Raises:
            NotFoundError: there is no such pipeline or job; or none of its datums that have not ended is meant.
            ConflictError: the job has ended, or no controller runs it.
        """
        record = self._running_record(pipeline, job)
        if datum is not None:
            self._refuse_unmeant(record, datum)
        Orders(self._run_dir).give(RestartDatum(pipeline, record.id, datum))

    def _refuse_unmeant(self, record: JobRecord, datum: str) -> None:
        """Raise NotFoundError if a datum is not under way; not of a job that shows nothing yet."""
        table = live_table(self._run_dir, record.pipeline, record.id)
        if table is None:
            return
        meant = [one.result.state for one in entries(table) if _is_meant(one, datum)]
        place = f"{record.pipeline}@{record.id}"
        if not meant:
            raise NotFoundError(f"datum {datum!r} not found in job {place}: `pps list-datum {place}` shows its datums")
        if DatumState.STARTING not in meant:
            raise NotFoundError(
                f"datum {datum!r} of job {place} has ended ({meant[0]}): there is nothing to begin again"
            )

    def delete(self, pipeline: str, job: str) -> JobInfo:
        """Delete a job that has ended, with the logs of its datums; its output commit stays. Return what it was.

        Raises:
            NotFoundError: there is no such pipeline, or no such job.
            ConflictError: it has not ended, or another of the pipeline runs, whose end would meet this.
        """
        from pps.jobs.delete import delete_job

        record = self._look(pipeline).job(job)
        others = [one.id for one in of(record.pipeline, running_jobs(self._run_dir)) if one.id != record.id]
        if others and record.state.is_final:
            raise ConflictError(
                f"job {record.pipeline}@{record.id} cannot be deleted while {record.pipeline}@{others[0]} runs:"
                f" `pps wait-job {record.pipeline}@{others[0]}` waits for its end"
            )
        delete_job(self._store, record)
        return record.info()

    def _running_record(self, pipeline: str, job: str) -> JobRecord:
        record = self._look(pipeline).job(job)
        if record.state.is_final:
            raise ConflictError(f"job {pipeline}@{record.id} has ended: {record.state}")
        if all(one.id != record.id for one in of(pipeline, running_jobs(self._run_dir))):
            raise ConflictError(f"job {pipeline}@{record.id} does not run: no controller is there")
        return record

    def wait(self, pipeline: str, job: str, *, timeout_s: float | None = None) -> JobInfo:
        """Wait until a job has ended and return it; one that is due and has not begun is waited for too.

        Nothing runs it here: a controller does, another process.

        Raises:
            NotFoundError: there is no such pipeline; or no such job, and none of that id is due.
            ConflictError: it has not ended within ``timeout_s``.
        """
        end = None if timeout_s is None else time.monotonic() + timeout_s
        while True:
            token = self._store.changes()
            try:
                info = self._find(pipeline, job)
            except NotFoundError:
                if self._store.changes() == token:
                    raise
                continue  # it was not there yet, and not due any more when that was looked up
            if info is not None and info.state.is_final:
                return info
            left = _LOOK_S if end is None else min(_LOOK_S, end - time.monotonic())
            if left <= 0:
                raise ConflictError(f"job {pipeline}@{job} has not ended in {timeout_s:g} s")
            self._store.wait(token, left)

    def wait_set(self, ref: str, *, timeout_s: float | None = None) -> JobSetInfo:
        """Wait until all jobs of an id have ended, those that are due because of it too, and return them.

        Raises:
            NotFoundError: no job has such an id, and none of it is due.
            ConflictError: not all have ended within ``timeout_s``.
        """
        end = None if timeout_s is None else time.monotonic() + timeout_s
        while True:
            token = self._store.changes()
            catalog = Catalog(self._store)
            causes = [one.cause for due in due_jobs(self._store, catalog.all(), {}).values() for one in due]
            if not any(cause.startswith(ref) for cause in causes):
                found, services = self.job_set(ref), {one.name for one in catalog.all() if one.spec.runs_on}
                # The job of a service ends when newer data takes its place: nobody waits for that.
                if all(job.state.is_final or job.pipeline in services for job in found.jobs):
                    return found
            left = _LOOK_S if end is None else min(_LOOK_S, end - time.monotonic())
            if left <= 0:
                raise ConflictError(f"the jobs of {ref} have not ended in {timeout_s:g} s")
            self._store.wait(token, left)

    def _find(self, pipeline: str, job: str) -> JobInfo | None:
        """Return a job that has begun, None for one that is due."""
        try:
            return self._look(pipeline).job(job).info()
        except NotFoundError:
            due = due_jobs(self._store, Catalog(self._store).all(), {})
            if any(one.cause.startswith(job) for one in due.get(pipeline, ())):
                return None
            raise


@dataclass(frozen=True, slots=True)
class _Look:
    """A pipeline and its jobs; ``live``: the state that a running controller shows, read before the pipeline was."""

    pipeline: Pipeline
    live: Sequence[JobRecord]

    @property
    def newest(self) -> JobRecord | None:
        """The last job that began."""
        return next(_records(self.pipeline, self.live), None)

    def job(self, ref: str) -> JobRecord:
        name = self.pipeline.name
        stored = self.pipeline.jobs.beginning(ref) if ref else ()
        jobs = {job.id: as_left(job, self.pipeline) for job in stored if job.id not in self.pipeline.jobs.deleted}
        jobs |= {job.id: job for job in _running(self.pipeline, self.live) if ref and job.id.startswith(ref)}
        found = list(jobs.values())
        if not found:
            raise NotFoundError(f"job {name}@{ref} not found: `pps list-job -p {name}` shows its jobs")
        if len(found) > 1:
            raise InvalidInputError(f"job {name}@{ref} is ambiguous: give more of its id")
        return found[0]


def _is_meant(entry: Entry, ref: str) -> bool:
    if not ref.startswith("/"):
        return entry.id.hex().startswith(ref)
    return {source.path for source in entry.inputs}.issuperset(ref.split(","))


def _records(pipeline: Pipeline, live: Sequence[JobRecord]) -> Iterator[JobRecord]:
    """Yield the jobs of a pipeline, the newest first, each read as it is asked for.

    ``live`` was read before the pipeline was, so that one that ends meanwhile is in either.
    """
    running = _running(pipeline, live)
    yield from running
    ids = {job.id for job in running} | pipeline.jobs.deleted
    yield from (as_left(job, pipeline) for job in reversed(pipeline.jobs) if job.id not in ids)


def _running(pipeline: Pipeline, live: Sequence[JobRecord]) -> list[JobRecord]:
    """Return the jobs of a pipeline that run, the newest first; none of which the end is stored."""
    stored = ((job, pipeline.jobs.find(job.id)) for job in of(pipeline.name, live))
    found = [job for job, known in stored if known is None or not known.state.is_final]
    return sorted(found, key=lambda job: job.number, reverse=True)


def _recent(jobs: Iterator[JobRecord], pipeline: Pipeline, history: int | None) -> Iterator[JobRecord]:
    """Yield the jobs of the present version and of so many before it; ``jobs``: the newest first."""
    if history is None:
        return jobs
    first = pipeline.record.version - history
    return takewhile(lambda job: job.version >= first, jobs)


def _narrowed(lines: Iterator[LogLine], since_ns: int | None, tail: int | None) -> Iterator[LogLine]:
    first = "" if since_ns is None else log_time(since_ns)
    lines = (line for line in lines if line.time >= first)
    return lines if tail is None else iter(deque(lines, maxlen=tail))


def _reads(job: JobRecord, inputs: Collection[tuple[str, CommitId]]) -> bool:
    read = {(repo, commit) for _, repo, _, commit in job.inputs}
    return all(one in read for one in inputs)
