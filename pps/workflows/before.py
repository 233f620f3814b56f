"""What a workflow has done so far: its last run, and the pipelines of its tasks as they are."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pfs.errors import BranchMovedError, ConflictError, NotFoundError, PathNotFoundError
from pfs.ids import CommitId
from pfs.paths import to_key
from pps.model.catalog import Catalog, Pipeline
from pps.model.records import JobRecord
from pps.model.state import JobState
from pps.workflows.compile import TASKS_DIR
from pps.workflows.records import RUN_JSON, RunRecord, decode_run

if TYPE_CHECKING:
    from pfs.changes.writer import CommitWriter
    from pfs.store import Store
    from pfs.trees.row import Row
    from pfs.view import View

BRANCH = "master"


def runs_description(name: str) -> str:
    """Return what the repo of a workflow's runs is said to be for, by which it is known before its first run."""
    return f"runs of workflow {name}"


@dataclass(slots=True)
class Before:
    """The state of one workflow in a store; ``view``: its last run, None before the first."""

    store: Store
    name: str
    view: View | None
    record: RunRecord
    _pipelines: dict[str, Pipeline | None] = field(default_factory=dict)

    def files(self, task: str) -> dict[str, bytes]:
        """Return the files that a task had in the last run, by name; of many items one read each."""
        folder = f"{TASKS_DIR}/{task}"
        if self.view is None or self.view.find(folder) is None:
            return {}
        return {info.path.rpartition("/")[2]: self.view.read(info.path) for info in self.view.list(folder)}

    def pipeline(self, task: str) -> Pipeline | None:
        """Return the pipeline of a task, None if there is none.

        Raises:
            ConflictError: there is one of that name that is no task of this workflow.
        """
        if task not in self._pipelines:
            self._pipelines[task] = self._find(task)
        return self._pipelines[task]

    def _find(self, task: str) -> Pipeline | None:
        name = f"{self.name}-{task}"
        try:
            found = Catalog(self.store).get(name)
        except NotFoundError:
            return None
        own = found.spec.transform.task
        if own is None or (own.workflow, own.name) != (self.name, task):
            whose = "no task" if own is None else f"task {own.name!r} of workflow {own.workflow!r}"
            raise ConflictError(
                f"there is a pipeline {name!r} that is {whose}: give the workflow or the task another name"
            )
        return found

    def last_job(self, task: str) -> JobRecord | None:
        """Return the last job of a task that has ended, None if none has."""
        found = self.pipeline(task)
        ended = () if found is None else (job for job in reversed(found.jobs) if job.state.is_final)
        return next(iter(ended), None)

    def succeeded(self, task: str) -> bool:
        """Say whether the last job of a task succeeded."""
        job = self.last_job(task)
        return job is not None and job.state == JobState.SUCCESS

    def tasks(self) -> list[Pipeline]:
        """Return the pipelines of all tasks that the workflow has or had, in the order of the graph."""
        found = Catalog(self.store).all()
        return [
            one
            for one in found
            if one.spec.transform.task is not None and one.spec.transform.task.workflow == self.name
        ]


def before(store: Store, name: str) -> Before:
    """Return what a workflow has done so far.

    Raises:
        ConflictError: its name is that of a repo or pipeline of something else.
        CorruptionError: the record of its last run is damaged.
    """
    state = store.refs.find(name)
    if state is None:
        return Before(store, name, None, RunRecord(workflow=name))
    repo = store.repo(name)
    head = next((branch.head for branch in repo.branches() if branch.name == BRANCH), None)
    if head is None:
        if repo.info().description != runs_description(name):
            raise taken(name)
        return Before(store, name, None, RunRecord(workflow=name))
    view = repo.view(BRANCH)
    record = run_at(store, name, head)
    if record is None:
        raise taken(name)
    return Before(store, name, view, record)


@contextmanager
def run_commit(store: Store, found: Before, *, message: str) -> Iterator[CommitWriter]:
    """Begin the commit of a run right after the one that was found last, on top of what that has.

    Raises:
        BranchMovedError: here or when it finishes, another run began since.
    """
    moved = BranchMovedError(f"{found.name}@{BRANCH}")
    parent = None if found.view is None else found.view.info.id
    with store.repo(found.name).commit(BRANCH, message=message, parent=parent) as commit:
        # A named parent may lie behind the head: the commit would take the runs after it out of the branch.
        if commit.target.head != parent:
            raise moved

        def is_first(row: Row | None) -> None:
            if row is not None:
                raise moved

        if parent is None:
            commit.require(to_key(RUN_JSON), is_first)
        yield commit


def taken(name: str) -> ConflictError:
    """Return the error that says that a workflow cannot be called so."""
    return ConflictError(f"there is a repo {name!r} that has no runs of a workflow: give the workflow another 'name'")


def run_at(store: Store, name: str, ref: str) -> RunRecord | None:
    """Return the record of a run, None where a commit is none.

    Raises:
        CommitNotFoundError, RepoNotFoundError: there is no such commit. CorruptionError: the record is damaged.
    """
    view = store.repo(name).view(ref)
    try:
        return decode_run(view.read(RUN_JSON), where=f"{name}@{view.info.id}:{RUN_JSON}")
    except PathNotFoundError:
        return None


def read_commit(job: JobRecord, name: str) -> CommitId | None:
    """Return the commit that a job read as an input, None where it has no such input."""
    return next((CommitId(commit) for one, _, _, commit in job.inputs if one == name), None)
