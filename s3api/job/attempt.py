"""One attempt at a datum, as the gateway knows it: its credentials, what it has read, what it has written."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pfs.keys import Key
from pfs.packs.session import WriteSession
from pfs.trees.observed import Notes, Observed
from s3api.job.credentials import Credentials, new_credentials
from s3api.job.output import Output, Written
from s3api.job.task_output import TaskOutputs


@dataclass(frozen=True, slots=True)
class Attempt:
    """What one attempt may do and did. ``notes``: what it asked of each input; ``output`` None: it may write nothing.

    ``branch``: a name of its own, that no branch has. ``buckets``: what a task writes, in place of ``output``.
    """

    key: Key
    secret: str
    notes: Mapping[str, Notes]
    output: Output | None
    branch: str
    buckets: TaskOutputs | None = None


@dataclass(frozen=True, slots=True)
class Traffic:
    """What an attempt did in the end: the objects that it wrote, with ``session`` for their bytes, and what it read.

    The keys of objects that a task wrote begin with the bucket. Of an input that was read in a way that cannot be
    noted, or too much, ``reads`` has None.
    """

    written: Sequence[Written]
    session: WriteSession | None
    reads: Mapping[str, Observed | None]


class Attempts:
    """The attempts that run now, by their access keys; thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._now: dict[str, Attempt] = {}

    def begin(
        self,
        inputs: Sequence[str],
        output: Output | None,
        *,
        buckets: TaskOutputs | None = None,
        credentials: Credentials | None = None,
    ) -> Attempt:
        """Let an attempt in, with new credentials unless it has some."""
        access_key, secret = credentials or new_credentials()
        key = Key("datum", access_key, "writer", ())
        branch = f".s3-{secrets.token_hex(8)}"
        attempt = Attempt(key, secret, {name: Notes() for name in inputs}, output, branch, buckets)
        with self._lock:
            self._now[key.access_key] = attempt
        return attempt

    def of(self, key: Key) -> Attempt | None:
        """Return the attempt that a key is of."""
        return self._now.get(key.access_key)

    def find(self, access_key: str) -> tuple[Key, str] | None:
        """Return key and secret, while the attempt runs."""
        attempt = self._now.get(access_key)
        return None if attempt is None else (attempt.key, attempt.secret)

    def end(self, attempt: Attempt) -> Traffic:
        """Take the credentials back, wait for the write under way, and return what the attempt did; once."""
        with self._lock:
            self._now.pop(attempt.key.access_key, None)
        reads = {name: notes.observed() for name, notes in attempt.notes.items()}
        output = attempt.buckets or attempt.output
        if output is None:
            return Traffic((), None, reads)
        written, session = output.end()
        return Traffic(written, session, reads)
