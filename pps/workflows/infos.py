"""Workflows and their runs as they are shown: read from the repo of the runs, and from the jobs of each run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from pfs.errors import NotFoundError, PfsError
from pfs.ids import CommitId
from pps.jobs.jobs import Jobs
from pps.model.catalog import Catalog
from pps.model.infos import JobInfo
from pps.model.state import JobState
from pps.spec.node import Plain
from pps.workflows.before import BRANCH, run_at, runs_description
from pps.workflows.plan import values
from pps.workflows.records import FILES, RunRecord
from pps.workflows.runs import existing
from pps.workflows.why import why_ended

if TYPE_CHECKING:
    from pfs.model import CommitInfo
    from pfs.store import Store

Outcome = Literal["waiting", "running", "ran", "cached", "skipped", "failed", "unrunnable", "killed", "gone"]
RunState = Literal["waiting", "running", "success", "failure", "gone"]
_GONE = "it was changed before it ran, or the record of its job is not kept any more"
_ENDS: Mapping[JobState, Outcome] = {
    JobState.FAILURE: "failed",
    JobState.UNRUNNABLE: "unrunnable",
    JobState.KILLED: "killed",
}


@dataclass(frozen=True, slots=True)
class TaskInfo:
    """A task of a run. ``job`` None: it has not begun, or its record is gone. ``why``: why it ran, as far as known."""

    task: str
    pipeline: str
    outcome: Outcome
    why: str
    after: tuple[str, ...]
    job: JobInfo | None = None


@dataclass(frozen=True, slots=True)
class RunInfo:
    """A run of a workflow; times in ns. ``finished_ns``: None while a task has not ended."""

    workflow: str
    id: CommitId
    state: RunState
    started_ns: int
    finished_ns: int | None
    params: Mapping[str, Plain]
    from_task: str
    of_schedule: int
    tasks: tuple[TaskInfo, ...]


@dataclass(frozen=True, slots=True)
class WorkflowInfo:
    """A workflow of a store. ``last``: its last run, None before the first; ``schedule`` and ``installed``: as is."""

    name: str
    tasks: tuple[str, ...]
    installed: bool
    schedule: str
    last: RunInfo | None


def list_workflows(store: Store) -> Iterator[WorkflowInfo]:
    """Yield the workflows of a store by name; those that are damaged are left out."""
    for name in workflow_names(store):
        with suppress(PfsError):
            yield inspect_workflow(store, name)


def inspect_workflow(store: Store, name: str) -> WorkflowInfo:
    """Return one workflow.

    Raises:
        NotFoundError: there is none of that name.
    """
    found = existing(store, name)
    last = None if found.view is None else _run(store, name, found.view.info, found.record)
    return WorkflowInfo(name, tuple(found.record.tasks), found.record.installed, found.record.schedule, last)


def inspect_run(store: Store, name: str, ref: str = "") -> RunInfo:
    """Return one run by its id, or an expression such as ``master^``; the last one by default.

    Raises:
        NotFoundError: there is no such workflow or run.
    """
    if existing(store, name).view is None:
        raise NotFoundError(f"workflow {name!r} has no run yet")
    info = store.repo(name).inspect(ref or BRANCH)
    record = run_at(store, name, info.id)
    if record is None:
        raise NotFoundError(f"{name}@{info.id} is no run: `pps list-run {name}` shows which there are")
    return _run(store, name, info, record)


def list_runs(store: Store, name: str) -> Iterator[RunInfo]:
    """Yield the runs of a workflow, newest first; raises as `existing`."""
    if existing(store, name).view is None:
        return
    for info in store.repo(name).commits(BRANCH):
        record = run_at(store, name, info.id)
        if record is not None:
            yield _run(store, name, info, record)


def _run(store: Store, name: str, info: CommitInfo, record: RunRecord) -> RunInfo:
    jobs = Jobs(store)
    found: dict[str, TaskInfo] = {}
    for name_of_task, known in record.tasks.items():
        comes = any(found[one].outcome in {"waiting", "running"} for one in known.after if one in found)
        found[name_of_task] = _task(store, jobs, _Of(record, name_of_task, info, comes))
    tasks = tuple(found.values())
    ends = [None if one.job is None else one.job.finished_ns for one in tasks if one.outcome != "skipped" or one.job]
    ended = [end for end in ends if end is not None]
    return RunInfo(
        workflow=name,
        id=CommitId(info.id),
        state=_state(tasks),
        started_ns=info.started_ns,
        finished_ns=max(ended, default=info.started_ns) if len(ended) == len(ends) else None,
        params=values(record),
        from_task=record.from_task,
        of_schedule=record.of_schedule,
        tasks=tasks,
    )


def _state(tasks: tuple[TaskInfo, ...]) -> RunState:
    outcomes = {one.outcome for one in tasks}
    if outcomes & {"waiting", "running"}:
        return "running" if outcomes - {"waiting", "gone"} else "waiting"
    if "gone" in outcomes:
        return "gone"
    return "failure" if outcomes & {"failed", "unrunnable", "killed"} else "success"


@dataclass(frozen=True, slots=True)
class _Of:
    """A task of a run; ``comes``: one that it waits for has not ended."""

    record: RunRecord
    task: str
    run: CommitInfo
    comes: bool


def _task(store: Store, jobs: Jobs, of: _Of) -> TaskInfo:
    task = of.task
    pipeline, known = f"{of.record.workflow}-{task}", of.record.tasks[task]
    try:
        job = jobs.job(pipeline, of.run.id)
    except NotFoundError:
        if known.kept:
            return TaskInfo(task, pipeline, "skipped", "not asked for", known.after)
        if not of.comes and _is_gone(store, pipeline, of.run):
            return TaskInfo(task, pipeline, "gone", _GONE, known.after)
        return TaskInfo(task, pipeline, "waiting", known.why, known.after)
    outcome = _outcome(job)
    why = why_ended(outcome, known.why, kept=known.kept, skipped=known.skipped)
    return TaskInfo(task, pipeline, outcome, why, known.after, job)


def _is_gone(store: Store, pipeline: str, run: CommitInfo) -> bool:
    """Say whether a task that has no job of a run will have none: jobs come in the order of what they are for."""
    try:
        found = Catalog(store).get(pipeline)
    except NotFoundError:
        return True
    newest = found.jobs.newest
    began_ns = run.finished_ns or run.started_ns
    # A version that was made later waits for a later run.
    return found.record.updated_ns > began_ns or (
        newest is not None and newest.state.is_final and newest.started_ns > began_ns
    )


def _outcome(job: JobInfo) -> Outcome:
    if not job.state.is_final:
        return "running"
    if job.state != JobState.SUCCESS:
        return _ENDS[job.state]
    if not job.counters.total:
        return "skipped"
    return "ran" if job.counters.processed else "cached"


def workflow_names(store: Store) -> list[str]:
    """Return the names of the workflows of a store, in order."""
    states = store.refs.snapshot(damaged={})
    return sorted(state.repo for state in states if state.body.description == runs_description(state.repo))


def file_of_run(store: Store, name: str, ref: str = "") -> str:
    """Return the workflow file of a run, as it was given; raises as `inspect_run`."""
    info = inspect_run(store, name, ref)
    view = store.repo(name).view(info.id)
    return next(view.read(path).decode() for path in FILES if view.find(path) is not None)
