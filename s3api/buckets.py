"""From a bucket's name to what is behind it: the tree to read, and whether it may be written."""

from __future__ import annotations

from dataclasses import dataclass

from pfs.errors import BranchNotFoundError, CommitNotFoundError, NotFoundError, RepoNotFoundError
from pfs.ids import CommitId, is_commit_id
from pfs.model import BranchInfo
from pfs.repo import Repo
from pfs.store import Store
from pfs.tree import EMPTY_ROOT, Row, Tree
from s3api.errors import S3Error
from s3api.metadata import is_object, version_of
from s3api.names import MASTER, BucketName


@dataclass(frozen=True, slots=True)
class Bucket:
    """A bucket that exists; ``branch`` is None for a commit, and for master before its first write."""

    name: BucketName
    repo: Repo
    branch: BranchInfo | None

    def tree(self) -> Tree:
        """Return the files as they are now: of the commit, of the branch's open commit, or of its head."""
        objects = self.repo.store.objects
        if self.name.commit is not None:
            return self.repo.view(self.name.commit).tree
        if self.branch is None or (self.branch.head is None and self.branch.open_commit is None):
            return Tree(objects, EMPTY_ROOT)
        if self.branch.open_commit is not None:
            return self.repo.view(self.branch.name, follow_open=True).tree
        return self.repo.view(str(self.branch.head)).tree

    def find(self, key: bytes, version: str | None = None) -> Row:
        """Return the row of an object, as it is now or in one version.

        Raises:
            S3Error: NoSuchKey, NoSuchVersion.
        """
        row = self.tree().stat(key, want="file") if version is None else self._version(key, version)
        if row is None or not is_object(row):
            raise S3Error("NoSuchKey", fields={"Key": key.decode(errors="replace")})
        return row

    def _version(self, key: bytes, version: str) -> Row | None:
        """Return the row that changed in the commit ``version``."""
        row = None
        if is_commit_id(version):
            try:
                row = self.repo.view(CommitId(version)).tree.stat(key, want="file")
            except CommitNotFoundError:
                row = None
        if row is None or version_of(row) != version:
            raise S3Error("NoSuchVersion", fields={"VersionId": version})
        return row

    def require_writable(self) -> None:
        """Refuse what cannot be written.

        Raises:
            S3Error: AccessDenied, saying why.
        """
        if self.name.commit is not None:
            raise S3Error(
                "AccessDenied", f"bucket {self.name} is a commit, and commits are immutable: write to a branch"
            )
        if self.branch is not None and self.branch.provenance:
            place = f"{self.branch.repo}@{self.branch.name}"
            raise S3Error("AccessDenied", f"{place} is the output of a pipeline: only its jobs write there")


def open_bucket(store: Store, name: BucketName) -> Bucket:
    """Return a bucket. A repo without a branch master is an empty bucket, which the first write makes a branch.

    Raises:
        S3Error: NoSuchBucket.
    """
    try:
        repo = store.repo(name.repo)
        if name.commit is not None:
            repo.inspect(name.commit)
            return Bucket(name, repo, None)
        return Bucket(name, repo, _branch(repo, name.branch))
    except NotFoundError as error:
        raise S3Error("NoSuchBucket", fields={"BucketName": str(name)}) from error


def _branch(repo: Repo, name: str) -> BranchInfo | None:
    try:
        return repo.branch(name)
    except BranchNotFoundError:
        if name != MASTER:
            raise
        repo.info()
        return None


def bucket_exists(store: Store, name: BucketName) -> bool:
    """Say whether there is such a bucket."""
    try:
        open_bucket(store, name)
    except (S3Error, RepoNotFoundError):
        return False
    return True
