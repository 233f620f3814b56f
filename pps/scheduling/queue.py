"""Which jobs are due: derived from commits and past jobs each time, never stored, so that no crash can lose one.

Each commit on an input branch makes one job, in the order in which they were finished; a commit set that reaches a
pipeline on several inputs makes one job together. A new version of a pipeline makes one job for the heads of that
moment, which stands for all commits before it, or waits for the next commit (`PipelineRecord.waits`). A job whose
input failed is due too: it is recorded as unrunnable.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain, takewhile
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
    from pfs.refs.read import RefsState
    from pfs.store import Store

Branch = tuple[str, str]
"""(repo, branch)."""
Position = Mapping[Branch, CommitId | None]
_LATE_NS = 3600 * 1_000_000_000
"""How long after its time the end of a job may be published, or how far the clocks of machines may be apart."""


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

    @property
    def ids(self) -> frozenset[CommitId]:
        """What its job, and so those of the same cause, may be called."""
        return frozenset({self.cause} if self.spare is None else {self.cause, self.spare})


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
class InputRefs:
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
    that cannot be told, as commits that it reads are damaged, has none and is put into ``damaged``. Services have
    none here: see `newest_due`; and spouts none at all.
    """
    by_name = {pipeline.name: pipeline for pipeline in pipelines}
    refs = read_inputs(store, pipelines)
    found: dict[str, list[Due]] = {}
    for pipeline in pipelines:
        try:
            found[pipeline.name] = due_of(store, refs, pipeline, pipelines=by_name)
        except DAMAGE as error:
            found[pipeline.name] = []
            damaged[pipeline.name] = error
    return found


def ready(
    store: Store,
    due: Mapping[str, Sequence[Due]],
    pipelines: Mapping[str, Pipeline],
    *,
    busy: Mapping[str, Collection[CommitId]],
) -> list[Due]:
    """Return the jobs that may start: the first of each idle pipeline, unless its cause is still on its way elsewhere.

    A job waits while a pipeline upstream has, due or running (``busy``: pipeline -> cause and id of its job), a job
    of the same cause, and while one of its inputs has an open commit of that: the two ways of a diamond meet in one
    job. Upstream is also what is reached through branches that people make out of what pipelines make.
    """
    found = []
    for name, waiting in due.items():
        if not waiting or name in busy:
            continue
        first = waiting[0]
        if not first.awaited and not (
            _is_elsewhere(first, due, busy) and _is_coming(first, _above(store, name, pipelines), due, busy=busy)
        ):
            found.append(first)
    return found


def _is_elsewhere(first: Due, due: Mapping[str, Sequence[Due]], busy: Mapping[str, Collection[CommitId]]) -> bool:
    """Say whether another pipeline has a job of this cause, due or running."""
    others = (one for jobs in due.values() for one in jobs if one is not first)
    return any(first.ids & one.ids for one in others) or not first.ids.isdisjoint(chain(*busy.values()))


def _is_coming(
    first: Due,
    above: Collection[str],
    due: Mapping[str, Sequence[Due]],
    *,
    busy: Mapping[str, Collection[CommitId]],
) -> bool:
    waiting = (first.ids & one.ids for source in above for one in due.get(source, ()))
    return any(waiting) or any(first.ids.intersection(busy.get(source, ())) for source in above)


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


def read_inputs(store: Store, pipelines: Sequence[Pipeline]) -> InputRefs:
    """Read the refs of all that pipelines read, together."""
    damaged: dict[str, PfsError] = {}
    repos = {head.repo for pipeline in pipelines for head in pipeline.record.baseline}
    states = store.refs.snapshot(repos, damaged=damaged)
    return InputRefs({state.repo: state for state in states}, damaged)


def due_of(store: Store, refs: InputRefs, pipeline: Pipeline, *, pipelines: Mapping[str, Pipeline]) -> list[Due]:
    """Return the jobs of one pipeline that are due, oldest first; raises one of DAMAGE where that cannot be told.

    Services have none here: see `newest`; and spouts none at all.
    """
    return [] if pipeline.spec.runs_on else due_with_services(store, refs, pipeline, pipelines=pipelines)


def due_with_services(
    store: Store, refs: InputRefs, pipeline: Pipeline, *, pipelines: Mapping[str, Pipeline]
) -> list[Due]:
    """Return what `due_of` does, of services too."""
    if pipeline.record.stopped:
        return []
    found = list(_in_order(store, refs, pipeline, pipelines=pipelines))
    unfinished = pipeline.unfinished
    if found and unfinished is not None and is_same(found[0], unfinished):
        found[0] = replace(found[0], resume=unfinished)
    if found and found[0].resume is None:
        found[0] = replace(found[0], awaited=is_open(store, found[0]))
    return found


def is_open(store: Store, due: Due) -> bool:
    """Say whether an input branch has an open commit with the id of the cause."""
    for repo, branch in due.position:
        state = store.refs.find(repo)
        entry = None if state is None else state.body.open.get(due.cause)
        if entry is not None and entry.branch == branch:
            return True
    return False


def is_same(due: Due, job: JobRecord) -> bool:
    """Say whether a record is of this very job."""
    read = {(repo, branch): commit for _, repo, branch, commit in job.inputs}
    return job.spec_commit == due.pipeline.spec_commit and job.cause == due.cause and read == dict(due.inputs)


def _in_order(store: Store, refs: InputRefs, pipeline: Pipeline, *, pipelines: Mapping[str, Pipeline]) -> Iterator[Due]:
    position = standing(pipeline)
    if _last_job(pipeline) is None and _complete(position) and not pipeline.record.waits:
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
    """Return the last ended job of the present version; reads no job before the last that ended."""
    ended = next((job for job in reversed(pipeline.jobs) if job.state.is_final), None)
    return ended if ended is not None and ended.spec_commit == pipeline.spec_commit else None


def _complete(position: Position) -> bool:
    return all(commit is not None for commit in position.values())


def _newest(store: Store, inputs: Mapping[Branch, CommitId]) -> CommitId:
    """Return the commit that was finished last."""
    found = {commit: store.history.find(repo, commit) for (repo, _), commit in inputs.items()}
    return max(found, key=lambda commit: (finished_ns(found[commit]), commit))


def finished_ns(record: CommitRecord | None) -> int:
    """Return when a commit was finished, 0 for none."""
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
    refs: InputRefs,
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
    store: Store, refs: InputRefs, pipeline: Pipeline, *, pipelines: Mapping[str, Pipeline], position: Position
) -> list[list[_Arrival]]:
    """Return what came since ``position``: a list for each cause, by the time at which all of it was there."""
    sets: dict[CommitId, list[_Arrival]] = {}
    for branch in position:
        found = [
            *_finished(store, refs.find(branch[0]), branch, since=position[branch]),
            *_failed(store, pipeline, pipelines.get(branch[0]), branch=branch),
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


def _failed(store: Store, pipeline: Pipeline, source: Pipeline | None, *, branch: Branch) -> list[_Arrival]:
    """Return the failed output commits of the pipeline that writes this branch, as far as no job has met them.

    Reads the jobs that ended since what the last job has read was finished, and a while before.
    """
    if source is None or source.jobs.newest is None:
        return []
    since_ns = _met_until(store, pipeline)
    bad = [
        job
        for job in _ended_since(source, since_ns)
        if job.state != JobState.SUCCESS and job.has_output and job.output_branch == branch[1]
    ]
    if not bad:
        return []
    ours = _ended_since(pipeline, since_ns - _LATE_NS)
    met = {(repo, commit) for job in ours for _, repo, _, commit in job.inputs}
    fresh = [job for job in bad if (branch[0], job.id) not in met]
    return [_Arrival(branch, job.id, job.id, job.finished_ns or 0, job.reason or job.state.value) for job in fresh]


def _ended_since(pipeline: Pipeline, since_ns: int) -> Iterator[JobRecord]:
    """Yield the jobs that ended after a time, the newest first."""
    found = takewhile(lambda job: not job.state.is_final or (job.finished_ns or 0) > since_ns, reversed(pipeline.jobs))
    return (job for job in found if job.state.is_final)


def _met_until(store: Store, pipeline: Pipeline) -> int:
    """Return a time up to which the pipeline has met all that failed: it takes what it reads in the order of its ends.

    A job's end has its time before it is published, so what came late has _LATE_NS. What was before the pipeline's
    present version was made is not its business.
    """
    made_ns, last = pipeline.record.updated_ns, _last_job(pipeline)
    if last is None:
        return made_ns
    quiet = _quiet(pipeline)
    read = [(repo, commit) for _, repo, branch, commit in last.inputs if (repo, branch) not in quiet]
    times = (finished_ns(store.history.find(repo, CommitId(commit))) for repo, commit in read)
    return max(made_ns, max(times, default=0) - _LATE_NS)
