"""Public values of pipelines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from pfs.errors import PfsError
from pps.model.catalog import Pipeline
from pps.model.infos import PipelineInfo, PipelineState, ProcessInfo
from pps.model.records import JobRecord, PipelineRecord
from pps.model.standing import StandingRecord
from pps.model.state import JobState
from pps.spec.types import CrossInput, GroupInput, Input, JoinInput, PfsInput, Spec, UnionInput
from pps.spec.write import input_document, spec_document


def pipeline_info(
    pipeline: Pipeline, *, due: bool, running: Sequence[JobRecord], standing: StandingRecord | None = None
) -> PipelineInfo:
    """Return the public value of a pipeline.

    ``due``: a job waits; ``running``: its jobs that run now; ``standing``: the command of a service or spout that a
    controller keeps.
    """
    info = describe(pipeline.spec, pipeline.record, _last(pipeline, running))
    still: PipelineState = "stopped" if pipeline.record.stopped else "pending" if due else "idle"
    state: PipelineState = "running" if running else still
    if pipeline.spec.runs_on and not pipeline.record.stopped:
        state = _standing_state(pipeline, standing, due=due)
    return replace(
        info,
        spec_commit=pipeline.spec_commit,
        state=state,
        process=_process(standing),
        trouble=_trouble(pipeline, running),
    )


def _trouble(pipeline: Pipeline, running: Sequence[JobRecord]) -> str:
    """Return why the egress fails of a job that runs, or that is due again."""
    left = pipeline.unfinished
    if not running and left is not None and left.spec_commit != pipeline.spec_commit:
        return ""
    job = running[0] if running else left
    return job.reason if job is not None and job.state == JobState.EGRESSING else ""


def _standing_state(pipeline: Pipeline, standing: StandingRecord | None, *, due: bool) -> PipelineState:
    """Return the state of a service or spout: a job that failed is one whose data cannot be served."""
    if standing is not None:
        return standing.state
    if due or pipeline.spec.spout:
        return "pending"
    last = pipeline.jobs.newest
    return "failure" if last is not None and last.state == JobState.FAILURE else "idle"


def _process(standing: StandingRecord | None) -> ProcessInfo | None:
    if standing is None:
        return None
    fields = ("state", "since_ns", "address", "reason", "restarts", "again_ns", "log_tail")
    return ProcessInfo(*(getattr(standing, name) for name in fields))


def past_info(pipeline: Pipeline) -> PipelineInfo:
    """Return the public value of a version that another one has replaced."""
    info = describe(pipeline.spec, pipeline.record, pipeline.jobs.newest_shown)
    return replace(info, spec_commit=pipeline.spec_commit, state="replaced")


def damaged_info(name: str, error: PfsError) -> PipelineInfo:
    """Return what there is to say of a pipeline that cannot be read."""
    return PipelineInfo(
        name=name,
        version=0,
        created_ns=0,
        updated_ns=0,
        state="damaged",
        description=str(error),
        spec={},
        spec_commit=None,
        input=None,
        input_text="",
        output_branch="",
        last_job=None,
        last_job_state=None,
        notes=(str(error),),
    )


def unread_input(pipeline: Pipeline, damaged: Mapping[str, PfsError]) -> str:
    """Say which input of a pipeline cannot be read, as its refs are among the ``damaged`` ones; empty if none is."""
    repos = dict.fromkeys(leaf.repo for leaf in pipeline.leaves)
    repo = next((repo for repo in repos if repo in damaged), None)
    return "" if repo is None else f"its input {repo} cannot be read: {damaged[repo]}"


def describe(spec: Spec, record: PipelineRecord, last: JobRecord | None) -> PipelineInfo:
    """Return the public value of a spec and its record, idle; ``last``: its newest job."""
    return PipelineInfo(
        name=spec.name,
        version=record.version,
        created_ns=record.created_ns,
        updated_ns=record.updated_ns,
        state="idle",
        description=spec.description,
        spec=spec_document(spec),
        spec_commit=None,
        input=input_document(spec.input),
        input_text=input_text(spec.input),
        output_branch=spec.output_branch,
        last_job=None if last is None else last.id,
        last_job_state=None if last is None else last.state,
        notes=record.notes,
    )


def _last(pipeline: Pipeline, running: Sequence[JobRecord]) -> JobRecord | None:
    newest = pipeline.jobs.newest_shown
    # What runs comes first: of the same job it knows more.
    return max((*running, *([] if newest is None else [newest])), key=lambda job: job.number, default=None)


def input_text(node: Input) -> str:
    """Return an input in short: ``images:/*``, children of a cross with ``x``, of a union with ``+`` between them."""
    match node:
        case UnionInput(()):
            return "-"
        case PfsInput() if node.cron is not None:
            return f"{node.name}:{node.cron.schedule}"
        case PfsInput():
            branch = "" if node.branch == "master" else f"@{node.branch}"
            return f"{node.repo}{branch}:{node.glob}"
        case CrossInput():
            return _joined(" x ", node.children)
        case UnionInput():
            return _joined(" + ", node.children)
        case JoinInput():
            return "join" + _joined(", ", node.children)
        case GroupInput():
            return "group" + _joined(", ", node.children)


def _joined(sign: str, children: Sequence[Input]) -> str:
    return "(" + sign.join(input_text(child) for child in children) + ")"
