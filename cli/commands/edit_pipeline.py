"""`pps edit-pipeline`: change a pipeline's spec in an editor."""

from __future__ import annotations

import json
import os
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cli import wiring
from cli.exits import usage_error
from cli.output import note, printable
from pfs.errors import InvalidInputError, PfsError

if TYPE_CHECKING:
    from pps.model.infos import PipelineInfo
    from pps.pipelines.pipelines import Pipelines


@click.command("edit-pipeline")
@click.argument("pipeline", metavar="PIPELINE")
@click.option("--editor", metavar="COMMAND", help="Default: VISUAL, else EDITOR, else vi.")
@click.option(
    "--reprocess/--no-reprocess", default=None, help="Run all datums again, or none; default: if code changed."
)
def edit_pipeline(pipeline: str, editor: str | None, reprocess: bool | None) -> None:
    """Open the spec of a pipeline, as it was given, in an editor, and update the pipeline when it was changed.

    What is wrong with it is told, and the editor opens again; off a terminal the draft is kept and named.
    """
    import tempfile

    from pps.pipelines.pipelines import Pipelines

    command = shlex.split(editor or os.environ.get("VISUAL") or os.environ.get("EDITOR") or "vi")
    if not command:
        raise usage_error("the editor is empty: name a command with --editor or EDITOR")
    with wiring.open_store(alone="edit-pipeline") as store:
        pipelines = Pipelines(store)
        given, full = pipelines.documents(pipeline)
        before = json.dumps(given or full, indent=2, ensure_ascii=False) + "\n"
        handle, name = tempfile.mkstemp(prefix=f"{pipeline}-", suffix=".json")
        draft = Path(name)
        with os.fdopen(handle, "w") as stream:
            stream.write(before)
        info = _edited(pipelines, pipeline, draft, command=command, before=before, reprocess=reprocess)
        draft.unlink(missing_ok=True)
    if info is None:
        click.echo("nothing was changed")
        return
    for text in info.notes:
        note(text)


def _edited(
    pipelines: Pipelines, name: str, draft: Path, *, command: list[str], before: str, reprocess: bool | None
) -> PipelineInfo | None:
    """Edit until the draft can be taken; None if it stayed as it was."""
    while True:
        _run(command, draft)
        text = draft.read_text(encoding="utf-8", errors="replace")
        if text == before:
            return None
        try:
            return _update(pipelines, name, text, reprocess=reprocess)
        except PfsError as error:
            if not (sys.stdin.isatty() and sys.stderr.isatty()):
                error.add_note(f"the draft is kept in {draft}")
                raise
            click.echo(f"pps: {printable(str(error))}", err=True)
            if not click.confirm("Edit again?", default=True, err=True):
                error.add_note(f"the draft is kept in {draft}")
                raise


def _update(pipelines: Pipelines, name: str, text: str, *, reprocess: bool | None) -> PipelineInfo:
    specs = pipelines.read(text, name=f"{name}.json")
    if [spec.name for spec in specs] != [name]:
        raise InvalidInputError(f"the draft is to be the pipeline {name!r} alone: its name cannot be changed")
    return pipelines.update(specs[0], base_dir=pipelines.folder(name), reprocess=reprocess)


def _run(command: list[str], draft: Path) -> None:
    import subprocess

    try:
        code = subprocess.run([*command, str(draft)], check=False).returncode
    except OSError as error:
        draft.unlink(missing_ok=True)
        raise usage_error(f"cannot start the editor {command[0]!r}: {error.strerror}") from error
    if code:
        draft.unlink(missing_ok=True)
        raise usage_error(f"the editor {command[0]!r} ended with exit code {code}: nothing was changed")
