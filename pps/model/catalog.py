"""The pipelines of a store and their jobs, as they are in it; parsed once, looked up again by what refs say."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pfs.errors import CorruptionError, InvalidInputError, NotFoundError, PfsError
from pfs.ids import CommitId
from pfs.trees.row import EMPTY_ROOT, Root
from pps.model.job_records import JobRecords, record_cache
from pps.model.records import (
    META_BRANCH,
    PIPELINE_JSON,
    SPEC_BRANCH,
    SPEC_JSON,
    JobRecord,
    PipelineRecord,
    decode_pipeline,
)
from pps.model.state import JobState
from pps.spec.input import leaves
from pps.spec.parse import parse_specs
from pps.spec.types import PfsInput, Spec

if TYPE_CHECKING:
    from pfs.refs.mirror import Mirror
    from pfs.refs.read import RefsState
    from pfs.store import Store


DAMAGE = (CorruptionError, InvalidInputError, NotFoundError)
"""What reading one pipeline can meet that says nothing about the others."""


@dataclass(frozen=True, slots=True)
class Pipeline:
    """One pipeline in its present version. ``output``: head of the output branch; ``meta``: head of ``.meta``.

    ``rewrites``: that of the refs it was read from (`pfs.model.NewCommit`).
    """

    name: str
    spec: Spec
    record: PipelineRecord
    spec_commit: CommitId
    output: CommitId | None
    meta: CommitId | None
    meta_root: Root
    jobs: JobRecords
    rewrites: int = 0

    @property
    def leaves(self) -> tuple[PfsInput, ...]:
        """The leaves of its input, in name order."""
        return tuple(leaves(self.spec.input))

    @property
    def unfinished(self) -> JobRecord | None:
        """The newest job, if a controller has begun it and not ended; others that are left so end with the next one.

        Of a service: but for unrunnable ones, beside which the job goes on that was there before.
        """
        runs_beside = {JobState.UNRUNNABLE} if self.spec.service else set()
        newest = next((job for job in reversed(self.jobs) if job.state not in runs_beside), None)
        return None if newest is None or newest.state.is_final else newest


class Catalog:
    """Reads pipelines; keeps what it parsed, keyed by immutable ids. One thread at a time.

    ``mirror``: where `all` has refs from, which its owner refreshes. A pipeline whose refs have not moved is the
    same object then. Without it all refs are read.
    """

    def __init__(self, store: Store, mirror: Mirror | None = None) -> None:
        self._store, self._mirror = store, mirror
        self._loaded: dict[str, tuple[RefsState, Pipeline]] = {}
        self._order: tuple[dict[str, CommitId], list[str]] = {}, []
        self._specs: dict[tuple[str, CommitId], tuple[Spec, PipelineRecord]] = {}
        self._jobs = record_cache()
        self.damaged: dict[str, PfsError] = {}
        """Pipelines that the last `all` left out, and repos of which the refs cannot be read, with what is wrong."""

    def all(self) -> list[Pipeline]:
        """Return every pipeline that can be read, upstream ones before those that read their output."""
        states = {state.repo: state for state in self._states() if _spec_head(state) is not None}
        loaded: dict[str, tuple[RefsState, Pipeline]] = {}
        for name, state in states.items():
            try:
                loaded[name] = self._again(state)
            except DAMAGE as error:
                # A repo that was deleted while it was read is no damage.
                if self._store.refs.find(name) is not None:
                    self.damaged[name] = error
        if self._mirror is not None:
            self._loaded = loaded
            heads = {(name, pipeline.spec_commit) for name, (_, pipeline) in loaded.items()}
            self._specs = {key: known for key, known in self._specs.items() if key in heads}
        return self._ordered({name: pipeline for name, (_, pipeline) in loaded.items()})

    def _states(self) -> Iterable[RefsState]:
        """Return the refs of all repos; what cannot be read goes to ``damaged``, as any of it may be a pipeline's."""
        if self._mirror is not None:
            self.damaged = dict(self._mirror.damaged)
            return self._mirror.states.values()
        self.damaged = {}
        return self._store.refs.snapshot(damaged=self.damaged)

    def _again(self, state: RefsState) -> tuple[RefsState, Pipeline]:
        """Return what was loaded of a state before, or load it."""
        known = self._loaded.get(state.repo)
        return known if known is not None and known[0] is state else (state, self._load(state))

    def _ordered(self, pipelines: dict[str, Pipeline]) -> list[Pipeline]:
        """Return pipelines in topological order, which is the same while all have the same specs."""
        specs = {name: pipeline.spec_commit for name, pipeline in pipelines.items()}
        if specs != self._order[0]:
            self._order = specs, [pipeline.name for pipeline in topological(list(pipelines.values()))]
        return [pipelines[name] for name in self._order[1]]

    def get(self, name: str) -> Pipeline:
        """Return one pipeline.

        Raises:
            NotFoundError: there is none of that name.
            CorruptionError: it cannot be read.
        """
        state = self._store.refs.find(name)
        if state is None or _spec_head(state) is None:
            raise NotFoundError(f"pipeline {name!r} not found: `pps list-pipeline` shows what exists")
        return self._load(state)

    def sources(self, pipeline: Pipeline) -> list[Pipeline]:
        """Return the pipelines whose output one reads; those that are damaged are left out."""
        found = []
        for repo in dict.fromkeys(leaf.repo for leaf in pipeline.leaves):
            with suppress(*DAMAGE):
                found.append(self.get(repo))
        return found

    def _load(self, state: RefsState) -> Pipeline:
        spec_commit = _spec_head(state)
        assert spec_commit is not None, "only repos with a spec are loaded"
        spec, record = self._spec(state.repo, spec_commit)
        output, meta = _head(state, spec.output_branch), _head(state, META_BRANCH)
        root = EMPTY_ROOT if meta is None else self._store.history.get(state.repo, meta).tree_root()
        jobs = JobRecords(self._store, state.repo, root, cache=self._jobs)
        _ = jobs.newest  # a record that cannot be read is met here, as the rest of what is damaged
        return Pipeline(state.repo, spec, record, spec_commit, output, meta, root, jobs, state.body.rewrites)

    def _spec(self, repo: str, commit: CommitId) -> tuple[Spec, PipelineRecord]:
        known = self._specs.get((repo, commit))
        if known is None:
            known = self._specs[repo, commit] = read_version(self._store, repo, commit)
        return known


def read_version(store: Store, repo: str, commit: CommitId) -> tuple[Spec, PipelineRecord]:
    """Return what a commit of ``.spec`` holds.

    Raises:
        CorruptionError: it cannot be read.
    """
    view, where = store.repo(repo).view(commit), f"{repo}@{commit}"
    record = decode_pipeline(view.read(PIPELINE_JSON), where=f"{where}:{PIPELINE_JSON}")
    return _parse_spec(view.read(SPEC_JSON), f"{where}:{SPEC_JSON}"), record


def _parse_spec(data: bytes, where: str) -> Spec:
    try:
        (spec,) = parse_specs(data.decode(), name=where, stored=True)
    except (InvalidInputError, ValueError) as error:
        raise CorruptionError(where, f"not the spec of a pipeline ({error})") from error
    return spec


def topological(pipelines: list[Pipeline]) -> list[Pipeline]:
    """Return pipelines so that each comes after those whose output it reads; by name where that is free.

    Inputs cannot form a circle: that is refused when a pipeline is made.
    """
    by_name = {pipeline.name: pipeline for pipeline in pipelines}
    sources = {name: sorted({leaf.repo for leaf in by_name[name].leaves} & by_name.keys()) for name in by_name}
    done: dict[str, Pipeline] = {}
    # Not by recursion: chains of pipelines may be longer than Python's stack.
    for first in sorted(by_name):
        path = [(first, iter(sources[first]))]
        while path:
            name, above = path[-1]
            following = next((one for one in above if one not in done), None)
            if following is not None:
                path.append((following, iter(sources[following])))
                continue
            path.pop()
            done.setdefault(name, by_name[name])
    return list(done.values())


def upstream(name: str, pipelines: dict[str, Pipeline]) -> Iterator[str]:
    """Yield the names of all pipelines whose output reaches ``name``, each once."""
    seen: set[str] = set()
    todo = [name]
    while todo:
        current = pipelines.get(todo.pop())
        for leaf in current.leaves if current else ():
            if leaf.repo in pipelines and leaf.repo not in seen:
                seen.add(leaf.repo)
                todo.append(leaf.repo)
                yield leaf.repo


def relevant(damaged: Collection[str], pipelines: Sequence[Pipeline], chosen: Collection[str]) -> tuple[str, ...]:
    """Return which damaged pipelines matter to a run of ``pipelines``; all, if it is not one of ``chosen`` ones."""
    read = {leaf.repo for pipeline in pipelines for leaf in pipeline.leaves}
    return tuple(sorted(name for name in damaged if not chosen or name in chosen or name in read))


def _head(state: RefsState, branch: str) -> CommitId | None:
    entry = state.body.branches.get(branch)
    return None if entry is None else entry.head


def _spec_head(state: RefsState) -> CommitId | None:
    return _head(state, SPEC_BRANCH)
