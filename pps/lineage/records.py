"""What lineage reads of a store: commits, jobs, datum tables and versions, each once a question. One thread."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, NamedTuple

from pfs.errors import CorruptionError, NotFoundError
from pfs.history.lineage import Lineage as Commits
from pfs.ids import CommitId
from pfs.trees.row import EMPTY_ROOT, Root
from pfs.trees.tree import Tree
from pps.datums.table import decode_table, empty_table
from pps.model.job_records import read_row
from pps.model.records import (
    META_BRANCH,
    PIPELINE_JSON,
    JobRecord,
    PipelineRecord,
    decode_job,
    decode_pipeline,
    job_key,
    table_key,
)

if TYPE_CHECKING:
    import pyarrow as pa

    from pfs.packs.commit_record import CommitRecord
    from pfs.refs.read import RefsState
    from pfs.store import Store

_TABLES = 2


class Found(NamedTuple):
    """A finished commit; ``gone``: why it is not there any more though its record is, else empty."""

    record: CommitRecord
    gone: str


class Records:
    """Reads and remembers. Memory: two datum tables, and 1 KiB a job, version or commit that was asked for."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._states: dict[str, RefsState | None] = {}
        self._jobs: dict[tuple[str, CommitId], JobRecord | None] = {}
        self._tables: OrderedDict[tuple[str, CommitId], pa.Table] = OrderedDict()
        self._versions: dict[tuple[str, CommitId], PipelineRecord | None] = {}
        self._found: dict[tuple[str, CommitId], Found | None] = {}

    def state(self, repo: str) -> RefsState | None:
        """Return the refs of a repo, None if it is gone."""
        if repo not in self._states:
            self._states[repo] = self.store.refs.find(repo)
        return self._states[repo]

    def commit(self, repo: str, commit: CommitId) -> Found | None:
        """Return a finished commit, also one that was dropped or squashed and can still be read; None for others."""
        if (repo, commit) not in self._found:
            self._found[repo, commit] = self._find_commit(repo, commit)
        return self._found[repo, commit]

    def _find_commit(self, repo: str, commit: CommitId) -> Found | None:
        state = self.state(repo)
        if state is None:
            return None
        commits = Commits(self.store, state)
        there = commits.find(commit)
        if there is not None:
            return Found(there, "")
        heir = commits.heir(commit)
        record = self.store.history.find(repo, commit)
        if record is None:
            return None
        return Found(record, "dropped" if heir is None else f"squashed into {heir}")

    def why_gone(self, repo: str, commit: CommitId) -> str:
        """Say in words what became of a commit that `commit` does not find."""
        if self.state(repo) is None:
            return f"the repo {repo} was deleted"
        return f"commit {commit} is not there any more"

    def tree(self, repo: str, commit: CommitId) -> Tree | None:
        """Return the files of a commit, None if there is none."""
        found = self.commit(repo, commit)
        return None if found is None else Tree(self.store.objects, found.record.tree_root())

    def job(self, repo: str, commit: CommitId) -> JobRecord | None:
        """Return the record of the job that made a commit, None if none did or its pipeline is gone."""
        if (repo, commit) not in self._jobs:
            self._jobs[repo, commit] = self._read_job(repo, commit)
        return self._jobs[repo, commit]

    def _read_job(self, repo: str, commit: CommitId) -> JobRecord | None:
        row = self._meta(repo).stat(job_key(commit), want="file")
        if row is None:
            return None
        where = f"{repo}@{META_BRANCH}:/{row.key.decode()}"
        return decode_job(read_row(self.store, row), where=where)

    def _meta(self, repo: str) -> Tree:
        state = self.state(repo)
        branch = None if state is None else state.body.branches.get(META_BRANCH)
        head = None if branch is None else branch.head
        return Tree(self.store.objects, EMPTY_ROOT if head is None else self._root(repo, head))

    def _root(self, repo: str, commit: CommitId) -> Root:
        return self.store.history.get(repo, commit).tree_root()

    def results(self, job: JobRecord) -> Tree:
        """Return the ``.meta`` tree with the results of a job: that with which it ended, while that is there."""
        if job.meta_commit is not None:
            record = self.store.history.find(job.pipeline, job.meta_commit)
            if record is not None:
                return Tree(self.store.objects, record.tree_root())
        return self._meta(job.pipeline)

    def table(self, job: JobRecord) -> pa.Table:
        """Return the datums of a job that has ended, sorted by id; empty where they are gone."""
        key = (job.pipeline, job.id)
        if key not in self._tables:
            self._tables[key] = self._read_table(job)
            if len(self._tables) > _TABLES:
                self._tables.popitem(last=False)
        self._tables.move_to_end(key)
        return self._tables[key]

    def _read_table(self, job: JobRecord) -> pa.Table:
        row = self._meta(job.pipeline).stat(table_key(job.id), want="file")
        if row is None:
            return empty_table()
        where = f"{job.pipeline}@{META_BRANCH}:/{row.key.decode()}"
        return decode_table(read_row(self.store, row), where=where).combine_chunks()

    def version(self, pipeline: str, spec_commit: CommitId) -> PipelineRecord | None:
        """Return a version of a pipeline by its commit, None if it cannot be read any more."""
        key = (pipeline, spec_commit)
        if key not in self._versions:
            self._versions[key] = self._read_version(pipeline, spec_commit)
        return self._versions[key]

    def _read_version(self, pipeline: str, spec_commit: CommitId) -> PipelineRecord | None:
        tree = self.tree(pipeline, spec_commit)
        try:
            row = None if tree is None else tree.stat(PIPELINE_JSON.encode()[1:], want="file")
            data = None if row is None else read_row(self.store, row)
        except (CorruptionError, NotFoundError):
            return None
        return None if data is None else decode_pipeline(data, where=f"{pipeline}@{spec_commit}:{PIPELINE_JSON}")
