"""Watching the controller of another process: what it has due, what it runs, what it has ended."""

from __future__ import annotations

from collections.abc import Sequence, Set
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING

from pps.model import events
from pps.model.catalog import Catalog, relevant, upstream
from pps.model.state import Counters
from pps.scheduling.live import LiveJobs
from pps.scheduling.queue import due_jobs

if TYPE_CHECKING:
    from pfs.errors import PfsError
    from pfs.store import Store
    from pps.model.catalog import Pipeline
    from pps.model.infos import JobInfo

_Job = tuple[str, str]


class Watcher:
    """Tells what happens to the jobs of the chosen pipelines and those upstream of them (none chosen: of all)."""

    def __init__(self, store: Store, run_dir: Path, chosen: Sequence[str], on_event: events.OnEvent) -> None:
        self._store, self._chosen, self._on_event = store, chosen, on_event
        self._catalog, self._live = Catalog(store), LiveJobs(run_dir)
        self._damaged: dict[str, PfsError] = {}
        self._known = set[_Job]()
        self._first = {pipeline.name: _first_open(pipeline) for pipeline in self._wanted()}
        self._running: dict[_Job, Counters] = {}
        self._jobs: list[JobInfo] = []
        self._attached = False

    def wait(self, timeout_s: float) -> bool:
        """Tell what is new, then wait a while; True when nothing is due any more."""
        if not self._attached:
            self._attached = True
            self._on_event(events.Attached())
        token = self._store.changes()
        pipelines = self._wanted()
        names = {pipeline.name for pipeline in pipelines}
        running = self._tell_running(names)
        self._tell_ended(pipelines)
        if not running and not any(due_jobs(self._store, pipelines, self._damaged).values()):
            return True
        self._store.wait(token, timeout_s)
        return False

    def ended(self) -> tuple[JobInfo, ...]:
        """Read once more, tell what is new, and return the jobs that ended since this watcher was made.

        Call it when the other controller is gone or has nothing due: a job may have ended since `wait` read.
        """
        self._tell_ended(self._wanted())
        return tuple(self._jobs)

    def report(self) -> events.RunReport:
        """Return what `ended` does, with the pipelines that are damaged, which are told."""
        jobs = self.ended()
        damaged = relevant(self._damaged, self._wanted(), self._chosen)
        for name in damaged:
            self._on_event(events.Trouble(name, str(self._damaged[name])))
        return events.RunReport(jobs, damaged)

    def _wanted(self) -> list[Pipeline]:
        # Services and spouts never end, so nobody waits for them.
        pipelines = [pipeline for pipeline in self._catalog.all() if not pipeline.spec.runs_on]
        self._damaged |= self._catalog.damaged
        if not self._chosen:
            return pipelines
        by_name = {pipeline.name: pipeline for pipeline in pipelines}
        wanted = {name for one in self._chosen for name in (one, *upstream(one, by_name))}
        return [pipeline for pipeline in pipelines if pipeline.name in wanted]

    def _tell_running(self, names: Set[str]) -> bool:
        """Tell what runs of these pipelines; False if nothing does."""
        records = [record for record in self._live.records() if record.pipeline in names]
        for record in records:
            key, info = (record.pipeline, record.id), record.info()
            if key not in self._running:
                self._on_event(events.JobStarted(info))
            if self._running.get(key) != info.counters:
                self._on_event(events.JobPlanned(info))
            self._running[key] = info.counters
        return bool(records)

    def _tell_ended(self, pipelines: Sequence[Pipeline]) -> None:
        for pipeline in pipelines:
            for job in _ended(pipeline, since=self._first.get(pipeline.name, 0)):
                key = (job.pipeline, job.id)
                if key not in self._known:
                    self._known.add(key)
                    self._jobs.append(job)
                    self._on_event(events.JobFinished(job))


def _first_open(pipeline: Pipeline) -> int:
    """Return the number of the first job that has not ended, of the next one if all have."""
    return pipeline.jobs.next_number if pipeline.unfinished is None else pipeline.unfinished.number


def _ended(pipeline: Pipeline, *, since: int) -> list[JobInfo]:
    """Return the ended jobs from a number on, oldest first."""
    recent = takewhile(lambda job: job.number >= since, reversed(pipeline.jobs))
    return [job.info() for job in recent if job.state.is_final][::-1]
