"""The buckets of a job: one for each S3 input, pinned to the job's commit and read-only, and ``out`` to write.

What is not among the operations here answers 501 by its name, as Pachyderm's gateway for jobs does. ``out`` cannot be
read: HEAD, listings and copies inside it see what the attempt itself has written, which committers of large frameworks
need, and nothing else. What one of them, s3a's magic committer, notes for itself it may read back.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from typing import Final, Literal

from msgspec.structs import replace

from pfs.keys import Key
from pfs.model import CommitInfo
from pfs.repo import Repo
from pfs.store import Store
from pfs.trees.observed import ObservedTree
from pfs.trees.row import Row
from pfs.trees.tree import Tree
from s3api.auth.access import Permission
from s3api.errors import S3Error, not_implemented
from s3api.http.request import Request
from s3api.job.attempt import Attempt, Attempts
from s3api.job.output import Output
from s3api.objects.buckets import Bucket
from s3api.objects.bucketset import BucketSet
from s3api.objects.groupcommit import Write
from s3api.objects.metadata import NO_COMMIT
from s3api.objects.names import BucketName
from s3api.operation import Operation
from s3api.operations.abort_multipart_upload import AbortMultipartUpload
from s3api.operations.complete_multipart_upload import CompleteMultipartUpload
from s3api.operations.copy_object import CopyObject
from s3api.operations.create_multipart_upload import CreateMultipartUpload
from s3api.operations.delete_object import DeleteObject
from s3api.operations.delete_objects import DeleteObjects
from s3api.operations.get_bucket_location import GetBucketLocation
from s3api.operations.get_bucket_versioning import GetBucketVersioning
from s3api.operations.get_object import GetObject
from s3api.operations.get_object_tagging import GetObjectTagging
from s3api.operations.head_bucket import HeadBucket
from s3api.operations.head_object import HeadObject
from s3api.operations.list_buckets import ListBuckets
from s3api.operations.list_multipart_uploads import ListMultipartUploads
from s3api.operations.list_objects import ListObjects
from s3api.operations.list_objects_v2 import ListObjectsV2
from s3api.operations.list_parts import ListParts
from s3api.operations.put_object import PutObject
from s3api.operations.upload_part import UploadPart
from s3api.operations.upload_part_copy import UploadPartCopy

OUT: Final = "out"
_NOTED: Final = (
    ListBuckets,
    HeadBucket,
    GetBucketLocation,
    GetBucketVersioning,
    ListObjects,
    ListObjectsV2,
    GetObject,
    HeadObject,
    CopyObject,
    UploadPartCopy,
)
"""Reading by these is noted exactly: the answer depends on nothing but what the tree of the input was asked."""
_SERVED: Final = (
    *_NOTED,
    GetObjectTagging,
    PutObject,
    DeleteObject,
    DeleteObjects,
    CreateMultipartUpload,
    UploadPart,
    ListParts,
    ListMultipartUploads,
    CompleteMultipartUpload,
    AbortMultipartUpload,
)
_MAGIC: Final = re.compile(rb"(?:^|/)__magic[^/]*/")
"""Folders of s3a's magic committer, Spark's default: its notes on the uploads of its tasks, which it reads back."""
_TIMES: Final = ("if-modified-since", "if-unmodified-since")
_COPY: Final = "x-amz-copy-source-"


@dataclass(frozen=True, kw_only=True)
class JobBucket(Bucket):
    """A bucket of a job; ``view`` gives its objects, as one attempt sees them; ``output`` None: an input."""

    view: Callable[[], Tree]
    output: Output | None = None

    @property
    def versioned(self) -> bool:
        """A job's buckets have no versions."""
        return False

    def tree(self) -> Tree:
        """Return the objects."""
        return self.view()

    def require_writable(self) -> None:
        """Refuse writing to an input; raises S3Error NotImplemented."""
        if self.output is None:
            raise not_implemented("writing to an input of the job")


class _Unversioned(ObservedTree):
    """An input as it is shown: its objects have times, and no versions."""

    def stat(self, key: bytes, *, want: Literal["file", "dir"] | None = None) -> Row | None:
        """Look up an object."""
        row = super().stat(key, want=want)
        if row is None or row.changed is None:
            return row
        return replace(row, changed=row.changed._replace(commit=NO_COMMIT))


class JobBuckets(BucketSet):
    """What the attempts of a job see, each by its own key.

    ``inputs``: repo and commit by the input's name. ``pipeline``: its repo is where uploads in parts are kept; its name
    is another name of ``out``. ``out``: whether there is one. ``pool`` runs writes.
    """

    also: tuple[type[Operation], ...] = ()
    """Operations that are served beside those of every job."""

    def __init__(
        self,
        store: Store,
        attempts: Attempts,
        *,
        pipeline: str,
        inputs: Mapping[str, tuple[str, str]],
        out: bool,
        pool: Executor,
    ) -> None:
        self._attempts, self._pool = attempts, pool
        self._pipeline, self._out = store.repo(pipeline), out
        repos = {name: (store.repo(repo), commit) for name, (repo, commit) in inputs.items()}
        self._inputs = {name: (repo, repo.view(commit)) for name, (repo, commit) in repos.items()}
        self._made_ns = store.clock_ns()

    def admit(self, key: Key | None, request: Request, operation: Operation) -> None:
        """Refuse whoever is no attempt, what these buckets cannot do, and reading ``out``; spoil notes if need be."""
        attempt, name = self._attempt(key), type(operation).__name__
        if not isinstance(operation, (*_SERVED, *self.also)):
            raise not_implemented(name)
        bucket = request.bucket
        if not bucket:
            return
        if bucket not in self._inputs:
            self._admit_other(attempt, bucket, operation)
        elif operation.permission is not Permission.READ:
            raise not_implemented(f"{name} in bucket {bucket}, an input of the job,")
        copied = operation.source.bucket if isinstance(operation, (CopyObject, UploadPartCopy)) else None
        if copied is not None or isinstance(operation, GetObject):
            self._make_readable(attempt, copied or bucket)
        if not isinstance(operation, _NOTED) or _asks_for_times(request):
            _spoil(attempt, bucket, by_copy=copied is not None)

    def _admit_other(self, attempt: Attempt, bucket: str, operation: Operation) -> None:
        """Refuse what may not be done in a bucket that is no input."""
        if not self._is_out(bucket):
            raise S3Error("NoSuchBucket", fields={"BucketName": bucket})
        if isinstance(operation, GetObject) and not _MAGIC.search(operation.key):
            raise S3Error("NoSuchKey", f"bucket {bucket} is the job's output: it can be written, not read")

    def _make_readable(self, attempt: Attempt, bucket: str) -> None:
        output = self._own(attempt, bucket)
        if output is not None:
            output.make_readable()

    def _own(self, attempt: Attempt, bucket: str) -> Output | None:
        """Return what an attempt wrote to a bucket, None for an input, and for what is none of its buckets."""
        return attempt.output if self._is_out(bucket) else None

    def _branch_of(self, attempt: Attempt, bucket: str) -> str:
        """Return the name by which uploads in parts to a bucket of an attempt are told from others."""
        return attempt.branch

    def takes(self, key: Key | None, name: BucketName) -> bool:
        """The buckets of a job are those that there are."""
        return False

    def _is_out(self, name: str) -> bool:
        return self._out and (name == OUT or (name == self._pipeline.name and name not in self._inputs))

    def _attempt(self, key: Key | None) -> Attempt:
        attempt = None if key is None else self._attempts.of(key)
        if attempt is None:
            raise S3Error("AccessDenied", "this needs a request signed with the credentials of a datum that runs")
        return attempt

    def authorize(self, key: Key | None, permission: Permission, name: BucketName) -> None:
        """An attempt may do in its buckets all that `admit` lets through."""
        self._attempt(key)

    def open(self, key: Key | None, name: BucketName) -> Bucket:
        """Return a bucket as the attempt sees it."""
        attempt, plain = self._attempt(key), name.repo if name == BucketName(name.repo) else str(name)
        output = self._own(attempt, plain)
        if output is not None:
            own = BucketName(self._pipeline.name, self._branch_of(attempt, plain))
            return self._bucket(self._pipeline, own, output.tree, output=output)
        if plain not in self._inputs:
            raise S3Error("NoSuchBucket", fields={"BucketName": str(name)})
        repo, view = self._inputs[plain]
        tree = _Unversioned(view.tree, attempt.notes[plain])
        return self._bucket(repo, BucketName(repo.name, "", view.info.id), lambda: tree)

    def _bucket(
        self, repo: Repo, name: BucketName, view: Callable[[], Tree], *, output: Output | None = None
    ) -> JobBucket:
        return JobBucket(name, repo, None, self._made_ns, {}, view=view, output=output)

    def names(self, key: Key | None) -> Mapping[str, int]:
        """Return the inputs and ``out``."""
        self._attempt(key)
        return dict.fromkeys((*self._inputs, *((OUT,) if self._out else ())), self._made_ns)

    def submit(self, bucket: Bucket, write: Write) -> Future[CommitInfo | None]:
        """Change what an attempt has written."""
        output = bucket.output if isinstance(bucket, JobBucket) else None
        assert output is not None, "what cannot be written was refused when it was opened"
        return self._pool.submit(output.apply, write)


def _spoil(attempt: Attempt, bucket: str, *, by_copy: bool) -> None:
    """Note that something was read that depends on more than content; a copy may be from any input."""
    for name, notes in attempt.notes.items():
        if by_copy or name == bucket:
            notes.spoil()


def _asks_for_times(request: Request) -> bool:
    """Say whether the answer depends on when something changed; an If-Range may hold a time too."""
    names = ("if-range", *(name for time in _TIMES for name in (time, _COPY + time)))
    return any(name in request.headers for name in names)
