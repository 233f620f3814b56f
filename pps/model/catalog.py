"""The pipelines of a store and their jobs, as they are in it; parsed once, looked up again by what refs say."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pfs.errors import CorruptionError, InvalidInputError, NotFoundError, PfsError
from pfs.ids import CommitId, TreeId
from pfs.trees.row import EMPTY_ROOT, Root
from pfs.trees.tree import Tree
from pps.model.records import (
    JOBS_DIR,
    META_BRANCH,
    PIPELINE_JSON,
    SPEC_BRANCH,
    SPEC_JSON,
    JobRecord,
    PipelineRecord,
    decode_job,
    decode_pipeline,
)
from pps.spec.input import leaves
from pps.spec.parse import parse_specs
from pps.spec.types import PfsInput, Spec

if TYPE_CHECKING:
    from pfs.refs.swap import RefsState
    from pfs.store import Store
    from pfs.trees.row import Row


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
    jobs: tuple[JobRecord, ...]
    rewrites: int = 0

    @property
    def leaves(self) -> tuple[PfsInput, ...]:
        """The leaves of its input, in name order."""
        return tuple(leaves(self.spec.input))

    @property
    def unfinished(self) -> JobRecord | None:
        """The newest job that a controller has begun and not ended."""
        return next((job for job in reversed(self.jobs) if not job.state.is_final), None)


class Catalog:
    """Reads pipelines; keeps what it parsed, keyed by immutable ids. One thread at a time."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._specs: dict[tuple[str, CommitId], tuple[Spec, PipelineRecord]] = {}
        self._jobs: dict[TreeId, JobRecord] = {}
        self.damaged: dict[str, PfsError] = {}
        """Pipelines that the last `all` left out, by name, with what is wrong with them."""

    def all(self) -> list[Pipeline]:
        """Return every pipeline that can be read, upstream ones before those that read their output."""
        self.damaged = {}
        states = {state.repo: state for state in self._store.refs.repos() if _spec_head(state) is not None}
        found = []
        for name, state in states.items():
            try:
                found.append(self._load(state))
            except DAMAGE as error:
                # A repo that was deleted while it was read is no damage.
                if self._store.refs.find(name) is not None:
                    self.damaged[name] = error
        return topological(found)

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

    def _load(self, state: RefsState) -> Pipeline:
        spec_commit = _spec_head(state)
        assert spec_commit is not None, "only repos with a spec are loaded"
        spec, record = self._spec(state.repo, spec_commit)
        output, meta = _head(state, spec.output_branch), _head(state, META_BRANCH)
        root = EMPTY_ROOT if meta is None else self._store.history.get(state.repo, meta).tree_root()
        jobs = tuple(self._read_jobs(state.repo, root))
        return Pipeline(state.repo, spec, record, spec_commit, output, meta, root, jobs, state.body.rewrites)

    def _spec(self, repo: str, commit: CommitId) -> tuple[Spec, PipelineRecord]:
        known = self._specs.get((repo, commit))
        if known is None:
            known = self._specs[repo, commit] = read_version(self._store, repo, commit)
        return known

    def _read_jobs(self, repo: str, root: Root) -> list[JobRecord]:
        """Return the jobs that ``.meta`` holds, oldest first; only records that were never seen are read."""
        tree, found = Tree(self._store.objects, root), []
        for folder in tree.list(JOBS_DIR):
            row = tree.stat(folder.key + b"/job.json", want="file")
            if row is not None:
                found.append(self._job(repo, row))
        return sorted(found, key=lambda job: job.number)

    def _job(self, repo: str, row: Row) -> JobRecord:
        known = self._jobs.get(row.tid)
        if known is None:
            data = read_row(self._store, row)
            known = self._jobs[row.tid] = decode_job(data, where=f"{repo}@{META_BRANCH}:/{row.key.decode()}")
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
        (spec,) = parse_specs(data.decode(), name=where)
    except (InvalidInputError, ValueError) as error:
        raise CorruptionError(where, f"not the spec of a pipeline ({error})") from error
    return spec


def read_row(store: Store, row: Row) -> bytes:
    """Return the bytes of a file by its row."""
    from pfs.files.reader import FileReader

    with FileReader(store.objects, row) as reader:
        return reader.readall()


def topological(pipelines: list[Pipeline]) -> list[Pipeline]:
    """Return pipelines so that each comes after those whose output it reads; by name where that is free.

    Inputs cannot form a circle: that is refused when a pipeline is made.
    """
    by_name = {pipeline.name: pipeline for pipeline in pipelines}
    done: dict[str, Pipeline] = {}

    def visit(name: str) -> None:
        if name in done or name not in by_name:
            return
        for leaf in sorted(by_name[name].leaves, key=lambda leaf: leaf.repo):
            visit(leaf.repo)
        done[name] = by_name[name]

    for name in sorted(by_name):
        visit(name)
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
