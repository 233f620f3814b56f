"""The JSON records of pipelines, jobs, datums and log lines: field names are fixed here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cli.output import Json, Record, timestamp

if TYPE_CHECKING:
    from pps.jobs.explain import Explanation
    from pps.jobs.jobsets import JobSetInfo
    from pps.jobs.preview import DatumPreview
    from pps.model.infos import DatumInfo, JobInfo, LogLine, PipelineInfo, ProcessInfo
    from pps.secret_store import SecretInfo


def pipeline_record(info: PipelineInfo) -> Record:
    """Return the record of a pipeline."""
    return {
        "name": info.name,
        "version": info.version,
        "state": info.state,
        "description": info.description,
        "created": timestamp(info.created_ns),
        "updated": timestamp(info.updated_ns),
        "input": info.input,
        "input_text": info.input_text,
        "output_branch": info.output_branch,
        "last_job": info.last_job,
        "last_job_state": info.last_job_state,
        "spec_commit": info.spec_commit,
        "spec": info.spec,
        "notes": list(info.notes),
        "alerts": list(info.alerts),
        "process": None if info.process is None else process_record(info.process),
    }


def process_record(info: ProcessInfo) -> Record:
    """Return the record of the command of a service or spout."""
    return {
        "state": info.state,
        "since": timestamp(info.since_ns),
        "address": info.address or None,
        "reason": info.reason,
        "restarts": info.restarts,
        "again": timestamp(info.again_ns),
        "log_tail": info.log_tail,
    }


def job_record(info: JobInfo) -> Record:
    """Return the record of a job; its ``id`` is that of its output commit. Seconds and bytes: of what it ran itself."""
    times: dict[str, Json] = {name: round(value, 6) for name, value in info.work.seconds._asdict().items()}
    return {
        "id": info.id,
        "pipeline": info.pipeline,
        "state": info.state,
        "started": timestamp(info.started_ns),
        "finished": timestamp(info.finished_ns),
        "data_total": info.data_total,
        "data_processed": info.data_processed,
        "data_skipped": info.data_skipped,
        "data_failed": info.data_failed,
        "data_recovered": info.data_recovered,
        "reason": info.reason,
        "output_commit": info.output_commit,
        "inputs": [item._asdict() for item in info.inputs],
        "spec_commit": info.spec_commit,
        "version": info.version,
        "isolation": info.isolation,
        "restart": info.restart,
        "seconds": times,
        "input_bytes": info.work.input_bytes,
        "output_bytes": info.work.output_bytes,
    }


def job_set_record(info: JobSetInfo, *, with_jobs: bool) -> Record:
    """Return the record of a job set; counters are those of all its jobs together."""
    record: dict[str, Json] = {
        "id": info.id,
        "state": info.state,
        "started": timestamp(info.started_ns),
        "finished": timestamp(info.finished_ns),
        "states": {state.value: number for state, number in sorted(info.states.items())},
    }
    counters = info.counters
    record |= {f"data_{name}": value for name, value in counters._asdict().items()}
    record["pipelines"] = [job.pipeline for job in info.jobs]
    return record | {"jobs": [job_record(job) for job in info.jobs]} if with_jobs else record


def secret_record(info: SecretInfo) -> Record:
    """Return the record of a secret; values are not in it."""
    return {"name": info.name, "keys": list(info.keys), "created": timestamp(info.created_ns)}


def explanation_record(found: Explanation) -> Record:
    """Return the record of why a datum ran or was skipped."""
    return {
        "pipeline": found.pipeline,
        "job": found.job,
        "id": found.datum,
        "state": found.state,
        "why": found.why,
        "against": found.against,
        "text": found.text,
    }


def preview_record(info: DatumPreview) -> Record:
    """Return the record of a datum that a spec would have."""
    return {"id": info.id, "inputs": [item._asdict() for item in info.inputs], "input_bytes": info.input_bytes}


def datum_record(info: DatumInfo) -> Record:
    """Return the record of a datum of one job."""
    times: dict[str, Json] = {name: round(value, 6) for name, value in info.seconds._asdict().items()}
    return {
        "id": info.id,
        "job": info.job,
        "pipeline": info.pipeline,
        "state": info.state,
        "inputs": [item._asdict() for item in info.inputs],
        "hash": info.hash,
        "tries": info.tries,
        "exit_code": info.exit_code,
        "signal": info.signal,
        "seconds": times,
        "input_bytes": info.input_bytes,
        "output_bytes": info.output_bytes,
        "reason": info.reason,
        "ran_in": info.ran_in,
        "log_tail": info.log_tail,
    }


def log_record(line: LogLine) -> Record:
    """Return the record of one line that user code wrote."""
    return {
        "id": line.datum,
        "pipeline": line.pipeline,
        "job": line.job,
        "time": line.time,
        "stream": line.stream,
        "message": line.message,
    }
