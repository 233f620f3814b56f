"""What one attempt at a task wrote: a bucket for each name that it used, kept apart until they are handed over."""

from __future__ import annotations

import threading
from typing import Final

from pfs.packs.session import WriteSession
from pfs.store import Store
from s3api.errors import S3Error
from s3api.job.output import Output, Written

_MOST: Final = 1000
"""Buckets of one attempt: as many as S3 gives an account by default, and more."""


class TaskOutputs:
    """The buckets of one attempt at a task, each made when it is first named; thread-safe."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._buckets: dict[str, Output] = {}

    def of(self, bucket: str) -> Output:
        """Return what was written to a bucket; raises S3Error TooManyBuckets."""
        with self._lock:
            found = self._buckets.get(bucket)
            if found is None:
                if len(self._buckets) == _MOST:
                    raise S3Error("TooManyBuckets", f"a task writes to {_MOST} buckets at most")
                found = self._buckets[bucket] = Output(self._store)
            return found

    def names(self) -> list[str]:
        """Return the buckets that were named."""
        with self._lock:
            return list(self._buckets)

    def end(self) -> tuple[tuple[Written, ...], WriteSession]:
        """Refuse any further write, and return all objects by ``<bucket>/<key>`` with what holds their bytes."""
        written: list[Written] = []
        whole = self._store.session()
        with self._lock:
            for bucket, output in sorted(self._buckets.items()):
                objects, session = output.end()
                if objects:
                    whole.adopt(session)
                else:
                    session.abandon()
                prefix = bucket.encode() + b"/"
                written += [one._replace(key=prefix + one.key) for one in objects]
        return tuple(written), whole
