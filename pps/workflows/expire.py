"""Doing what ``keep`` says: artifacts of old runs lose their bytes, old runs go, and what was delivered of them.

In this order for each workflow: delivered objects, whose notes then go; whole runs; the bytes of single artifacts. So
what is killed at any moment finds again what it has to do, and a note is there as long as its object.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import chain
from typing import TYPE_CHECKING, Literal

from pfs.errors import NotFoundError
from pfs.ids import CommitId
from pfs.lifecycle.retention import apply_retention
from pfs.lifecycle.revising import held_by, revise
from pfs.lifecycle.unread import unread_in
from pfs.trees.page import Kind
from pps.model.catalog import Catalog
from pps.model.records import META_BRANCH, OUT_DIR
from pps.scheduling.live import of, running_jobs
from pps.scheduling.unread import unread
from pps.workflows.artifacts import names_of, task_pipelines
from pps.workflows.before import BRANCH
from pps.workflows.compile import imports_repo
from pps.workflows.delivered_life import DeliveredLife
from pps.workflows.expiry import Expiry, Version, expired, keep_of
from pps.workflows.left_notes import noted_by
from pps.workflows.output_history import OutputHistory
from pps.workflows.stored_file import find_stored

if TYPE_CHECKING:
    from pfs.lifecycle.revising import Edits, Strip
    from pfs.packs.commit_record import CommitRecord
    from pfs.store import Store
    from pfs.trees.edit import Edit
    from pfs.trees.tree import Tree
    from pps.egress.delivered import Note
    from pps.model.catalog import Pipeline
    from pps.workflows.types import Workflow

What = Literal["artifact", "run", "object", "class", "trouble"]


@dataclass(frozen=True, slots=True)
class Effect:
    """One thing that was done, or would be.

    ``artifact``: an artifact of an old run lost its bytes; ``run``: a run is gone from ``repo``; ``object``: what was
    delivered was deleted; ``class``: it was moved to ``storage_class``; ``trouble``: why something was not done, which
    is tried again the next time. Sizes in bytes.
    """

    what: What
    workflow: str
    repo: str = ""
    output: str = ""
    run: str = ""
    files: int = 0
    size_bytes: int = 0
    url: str = ""
    storage_class: str = ""
    reason: str = ""


def expire(
    store: Store, workflow: str | None = None, *, now_ns: int | None = None, dry_run: bool = False
) -> Iterator[Effect]:
    """Do what the files of workflows say of how long artifacts stay, or only tell it; yields what was done.

    The file is that of the last run. The newest version of each artifact stays, so do the heads, what is tagged, what
    pipelines have yet to read, and all of a task whose job runs now. What others wrote or replaced is not touched.
    Idempotent. Bytes in the store are freed by collection.

    Raises:
        NotFoundError: there is no such workflow.
        CorruptionError, MissingObjectError: a commit or page is damaged. ConflictError: a repo is being changed too
        often. StorageError: it is not done to its end; what was done holds.
    """
    at_ns = time.time_ns() if now_ns is None else now_ns
    stored = None if workflow is None else find_stored(store, workflow)
    if stored is not None and not _may_expire(stored):
        return  # as of most, and each run asks at its end
    by_workflow: dict[str, list[Pipeline]] = {}
    for one in task_pipelines(store):
        by_workflow.setdefault(names_of(one)[0], []).append(one)
    if workflow is not None and workflow not in by_workflow:
        raise NotFoundError(f"workflow {workflow!r} not found: `pps list-workflow` shows what exists")
    for name in by_workflow if workflow is None else [workflow]:
        found = find_stored(store, name)
        if found is not None and _may_expire(found):
            yield from _Expiring(store, found, by_workflow[name], now_ns=at_ns, dry_run=dry_run).run()


def _may_expire(workflow: Workflow) -> bool:
    """Say whether anything is said of how long artifacts stay."""
    outputs = [one.keep for task in workflow.tasks for one in task.outputs]
    return any(keep.runs or keep.days or keep.class_days for keep in (workflow.keep, *outputs))


@dataclass
class _Task:
    history: OutputHistory
    expiry: Expiry

    @property
    def repo(self) -> str:
        return self.history.pipeline.name


class _Expiring:
    """One workflow."""

    def __init__(
        self, store: Store, workflow: Workflow, pipelines: list[Pipeline], *, now_ns: int, dry_run: bool
    ) -> None:
        self._store, self._workflow, self._now_ns, self._dry_run = store, workflow, now_ns, dry_run
        running = running_jobs(store.path / "run")
        quiet = [one for one in pipelines if one.unfinished is None and not of(one.name, running)]
        self._held = self._held_of([one.name for one in quiet] + [workflow.name])
        self._tasks = [self._task(one) for one in quiet]

    def run(self) -> Iterator[Effect]:
        troubled = set[str]()
        for task in self._tasks:
            for effect in self._deliveries(task):
                if effect.what == "trouble" and not effect.storage_class:
                    troubled.add(task.repo)  # its history has the notes of what is still to be deleted
                yield effect
        sound = [task for task in self._tasks if task.repo not in troubled]
        told = [effect for task in sound for effect in self._artifacts(task)]
        yield from self._runs(sound)
        for task in sound:
            if any(effect.repo == task.repo for effect in told) and not self._dry_run:
                revise(self._store, task.repo, _stripping(task))
        yield from told

    def _task(self, pipeline: Pipeline) -> _Task:
        history, name = OutputHistory(self._store, pipeline), names_of(pipeline)[1]
        found = expired(
            history.versions,
            lambda output: keep_of(self._workflow, name, output),
            whole=self._workflow.keep,
            held=self._held[pipeline.name],
            now_ns=self._now_ns,
        )
        return _Task(history, found)

    def _held_of(self, repos: list[str]) -> dict[str, set[CommitId]]:
        """Return the commits that are not to be touched: heads, tagged and open ones, and what is yet to be read."""
        told = unread(self._store)
        states = {state.repo: state for state in self._store.refs.repos()}
        waiting = unread_in(list(states.values()), told)
        found = {}
        for repo in repos:
            state = states.get(repo)
            held = set[CommitId]() if state is None else held_by(state)
            for branch, since in waiting.get(repo, ()):
                entry = None if state is None else state.body.branches.get(branch)
                for record in self._store.history.first_parents(repo, entry.head) if entry and entry.head else ():
                    held.add(record.id)
                    if record.id == since:
                        break
            found[repo] = held
        return found

    def _deliveries(self, task: _Task) -> Iterator[Effect]:
        name = names_of(task.history.pipeline)[1]
        life = DeliveredLife(
            task.history,
            task.expiry,
            lambda output: keep_of(self._workflow, name, output),
            others=lambda: self._noted_beside(task.repo),
            now_ns=self._now_ns,
            dry_run=self._dry_run,
        )
        for done in life.run():
            note = done.found.note
            yield Effect(
                what=done.what,
                workflow=self._workflow.name,
                repo=task.repo,
                output=done.found.output,
                run=note.job,
                files=1,
                size_bytes=note.size,
                url=note.url,
                storage_class=done.storage_class,
                reason=done.reason,
            )

    def _noted_beside(self, repo: str) -> Iterator[Note]:
        """Yield what all other pipelines noted, as it is now: a task that had its turn before may have dropped some."""
        others = (one for one in Catalog(self._store).all() if one.name != repo)
        return chain.from_iterable(noted_by(self._store, one) for one in others)

    def _artifacts(self, task: _Task) -> Iterator[Effect]:
        """Yield the artifacts that are to lose their bytes and have them."""
        for version in task.history.versions:
            for output in sorted(version.outputs):
                if version.commit not in task.expiry.of(output):
                    continue
                tree = task.history.output(version.commit)
                row = tree.stat(output.encode(), want="dir")
                first = None if row is None else next(tree.walk(row.key), None)
                if row is not None and first is not None and first.kind != Kind.REMOVED:
                    effect = Effect("artifact", self._workflow.name, task.repo, output, run=version.commit)
                    yield replace(effect, files=row.count, size_bytes=row.size)

    def _runs(self, sound: list[_Task]) -> Iterator[Effect]:
        """Let runs go of which nothing stays, from the repos of the tasks, of the workflow and of what it imports."""
        chosen: dict[str, frozenset[CommitId]] = {task.repo: task.expiry.runs for task in sound}
        chosen |= self._of_workflow()
        effects = apply_retention(
            self._store,
            now_ns=self._now_ns,
            dry_run=self._dry_run,
            readers=lambda: unread(self._store),
            chosen=chosen,
        )
        for effect in effects:
            for id in effect.removed:
                yield Effect("run", self._workflow.name, effect.repo, run=id)

    def _of_workflow(self) -> Mapping[str, frozenset[CommitId]]:
        """Return the runs themselves, and all imports but the last: what a version that stays was made from stays."""
        name, whole = self._workflow.name, self._workflow.keep
        if not whole.runs and not whole.days:
            return {}
        runs = [Version(one.id, one.finished_ns, frozenset()) for one in self._chain(name)]
        gone = expired(runs, lambda _: whole, whole=whole, held=self._held[name], now_ns=self._now_ns).runs
        imports = imports_repo(name)
        return {name: gone, imports: frozenset([one.id for one in self._chain(imports)][1:] if gone else ())}

    def _chain(self, repo: str) -> Iterator[CommitRecord]:
        state = self._store.refs.find(repo)
        entry = None if state is None else state.body.branches.get(BRANCH)
        if entry is not None and entry.head is not None:
            yield from self._store.history.first_parents(repo, entry.head)


def _stripping(task: _Task) -> Edits:
    """Return what takes the bytes out of the artifacts of old runs, in output commits and in what jobs kept of them."""
    history, expiry = task.history, task.expiry
    # The head of what jobs kept is what the next one takes over.
    kept = {left.id: left.of for left in history.left[1:]}

    def doomed(commit: CommitId | None) -> list[bytes]:
        return [name.encode() for name, runs in expiry.outputs.items() if commit in runs]

    def edits(record: CommitRecord, tree: Tree, strip: Strip) -> Iterator[Edit]:
        if record.branch == META_BRANCH:
            names = doomed(kept.get(record.id))
            folders = [row.key + b"/" for row in tree.list(OUT_DIR)] if names and tree.stat(OUT_DIR) else []
        else:
            names, folders = doomed(record.id), [b""]
        for folder in folders:
            for name in names:
                row = tree.stat(folder + name, want="dir")
                yield from () if row is None else strip(row)

    return edits
