"""The JSON records of workflows and their runs: field names are fixed here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cli.output import Json, Record, timestamp
from cli.pipeline_records import job_record

if TYPE_CHECKING:
    from pps.workflows.infos import RunInfo, TaskInfo, WorkflowInfo
    from pps.workflows.why import TaskPlan


def plan_record(plan: TaskPlan) -> Record:
    """Return the record of what a run would do with a task."""
    return {
        "task": plan.task,
        "pipeline": plan.pipeline,
        "outlook": plan.outlook,
        "why": plan.why,
        "items": plan.items,
        "after": list(plan.after),
    }


def task_record(info: TaskInfo) -> Record:
    """Return the record of a task of a run."""
    job = info.job
    seconds = None if job is None or job.finished_ns is None else (job.finished_ns - job.started_ns) / 1e9
    return {
        "task": info.task,
        "pipeline": info.pipeline,
        "outcome": info.outcome,
        "why": info.why,
        "after": list(info.after),
        "seconds": None if seconds is None else round(seconds, 3),
        "reason": "" if job is None else job.reason,
        "job": None if job is None else job_record(job),
    }


def run_record(info: RunInfo, *, with_tasks: bool = True) -> Record:
    """Return the record of a run."""
    outcomes = [one.outcome for one in info.tasks]
    tasks: dict[str, Json] = {"tasks": [task_record(one) for one in info.tasks]} if with_tasks else {}
    return {
        "workflow": info.workflow,
        "id": info.id,
        "state": info.state,
        "started": timestamp(info.started_ns),
        "finished": timestamp(info.finished_ns),
        "params": dict(info.params),
        "from_task": info.from_task,
        "scheduled": timestamp(info.of_schedule or None),
        "outcomes": {name: outcomes.count(name) for name in dict.fromkeys(outcomes)},
        **tasks,
    }


def workflow_record(info: WorkflowInfo) -> Record:
    """Return the record of a workflow."""
    return {
        "name": info.name,
        "tasks": list(info.tasks),
        "installed": info.installed,
        "schedule": info.schedule,
        "last_run": None if info.last is None else run_record(info.last, with_tasks=False),
    }
