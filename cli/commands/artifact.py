"""Commands on artifacts: what the tasks of workflows left, and how long it stays."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import click

from cli import options, wiring
from cli.exits import FAILED, ExitCode
from cli.output import Column, Record, counted, emit, field, human_size, printable, size_of

if TYPE_CHECKING:
    from pps.workflows.artifacts import Artifact
    from pps.workflows.expire import Effect


def _complete_workflow(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Complete names of workflows from the store; silent where there is none."""
    from cli.unlocking import unlock_unasked
    from pfs.errors import PfsError
    from pfs.store import open as open_at
    from pps.workflows.artifacts import workflow_names

    try:
        with open_at(ctx.find_root().params.get("store"), unlock=unlock_unasked) as store:
            return [name for name in workflow_names(store) if name.startswith(incomplete)]
    except (PfsError, OSError):
        return []


_workflow = click.argument("workflow", required=False, shell_complete=_complete_workflow)


@click.command("list-artifact")
@_workflow
@click.option("--task", metavar="TASK", help="Of this task only.")
@click.option("--run", metavar="ID", help="As this run left them. Default: the newest of each task.")
@options.json_option
@options.raw_option
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
        ("TYPE", lambda record: f"{record['type']}, expired" if record["expired"] else str(record["type"])),
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
        "expired": artifact.is_expired,
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


@click.command("expire-artifact")
@_workflow
@click.option("--dry-run", is_flag=True, help="Say what would go, and change nothing.")
@options.json_option
@options.raw_option
def expire_artifact(workflow: str | None, dry_run: bool, as_json: bool, raw: bool) -> None:
    """Do what the files of workflows say under `keep`: what has had its time goes, and what was delivered of it.

    Old versions of artifacts lose their bytes, whole runs go, objects that were delivered are deleted or moved to
    another storage class, if nobody else wrote them since. The newest version of each artifact stays, so does what is
    tagged and what pipelines have yet to read. A run of a workflow does this at its end, and `pfs serve` by itself;
    `pfs gc` frees the bytes.
    """
    from pps.workflows.expire import expire

    columns: list[Column] = [
        ("WHAT", field("what")),
        ("REPO", field("repo")),
        ("OUTPUT", field("output")),
        ("RUN", field("run")),
        ("FILES", field("files")),
        ("SIZE", size_of(raw=raw)),
        ("CLASS", field("storage_class")),
        ("URL", field("url")),
    ]
    troubles: list[str] = []
    with wiring.open_store(alone=None if dry_run else "expire-artifact") as store:
        effects = _without_trouble(expire(store, workflow, dry_run=dry_run), troubles)
        emit(map(effect_record, effects), columns, as_json=as_json)
    for trouble in troubles:
        print(printable(trouble), file=sys.stderr)
    if troubles:
        raise ExitCode(FAILED)


_SHOWN = 10


def _without_trouble(effects: Iterable[Effect], troubles: list[str]) -> Iterator[Effect]:
    """Yield what was done; the first troubles go to a list of lines, the others are left out."""
    for effect in effects:
        if effect.what != "trouble":
            yield effect
        elif len(troubles) < _SHOWN:
            troubles.append(f"not done, and tried again the next time: {effect.url}: {effect.reason}")


def effect_record(effect: Effect) -> Record:
    """Return the record of one thing that was done, or would be."""
    return {
        "what": effect.what,
        "workflow": effect.workflow,
        "repo": effect.repo,
        "output": effect.output or None,
        "run": effect.run,
        "files": effect.files or None,
        "size_bytes": effect.size_bytes if effect.files else None,
        "url": effect.url or None,
        "storage_class": effect.storage_class or None,
    }


def expiry_line(effects: Iterable[Effect]) -> str:
    """Return what was done in one line for people; empty for nothing. Streams."""
    numbers = {"artifact": 0, "run": 0, "object": 0, "class": 0, "trouble": 0}
    size, reason = 0, ""
    for effect in effects:
        numbers[effect.what] += 1
        size += effect.size_bytes if effect.what == "artifact" else 0
        reason = reason or effect.reason
    parts = [f"{counted(numbers['artifact'], 'artifact')} of {human_size(size)}"] if numbers["artifact"] else []
    parts += [counted(numbers["run"], "commit")] if numbers["run"] else []
    parts += [counted(numbers["object"], "delivered object")] if numbers["object"] else []
    lines = [f"expired {', '.join(parts)}"] if parts else []
    lines += [f"moved {counted(numbers['class'], 'object')} to another storage class"] if numbers["class"] else []
    lines += [f"{counted(numbers['trouble'], 'object')} left for the next time: {reason}"] if reason else []
    return "; ".join(lines)
