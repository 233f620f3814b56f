"""Which jobs are due: derived from commits and past jobs each time, never stored, so that no crash can lose one.

Each commit on an input branch makes one job, in the order in which they were finished; a commit set that reaches a
pipeline on several inputs makes one job together. A new version of a pipeline makes one job for the heads of that
moment, which stands for all commits before it. A job whose input failed is due too: it is recorded as unrunnable.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from pfs.ids import CommitId
from pfs.provenance.cause import head_cause
from pps.model.catalog import DAMAGE, Pipeline
from pps.model.records import JobRecord
from pps.model.state import JobState

if TYPE_CHECKING:
    from pfs.errors import PfsError
    from pfs.packs.commit_record import CommitRecord
    from pfs.refs.body import BranchEntry
    from pfs.refs.swap import RefsState
    from pfs.store import Store

Branch = tuple[str, str]
"""(repo, branch)."""
Position = Mapping[Branch, CommitId | None]


@dataclass(frozen=True, slots=True)
class Due:
    """A job to be made. ``inputs``: per input branch the commit that it reads; ``broken``: failed inputs, with why.

    ``position`` is where the pipeline stands after it. ``resume``: the record of this same job, begun and interrupted.
    ``spare``: the id for the job where its repo has the cause's already. ``awaited``: an input has an open commit of
    the same cause, which belongs to the same job.
    """

    pipeline: Pipeline
    cause: CommitId
    inputs: Mapping[Branch, CommitId]
    position: Mapping[Branch, CommitId | None]
    broken: Mapping[Branch, str] = field(default_factory=dict)
    resume: JobRecord | None = None
    spare: CommitId | None = None
    awaited: bool = False


@dataclass(frozen=True, slots=True)
class _Arrival:
    """A commit that came on an input branch; ``cause``: itself, or the move that brought the branch there."""

    branch: Branch
    commit: CommitId
    cause: CommitId
    finished_ns: int
    error: str | None
    spare: CommitId | None = None


@dataclass(frozen=True, slots=True)
class _Refs:
    """The refs of all input repos at one moment; ``damaged``: of those that cannot be read."""

    states: Mapping[str, RefsState]
    damaged: Mapping[str, PfsError]

    def find(self, repo: str) -> RefsState | None:
        """Return the refs of a repo, None if there is none; raises what reading them raised."""
        if repo in self.damaged:
            raise self.damaged[repo]
        return self.states.get(repo)


def due_jobs(
    store: Store, pipelines: Sequence[Pipeline], damaged: MutableMapping[str, PfsError]
) -> dict[str, list[Due]]:
    """Return for each pipeline the jobs that are due, oldest first; ``pipelines`` in topological order.

    All inputs are read as they were together, so that what one transaction changed makes one job. A pipeline of which
    that cannot be told, as commits that it reads are damaged, has none and is put into ``damaged``.
    """
    by_name = {pipeline.name: pipeline for pipeline in pipelines}
    refs = _read(store, pipelines)
    found: dict[str, list[Due]] = {}
    for pipeline in pipelines:
        try:
            found[pipeline.name] = _due(store, refs, pipeline, pipelines=by_name)
        except DAMAGE as error:
            found[pipeline.name] = []
            damaged[pipeline.name] = error
    return found


def ready(
    store: Store, due: Mapping[str, Sequence[Due]], pipelines: Mapping[str, Pipeline], *, busy: Mapping[str, CommitId]
) -> list[Due]:
    """Return the jobs that may start: the first of each idle pipeline, unless its cause is still on its way elsewhere.

    A job waits while a pipeline upstream has, due or running (``busy``: pipeline -> cause), a job of the same cause,
    and while one of its inputs has an open commit of that: the two ways of a diamond meet in one job. Upstream is also
    what is reached through branches that people make out of what pipelines make.
    """
    found = []
    for name, waiting in due.items():
        if not waiting or name in busy:
            continue
        first = waiting[0]
        if first.awaited or not _is_elsewhere(first.cause, due, busy):
            found += [] if first.awaited else [first]
            continue
        above = _above(store, name, pipelines)
        coming = {one.cause for source in above for one in due.get(source, ())}
        coming |= {busy[source] for source in above if source in busy}
        if first.cause not in coming:
            found.append(first)
    return found


def _is_elsewhere(cause: CommitId, due: Mapping[str, Sequence[Due]], busy: Mapping[str, CommitId]) -> bool:
    """Say whether another pipeline has a job of this cause, due or running."""
    return cause in busy.values() or sum(one.cause == cause for jobs in due.values() for one in jobs) > 1


def _above(store: Store, name: str, pipelines: Mapping[str, Pipeline]) -> set[str]:
    """Return the pipelines whose output reaches ``name``, also through branches that no pipeline makes."""
    found, seen = set[str](), set[Branch]()
    todo = [(leaf.repo, leaf.branch) for leaf in pipelines[name].leaves]
    while todo:
        branch = todo.pop()
        if branch in seen:
            continue
        seen.add(branch)
        if branch[0] in pipelines:
            found.add(branch[0])
            todo += [(leaf.repo, leaf.branch) for leaf in pipelines[branch[0]].leaves]
        else:
            state = store.refs.find(branch[0])
            entry = None if state is None else state.body.branches.get(branch[1])
            todo += [] if entry is None else entry.provenance
    return found


def _read(store: Store, pipelines: Sequence[Pipeline]) -> _Refs:
    damaged: dict[str, PfsError] = {}
    repos = {head.repo for pipeline in pipelines for head in pipeline.record.baseline}
    states = store.refs.snapshot(repos, damaged=damaged)
    return _Refs({state.repo: state for state in states}, damaged)


def _due(store: Store, refs: _Refs, pipeline: Pipeline, *, pipelines: Mapping[str, Pipeline]) -> list[Due]:
    if pipeline.record.stopped:
        return []
    found = list(_in_order(store, refs, pipeline, pipelines=pipelines))
    unfinished = pipeline.unfinished
    if found and unfinished is not None and _is_same(found[0], unfinished):
        found[0] = replace(found[0], resume=unfinished)
    if found and found[0].resume is None:
        found[0] = replace(found[0], awaited=_is_open(store, found[0]))
    return found


def _is_open(store: Store, due: Due) -> bool:
    """Say whether an input branch has an open commit with the id of the cause."""
    for repo, branch in due.position:
        state = store.refs.find(repo)
        entry = None if state is None else state.body.open.get(due.cause)
        if entry is not None and entry.branch == branch:
            return True
    return False


def _is_same(due: Due, job: JobRecord) -> bool:
    read = {(repo, branch): commit for _, repo, branch, commit in job.inputs}
    return job.spec_commit == due.pipeline.spec_commit and job.cause == due.cause and read == dict(due.inputs)


def _in_order(store: Store, refs: _Refs, pipeline: Pipeline, *, pipelines: Mapping[str, Pipeline]) -> Iterator[Due]:
    position = standing(pipeline)
    if _last_job(pipeline) is None and _complete(position):
        inputs = {branch: commit for branch, commit in position.items() if commit is not None}
        yield Due(pipeline, _newest(store, inputs), inputs, dict(position), _gone(store, inputs))
    quiet = _quiet(pipeline)
    moving = {branch: commit for branch, commit in position.items() if branch not in quiet}
    for batch in _arrivals(store, refs, pipeline, pipelines=pipelines, position=moving):
        _catch_up(store, refs, batch, branches=quiet, position=position)
        due = _apply(pipeline, batch, position)
        if due is not None:
            yield replace(due, broken={**due.broken, **_gone(store, due.inputs)})


def standing(pipeline: Pipeline) -> dict[Branch, CommitId | None]:
    """Return the commits after which its jobs are due; before the first job that one of these commits is due too."""
    last = _last_job(pipeline)
    heads = pipeline.record.baseline if last is None else last.position
    return {(head.repo, head.branch): head.commit for head in heads}


def _last_job(pipeline: Pipeline) -> JobRecord | None:
    """Return the last ended job of the present version."""
    ended = (job for job in reversed(pipeline.jobs) if job.state.is_final)
    return next((job for job in ended if job.spec_commit == pipeline.spec_commit), None)


def _complete(position: Position) -> bool:
    return all(commit is not None for commit in position.values())


def _newest(store: Store, inputs: Mapping[Branch, CommitId]) -> CommitId:
    """Return the commit that was finished last."""
    found = {commit: store.history.find(repo, commit) for (repo, _), commit in inputs.items()}
    return max(found, key=lambda commit: (_finished_ns(found[commit]), commit))


def _finished_ns(record: CommitRecord | None) -> int:
    return 0 if record is None else record.finished_ns


def _gone(store: Store, inputs: Mapping[Branch, CommitId]) -> dict[Branch, str]:
    """Return the inputs whose commit is not there any more: the repo was deleted under the pipeline."""
    missing = (branch for branch, commit in inputs.items() if store.history.find(branch[0], commit) is None)
    return dict.fromkeys(missing, "its commit is not there any more")


def _quiet(pipeline: Pipeline) -> list[Branch]:
    """Return the input branches whose commits make no jobs."""
    loud = {(leaf.repo, leaf.branch) for leaf in pipeline.leaves if not leaf.never}
    return sorted({(leaf.repo, leaf.branch) for leaf in pipeline.leaves} - loud)


def _catch_up(
    store: Store,
    refs: _Refs,
    batch: Sequence[_Arrival],
    *,
    branches: Sequence[Branch],
    position: dict[Branch, CommitId | None],
) -> None:
    """Move ``position`` on quiet branches to what was there when the batch was: it is the same at every look."""
    cause, when = batch[0].cause, max(one.finished_ns for one in batch)
    for branch in branches:
        found = _finished(store, refs.find(branch[0]), branch, since=position[branch])
        reached = [one for one in found if one.error is None and (one.finished_ns <= when or one.cause == cause)]
        if reached:
            position[branch] = reached[-1].commit


def _apply(pipeline: Pipeline, batch: Sequence[_Arrival], position: dict[Branch, CommitId | None]) -> Due | None:
    """Return the job that commits of one id make, and move ``position`` on; None while an input has no commit."""
    broken = {one.branch: one.error for one in batch if one.error is not None}
    for one in batch:
        if one.error is None:
            position[one.branch] = one.commit
    read = dict(position) | {one.branch: one.commit for one in batch}
    if not _complete(read):
        return None
    inputs = {branch: commit for branch, commit in read.items() if commit is not None}
    spare = next((one.spare for one in batch if one.spare is not None), None)
    return Due(pipeline, batch[0].cause, inputs, dict(position), broken, spare=spare)


def _arrivals(
    store: Store, refs: _Refs, pipeline: Pipeline, *, pipelines: Mapping[str, Pipeline], position: Position
) -> list[list[_Arrival]]:
    """Return what came since ``position``: a list for each cause, by the time at which all of it was there."""
    sets: dict[CommitId, list[_Arrival]] = {}
    for branch in position:
        found = [
            *_finished(store, refs.find(branch[0]), branch, since=position[branch]),
            *_failed(pipeline, pipelines.get(branch[0]), branch),
        ]
        for one in found:
            sets.setdefault(one.cause, []).append(one)
    return sorted(sets.values(), key=lambda batch: (max(one.finished_ns for one in batch), batch[0].cause))


def _finished(store: Store, state: RefsState | None, branch: Branch, *, since: CommitId | None) -> list[_Arrival]:
    """Return the commits from the head of a branch back to ``since``, oldest first.

    Those that were made on another branch count only as the head: moving a branch over several is one move. When it was
    moved to where ``since`` is no ancestor, only its head counts, and the move is the cause.
    """
    entry = None if state is None else state.body.branches.get(branch[1])
    if entry is None or entry.head is None or entry.head == since:
        return []
    found: list[_Arrival] = []
    for record in store.history.first_parents(branch[0], entry.head):
        if record.id == since:
            return _with_cause(found, branch, entry)[::-1]
        if record.id == entry.head or record.branch == branch[1]:
            found.append(_arrival(branch, record))
    return _with_cause(found if since is None else found[:1], branch, entry)[::-1]


def _with_cause(found: list[_Arrival], branch: Branch, entry: BranchEntry) -> list[_Arrival]:
    """Return arrivals, the newest first, of which that knows the move that made it the head."""
    why = head_cause(*branch, entry)
    if not found or why is None:
        return found
    return [replace(found[0], cause=why.id, spare=why.spare), *found[1:]]


def _arrival(branch: Branch, record: CommitRecord) -> _Arrival:
    return _Arrival(branch, record.id, record.id, record.finished_ns, record.error)


def _failed(pipeline: Pipeline, source: Pipeline | None, branch: Branch) -> list[_Arrival]:
    """Return the failed output commits of the pipeline that writes this branch, as far as no job has met them."""
    if source is None:
        return []
    met = {(repo, commit) for job in pipeline.jobs if job.state.is_final for _, repo, _, commit in job.inputs}
    bad = (
        job
        for job in source.jobs
        if job.state.is_final and job.state != JobState.SUCCESS and job.has_output and job.output_branch == branch[1]
    )
    fresh = [job for job in bad if (branch[0], job.id) not in met and _after(job, pipeline)]
    return [_Arrival(branch, job.id, job.id, job.finished_ns or 0, job.reason or job.state.value) for job in fresh]


def _after(job: JobRecord, pipeline: Pipeline) -> bool:
    """Say whether a job ended after the pipeline's present version was made: what was before is not its business."""
    return (job.finished_ns or 0) > pipeline.record.updated_ns
