"""`pps run-workflow`: the tasks of a workflow file, those that changed, with a live view."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING

import click

from cli import options, wiring
from cli.exits import FAILED, ExitCode
from cli.output import Record, field, note, print_json, print_json_array, print_table, printable
from cli.workflow_files import run_options
from cli.workflow_records import plan_record, run_record

if TYPE_CHECKING:
    from pfs.store import Store
    from pps.workflows.infos import RunInfo, TaskInfo
    from pps.workflows.plan import Asked, RunPlan
    from pps.workflows.types import Workflow


@click.command("run-workflow")
@run_options
@click.option(
    "--from", "from_task", metavar="TASK", default="", help="Run this task and all after it again, others not."
)
@click.option("--dry-run", is_flag=True, help="Show the tasks in order, which of them run and why; change nothing.")
@click.option(
    "--isolation",
    type=click.Choice(["auto", "namespace", "container", "none"]),
    default="auto",
    show_default=True,
    help="How commands come to see their files; `pfs doctor` says what this machine offers.",
)
@options.jobs_option
@options.gpus_option
@options.json_option
def run_workflow(
    workflow: Workflow,
    asked: Asked,
    from_task: str,
    dry_run: bool,
    isolation: str,
    jobs: int | None,
    gpus: str,
    as_json: bool,
) -> None:
    """Run the tasks of a workflow file, but those whose command, code, params and inputs are as they were.

    Each task is a pipeline <workflow>-<task> with an output repo of that name; the run is a commit in the repo
    <workflow>. Beside a running `pfs serve` that one does the work. Exit 1 if a task failed. At its end artifacts go
    that had their time by the `keep` of the file, as by `pps expire-artifact`.
    """
    from pps.workflows.infos import inspect_run

    asked = replace(asked, from_task=from_task)
    with wiring.open_store(alone=None if dry_run else "run-workflow") as store, ExitStack() as stay:
        if dry_run:
            _show_plan(store, workflow, asked, as_json=as_json)
            return
        from cli.job_gateways import job_gateways
        from cli.workflow_view import WorkflowView
        from pps.controller import Controller, local_executors
        from pps.workflows.runs import start_run

        run, plan = start_run(store, workflow, asked, say=_say, stay=stay)
        _notes(plan)
        executors = local_executors(store, slots=jobs, gateways=job_gateways(store), gpus=wiring.ids(gpus))
        controller = Controller(store, executors, isolation=isolation)
        try:
            with WorkflowView([one.plan for one in plan.tasks], run) as view:
                controller.run_pending(plan.pipelines, on_event=view)
                info = inspect_run(store, workflow.name, run)
                # A controller that serves may have ended a job before it was watched.
                view.settle([one.job for one in info.tasks if one.job is not None])
        except KeyboardInterrupt:
            note(f"run {workflow.name}@{run} goes on with the next `pps run`, `pps run-workflow` or `pfs serve`")
            raise
        if info.state == "success":
            _expire(store, workflow.name)
        _report(store, workflow, info, as_json=as_json)
    if info.state != "success":
        raise ExitCode(FAILED)


def _expire(store: Store, name: str) -> None:
    """Let go of what has had its time; that this fails is no failure of the run, and is tried by the next."""
    from cli.commands.artifact import expiry_line
    from pfs.errors import PfsError
    from pps.workflows.expire import expire

    try:
        line = expiry_line(expire(store, name))
    except PfsError as error:
        line = f"old artifacts are left for the next time: {error}"
    if line:
        note(line)


def _show_plan(store: Store, workflow: Workflow, asked: Asked, *, as_json: bool) -> None:
    from pps.workflows.runs import check_run

    plan = check_run(store, workflow, asked)
    _notes(plan)
    records = [plan_record(one.plan) for one in plan.tasks]
    if as_json:
        print_json_array(records)
        return
    print_table(
        records,
        [
            ("TASK", field("task")),
            ("AFTER", _after),
            ("OUTLOOK", _outlook),
            ("ITEMS", _items),
            ("WHY", field("why")),
        ],
    )


def _outlook(record: Record) -> str:
    words = {"runs": "runs", "cached": "cached", "depends": "may run", "skipped": "skipped", "kept": "as it was"}
    return words[str(record["outlook"])]


def _items(record: Record) -> str:
    return "-" if record["outlook"] == "kept" else "?" if record["items"] is None else str(record["items"])


def _after(record: Record) -> str:
    after = record["after"]
    return ", ".join(map(str, after)) or "-" if isinstance(after, list) else "-"


def _say(text: str) -> None:
    click.echo(printable(text), err=True)


def _notes(plan: RunPlan) -> None:
    told = dict.fromkeys(text for one in plan.tasks if one.spec is not None for text in one.spec.notes)
    for text in told:
        note(text)


def _report(store: Store, workflow: Workflow, info: RunInfo, *, as_json: bool) -> None:
    """Say what failed on stderr, with the end of its log; print the run, or its record."""
    from cli.workflow_failures import failure_lines

    for one in info.tasks:
        if one.outcome == "failed" and one.job is not None:
            for line in failure_lines(store, workflow, one):
                click.echo(line, err=True)
        elif one.outcome == "unrunnable":
            click.echo(f"task {one.task} could not run: {_why_not(one, info)}", err=True)
    if as_json:
        print_json(run_record(info))
    else:
        click.echo(f"{info.workflow}@{info.id}: {info.state}")


def _why_not(one: TaskInfo, info: RunInfo) -> str:
    """Return which of the tasks before it kept one from running."""
    from cli.workflow_view import brief

    bad = {"failed": "failed", "unrunnable": "could not run", "killed": "was killed"}
    found = [
        f"{other.task} {bad[other.outcome]}" for other in info.tasks if other.task in one.after and other.outcome in bad
    ]
    return ", ".join(found) or printable(brief(one.job.reason if one.job is not None else ""))
