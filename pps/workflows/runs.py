"""Runs of workflows: planned, begun, looked at. Delegates; thread-safe as the store is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from pfs.errors import AlreadyExistsError, BranchMovedError, ConflictError, NotFoundError, PfsError
from pfs.ids import CommitId
from pps.model.catalog import Catalog
from pps.model.records import SPEC_BRANCH
from pps.pipelines.pipelines import Pipelines
from pps.pipelines.several import in_order
from pps.pipelines.versions import Making, Planned
from pps.scheduling.queue import due_jobs
from pps.spec.input import leaves
from pps.spec.types import Spec
from pps.workflows.before import BRANCH, Before, before, run_commit, runs_description
from pps.workflows.compile import TASKS_DIR, imports_repo
from pps.workflows.imports import Say, imported_inputs, refresh_imports, say_nothing
from pps.workflows.plan import Asked, RunPlan, plan_run, values
from pps.workflows.reading import told_at
from pps.workflows.records import FILES, RUN_JSON, encode_run
from pps.workflows.turns import awaited, is_attended, turn
from pps.workflows.types import Workflow

if TYPE_CHECKING:
    from pfs.changes.writer import CommitWriter
    from pfs.store import Store

ROUNDS: Final = 8
"""How often a run is planned again because another machine began one."""


def start_run(
    store: Store, workflow: Workflow, asked: Asked, *, say: Say = say_nothing, stay: ExitStack | None = None
) -> tuple[CommitId, RunPlan]:
    """Begin a run: imports, then all pipelines are made or updated, or none, then one commit gives all jobs its id.

    A version that is new has no job but that of the run. Nothing is run here: a controller does. Tasks that the file
    has no more are stopped; what they made stays. ``say`` is told what was imported. Runs begin one after the other,
    each planned against the one before. ``stay`` keeps others from changing, until it is closed, what the run has yet
    to do: it is to be open while somebody waits for the run.

    Raises:
        PfsError: as `plan_run`, `Pipelines.create` and `Pipelines.update`; nothing is to be run then.
        ConflictError: a task that another run has yet to do would be changed, and that run is being done; or other
            machines began runs of the workflow ROUNDS times.
    """
    with turn(store, workflow.name):
        for _ in range(ROUNDS):
            with suppress(BranchMovedError):
                run, plan = _begin(store, workflow, asked, say=say)
                if stay is not None:
                    stay.enter_context(awaited(store, workflow.name))
                return run, plan
    raise ConflictError(f"other runs of workflow {workflow.name!r} begin at the same time: look again and retry")


def _begin(store: Store, workflow: Workflow, asked: Asked, *, say: Say) -> tuple[CommitId, RunPlan]:
    """Begin a run in its turn; raises as `start_run`, and BranchMovedError where another machine was first."""
    plan = plan_run(store, workflow, asked)
    if any(imported_inputs(workflow)):
        kept = {one.task.name for one in plan.tasks if one.files is None}
        refresh_imports(store, workflow, values(plan.record), kept=kept, say=say)
        plan = plan_run(store, workflow, asked, imported=True)
    _refuse_to_disturb(store, plan)
    fresh = _make_repo(store, workflow.name, description=runs_description(workflow.name))
    try:
        made = _make_pipelines(store, plan)
    except BranchMovedError:
        raise  # what was made may be another's by now, and does nothing by itself
    except PfsError:
        if fresh:
            with suppress(PfsError):
                store.delete_repo(workflow.name)
        raise
    _stop_removed(store, plan)
    return _publish(store, plan, made), plan


def _refuse_to_disturb(store: Store, plan: RunPlan) -> None:
    """Refuse to change or stop a task that a run has yet to do, if that is being done: the run would lose it."""
    name, pipelines = plan.workflow.name, Pipelines(store)
    digests = {one.spec.name: one.code.digests for one in plan.tasks if one.spec is not None and one.code is not None}
    specs = {one.spec.name: one.spec for one in plan.tasks if one.spec is not None}
    kept = {one.plan.pipeline for one in plan.tasks if one.spec is None}
    found = [one for one in plan.before.tasks() if one.name not in kept]
    changed = {
        one.name
        for one in found
        if one.name not in specs or pipelines.is_changed(one, specs[one.name], digests.get(one.name, {}))
    }
    due = due_jobs(store, found, {})
    # Tasks further down are due only when those before them have ended.
    under_way = {job.cause for jobs in due.values() for job in jobs if job.inputs.get((name, BRANCH)) == job.cause}
    for pipeline in found if under_way else ():
        ended = {job.id for job in pipeline.jobs if job.state.is_final}
        missing = under_way - ended if pipeline.name in changed else ()
        if missing and is_attended(store, name):
            run = min(missing)
            raise ConflictError(
                f"run {name}@{run} has yet to do task {_task_of(pipeline.spec)!r}, which this one would "
                f"change: look again when it has ended, or end its jobs with `pps stop-job {run}`, and retry"
            )


def check_run(store: Store, workflow: Workflow, asked: Asked) -> RunPlan:
    """Return what a run would do, checked against the store as far as that changes nothing; raises as `start_run`."""
    plan = plan_run(store, workflow, asked)
    _check(store, plan)
    return plan


def _make_repo(store: Store, name: str, *, description: str) -> bool:
    """Make a repo; say whether it was not there."""
    if store.refs.find(name) is not None:
        return False
    store.create_repo(name, description=description, exist_ok=True)
    return True


def _specs(plan: RunPlan) -> Iterator[tuple[Spec, Making]]:
    """Yield what is to be made, in order, each with what those before it make."""
    name = plan.workflow.name
    there: Planned = {name: (), imports_repo(name): ()}
    made = {one.spec.name: one for one in plan.tasks if one.spec is not None}
    for spec, planned in in_order([one.spec for one in made.values() if one.spec is not None]):
        yield spec, Making({**there, **planned}, made[spec.name].code, wait=True)


def _check(store: Store, plan: RunPlan) -> None:
    pipelines = Pipelines(store)
    rebinding = any(_reads_otherwise(plan, spec) for spec, _ in _specs(plan))
    for spec, making in _specs(plan):
        with told_at(plan.workflow.task(_task_of(spec)).place), _told_if_taken(spec.name):
            pipelines.update(spec, base_dir=plan.folder, dry_run=True, making=replace(making, rebinding=rebinding))


@contextmanager
def _told_if_taken(name: str) -> Iterator[None]:
    """Say of a repo that is in the way what can be done: it may be what `delete_workflow` was told to keep."""
    try:
        yield
    except AlreadyExistsError as error:
        about = f"there is a repo {name!r} that no task makes, as `delete-workflow --keep-repos` leaves them"
        advice = f"delete it (`pfs delete-repo {name}`; it stays in trash for 30 days)"
        raise ConflictError(f"{about}: {advice}, or give the workflow another 'name'") from error


def _reads_otherwise(plan: RunPlan, spec: Spec) -> bool:
    """Say whether a task that there is reads other repos than it did: two may change places."""
    old = plan.before.pipeline(_task_of(spec))
    return old is not None and {leaf.repo for leaf in old.leaves} != {leaf.repo for leaf in leaves(spec.input)}


def _make_pipelines(store: Store, plan: RunPlan) -> dict[str, CommitId]:
    """Make or update all pipelines, or none: one that was updated and has no run yet does nothing by itself.

    Return the commits of their specs. Raises BranchMovedError where another machine makes them.
    """
    _check(store, plan)
    pipelines, made = Pipelines(store), list[str]()
    try:
        for spec, making in _specs(plan):
            if plan.before.pipeline(_task_of(spec)) is not None:
                pipelines.update(spec, base_dir=plan.folder, making=making)
                continue
            pipelines.create(spec, base_dir=plan.folder, making=making)
            made.append(spec.name)
    except (BranchMovedError, AlreadyExistsError) as error:
        raise BranchMovedError(f"{plan.workflow.name}@{BRANCH}") from error
    except PfsError:
        for name in reversed(made):
            with suppress(PfsError):
                pipelines.delete(name, force=True)
        raise
    return {spec.name: Catalog(store).get(spec.name).spec_commit for spec, _ in _specs(plan)}


def _task_of(spec: Spec) -> str:
    assert spec.transform.task is not None, "a spec of compile_task"
    return spec.transform.task.name


def _stop_removed(store: Store, plan: RunPlan) -> None:
    kept = {task.name for task in plan.workflow.tasks}
    for pipeline in plan.before.tasks():
        if _task_of(pipeline.spec) not in kept:
            Pipelines(store).stop(pipeline.name)


def _publish(store: Store, plan: RunPlan, made: Mapping[str, CommitId]) -> CommitId:
    """Commit the run: the point from which its jobs are due.

    Raises:
        BranchMovedError: another run began, or made other versions of the tasks, since this one was planned.
    """
    message = f"run from {plan.record.from_task}" if plan.record.from_task else "run"
    with run_commit(store, plan.before, message=message) as commit:
        _clear(commit, plan)
        suffix = FILES[1] if plan.workflow.is_json else FILES[0]
        commit.put_file(suffix, plan.workflow.text.encode())
        commit.put_file(RUN_JSON, encode_run(plan.record))
        for one in plan.tasks:
            for file, data in (one.files or {}).items():
                commit.put_file(f"{TASKS_DIR}/{one.task.name}/{file}", data)
        for name, version in made.items():
            if Catalog(store).get(name).spec_commit != version:
                raise BranchMovedError(f"{name}@{SPEC_BRANCH}")
        info = commit.finish()
    return CommitId(info.id)


def _clear(commit: CommitWriter, plan: RunPlan) -> None:
    """Delete what the last run had, but for the files of tasks that are as they were."""
    view = plan.before.view
    if view is None:
        return
    kept = {one.task.name for one in plan.tasks if one.files is None}
    had = [] if view.find(TASKS_DIR) is None else [info.path.rstrip("/") for info in view.list(TASKS_DIR)]
    for path in (*FILES, *(one for one in had if one.rpartition("/")[2] not in kept)):
        with suppress(NotFoundError):
            commit.delete_file(path, recursive=True)


def delete_workflow(store: Store, name: str, *, keep_repos: bool = False, force: bool = False) -> tuple[str, ...]:
    """Take a workflow away: its tasks' pipelines with their repos, its runs and imports; return the pipelines.

    ``keep_repos``: what tasks made stays, in plain repos. Data stays in trash for 30 days.

    Raises:
        NotFoundError: there is no such workflow.
        ConflictError: other pipelines read what its tasks made, and ``force`` is not set.
    """
    with turn(store, name):
        found = existing(store, name)
        names = [pipeline.name for pipeline in reversed(found.tasks())]
        for one in names:
            Pipelines(store).delete(one, keep_repo=keep_repos, force=force)
        for repo in (imports_repo(name), name):
            with suppress(NotFoundError):
                store.delete_repo(repo, force=force)
    return tuple(names)


def existing(store: Store, name: str) -> Before:
    """Return what a workflow has done so far.

    Raises:
        NotFoundError: there is no such workflow. CorruptionError: its last run is damaged.
    """
    try:
        found = before(store, name) if store.refs.find(name) is not None else None
    except ConflictError:
        found = None
    if found is None:
        raise NotFoundError(f"workflow {name!r} not found: `pps list-workflow` shows what exists")
    return found
