"""How a job is shown that was begun, has no end, and that no controller here runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from pps.model.records import NOT_DUE
from pps.model.state import JobState

if TYPE_CHECKING:
    from pps.model.catalog import Pipeline
    from pps.model.records import JobRecord


def as_left(job: JobRecord, pipeline: Pipeline) -> JobRecord:
    """Return a stored job as it is to be shown: one without an end says why, one that ended is as it is.

    The job of another version never goes on: it is killed, which is stored with the end of the next job.
    """
    if job.state.is_final:
        return job
    if job.spec_commit == pipeline.spec_commit:
        told = "; ".join(
            text for text in (job.reason, "no controller here runs it: the next one goes on with it") if text
        )
        return replace(job, reason=told)
    ended_ns = max(job.started_ns, pipeline.record.updated_ns)
    return replace(job, state=JobState.KILLED, reason=NOT_DUE, finished_ns=ended_ns)
