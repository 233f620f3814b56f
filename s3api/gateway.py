"""The gateway: a store with keys, served. And the context in which one request is handled."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

from pfs.model import CommitInfo
from pfs.store import Store
from s3api.audit.log import AuditLog
from s3api.audit.note import Note
from s3api.auth.access import Permission
from s3api.auth.caller import Caller, KeySource
from s3api.bodies.body import Body
from s3api.bodies.room import Room
from s3api.http.request import Request
from s3api.multipart.uploads import Uploads
from s3api.objects.buckets import Bucket
from s3api.objects.bucketset import BucketSet, StoreBuckets
from s3api.objects.groupcommit import Write
from s3api.objects.names import BucketName, parse_bucket
from s3api.objects.reading import BUDGET_BYTES, Budget, Reading
from s3api.versions.index import VersionIndex
from s3api.versions.tip import Tip

T = TypeVar("T")
BLOCKING_THREADS = 32
COMMIT_THREADS = 4
LANE_THREADS = 24
SYNC_THREADS = 4


class Gateway:
    """What all requests share; made once, closed at the end. All durable state is in the store.

    Args:
        store: what is served.
        keys: who may come in; asked at each request, so a deleted key is refused at once.
        domains: suffixes of virtual-host style bucket names (``bucket.domain``).
        anonymous_read: repos that anyone may read.
        clock_s: the time that signatures are checked against.
        processes: so many share the memory that is meant for reading ahead.
        audit: gets a line for each request; closed with the gateway.
        buckets: what is served, by default all branches and commits of the store.
        uploads: where uploads in parts are kept, by default in the store for all gateways.
    """

    def __init__(
        self,
        store: Store,
        keys: KeySource,
        *,
        domains: Collection[str] = (),
        anonymous_read: Collection[str] = (),
        clock_s: Callable[[], float] = time.time,
        processes: int = 1,
        audit: AuditLog | None = None,
        buckets: BucketSet | None = None,
        uploads: Uploads | None = None,
    ) -> None:
        self.store = store
        self.keys = keys
        self.domains = frozenset(domain.lower().strip(".") for domain in domains)
        self.anonymous_read = frozenset(anonymous_read)
        self.clock_s = clock_s
        self.audit = audit
        self.host_id = secrets.token_hex(16)
        """Tells answers of this process from those of another; S3's x-amz-id-2 and HostId."""
        self.uploads = uploads or Uploads(store.backend)
        self.lanes = ThreadPoolExecutor(LANE_THREADS, thread_name_prefix="s3-lane")
        """What uploads are digested and stored in."""
        self.syncing = ThreadPoolExecutor(SYNC_THREADS, thread_name_prefix="s3-sync")
        """Makes full packs durable; never waits for the other pools."""
        self.room = Room(processes=processes)
        self.reading = Reading(Budget(BUDGET_BYTES // processes))
        self.versions = VersionIndex(store)
        self._following = ThreadPoolExecutor(1, thread_name_prefix="s3-versions")
        """Takes commits into the index of versions, which may take minutes, and one at a time can do it anyway."""
        self._blocking = ThreadPoolExecutor(BLOCKING_THREADS, thread_name_prefix="s3-io")
        self._committing = ThreadPoolExecutor(COMMIT_THREADS, thread_name_prefix="s3-commit")
        self.buckets = buckets or StoreBuckets(store, anonymous_read=self.anonymous_read, pool=self._committing)

    async def run(self, function: Callable[..., T], /, *args: object, **options: object) -> T:
        """Run a blocking function in a thread. Cancelled, it ends when the thread does: nothing works on behind it."""
        call = partial(function, *args, **options)
        future = asyncio.get_running_loop().run_in_executor(self._blocking, call)
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            await asyncio.wait([future])
            raise

    async def commit(self, bucket: Bucket, write: Write) -> CommitInfo | None:
        """Change a bucket; returns once that is kept, as `BucketSet.submit` says.

        Raises:
            S3Error: NoSuchBucket; the bucket was deleted since it was opened. And what the write's checks raise.
        """
        return await asyncio.wrap_future(self.buckets.submit(bucket, write))

    async def follow(self, tip: Tip) -> None:
        """Take the history of a bucket into the index of versions; raises as `VersionIndex.follow`."""
        await asyncio.wrap_future(self._following.submit(self.versions.follow, tip))

    def close(self) -> None:
        """Wait for what is under way. The store stays open."""
        self.reading.close()
        self.versions.stop()
        for pool in (self._blocking, self._following, self._committing, self.lanes, self.syncing):
            pool.shutdown()
        if self.audit is not None:
            self.audit.close()


@dataclass(frozen=True, slots=True)
class Context:
    """One request with a checked signature."""

    gateway: Gateway
    request: Request
    caller: Caller
    body: Body
    note: Note = field(default_factory=Note)
    """For the audit log."""

    @property
    def store(self) -> Store:
        """The store that is served."""
        return self.gateway.store

    def authorize(self, permission: Permission, name: BucketName) -> None:
        """Refuse what the caller may not do in a bucket; raises S3Error AccessDenied."""
        self.gateway.buckets.authorize(self.caller.key, permission, name)

    async def commit(self, bucket: Bucket, write: Write) -> CommitInfo | None:
        """Commit a write as `Gateway.commit` does, and note it."""
        info = await self.gateway.commit(bucket, write)
        self.note.commit = info.id if info is not None else None
        return info

    def bucket(self, *, write: bool = False) -> Bucket:
        """Return the bucket of the request; with ``write`` one that can be written.

        Raises:
            S3Error: NoSuchBucket, AccessDenied.
        """
        bucket = self.open(parse_bucket(self.request.bucket))
        if write:
            bucket.require_writable()
        return bucket

    def open(self, name: BucketName) -> Bucket:
        """Return a bucket, if the caller's key is not for an earlier repo of its name.

        Raises:
            S3Error: NoSuchBucket, AccessDenied.
        """
        return self.gateway.buckets.open(self.caller.key, name)
