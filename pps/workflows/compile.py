"""A task as the spec of a pipeline: all that counts for it is in that and in its inputs (docs/design/workflows.md)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from pps.spec.task import RUN_INPUT, ArtifactIn, ArtifactOut, Task
from pps.spec.template import parse_template
from pps.spec.types import (
    DEFAULT_BRANCH,
    CrossInput,
    Egress,
    Input,
    PfsInput,
    Reprocess,
    Spec,
    Transform,
)
from pps.workflows.settle import Settled
from pps.workflows.types import FromRepo, FromTask, InputArtifact, OutputArtifact, Source, TaskDef, Workflow

TASKS_DIR = "/tasks"
"""Where a run has the files of its tasks, in the repo that is called like the workflow."""


def imports_repo(workflow: str) -> str:
    """Return the repo of what a workflow imports."""
    return f"{workflow}_imports"


def imports_dir(task: str, name: str) -> str:
    """Return where what an input imports is, in the repo for it."""
    return f"/{task}/{name}"


def compile_task(workflow: Workflow, task: TaskDef, *, installed: bool = False) -> Spec:
    """Return the pipeline that does a task. ``installed``: commits of the repos that it reads make jobs."""
    settled = Settled(workflow, task)
    return Spec(
        name=workflow.pipeline(task.name),
        transform=_transform(workflow, task, settled),
        input=_input(workflow, task, commits=installed and workflow.on.commits),
        description=task.description or f"task {task.name} of workflow {workflow.name}",
        datum_tries=task.retries + 1,
        datum_timeout_s=task.timeout_s,
        reprocess=Reprocess.UNTIL_SUCCESS if task.cache else Reprocess.EVERY_JOB,
        egresses=tuple(_egress(task, one, one.s3) for one in task.outputs if one.s3 is not None),
        requests=task.resources,
        limits=task.limits,
    )


def used_params(spec: Spec) -> tuple[str, ...]:
    """Return the params that the templates of a task's spec name, by name: what its file in a run holds."""
    transform, task = spec.transform, spec.transform.task
    assert task is not None, "a spec of compile_task"
    texts = [*transform.cmd, *transform.env.values(), *(one.path for one in task.inputs)]
    for made in task.outputs:
        texts += [made.path, made.to, made.content_type, *made.metadata.values()]
    references = (reference for text in texts for reference in parse_template(text).references)
    return tuple(sorted({one.names[1] for one in references if one.names[0] == "params"}))


def _transform(workflow: Workflow, task: TaskDef, settled: Settled) -> Transform:
    words = tuple(settled.text(word) for word in task.command)
    each = task.for_each
    of_files = each is not None and each.is_of_files
    return Transform(
        cmd=("sh", "-c", settled.shell(task.command[0])) if task.shell else words,
        env={name: settled.text(value) for name, value in task.env.items()},
        code=(".",) if task.code is None else task.code,
        working_dir=task.working_dir or None,
        image=task.image or None,
        secrets=task.secrets,
        task=Task(
            workflow=workflow.name,
            name=task.name,
            shell=task.shell,
            each=each.input if each is not None and of_files else "",
            below=_below(task) if of_files else "",
            inputs=tuple(_artifact_in(one, task, settled) for one in task.inputs if one.path),
            outputs=tuple(_artifact_out(one, task, settled) for one in task.outputs),
        ),
    )


def _artifact_in(one: InputArtifact, task: TaskDef, settled: Settled) -> ArtifactIn:
    part = _part(one, task) if one.optional and not _is_each(task, one) else ""
    return ArtifactIn(one.name, settled.path(one.path), one.type or "file", one.optional, part)


def _artifact_out(one: OutputArtifact, task: TaskDef, settled: Settled) -> ArtifactOut:
    usual = "" if task.for_each is None else "{{item}}/"
    return ArtifactOut(
        name=one.name,
        path=settled.text(one.path),
        type=one.type,
        to=settled.text(one.as_) or usual,
        missing=one.missing,
        content_type=settled.text(one.content_type),
        metadata={name: settled.text(value) for name, value in one.metadata.items()},
    )


def _input(workflow: Workflow, task: TaskDef, *, commits: bool) -> Input:
    leaves: list[PfsInput] = [PfsInput(RUN_INPUT, workflow.name, glob=f"{TASKS_DIR}/{task.name}/*")]
    leaves += [_leaf(workflow, task, one, commits=commits) for one in task.inputs]
    leaves += _waits(workflow, task)
    leaves.sort(key=lambda leaf: leaf.name)
    return CrossInput(tuple(leaves))


def _leaf(workflow: Workflow, task: TaskDef, one: InputArtifact, *, commits: bool) -> PfsInput:
    glob = "/" if one.optional else _part(one, task) or "/"
    if _is_each(task, one):
        glob = _glob_of_each(task)
    match one.source:
        case FromTask(maker):
            return PfsInput(one.name, workflow.pipeline(maker), glob=glob)
        case FromRepo(repo, branch):
            return PfsInput(one.name, repo, branch, glob, never=not commits)
        case _:
            return PfsInput(one.name, imports_repo(workflow.name), glob=glob, never=True)


def _waits(workflow: Workflow, task: TaskDef) -> Iterator[PfsInput]:
    """Yield inputs for the tasks that are only waited for: nothing of them is staged, or counts for what runs."""
    read = {one.source.task for one in task.inputs if isinstance(one.source, FromTask)}
    for name in dict.fromkeys(task.after):
        if name not in read:
            yield PfsInput(f"after_{name}", workflow.pipeline(name), s3=True)


def _part(one: InputArtifact, task: TaskDef) -> str:
    """Return the directory or file of its repo that an input is; empty: all of it."""
    match one.source:
        case FromTask(_, output):
            return f"/{output}"
        case FromRepo(_, _, glob):
            return "" if glob == "/" else glob
        case _:
            return imports_dir(task.name, one.name)


def _is_each(task: TaskDef, one: InputArtifact) -> bool:
    each = task.for_each
    return each is not None and each.is_of_files and each.input == one.name


def _each_input(task: TaskDef) -> InputArtifact:
    assert task.for_each is not None, "asked for tasks with for_each only"
    found = task.input(task.for_each.input)
    assert found is not None, "for_each is resolved"
    return found


def _below(task: TaskDef) -> str:
    return _part(_each_input(task), task)


def _glob_of_each(task: TaskDef) -> str:
    assert task.for_each is not None, "asked for tasks with for_each only"
    return f"{_below(task)}/{task.for_each.glob.lstrip('/')}"


def _egress(task: TaskDef, one: OutputArtifact, s3: Egress) -> Egress:
    """Return a delivery as the pipeline has it: one whose URL names an object is the key of that one."""
    folder, slash, last = s3.url.rpartition("/")
    is_one = s3.levers.archive != "none" or (one.type == "file" and task.for_each is None)
    if not is_one or s3.levers.key or not last or folder.endswith(":/"):
        return s3
    return replace(s3, url=folder + slash, levers=replace(s3.levers, key=last))


def source_of(workflow: Workflow, source: Source) -> tuple[str, str]:
    """Return the repo and branch that an input reads."""
    match source:
        case FromTask(maker):
            return workflow.pipeline(maker), DEFAULT_BRANCH
        case FromRepo(repo, branch):
            return repo, branch
        case _:
            return imports_repo(workflow.name), DEFAULT_BRANCH
