"""A job's gateway as it runs: a server on loopback in a thread, from the first datum of the job to its end."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from pfs.errors import FailedError
from pfs.store import Store
from s3api.gateway import Gateway
from s3api.http.server import Listen, bound, serve_on
from s3api.job.attempt import Attempt, Attempts, Traffic
from s3api.job.buckets import JobBuckets
from s3api.job.output import Output
from s3api.job.uploads import JobUploads

_WRITERS: Final = 4
_DRAIN_S: Final = 1.0
"""Requests under way when the job ends are of nobody: all of its commands have ended."""
_START_S: Final = 60.0


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

    def __init__(self, store: Store, *, pipeline: str, inputs: Mapping[str, tuple[str, str]], out: bool) -> None:
        self._store, self._inputs, self._out = store, tuple(inputs), out
        self._attempts, self._uploads = Attempts(), JobUploads(store.backend)
        self._pool = ThreadPoolExecutor(_WRITERS, thread_name_prefix="s3-job")
        self._stop, self._started = threading.Event(), threading.Event()
        buckets = JobBuckets(store, self._attempts, pipeline=pipeline, inputs=inputs, out=out, pool=self._pool)
        gateway = Gateway(store, self._attempts, buckets=buckets, uploads=self._uploads)
        self._thread = threading.Thread(target=self._serve, args=(gateway,), name="s3-job")
        self._url = ""
        self._thread.start()
        if not self._started.wait(_START_S) or not self._url:
            self.close()
            raise FailedError("the S3 gateway of the job does not start")

    def _serve(self, gateway: Gateway) -> None:
        listen = Listen(port=0)
        try:
            with bound(listen) as listener:
                self._port = listener.getsockname()[1]
                serve_on(
                    listener,
                    gateway,
                    listen,
                    stop=self._stop,
                    on_started=self._say_started,
                    upkeep=False,
                    drain_s=_DRAIN_S,
                )
        finally:
            self._started.set()

    def _say_started(self) -> None:
        self._url = f"http://127.0.0.1:{self._port}"
        self._started.set()

    @property
    def url(self) -> str:
        """Where it listens."""
        return self._url

    def admit(self) -> Admission:
        """Make credentials for one attempt at a datum."""
        return Admission(self, self._attempts.begin(self._inputs, Output(self._store) if self._out else None))

    def end(self, attempt: Attempt) -> Traffic:
        """End an attempt; see `Admission.end`."""
        traffic = self._attempts.end(attempt)
        self._uploads.drop_all(attempt.branch)
        return traffic

    def close(self) -> None:
        """Stop listening, and wait for what is under way. Idempotent."""
        self._stop.set()
        self._thread.join()
        self._pool.shutdown()
