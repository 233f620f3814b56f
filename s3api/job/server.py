"""A job's gateway as it runs, from the first datum of the job to its end."""

from __future__ import annotations

import socket
from collections.abc import Collection, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from pfs.store import Store
from s3api.gateway import Gateway
from s3api.job.attempt import Attempt, Attempts, Traffic
from s3api.job.buckets import JobBuckets
from s3api.job.credentials import Credentials
from s3api.job.loopback import Loopback
from s3api.job.output import Output
from s3api.job.task_buckets import TaskBuckets
from s3api.job.task_output import TaskOutputs
from s3api.job.uploads import JobUploads

_WRITERS: Final = 4


class Admission:
    """The way in for one attempt at a datum."""

    def __init__(self, gateway: JobGateway, attempt: Attempt) -> None:
        self._gateway, self._attempt = gateway, attempt

    @property
    def access_key(self) -> str:
        """The access key."""
        return self._attempt.key.access_key

    @property
    def secret_key(self) -> str:
        """The secret key."""
        return self._attempt.secret

    def end(self) -> Traffic:
        """Let nothing more in, and return what the attempt did; once. Its session belongs to the caller."""
        return self._gateway.end(self._attempt)


class JobGateway:
    """Serves a job's buckets on 127.0.0.1; see `JobBuckets`. Thread-safe; listens until it is closed.

    Raises:
        NotFoundError: there is no such commit.
        StorageError: there is no port to be had.
        FailedError: it does not start.
    """

    def __init__(
        self,
        store: Store,
        *,
        pipeline: str,
        inputs: Mapping[str, tuple[str, str]],
        out: bool,
        reserved: Collection[str] | None = None,
        listener: socket.socket | None = None,
        first: Iterable[Credentials] = (),
    ) -> None:
        """``reserved``: of a task, the repos that it may not write to; None: it is no task.

        ``listener``: where it listens already; see `Loopback`. ``first``: who is let in before it answers.
        """
        self._store, self._inputs, self._out, self._is_task = store, tuple(inputs), out, reserved is not None
        self._attempts, self._uploads = Attempts(), JobUploads(store.backend)
        self._pool = ThreadPoolExecutor(_WRITERS, thread_name_prefix="s3-job")
        buckets: JobBuckets
        if reserved is None:
            buckets = JobBuckets(store, self._attempts, pipeline=pipeline, inputs=inputs, out=out, pool=self._pool)
        else:
            buckets = TaskBuckets(
                store, self._attempts, pipeline=pipeline, inputs=inputs, reserved=reserved, pool=self._pool
            )
        self.first = {credentials: self.admit(credentials) for credentials in first}
        """Those who were let in before it answered."""
        gateway = Gateway(store, self._attempts, buckets=buckets, uploads=self._uploads)
        self._server = Loopback(gateway, listener)

    @property
    def url(self) -> str:
        """Where it listens."""
        return self._server.url

    def admit(self, credentials: Credentials | None = None) -> Admission:
        """Let one attempt at a datum in, with new credentials unless it has some."""
        output = Output(self._store) if self._out else None
        buckets = TaskOutputs(self._store) if self._is_task else None
        begun = self._attempts.begin(self._inputs, output, buckets=buckets, credentials=credentials)
        return Admission(self, begun)

    def end(self, attempt: Attempt) -> Traffic:
        """End an attempt; see `Admission.end`."""
        traffic = self._attempts.end(attempt)
        self._uploads.drop_all(attempt.branch)
        return traffic

    def close(self) -> None:
        """Stop listening, and wait for what is under way. Idempotent."""
        self._server.close()
        self._pool.shutdown()
