"""What one attempt at a datum wrote: objects in memory, as rows, and their bytes in a session of their own.

Nothing of it is visible elsewhere. At the end it is handed over as a whole, or dropped as a whole.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Final, NamedTuple

from pfs.files.fileref import FileRef
from pfs.packs.session import WriteSession
from pfs.store import Store
from pfs.trees.edit import Put, edit
from pfs.trees.page import Changed
from pfs.trees.row import EMPTY_ROOT, MemoryPages
from pfs.trees.tree import Tree
from s3api.errors import S3Error
from s3api.multipart.completion import UPLOAD
from s3api.objects.groupcommit import Write
from s3api.objects.metadata import NO_COMMIT

_SLACK_BYTES: Final = 8 << 20
"""Of pages that nothing refers to any more, beside four times those that are needed."""


class Written(NamedTuple):
    """An object that was written; ``aux`` as in the row of a file."""

    key: bytes
    ref: FileRef
    aux: Mapping[str, object] | None


class Output:
    """The objects of one attempt; thread-safe. Memory: some hundred bytes an object."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._session = store.session()
        self._pages, self._root, self._most_bytes = MemoryPages(), EMPTY_ROOT, _SLACK_BYTES
        self._ended, self._readable = False, True

    def tree(self) -> Tree:
        """Return the objects as they are now."""
        with self._lock:
            return Tree(self._pages, self._root)

    def apply(self, write: Write) -> None:
        """Change the objects, if the write's checks hold; its session is used up, whatever happens.

        Raises:
            S3Error: a check refused it, or the attempt has ended: AccessDenied.
            PfsError: it cannot be stored.
        """
        try:
            with self._lock:
                self._apply(write)
        finally:
            if write.session is not None:
                write.session.abandon()

    def _apply(self, write: Write) -> None:
        if self._ended:
            raise S3Error("AccessDenied", "the datum whose credentials these are has ended")
        tree = Tree(self._pages, self._root)
        for key, check in write.checks:
            check(tree.stat(key, want="file"))
        edits = write.edits if write.choose is None else write.choose(tree)
        if write.session is not None:
            self._readable = False
            self._session.adopt(write.session)
        changed = Changed(NO_COMMIT, self._store.clock_ns())
        self._root = edit(self._pages, self._root, edits, changed=changed, collisions="allow")
        if self._pages.new_bytes > self._most_bytes:
            self._compact()

    def _compact(self) -> None:
        """Make the pages anew: each change leaves some behind that nothing refers to."""
        rows = Tree(self._pages, self._root).scan_prefix()
        puts = [Put(row.key, row.kind, row.size, row.tid, row.aux, changed=row.changed) for row in rows]
        self._pages = MemoryPages()
        self._root = edit(self._pages, EMPTY_ROOT, puts, changed=None, collisions="allow")
        self._most_bytes = 4 * self._pages.new_bytes + _SLACK_BYTES

    def make_readable(self) -> None:
        """Store all that was written so far, so that it can be copied; raises PfsError."""
        with self._lock:
            if not self._readable:
                self._store.index.add(self._session.seal())
                self._readable = True

    def end(self) -> tuple[tuple[Written, ...], WriteSession]:
        """Refuse any further write, and return the objects in the order of their keys with what holds their bytes."""
        with self._lock:
            self._ended = True
            rows = Tree(self._pages, self._root).scan_prefix()
            written = tuple(Written(row.key, FileRef(row.kind, row.size, row.tid), _kept(row.aux)) for row in rows)
            return written, self._session


def _kept(aux: Mapping[str, object] | None) -> Mapping[str, object] | None:
    """Leave out which upload it came by: that differs each time, and nobody asks for it again."""
    return {name: value for name, value in (aux or {}).items() if name != UPLOAD} or None
