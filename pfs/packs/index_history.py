"""The table of commits in an index, by repo (docs/format/index.md)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from pfs.ids import CommitId, PackId
from pfs.packs import index_commits
from pfs.packs.index_env import Txn
from pfs.packs.index_handle import Guard, IndexHandle, put_mark
from pfs.packs.index_rows import KEY_SIZE


class CommitTable(IndexHandle):
    """The commits that an index knows."""

    def commit(self, repo: str, commit: CommitId) -> bytes | None:
        """Return the encoded record of a commit, None when the index does not know it."""
        return self._env.read(lambda txn: index_commits.get(txn, repo, commit))

    def commits(self, repo: str) -> Iterator[tuple[CommitId, bytes]]:
        """Yield the known commits of a repo, in the order of their ids; commits added meanwhile may be among them."""
        start: bytes | None = bytes(KEY_SIZE)
        while start is not None:
            rows, start = self._commit_page(repo, start)
            for id, record in rows:
                yield CommitId(id.hex()), record

    def _commit_page(self, repo: str, start: bytes) -> tuple[list[tuple[bytes, bytes]], bytes | None]:
        return self._env.read(lambda txn: index_commits.page(txn, repo, start))

    def move_commits(self, moves: Iterable[tuple[str, CommitId, PackId, PackId]]) -> None:
        """Change the pack in the rows of commits, given as (repo, id, old pack, new pack), that still name the old."""
        wanted = list(moves)
        if wanted:
            self._env.write(lambda txn: index_commits.move(txn, wanted))

    def forget_repo(self, repo: str, *, guard: Guard | None = None) -> bool:
        """Remove a repo's commits; its chunks stay until collection, and so does the mark that guards its rows.

        With a ``guard`` that holds, its mark is put; one that does not changes nothing, and False is returned.
        """

        def work(txn: Txn) -> bool:
            if guard is not None:
                if txn.get("meta", guard.key.encode()) not in guard.values:
                    return False
                put_mark(txn, guard)
            index_commits.forget_repo(txn, repo)
            return True

        return self._env.write(work)

    def knows_repo(self, repo: str) -> bool:
        """Say whether a repo has commits here, or may have."""
        return self._env.read(lambda txn: txn.get("repo", repo.encode())) is not None

    def forget_commits(self, repo: str, commits: Iterable[CommitId]) -> None:
        """Remove some of a repo's commits."""
        wanted = list(commits)
        self._env.write(lambda txn: index_commits.forget(txn, repo, wanted))
