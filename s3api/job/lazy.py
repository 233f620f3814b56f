"""A job's gateway that listens at once and starts when the first client comes: most tasks never speak S3.

What serves S3 takes a second to load; a socket that nobody connects to costs nothing.
"""

from __future__ import annotations

import selectors
import socket
import threading
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from pfs.errors import FailedError, StorageError
from pfs.trees.observed import Notes
from s3api.job.credentials import Credentials, new_credentials

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from pfs.packs.session import WriteSession
    from pfs.store import Store
    from pfs.trees.observed import Observed
    from s3api.job.attempt import Traffic
    from s3api.job.output import Written
    from s3api.job.server import Admission, JobGateway

_BACKLOG: Final = 1024


class Quiet(NamedTuple):
    """What an attempt did whose job had no client: nothing was written, and of no input anything was read."""

    reads: Mapping[str, Observed | None]
    written: Sequence[Written] = ()
    session: WriteSession | None = None


class _Start(Protocol):
    def __call__(self, *, listener: socket.socket, first: Iterable[Credentials]) -> JobGateway:
        """Serve on a socket that listens, for those who were let in already."""


class LazyAdmission:
    """The way in for one attempt at a datum."""

    def __init__(self, gateway: LazyGateway, credentials: Credentials) -> None:
        self._gateway, self.credentials = gateway, credentials

    @property
    def access_key(self) -> str:
        """The access key."""
        return self.credentials.access_key

    @property
    def secret_key(self) -> str:
        """The secret key."""
        return self.credentials.secret

    def end(self) -> Traffic | Quiet:
        """Let nothing more in, and return what the attempt did; once. Its session belongs to the caller."""
        return self._gateway.end(self.credentials)


class LazyGateway:
    """Listens on 127.0.0.1 from when it is made until it is closed; thread-safe.

    Raises:
        StorageError: there is no port to be had.
    """

    def __init__(self, start: _Start, inputs: Sequence[str]) -> None:
        """``start``: called in a thread when the first client has come; it closes the socket in the end."""
        self._start, self._inputs = start, tuple(inputs)
        self._lock = threading.Lock()
        self._waiting: set[Credentials] = set()
        self._let_in: dict[Credentials, Admission] = {}
        self._served: JobGateway | None = None
        self._failure = ""
        try:
            self._listener = socket.create_server(("127.0.0.1", 0), backlog=_BACKLOG)
        except OSError as error:
            raise StorageError("listen on 127.0.0.1", (error.strerror or str(error)).lower()) from error
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._wake, self._woken = socket.socketpair()
        self._thread = threading.Thread(target=self._watch, name="s3-lazy")
        self._thread.start()

    def admit(self) -> LazyAdmission:
        """Make credentials for one attempt at a datum."""
        credentials = new_credentials()
        with self._lock:
            if self._served is None:
                self._waiting.add(credentials)
            else:
                self._let_in[credentials] = self._served.admit(credentials)
        return LazyAdmission(self, credentials)

    def end(self, credentials: Credentials) -> Traffic | Quiet:
        """End an attempt; raises FailedError if its clients were kept out."""
        with self._lock:
            self._waiting.discard(credentials)
            real = self._let_in.pop(credentials, None)
        if self._failure:
            raise FailedError(f"the S3 gateway of the job did not start: {self._failure}")
        return Quiet({name: Notes().observed() for name in self._inputs}) if real is None else real.end()

    def close(self) -> None:
        """Stop listening; returns when nothing listens any more. Idempotent."""
        self._wake.close()
        self._thread.join()
        if self._served is not None:
            self._served.close()
        self._listener.close()
        self._woken.close()

    def _watch(self) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(self._listener, selectors.EVENT_READ)
            selector.register(self._woken, selectors.EVENT_READ)
            ready = {key.fileobj for key, _ in selector.select()}
        if self._woken in ready:
            return
        with self._lock:
            try:
                self._served = self._start(listener=self._listener, first=self._waiting)
                self._let_in = dict(self._served.first)
            except Exception as error:
                self._failure = str(error)
                self._listener.close()
            self._waiting.clear()


def task_gateway(
    store: Store, *, pipeline: str, inputs: Mapping[str, tuple[str, str]], reserved: Collection[str]
) -> LazyGateway:
    """Return the gateway of a task's job; ``reserved``: repos that the task may not write to."""

    def start(*, listener: socket.socket, first: Iterable[Credentials]) -> JobGateway:
        from s3api.job.server import JobGateway

        return JobGateway(
            store, pipeline=pipeline, inputs=inputs, out=False, reserved=reserved, listener=listener, first=first
        )

    return LazyGateway(start, tuple(inputs))
