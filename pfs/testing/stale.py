"""A backend whose listings are of an earlier moment, as object stores' once were.

`Backend` promises list-after-write, and AWS S3 (since December 2020), Google Cloud Storage, Azure, MinIO, and Ceph's
radosgw within a zone keep it. A replica of a zone, a cache between, and servers over Swift may not. What then still
holds is tested in tests/pfs/test_testing_faults.py and said in docs/reliability.md.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence

from pfs.backends.base import Backend, Entry
from pfs.ids import Etag
from pfs.testing.passing import PassingBackend


class StaleBackend(PassingBackend):
    """Passes calls on; from `freeze` to `catch_up`, `entries` tells what there was at `freeze`. Thread-safe.

    What is read by its name is always the newest, unless ``reads``: then `read` gives the bodies of that moment as
    well, which no server may do that keeps the protocol's promises: a swap on them fails.
    """

    def __init__(self, backend: Backend, *, reads: bool = False) -> None:
        super().__init__(backend)
        self._reads = reads
        self._lock = threading.Lock()
        self._listed: Sequence[Entry] | None = None
        self._bodies: dict[str, tuple[bytes, Etag]] = {}

    def freeze(self) -> None:
        """Hold the present moment fast; memory: all entries, and with ``reads`` all bodies."""
        listed = list(self._backend.entries(""))
        found = {entry.name: self._backend.read(entry.name) for entry in listed} if self._reads else {}
        with self._lock:
            self._listed = listed
            self._bodies = {name: body for name, body in found.items() if body is not None}

    def catch_up(self) -> None:
        """Show what there is."""
        with self._lock:
            self._listed, self._bodies = None, {}

    def entries(self, prefix: str) -> Iterator[Entry]:
        """See base.Backend; of the moment of `freeze`."""
        listed = self._listed
        if listed is None:
            return self._backend.entries(prefix)
        return (entry for entry in listed if entry.name.startswith(prefix))

    def read(self, name: str) -> tuple[bytes, Etag] | None:
        """See base.Backend; with ``reads`` of the moment of `freeze`."""
        if self._reads and self._listed is not None:
            return self._bodies.get(name)
        return self._backend.read(name)
