"""Files behind URLs as sources: several transfers at once, their results in the order of the list."""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from itertools import chain, islice
from typing import Final

from pfs.changes.writer import CommitWriter, file_key
from pfs.files.described import is_media_type, kept_metadata
from pfs.files.progress import SharedProgress
from pfs.intake.how import PutHow
from pfs.sources.remote import Fetched, RemoteFile
from pfs.trees.edit import Put

TRANSFERS: Final = 8
"""Transfers at once, unless told otherwise: they wait for the other side more than they work."""


def fetch(writer: CommitWriter, how: PutHow, named: Iterable[tuple[str, RemoteFile]]) -> Generator[Put, None, None]:
    """Store files behind URLs, given with their paths, and yield the edits that put them, in their order.

    ``how.jobs`` at once, 8 or one a core by default. Memory: two buffers of some 4 MiB each. When the caller stops, or
    a transfer fails, the others end at their next bytes.

    Raises:
        InvalidInputError: a path that is none. NotFoundError: nothing is there.
        StorageError: it cannot be read to its end, or not stored.
    """
    source = iter(named)
    first = list(islice(source, 2))
    work = _Work(writer, how)
    if len(first) == 1:
        yield work.put(*first[0], jobs=how.jobs)
        return
    jobs = how.jobs or max(TRANSFERS, os.cpu_count() or 1)
    waiting: deque[Future[Put]] = deque()
    with ThreadPoolExecutor(jobs, "fetch") as pool:
        try:
            for path, file in chain(first, source):
                waiting.append(pool.submit(work.put, path, file, jobs=1))
                if len(waiting) > jobs:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            work.stop.set()  # at the end nothing is under way that it could stop
            for future in waiting:
                future.cancel()
            wait(waiting)


class _Work:
    """What all transfers share."""

    def __init__(self, writer: CommitWriter, how: PutHow) -> None:
        self._writer = writer
        self._progress = None if how.progress is None else SharedProgress(how.progress)
        self.stop = threading.Event()

    def put(self, path: str, file: RemoteFile, *, jobs: int | None) -> Put:
        key = file_key(path)
        with file.open(self.stop) as fetched:
            ref = self._writer.local.stream(fetched.stream, jobs=jobs, progress=self._progress)
        return Put(key, ref.kind, ref.size, ref.tid, _said(fetched) or None)


def _said(fetched: Fetched) -> dict[str, object]:
    """Return what the other side says of a file, as far as it can be kept."""
    said: dict[str, object] = {}
    if fetched.mime is not None and is_media_type(fetched.mime):
        said["m"] = fetched.mime
    metadata = kept_metadata(fetched.metadata)
    if metadata:
        said["u"] = metadata
    return said
