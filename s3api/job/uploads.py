"""Multipart uploads to the output of a job: kept in the store like all, and gone with the attempt that made them."""

from __future__ import annotations

import threading

from pfs.backends.base import Backend
from s3api.multipart.uploads import Completed, Upload, Uploads


class JobUploads(Uploads):
    """The uploads of one job; thread-safe. Those of one attempt are told apart by their branch, which is none.

    The parts of a completed upload stay until its attempt ends: no commit has its content before that, and a collection
    of garbage spares what uploads have.
    """

    def __init__(self, backend: Backend) -> None:
        super().__init__(backend)
        self._lock = threading.Lock()
        self._made: list[Upload] = []

    def create(self, upload: Upload) -> None:
        """Record a new upload."""
        with self._lock:
            self._made.append(upload)
        super().create(upload)

    def complete(self, upload: Upload, done: Completed) -> None:
        """Record what an upload became."""
        self.record(done)
        self.hide(upload)

    def drop_all(self, branch: str) -> None:
        """Forget the uploads of an attempt that has ended; a task has ``<branch>.<bucket>`` for each bucket."""
        with self._lock:
            gone = [one for one in self._made if f"{one.branch}.".startswith(f"{branch}.")]
            self._made = [one for one in self._made if one not in gone]
        for upload in gone:
            self.drop(upload)
