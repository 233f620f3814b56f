"""Commands on workflows and their runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING

import click

from cli import options, wiring
from cli.output import Record, emit, emit_with_table, field, note, print_json, time_of
from cli.workflow_files import run_options
from cli.workflow_records import run_record, workflow_record

if TYPE_CHECKING:
    from pps.workflows.plan import Asked
    from pps.workflows.types import Workflow


def _complete(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Complete the names of workflows; silent where there is no store."""
    from cli.unlocking import unlock_unasked
    from pfs.errors import PfsError
    from pfs.store import open as open_at
    from pps.workflows.infos import workflow_names

    try:
        with open_at(ctx.find_root().params.get("store"), unlock=unlock_unasked) as store:
            return [name for name in workflow_names(store) if name.startswith(incomplete)]
    except (PfsError, OSError):
        return []


_workflow = click.argument("workflow", metavar="WORKFLOW", shell_complete=_complete)
TASK_COLUMNS: list[tuple[str, Callable[[Record], str]]] = [
    ("TASK", field("task")),
    ("OUTCOME", field("outcome")),
    ("SECONDS", field("seconds")),
    ("WHY", lambda record: str(record["reason"] or record["why"] or "-")),
]


@click.command("list-workflow")
@options.json_option
def list_workflow(as_json: bool) -> None:
    """List workflows with their last run."""
    from pps.workflows.infos import list_workflows

    columns = [
        ("NAME", field("name")),
        ("TASKS", lambda record: _count(record["tasks"])),
        ("INSTALLED", lambda record: "yes" if record["installed"] else "no"),
        ("SCHEDULE", field("schedule")),
        ("LAST RUN", lambda record: _last(record, "id")),
        ("STATE", lambda record: _last(record, "state")),
    ]
    with wiring.open_store() as store:
        emit(map(workflow_record, list_workflows(store)), columns, as_json=as_json)


def _count(value: object) -> str:
    return str(len(value)) if isinstance(value, list) else "-"


def _last(record: Record, name: str) -> str:
    last = record["last_run"]
    return str(last[name]) if isinstance(last, dict) else "-"


@click.command("inspect-workflow")
@click.argument("workflow", metavar="WORKFLOW[@RUN]", shell_complete=_complete)
@click.option("--file", "only_file", is_flag=True, help="Print the workflow file as it was in that run.")
@options.json_option
def inspect_workflow(workflow: str, only_file: bool, as_json: bool) -> None:
    """Show a run of a workflow, the last one by default: params, and what became of each task."""
    from pps.workflows.infos import file_of_run, inspect_run

    name, _, ref = workflow.partition("@")
    with wiring.open_store() as store:
        if only_file:
            click.echo(file_of_run(store, name, ref), nl=False)
            return
        record = run_record(inspect_run(store, name, ref))
    emit_with_table(record, "tasks", TASK_COLUMNS, as_json=as_json)


@click.command("list-run")
@_workflow
@click.option("-n", "--number", type=click.IntRange(min=0), default=0, help="At most so many; 0 is all.")
@options.json_option
def list_run(workflow: str, number: int, as_json: bool) -> None:
    """List the runs of a workflow, newest first."""
    from pps.workflows.infos import list_runs

    columns = [
        ("ID", field("id")),
        ("STATE", field("state")),
        ("TASKS", _outcomes),
        ("STARTED", time_of("started")),
        ("FINISHED", time_of("finished")),
    ]
    with wiring.open_store() as store:
        records = (run_record(info) for info in list_runs(store, workflow))
        emit(islice(records, number or None), columns, as_json=as_json)


def _outcomes(record: Record) -> str:
    outcomes = record["outcomes"]
    return ", ".join(f"{count} {name}" for name, count in outcomes.items()) if isinstance(outcomes, dict) else "-"


@click.command("install-workflow")
@run_options
@click.option("--undo", is_flag=True, help="Let it run by hand alone again; it stays, and has a run now.")
@options.json_option
def install_workflow(workflow: Workflow, asked: Asked, undo: bool, as_json: bool) -> None:
    """Let a workflow run by itself: now, with each commit of the repos that it reads, and by its schedule.

    `pfs serve` or `pps run` does the work. Installing it again takes over what was changed; the params are those given
    here.
    """
    from pps.workflows.infos import inspect_workflow as inspect
    from pps.workflows.runs import start_run

    with wiring.open_store(alone="install-workflow") as store:
        run, plan = start_run(store, workflow, replace(asked, installed=not undo))
        for one in plan.tasks:
            for text in one.spec.notes if one.spec is not None else ():
                note(text)
        if as_json:
            print_json(workflow_record(inspect(store, workflow.name)))
        else:
            click.echo(f"{workflow.name}@{run}")


@click.command("delete-workflow")
@_workflow
@click.option("--keep-repos", is_flag=True, help="Keep what its tasks made, as plain repos.")
@click.option("-f", "--force", is_flag=True, help="Even when other pipelines read what its tasks made.")
def delete_workflow(workflow: str, keep_repos: bool, force: bool) -> None:
    """Take a workflow away: its runs and imports, its tasks and what they made; data stays in trash for 30 days."""
    from pps.workflows.runs import delete_workflow as delete

    with wiring.open_store(alone="delete-workflow") as store:
        delete(store, workflow, keep_repos=keep_repos, force=force)
