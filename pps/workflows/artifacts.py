"""What the tasks of workflows left: each output of each task, and each bucket that they wrote, with where it went.

A pipeline whose command is a task has artifacts; nothing else of its workflow is asked. Read from trees: a look-up for
each artifact, and its first notes of what was delivered.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from pfs.errors import CommitNotFoundError, NotFoundError
from pfs.ids import CommitId
from pfs.paths import from_key
from pfs.trees.page import Kind
from pfs.trees.tree import Tree
from pps.egress.delivered import target_id
from pps.egress.send import Part
from pps.model.catalog import Catalog, Pipeline, read_version
from pps.spec.task import BUCKETS, ArtifactOut
from pps.spec.types import Egress, Spec
from pps.workflows.noted import noted_files

if TYPE_CHECKING:
    from pfs.store import Store
    from pfs.trees.row import Row

SHOWN: Final = 100
"""So many addresses of what was delivered are told of one artifact."""


@dataclass(frozen=True, slots=True)
class Delivered:
    """Where an artifact went: the first `SHOWN` URLs in the order of its paths, and how many there are in all."""

    urls: tuple[str, ...] = ()
    files: int = 0


@dataclass(frozen=True, slots=True)
class Artifact:
    """An output of a task, or a bucket that it wrote (``type`` bucket), as one run left it. Sizes in bytes.

    ``path``: where it is in the output repo ``repo`` at ``commit``; of a single file, the file. ``content_type``: that
    of the file, or what is said of all of them; empty: nothing. ``made_by``: the job, with the id of its run, that
    brought the newest of its files. ``is_expired``: names and sizes are all that is left of it.
    """

    workflow: str
    task: str
    output: str
    type: str
    repo: str
    commit: CommitId
    path: str
    files: int
    size_bytes: int
    content_type: str
    made_by: CommitId
    is_expired: bool = False
    delivered: Delivered = Delivered()


def list_artifacts(
    store: Store, workflow: str | None = None, *, task: str | None = None, run: str | None = None
) -> Iterator[Artifact]:
    """Yield artifacts by workflow, tasks in their order, outputs in that of the file; of each the newest.

    ``run``: as the run of this id, or a beginning of it, left them. What a run did not make is left out.

    Raises:
        NotFoundError: there is no such workflow, no such task, or no such run of any of them.
    """
    asked = (workflow, task)
    found = [
        one
        for one in task_pipelines(store)
        if all(want in (None, own) for want, own in zip(asked, names_of(one), strict=True))
    ]
    if not found and (workflow is not None or task is not None):
        raise NotFoundError(f"{_asked(workflow, task)} not found: `pps list-artifact` shows what exists")
    commits = {one.name: _commit_of(store, one, run) for one in found}
    if run is not None and not any(commits.values()):
        raise NotFoundError(f"run {run!r} not found: `pps list-job-set` shows what exists")
    for one in found:
        commit = commits[one.name]
        if commit is not None:
            yield from artifacts_of(store, one, commit)


def task_pipelines(store: Store) -> list[Pipeline]:
    """Return the pipelines that are tasks of workflows, by workflow, each after those that it reads."""
    found = [one for one in Catalog(store).all() if one.spec.transform.task is not None]
    return sorted(found, key=lambda one: names_of(one)[0])


def artifacts_of(store: Store, pipeline: Pipeline, commit: CommitId) -> Iterator[Artifact]:
    """Yield what a task left in one of its output commits, with what was delivered of it by then."""
    view = store.repo(pipeline.name).view(commit)
    spec, meta = _as_it_was(store, pipeline, commit)
    task = spec.transform.task
    for output in () if task is None else task.outputs:
        row = view.tree.stat(output.name.encode(), want="dir")
        if row is not None and row.count:
            made = _artifact(pipeline, view.tree, (row, commit), output=output)
            yield replace(made, delivered=_delivered(spec, Part(store.objects, view.tree, row.key), meta))
    for row in view.tree.list(BUCKETS.encode()) if view.tree.stat(BUCKETS.encode(), want="dir") else ():
        if row.is_dir and row.count:
            yield _artifact(pipeline, view.tree, (row, commit))


def names_of(pipeline: Pipeline) -> tuple[str, str]:
    """Return the workflow and the task that a pipeline does; two empty names for one that does none."""
    task = pipeline.spec.transform.task
    return ("", "") if task is None else (task.workflow, task.name)


def _asked(workflow: str | None, task: str | None) -> str:
    if workflow is None:
        return f"task {task!r}"
    return f"workflow {workflow!r}" if task is None else f"task {task!r} of workflow {workflow!r}"


def _commit_of(store: Store, pipeline: Pipeline, run: str | None) -> CommitId | None:
    """Return the output commit that is asked for; None where a task has none, or it is one of a job that failed."""
    if run is None:
        return pipeline.output
    try:
        info = store.repo(pipeline.name).inspect(run)
    except (CommitNotFoundError, NotFoundError):
        return None
    return None if info.error else info.id


def _as_it_was(store: Store, pipeline: Pipeline, commit: CommitId) -> tuple[Spec, Tree]:
    """Return the version that made a commit, and what is kept of jobs as it was then; the present where that is gone.

    A later job may have sent other things, and noted that in the place of what is asked for.
    """
    job = pipeline.jobs.find(commit)
    if job is None or commit == pipeline.output:
        return pipeline.spec, Tree(store.objects, pipeline.meta_root)
    spec, _ = read_version(store, pipeline.name, job.spec_commit)
    record = None if job.meta_commit is None else store.history.find(pipeline.name, job.meta_commit)
    return spec, Tree(store.objects, pipeline.meta_root if record is None else record.tree_root())


def _artifact(
    pipeline: Pipeline, tree: Tree, at: tuple[Row, CommitId], *, output: ArtifactOut | None = None
) -> Artifact:
    row, commit = at
    first = next(tree.walk(row.key), None)
    only = first if row.count == 1 else None
    workflow, task = names_of(pipeline)
    where = only if only is not None and output is not None and output.type == "file" else row
    return Artifact(
        workflow=workflow,
        task=task,
        output=row.key.decode() if output is None else output.name,
        type="bucket" if output is None else output.type,
        repo=pipeline.name,
        commit=commit,
        path=from_key(where.key),
        files=row.count,
        size_bytes=row.size,
        content_type=_content_type(only, output),
        made_by=commit if row.changed is None else CommitId(row.changed.commit.hex()),
        is_expired=first is not None and first.kind == Kind.REMOVED,
    )


def _content_type(only: Row | None, output: ArtifactOut | None) -> str:
    """Return the type of the only file, else what the file of the workflow says of all of them."""
    import mimetypes

    said = "" if output is None or "{{" in output.content_type else output.content_type
    if only is None:
        return said
    known = (only.aux or {}).get("m")
    guessed = mimetypes.guess_type(only.key.decode(errors="replace"))[0] or ""
    return known if isinstance(known, str) else said or guessed


def _delivered(spec: Spec, part: Part, meta: Tree) -> Delivered:
    """Return where the files of an artifact are noted to be; what is noted of files that it has no more is left out."""
    urls: list[str] = []
    files = 0
    for egress in deliveries_of(spec, part.key.decode()):
        for _, note in noted_files(meta, target_id(egress), part, egress):
            urls += [note.url] if files < SHOWN else []
            files += 1
    return Delivered(tuple(urls), files)


def deliveries_of(spec: Spec, output: str) -> Iterator[Egress]:
    """Yield where an output of a task is delivered."""
    for egress in spec.egresses:
        if isinstance(egress, Egress) and egress.path == f"/{output}":
            yield egress


def workflow_names(store: Store) -> list[str]:
    """Return the names of the workflows that have tasks here, each once."""
    return list(dict.fromkeys(names_of(one)[0] for one in task_pipelines(store)))
