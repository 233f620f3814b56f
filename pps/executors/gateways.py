"""The S3 gateways of the jobs that an executor has in hand: one a job, from its first datum to its end."""

from __future__ import annotations

import threading

from pfs.errors import FailedError
from pps.executor import WorkUnit
from pps.job_gateway import JobBuckets, JobGateway, OpenGateway
from pps.spec.task import imports_repo
from pps.workers.over_s3 import uses_s3

JobAttempt = tuple[str, str, int]
"""Pipeline, job and the attempt at it."""


class JobGateways:
    """Thread-safe. ``open_gateway`` None: there are none to be had."""

    def __init__(self, open_gateway: OpenGateway | None) -> None:
        self._open = open_gateway
        self._lock = threading.Lock()
        self._now: dict[JobAttempt, JobGateway] = {}
        self._ended: dict[tuple[str, str], int] = {}
        """The last attempt at each job that has ended: what is left of it opens no gateway again."""

    def of(self, unit: WorkUnit) -> JobGateway | None:
        """Return the gateway of a unit's job, opened for the first who asks; None where the unit needs none.

        Raises:
            FailedError: there are none to be had, or the job has ended.
            PfsError: it cannot be opened.
        """
        if not uses_s3(unit):
            return None
        if self._open is None and (unit.spout or unit.transform.task is not None):
            return None  # it has other ways to write
        if self._open is None:
            raise FailedError("there is no S3 gateway for jobs in this program")
        with self._lock:
            if self._ended.get((unit.pipeline, unit.job), -1) >= unit.attempt:
                raise FailedError("the job has ended")
            key = (unit.pipeline, unit.job, unit.attempt)
            if key not in self._now:
                self._now[key] = self._open(_buckets(unit))
            return self._now[key]

    def end(self, pipeline: str, job: str, attempt: int) -> None:
        """Close the gateway of an attempt at a job, and of those before it; returns when nothing listens any more."""
        with self._lock:
            self._ended[pipeline, job] = attempt
            over = [key for key in self._now if key[:2] == (pipeline, job) and key[2] <= attempt]
            gone = [self._now.pop(key) for key in over]
        for gateway in gone:
            gateway.close()

    def close(self) -> None:
        """Close all."""
        with self._lock:
            gone = list(self._now.values())
            self._now.clear()
        for gateway in gone:
            gateway.close()


def _buckets(unit: WorkUnit) -> JobBuckets:
    """Return what a job serves: each datum of it has the same S3 inputs at the same commits."""
    given = unit.datums[0].inputs
    if unit.spout:
        return JobBuckets(unit.pipeline, {}, out=False, spout=unit.job, output_branch=unit.output_branch)
    task = unit.transform.task
    reserved = (
        None if task is None else frozenset({task.workflow, imports_repo(task.workflow)}) | {one.repo for one in given}
    )
    return JobBuckets(
        unit.pipeline, {one.name: (one.repo, one.commit) for one in given if one.s3}, unit.s3_out, reserved=reserved
    )
