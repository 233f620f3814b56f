"""Which buckets a gateway has, who may do what in them, and where writes go: of a store, unless told otherwise."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from concurrent.futures import Executor, Future
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

from pfs.keys import Key
from pfs.model import CommitInfo, RepoInfo
from pfs.store import Store
from s3api.auth.access import Permission, authorize, may, require_same_repo
from s3api.http.request import Request
from s3api.objects.buckets import Bucket, Buckets
from s3api.objects.groupcommit import GroupCommits, Write
from s3api.objects.names import MASTER, BucketName, parse_bucket

if TYPE_CHECKING:
    from s3api.operation import Operation


class BucketSet(Protocol):
    """The buckets of a gateway. Thread-safe; ``key`` is that of a checked request, None without one."""

    def admit(self, key: Key | None, request: Request, operation: Operation) -> None:
        """Refuse an operation that the caller may not do, or that these buckets do not have; first of all.

        Raises:
            S3Error: AccessDenied, NotImplemented and the like.
        """
        ...

    def authorize(self, key: Key | None, permission: Permission, name: BucketName) -> None:
        """Refuse what the caller may not do in one bucket, as that of a copy's source; raises S3Error AccessDenied."""
        ...

    def open(self, key: Key | None, name: BucketName) -> Bucket:
        """Return a bucket as it is now.

        Raises:
            S3Error: NoSuchBucket, AccessDenied.
        """
        ...

    def takes(self, key: Key | None, name: BucketName) -> bool:
        """Say whether a bucket is there as soon as it is named, so that nothing has to be made; raises as `open`."""
        ...

    def names(self, key: Key | None) -> Mapping[str, int]:
        """Return the names of all buckets that the caller may read, and when each was made, in ns since 1970."""
        ...

    def submit(self, bucket: Bucket, write: Write) -> Future[CommitInfo | None]:
        """Begin to change a bucket; the write's session belongs to it from now on.

        The future is done once the change is kept: with its commit, or None where nothing was to be changed or a bucket
        has no commits. It raises what the checks raise, and PfsError.
        """
        ...


class StoreBuckets(BucketSet):
    """The branches and commits of a store; a write is a commit, together with others (`GroupCommits`).

    ``anonymous_read``: repos that anyone may read. ``pool`` runs one commit at a time for each branch.
    """

    def __init__(self, store: Store, *, anonymous_read: AbstractSet[str], pool: Executor) -> None:
        self._store, self._anonymous_read = store, anonymous_read
        self._opened, self._commits = Buckets(store), GroupCommits(pool)

    def admit(self, key: Key | None, request: Request, operation: Operation) -> None:
        """Ask for the right that the operation needs in the bucket's repo."""
        if request.bucket and operation.permission is not None:
            self.authorize(key, operation.permission, parse_bucket(request.bucket))

    def authorize(self, key: Key | None, permission: Permission, name: BucketName) -> None:
        """Ask for a right in a repo."""
        authorize(key, permission, name.repo, anonymous_read=self._anonymous_read)

    def open(self, key: Key | None, name: BucketName) -> Bucket:
        """Return a bucket, if the key is not for an earlier repo of its name."""
        bucket = self._opened.open(name)
        require_same_repo(key, name.repo, bucket.born_ns)
        return bucket

    def takes(self, key: Key | None, name: BucketName) -> bool:
        """A bucket of the store is a branch, which has to be made."""
        return False

    def names(self, key: Key | None) -> Mapping[str, int]:
        """Return one bucket a branch; a repo's own name stands for its branch master."""
        found = dict[str, int]()
        for info in self._store.list_repos():
            allowed = may(key, Permission.READ, info.name, anonymous_read=self._anonymous_read)
            if allowed and not (key is not None and key.is_outlived(info.name, info.created_ns)):
                found |= dict.fromkeys(_names(info), info.created_ns)
        return found

    def submit(self, bucket: Bucket, write: Write) -> Future[CommitInfo | None]:
        """Commit a write; S3Error NoSuchBucket when the bucket was deleted since it was opened."""
        guarded = replace(write, guard=bucket.require_same)
        return self._commits.submit(bucket.repo, bucket.name.branch, guarded)


def _names(info: RepoInfo) -> Iterator[str]:
    yield info.name
    for branch in info.branches:
        if branch != MASTER:
            yield str(BucketName(info.name, branch))
