"""Of datums that were taken over: whether what they read in the job that ran them is in a later commit as well."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from pfs.ids import CommitId

if TYPE_CHECKING:
    from pfs.trees.row import Row
    from pfs.trees.tree import Tree
    from pps.datums.table import Entry
    from pps.lineage.model import FileRef
    from pps.lineage.records import Records
    from pps.model.records import JobRecord


class Before:
    """Compares a file or directory of a commit that ``job`` read with what earlier jobs read in its place.

    A job whose record is gone, or the commit that it read, counts as if it had read the same: nobody can tell.
    """

    def __init__(self, records: Records, job: JobRecord, ref: FileRef) -> None:
        self._records, self._job, self._ref = records, job, ref
        self._sources = job.input_commits()
        self._same: dict[tuple[CommitId, bytes], bool] = {}

    def is_older(self, entry: Entry) -> bool:
        """Say whether another job ran a datum."""
        return entry.result.ran_in not in {None, self._job.id}

    def strangers(self, jobs: Iterable[str | None], leaves: Sequence[int]) -> set[str]:
        """Return those of ``jobs`` that read nothing of it in any of these inputs, whatever the datum."""
        older = {id for id in jobs if id not in {None, self._job.id}}
        return {
            id for id in older if id is not None and not any(self._reads(id, leaf, self._ref.key) for leaf in leaves)
        }

    def leaves(self, entry: Entry, leaves: Sequence[int]) -> list[int]:
        """Return those of these inputs through which a datum read something of it."""
        ran_in = entry.result.ran_in
        if ran_in is None or ran_in == self._job.id:
            return list(leaves)
        parts = [(one.leaf, one.path.encode()[1:]) for one in entry.inputs if one.leaf in leaves]
        return [leaf for leaf, key in parts if self._reads(ran_in, leaf, max(key, self._ref.key, key=len))]

    def _reads(self, job: str, leaf: int, key: bytes) -> bool:
        """Say whether a job read something at ``key`` that this commit has there too."""
        ran = self._records.job(self._job.pipeline, CommitId(job))
        if ran is None:
            return True
        source = self._sources[leaf]  # a job reads one commit of a branch, through whatever input of whatever version
        found = (one.commit for one in ran.input_commits() if (one.repo, one.branch) == (source.repo, source.branch))
        commit = next(found, None)
        if commit is None or commit == self._ref.commit:
            return True
        if (commit, key) not in self._same:
            here, there = (self._records.tree(source.repo, one) for one in (self._ref.commit, commit))
            self._same[commit, key] = here is None or there is None or _meet(here, there, key)
        return self._same[commit, key]


def _meet(here: Tree, there: Tree, key: bytes) -> bool:
    """Say whether two trees have a file, or of a directory one file at least, in common; looks no further than that."""
    mine, other = here.stat(key), there.stat(key)
    if mine is None or other is None:
        return False
    if _is_same(mine, other):
        return True
    if not mine.is_dir or not other.is_dir:
        return False
    small, large = (here, there) if mine.count <= other.count else (there, here)
    return any(_is_same(row, large.stat(row.key)) for row in small.walk(key))


def _is_same(one: Row, other: Row | None) -> bool:
    return other is not None and (one.kind, bytes(one.tid)) == (other.kind, bytes(other.tid))
