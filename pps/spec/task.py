"""What only the pipelines of workflow tasks have: artifacts put in place before the command, and taken after it.

Texts marked as templates are of `pps.spec.template`; the worker puts in what they name for each datum
(docs/design/workflows.md).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

ArtifactType = Literal["file", "directory", "glob"]
InputType = Literal["file", "directory", "any"]
Missing = Literal["fail", "warn", "ignore"]

RUN_INPUT: Final = "workflow"
"""The input that holds a task's file of the run: its params and its item."""
BUCKETS: Final = "_s3"
"""The directory of an output in which what was written to buckets is kept, a directory each."""


def imports_repo(workflow: str) -> str:
    """Return the repo that holds what a workflow imports."""
    return f"{workflow}_imports"


@dataclass(frozen=True, slots=True)
class ArtifactIn:
    """An artifact to put in place: the files of the datum's input ``name``.

    ``path``: a template; relative to the working directory, or absolute. A ``file`` is the only file of the input; a
    path that ends in ``/`` is the directory for it. ``any`` is what the datum's match of the input is. ``optional``: an
    input without files puts nothing there. ``part``: what of the input it is (``/<output>``), where the input is the
    whole repo.
    """

    name: str
    path: str
    type: InputType = "file"
    optional: bool = False
    part: str = ""


@dataclass(frozen=True, slots=True)
class ArtifactOut:
    """An artifact to take: what is at ``path`` when the command has ended, as ``/<name>/…`` of the output.

    ``path``: a template; of a ``glob``, the pattern, whose fixed directories are left out of the names. ``to``: a
    template, where below ``/<name>/`` it goes: of a file its name, or with ``/`` at the end the directory for it, of
    the others the directory for what they hold. Empty: a file under its own name, the others as they are.
    ``missing``: what becomes of a datum that did not make it; with ``warn`` its log says so.
    ``content_type`` and the values of ``metadata`` are templates, and are kept with each file; without a type it is
    guessed from the name of each.
    """

    name: str
    path: str
    type: ArtifactType = "file"
    to: str = ""
    missing: Missing = "fail"
    content_type: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Task:
    """The task of a workflow that a pipeline does. ``shell``: the last word of its cmd is a text for the shell.

    The words of the cmd and the values of env are templates; in a text for the shell values are quoted as the place
    where they stand needs it. ``each``: the input whose match is the ``item``: its path below ``below``.
    """

    workflow: str
    name: str
    shell: bool = False
    each: str = ""
    below: str = ""
    inputs: tuple[ArtifactIn, ...] = ()
    outputs: tuple[ArtifactOut, ...] = ()
