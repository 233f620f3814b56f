"""Job sets: the jobs of all pipelines with one id, that of the commit that they are there for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from pfs.ids import CommitId
from pps.model.infos import JobInfo
from pps.model.state import Counters, JobState

_WORST = (JobState.FAILURE, JobState.UNRUNNABLE, JobState.KILLED)


@dataclass(frozen=True, slots=True)
class JobSetInfo:
    """The jobs of one id, in the order in which they began; at least one."""

    id: CommitId
    jobs: tuple[JobInfo, ...]

    @property
    def state(self) -> JobState:
        """``running`` until all have ended, then that of those that did not succeed, failure before others."""
        found = self.states
        if any(not state.is_final for state in found):
            return JobState.RUNNING
        return next((state for state in _WORST if state in found), JobState.SUCCESS)

    @property
    def states(self) -> Mapping[JobState, int]:
        """How many jobs are in each state."""
        return Counter(job.state for job in self.jobs)

    @property
    def counters(self) -> Counters:
        """The datums of all of them together."""
        columns = zip(*(job.counters for job in self.jobs), strict=True)
        return Counters(*map(sum, columns))

    @property
    def started_ns(self) -> int:
        """When the first began."""
        return min(job.started_ns for job in self.jobs)

    @property
    def finished_ns(self) -> int | None:
        """When the last ended; None while one runs."""
        ends = [job.finished_ns for job in self.jobs]
        return None if None in ends else max(end for end in ends if end is not None)


def job_sets(jobs: Iterable[JobInfo]) -> list[JobSetInfo]:
    """Return jobs by their id, the set that began last first."""
    found: dict[CommitId, list[JobInfo]] = {}
    for job in jobs:
        found.setdefault(job.id, []).append(job)
    sets = (JobSetInfo(id, tuple(sorted(ones, key=_age))) for id, ones in found.items())
    return sorted(sets, key=lambda one: (-one.started_ns, one.id))


def _age(job: JobInfo) -> tuple[int, str]:
    return job.started_ns, job.pipeline
