"""Commands on artifacts: what the tasks of workflows left, and how long it stays."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from cli import wiring
from cli.output import Column, Record, emit, field, size_of

if TYPE_CHECKING:
    from pps.workflows.artifacts import Artifact


def _complete_workflow(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Complete names of workflows from the store; silent where there is none."""
    from pfs.errors import PfsError
    from pfs.store import open as open_at
    from pps.workflows.artifacts import workflow_names

    try:
        with open_at(ctx.find_root().params.get("store")) as store:
            return [name for name in workflow_names(store) if name.startswith(incomplete)]
    except (PfsError, OSError):
        return []


_workflow = click.argument("workflow", required=False, shell_complete=_complete_workflow)


@click.command("list-artifact")
@_workflow
@click.option("--task", metavar="TASK", help="Of this task only.")
@click.option("--run", metavar="ID", help="As this run left them. Default: the newest of each task.")
@wiring.json_option
@wiring.raw_option
def list_artifact(workflow: str | None, task: str | None, run: str | None, as_json: bool, raw: bool) -> None:
    """List what the tasks of workflows left: outputs and buckets, with size, type, origin, and where it went.

    ADDRESS is what `pfs get-file` and `pfs list-file` take. MADE BY is the run whose job brought the newest file of it:
    the tasks of later runs were skipped, or made the same again.
    """
    from pps.workflows.artifacts import list_artifacts

    columns: list[Column] = [
        ("WORKFLOW", field("workflow")),
        ("TASK", field("task")),
        ("OUTPUT", field("output")),
        ("TYPE", field("type")),
        ("FILES", field("files")),
        ("SIZE", size_of(raw=raw)),
        ("CONTENT TYPE", field("content_type")),
        ("MADE BY", field("made_by")),
        ("ADDRESS", field("address")),
        ("DELIVERED", _places),
    ]
    with wiring.open_store() as store:
        found = list_artifacts(store, workflow, task=task, run=run)
        emit(map(artifact_record, found), columns, as_json=as_json)


def artifact_record(artifact: Artifact) -> Record:
    """Return the record of an artifact; ``delivered`` has 100 addresses at most, ``delivered_files`` how many are."""
    return {
        "workflow": artifact.workflow,
        "task": artifact.task,
        "output": artifact.output,
        "type": artifact.type,
        "files": artifact.files,
        "size_bytes": artifact.size_bytes,
        "content_type": artifact.content_type or None,
        "commit": artifact.commit,
        "made_by": artifact.made_by,
        "address": f"{artifact.repo}@{artifact.commit}:{artifact.path}",
        "delivered": list(artifact.delivered.urls),
        "delivered_files": artifact.delivered.files,
    }


def _places(record: Record) -> str:
    urls, files = record["delivered"], record["delivered_files"]
    assert isinstance(urls, list)
    assert isinstance(files, int)
    if not urls:
        return "-"
    return str(urls[0]) if files == 1 else f"{urls[0]} and {files - 1} more"
