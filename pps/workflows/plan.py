"""What a run would do: the specs, the files that tasks start from, and which tasks run and why. Changes nothing."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from pfs.errors import ConflictError, InvalidInputError, NotFoundError
from pps.pipelines.pipelines import Pipelines
from pps.pipelines.versions import Code
from pps.spec.node import Plain
from pps.spec.types import Spec
from pps.spec.write import spec_json
from pps.workflows.before import Before, before, read_commit
from pps.workflows.compile import compile_task, source_of, used_params
from pps.workflows.folder import Folder
from pps.workflows.params import param_values
from pps.workflows.reading import listed, nearest, told_at
from pps.workflows.records import RunRecord, TaskRecord
from pps.workflows.task_files import Told, task_files
from pps.workflows.types import FromTask, FromUri, TaskDef, Workflow
from pps.workflows.why import (
    NO_CONDITION,
    NOTHING,
    Outlook,
    TaskPlan,
    Version,
    changed_files,
    changed_version,
    known_before,
)

if TYPE_CHECKING:
    from pfs.store import Store


@dataclass(frozen=True, slots=True)
class Asked:
    """What a run is asked for. ``params`` as texts; ``installed``: None leaves it as it is.

    ``folder``: where the workflow file is; ``file``: itself, if it is one. ``of_schedule``: the tick, in ns.
    """

    folder: Path
    file: Path | None = None
    params: Mapping[str, str] = field(default_factory=dict)
    from_task: str = ""
    installed: bool | None = None
    of_schedule: int = 0


@dataclass(frozen=True, slots=True)
class TaskRun:
    """One task of a planned run. ``spec`` None: it is as it was, and is not made anew. ``files`` by name."""

    task: TaskDef
    plan: TaskPlan
    spec: Spec | None
    code: Code | None
    files: Mapping[str, bytes] | None


@dataclass(frozen=True, slots=True)
class RunPlan:
    """A planned run; ``before``: what it was planned against."""

    workflow: Workflow
    record: RunRecord
    tasks: tuple[TaskRun, ...]
    before: Before
    folder: Path

    @property
    def pipelines(self) -> tuple[str, ...]:
        """The pipelines that have a job of the run: of all tasks, but those that are left alone and never ran."""
        left = (one for one in self.tasks if one.spec is not None or self.before.pipeline(one.task.name) is not None)
        return tuple(one.plan.pipeline for one in left)


def plan_run(store: Store, workflow: Workflow, asked: Asked, *, imported: bool = False) -> RunPlan:
    """Return what a run would do. ``imported``: what tasks import is there as it is now.

    Raises:
        InvalidInputError: a param, an item, a condition or the code is wrong, or there is no such task.
        ConflictError: a name is taken by something else; ``from_task`` needs tasks that never succeeded.
        NotFoundError: a repo or branch that a task reads has no commit.
        StorageError: the code cannot be read.
    """
    made = _Planner(store, workflow, asked, imported=imported)
    tasks = []
    for task in workflow.tasks:
        with told_at(task.place):
            tasks.append(made.task(task))
    return RunPlan(workflow, made.record(tasks), tuple(tasks), made.before, asked.folder)


class _Planner:
    def __init__(self, store: Store, workflow: Workflow, asked: Asked, *, imported: bool) -> None:
        self._store, self._workflow, self._asked, self._imported = store, workflow, asked, imported
        self.before = before(store, workflow.name)
        installed = self.before.record.installed if asked.installed is None else asked.installed
        self._installed = installed
        self._params = param_values(workflow.params, asked.params)
        self._again = self._chosen()
        left_out = [store.path, *([asked.file] if asked.file is not None else [])]
        self._folder = Folder(asked.folder, left_out)
        self._pipelines = Pipelines(store)
        self._outlooks: dict[str, TaskPlan] = {}

    def _chosen(self) -> frozenset[str] | None:
        """Return the tasks that are to run again, None where none is named."""
        name, names = self._asked.from_task, [task.name for task in self._workflow.tasks]
        if not name:
            return None
        if name not in names:
            raise InvalidInputError(
                f"workflow {self._workflow.name!r} has no task {name!r}: "
                f"{nearest(name, names, otherwise=listed(names, none='it has none'))}"
            )
        chosen = frozenset(self._workflow.after(name))
        needed = {source for one in chosen for source in self._workflow.task(one).sources} - chosen
        for source in sorted(needed):
            if not self.before.succeeded(source):
                what = f"task {source!r} comes before {name!r} and has not succeeded"
                raise ConflictError(f"{what}: run it first, without --from")
        return chosen

    def task(self, task: TaskDef) -> TaskRun:
        """Return what becomes of a task; those that it reads were asked for before."""
        pipeline = self._workflow.pipeline(task.name)
        old = self.before.pipeline(task.name)
        if self._again is not None and task.name not in self._again:
            plan = TaskPlan(task.name, pipeline, "kept", "not asked for", after=task.sources)
            self._outlooks[task.name] = plan
            # One that was never made stays so: nothing that is asked for reads it.
            return TaskRun(task, plan, None, None, None)
        self._check_repos(task)
        spec = self._spec(task)
        code = self._folder.code(task.code)
        files = task_files(self._workflow, task, self._told(task, spec))
        outlook, why = self._outlook(task, Version(spec, code.digests), files)
        of_files = task.for_each is not None and task.for_each.is_of_files
        plan = TaskPlan(task.name, pipeline, outlook, why, None if of_files else len(files), task.sources)
        self._outlooks[task.name] = plan
        assert old is None or old.name == spec.name
        return TaskRun(task, plan, spec, code, files)

    def _told(self, task: TaskDef, spec: Spec) -> Told:
        known = self.before.record.tasks.get(task.name, TaskRecord())
        return Told(self._params, used_params(spec), known.again + (self._again is not None))

    def _spec(self, task: TaskDef) -> Spec:
        """Return the spec of a task, laid over the defaults of the store."""
        made = compile_task(self._workflow, task, installed=self._installed)
        (spec,) = self._pipelines.read(spec_json(made), name=f"task {task.name!r} of workflow {self._workflow.name!r}")
        return spec

    def _check_repos(self, task: TaskDef) -> None:
        """Refuse repos without a commit: a task that reads one would never have a job."""
        for one in task.inputs:
            repo, branch = source_of(self._workflow, one.source)
            if isinstance(one.source, FromTask | FromUri):
                continue
            with told_at(one.place):
                self._check_branch(f"input {one.name!r} of task {task.name!r}", repo, branch)

    def _check_branch(self, what: str, repo: str, branch: str) -> None:
        try:
            head = self._store.repo(repo).branch(branch).head
        except NotFoundError as error:
            raise NotFoundError(f"{what}: {error}") from error
        if head is None:
            raise NotFoundError(f"{what}: {repo}@{branch} has no commit yet")

    def _outlook(self, task: TaskDef, now: Version, files: Mapping[str, bytes]) -> tuple[Outlook, str]:
        if not files:
            return "skipped", NOTHING if task.when is None else NO_CONDITION
        old = self.before.pipeline(task.name)
        if old is None or self.before.last_job(task.name) is None:
            return "runs", "it has not run yet"
        why = changed_version(Version(old.spec, old.record.code), now)
        why = why or changed_files(self.before.files(task.name), files)
        if why:
            return "runs", why
        if not task.cache:
            return "runs", "it is not cached"
        if not self.before.succeeded(task.name):
            return "runs", "it did not succeed the last time"
        return self._by_inputs(task)

    def _by_inputs(self, task: TaskDef) -> tuple[Outlook, str]:
        moved = [one.name for one in task.inputs if self._has_moved(task, one.name)]
        if moved:
            return "runs", f"input changed: {', '.join(moved)}"
        waits = [name for name in task.sources if self._outlooks[name].outlook in {"runs", "depends"}]
        read = {one.source.task for one in task.inputs if isinstance(one.source, FromTask)}
        waits = [name for name in waits if name in read]
        uris = [] if self._imported else [one.name for one in task.inputs if isinstance(one.source, FromUri)]
        if waits or uris:
            return "depends", f"if {' or '.join([*waits, *uris])} is not the same as before"
        return "cached", "nothing changed"

    def _has_moved(self, task: TaskDef, name: str) -> bool:
        """Say whether an input that no task makes has other content than the last job of a task read."""
        one, job = task.input(name), self.before.last_job(task.name)
        if one is None or isinstance(one.source, FromTask) or job is None:
            return False
        if isinstance(one.source, FromUri) and not self._imported:
            return False
        repo, branch = source_of(self._workflow, one.source)
        old = self.before.pipeline(task.name)
        leaf = None if old is None else next((leaf for leaf in old.leaves if leaf.name == name), None)
        commit = read_commit(job, name)
        if leaf is None or commit is None:
            return True
        return self._tid(repo, branch, leaf.glob) != self._tid(repo, commit, leaf.glob)

    def _tid(self, repo: str, ref: str, glob: str) -> object:
        """Return what stands for the content that a glob finds in a commit."""
        try:
            view = self._store.repo(repo).view(ref)
            return [(info.path, bytes(view.row(info.path).tid)) for info in view.glob(glob)]
        except NotFoundError:
            return None

    def record(self, tasks: Sequence[TaskRun]) -> RunRecord:
        """Return the record of the run."""
        schedule = self._workflow.on.schedule if self._installed else ""
        return RunRecord(
            workflow=self._workflow.name,
            params=encoded(self._params),
            folder=str(self._asked.folder),
            file="" if self._asked.file is None else str(self._asked.file),
            from_task=self._asked.from_task,
            installed=self._installed,
            installed_params=self._installed_params(),
            schedule=schedule,
            of_schedule=self._asked.of_schedule,
            tasks={one.task.name: self._record(one) for one in tasks},
        )

    def _installed_params(self) -> dict[str, msgspec.Raw]:
        """Return the params of the installation, which a run by hand leaves as they are."""
        if not self._installed:
            return {}
        last = self.before.record
        return encoded(self._params) if self._asked.installed else last.installed_params or last.params

    def _record(self, one: TaskRun) -> TaskRecord:
        known = self.before.record.tasks.get(one.task.name, TaskRecord())
        kept = one.plan.outlook == "kept"
        return TaskRecord(
            after=one.task.sources,
            again=known.again + (self._again is not None and not kept),
            kept=kept,
            why=known_before(one.plan),
            skipped=one.plan.outlook == "skipped",
        )


def encoded(params: Mapping[str, Plain]) -> dict[str, msgspec.Raw]:
    """Return params as a record has them."""
    return {
        name: msgspec.Raw(json.dumps(value, ensure_ascii=False, allow_nan=False).encode())
        for name, value in params.items()
    }


def values(record: RunRecord) -> dict[str, Plain]:
    """Return the params of a run."""
    return {name: json.loads(bytes(raw)) for name, raw in record.params.items()}
