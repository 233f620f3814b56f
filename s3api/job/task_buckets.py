"""The buckets of a workflow's task: its S3 inputs, and any other name to write to, of which it reads its own writes.

What is written is committed to the repo of the bucket's name with the end of the job, so a name that no task may write
to is refused at once.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from concurrent.futures import Executor
from typing import Final

from pfs.errors import InvalidNameError, RepoNotFoundError
from pfs.keys import Key
from pfs.paths import check_name
from pfs.spout import CODE_BRANCH
from pfs.store import Store
from s3api.errors import S3Error
from s3api.job.attempt import Attempt, Attempts
from s3api.job.buckets import JobBuckets
from s3api.job.output import Output
from s3api.objects.buckets import open_bucket
from s3api.objects.names import MASTER, BucketName, check_new_bucket
from s3api.operation import Operation
from s3api.operations.create_bucket import CreateBucket
from s3api.operations.get_object import GetObject
from s3api.operations.head_object import HeadObject

_HINT: Final = "declare it as an input of the task to read the rest"


class TaskBuckets(JobBuckets):
    """What the attempts at a task see. ``reserved``: repos that a task may not write to, whatever they are."""

    also = (CreateBucket,)

    def __init__(
        self,
        store: Store,
        attempts: Attempts,
        *,
        pipeline: str,
        inputs: Mapping[str, tuple[str, str]],
        reserved: Collection[str],
        pool: Executor,
    ) -> None:
        super().__init__(store, attempts, pipeline=pipeline, inputs=inputs, out=False, pool=pool)
        self._store, self._reserved = store, frozenset(reserved)

    def takes(self, key: Key | None, name: BucketName) -> bool:
        """A bucket is there as soon as it is named."""
        self.open(key, name)
        return True

    def names(self, key: Key | None) -> Mapping[str, int]:
        """Return the inputs, and the buckets that were written to."""
        outputs = self._attempt(key).buckets
        named = [] if outputs is None else outputs.names()
        return dict.fromkeys((*self._inputs, *named), self._made_ns)

    def _admit_other(self, attempt: Attempt, bucket: str, operation: Operation) -> None:
        output = self._own(attempt, bucket)
        if not isinstance(operation, GetObject | HeadObject) or output is None:
            return
        if output.tree().stat(operation.key, want="file") is None:
            raise S3Error("NoSuchKey", f"of bucket {bucket} a task reads what it has written itself: {_HINT}")
        output.make_readable()

    def _own(self, attempt: Attempt, bucket: str) -> Output | None:
        """Return what an attempt wrote to a bucket.

        Raises:
            S3Error: InvalidBucketName, AccessDenied: no task may write there, so there is nothing to read either.
        """
        if bucket in self._inputs or attempt.buckets is None:
            return None
        self._require_free(bucket)
        return attempt.buckets.of(bucket)

    def _require_free(self, bucket: str) -> None:
        try:
            check_name("repo", bucket)
        except InvalidNameError as error:
            why = "a task writes to the branch master of the repo that a bucket is called like"
            raise S3Error("InvalidBucketName", f"bucket {bucket!r}: {error}; {why}") from error
        if bucket in self._reserved:
            raise S3Error("AccessDenied", f"bucket {bucket} is an input of this task or kept by its workflow")
        try:
            body = self._store.refs.read(bucket).body
        except RepoNotFoundError:
            check_new_bucket(bucket)
            return
        if CODE_BRANCH in body.branches:
            raise S3Error("AccessDenied", f"bucket {bucket} is the output of a pipeline: only its jobs write there")
        if MASTER in body.branches:
            open_bucket(self._store, BucketName(bucket)).require_writable()

    def _branch_of(self, attempt: Attempt, bucket: str) -> str:
        return f"{attempt.branch}.{bucket}"
