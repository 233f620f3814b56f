"""From a bucket's name to what is behind it: the tree to read, and whether it may be written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from pfs.changes.branches import branch_info
from pfs.changes.settings import settings_of
from pfs.errors import CommitNotFoundError, NotFoundError, RepoNotFoundError
from pfs.lru import Lru
from pfs.model import BranchInfo, CommitInfo
from pfs.refs.body import RefsBody
from pfs.repo import Repo
from pfs.store import Store
from pfs.trees.tree import EMPTY_ROOT, Tree
from s3api.errors import S3Error
from s3api.objects.names import MASTER, BucketName

_KEPT = 1024
"""Buckets that are kept, a few KiB each."""


@dataclass(frozen=True)
class Bucket:
    """A bucket that exists, as it was when it was opened; shared by threads.

    ``branch`` is None for a commit, and for master before its first write. ``born_ns`` is when the repo was made: it
    tells it from an earlier one of the same name. ``settings`` are those of the branch; a commit has none.
    """

    name: BucketName
    repo: Repo
    branch: BranchInfo | None
    born_ns: int
    settings: Mapping[str, str]
    elsewhere: bool = False
    """The name is of a commit of another repo, and means the one of this repo that it was made from."""

    @property
    def versioned(self) -> bool:
        """Whether each change of an object is a version that can be asked for."""
        return True

    def tree(self) -> Tree:
        """Return the files: of the commit, of the branch's open commit, or of its head. Found out once, then kept."""
        return self._tree

    @cached_property
    def _tree(self) -> Tree:
        objects = self.repo.store.objects
        if self.name.commit is not None:
            return self.repo.view(self.name.commit).tree
        if self.branch is None or (self.branch.head is None and self.branch.open_commit is None):
            return Tree(objects, EMPTY_ROOT)
        if self.branch.open_commit is not None:
            return self.repo.view(self.branch.name, follow_open=True).tree
        return self.repo.view(str(self.branch.head)).tree

    def made(self, info: CommitInfo) -> bool:
        """Say whether a commit was made on the bucket's branch: this one, not one of that name before."""
        return self.branch is not None and _made(self.branch, info)

    def require_same(self, body: RefsBody) -> None:
        """Refuse a write to a bucket that was deleted since it was opened, made anew or not.

        Raises:
            S3Error: NoSuchBucket.
        """
        branch = body.branches.get(self.name.branch)
        gone = self.branch is not None and (branch is None or branch.created != self.branch.created_ns)
        if gone or body.created != self.born_ns:
            raise S3Error("NoSuchBucket", fields={"BucketName": str(self.name)})

    def require_writable(self) -> None:
        """Refuse what cannot be written.

        Raises:
            S3Error: AccessDenied, saying why.
        """
        if self.name.commit is not None:
            raise S3Error(
                "AccessDenied", f"bucket {self.name} is a commit, and commits are immutable: write to a branch"
            )
        if self.branch is None:
            return
        place = f"{self.branch.repo}@{self.branch.name}"
        if self.branch.pipeline:
            raise S3Error("AccessDenied", f"{place} is the output of a pipeline: only its jobs write there")
        if self.branch.provenance and self.branch.open_commit is None:
            raise S3Error("AccessDenied", f"{place} is computed from other branches: it takes files when they move")


class Buckets:
    """The buckets of a store, those opened last kept with their trees; thread-safe.

    A bucket is a function of the refs of its repo, which are read each time: while they are the same object
    (`Refs.raw`), so is the bucket. So what was committed, by whatever process, is seen by the next request.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._kept: Lru[BucketName, tuple[RefsBody, Bucket]] = Lru(_KEPT)

    def open(self, name: BucketName) -> Bucket:
        """Return a bucket; as `open_bucket`."""
        body = _refs(self._store, name)
        kept = self._kept.get(name)
        if kept is not None and kept[0] is body:
            return kept[1]
        bucket = _opened(self._store, name, body)
        if not bucket.elsewhere:
            self._kept.put(name, (body, bucket), weight=1)
        return bucket


def open_bucket(store: Store, name: BucketName) -> Bucket:
    """Return a bucket. A repo without a branch master is an empty bucket, which the first write makes a branch.

    Raises:
        S3Error: NoSuchBucket.
    """
    return _opened(store, name, _refs(store, name))


def _refs(store: Store, name: BucketName) -> RefsBody:
    try:
        return store.refs.read(name.repo).body
    except NotFoundError as error:
        raise S3Error("NoSuchBucket", fields={"BucketName": str(name)}) from error


def _opened(store: Store, name: BucketName, body: RefsBody) -> Bucket:
    try:
        repo = Repo(store, name.repo)
        if name.commit is None:
            return Bucket(name, repo, _branch(name, body), body.created, settings_of(body, name.branch))
        info = repo.inspect(name.commit)
        if name.branch and not _belongs(repo, branch_info(name.repo, body, name.branch), info):
            raise CommitNotFoundError(name.repo, name.commit)
        return Bucket(name, repo, None, body.created, {}, elsewhere=info.id != name.commit)
    except NotFoundError as error:
        raise S3Error("NoSuchBucket", fields={"BucketName": str(name)}) from error


def _branch(name: BucketName, body: RefsBody) -> BranchInfo | None:
    if name.branch == MASTER and name.branch not in body.branches:
        return None
    return branch_info(name.repo, body, name.branch)


def _belongs(repo: Repo, branch: BranchInfo, info: CommitInfo) -> bool:
    """Say whether a commit was made on a branch (this one, not one of that name before), or lies in its history."""
    if _made(branch, info) or branch.head is None:
        return _made(branch, info)
    return any(one.id == info.id for one in repo.commits(branch.head))


def _made(branch: BranchInfo, info: CommitInfo) -> bool:
    return info.branch == branch.name and (info.open or (info.finished_ns or 0) >= branch.created_ns)


def bucket_exists(store: Store, name: BucketName) -> bool:
    """Say whether there is such a bucket."""
    try:
        open_bucket(store, name)
    except (S3Error, RepoNotFoundError):
        return False
    return True


def repo_created_ns(store: Store, repo: str) -> int | None:
    """Return when the repo that has a name now was made; None: nobody has it."""
    try:
        return store.refs.read(repo).body.created
    except RepoNotFoundError:
        return None
