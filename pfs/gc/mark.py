"""Marking: walking everything that roots lead to, each page and manifest once.

What is found goes into a set of id prefixes (`Marker.live`). Pages and manifests are read in batches, in order of
place; what was read before is passed over, so marking a thousand commits costs what they differ in.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

from pfs.gc.idset import KEY, IdSet, Scratch, keys, prefixes
from pfs.packs.manifest import Manifest
from pfs.packs.pack import RecordType
from pfs.trees.page import Kind, Page
from pfs.trees.row import EMPTY_ROOT, Root

if TYPE_CHECKING:
    from pfs.files.progress import Progress
    from pfs.packs.objects import Objects

_BATCH: Final = 256
"""Pages (some 16 KiB each) or manifest blobs read at once."""
_ID: Final = np.dtype("V32")

Ids = npt.NDArray[np.void]


class Marker:
    """What is live, as far as it was walked. One thread.

    Memory: 8 bytes an id and 24 a page or manifest, beyond some 200 MiB on disk (`Scratch`). Damage ends it: what lies
    behind an object that cannot be read is not known, so nothing may be deleted.
    """

    def __init__(
        self,
        objects: Objects,
        scratch: Scratch,
        *,
        progress: Progress | None = None,
        alive: Callable[[], None] = lambda: None,
    ) -> None:
        """``alive`` is called now and then, and may raise to end the walk."""
        self._objects, self._progress, self._alive = objects, progress, alive
        self.live = IdSet(scratch)
        """Prefixes of the ids of live chunks, pages, manifest blobs and commit records."""
        self._walked = {RecordType.PAGE: IdSet(scratch, KEY), RecordType.MANIFEST: IdSet(scratch, KEY)}
        self._todo: dict[RecordType, list[Ids]] = {RecordType.PAGE: [], RecordType.MANIFEST: []}
        self.read_bytes = 0
        """Bytes of pages and manifests that were read."""

    def tree(self, root: Root) -> None:
        """Add a tree as a root; it is walked by `walk`."""
        if root != EMPTY_ROOT:
            self._queue(RecordType.PAGE, np.frombuffer(root.pid, _ID))

    def file(self, kind: int, tid: bytes) -> None:
        """Add a file as a root, given as in a row of a tree."""
        self._files(np.array([kind], np.uint8), np.frombuffer(tid, _ID))

    def record(self, id: bytes) -> None:
        """Add a commit record; not what it leads to."""
        self.live.add(prefixes(np.frombuffer(id, _ID)))

    def walk(self) -> None:
        """Read what the roots lead to and was not read before.

        Raises:
            CorruptionError, MissingObjectError: something of it is damaged or gone; the marker is of no use then.
            StorageError: it cannot be read.
        """
        while any(self._todo.values()):
            # Manifests first: few are waiting then, while pages lead to more of both.
            kind = RecordType.MANIFEST if self._todo[RecordType.MANIFEST] else RecordType.PAGE
            self._read(kind, self._next(kind))
            self._alive()

    def _next(self, kind: RecordType) -> Ids:
        """Take a batch of ids that are waiting, the latest first, so that few wait."""
        taken, waiting = list[Ids](), self._todo[kind]
        room = _BATCH
        while room and waiting:
            ids = waiting.pop()
            if len(ids) > room:
                waiting.append(ids[room:])
            taken.append(ids[:room])
            room -= len(taken[-1])
        return np.concatenate(taken)

    def _queue(self, kind: RecordType, ids: Ids) -> None:
        fresh = ids[self._walked[kind].add_new(keys(ids))]
        if len(fresh):
            self.live.add(prefixes(fresh))
            self._todo[kind].append(fresh)

    def _read(self, kind: RecordType, ids: Ids) -> None:
        blobs = self._objects.blobs(kind, ids.tolist())
        if kind is RecordType.PAGE:
            self._pages([Page(data, where=f"page {id.hex()[:12]}") for id, data in blobs.items()])
        else:
            self._manifests([_manifest(id, data) for id, data in blobs.items()])
        size = sum(map(len, blobs.values()))
        self.read_bytes += size
        if self._progress is not None:
            self._progress.advance(files=len(blobs), size=size)

    def _pages(self, pages: list[Page]) -> None:
        children = [page.child_pids for page in pages if len(page.sparse)]
        if children:
            self._queue(RecordType.PAGE, np.concatenate(children))
        leaves = [page for page in pages if not page.level and page.count]
        if leaves:
            tids = np.concatenate([page.tids for page in leaves]).view(_ID).reshape(-1)
            self._files(np.concatenate([page.kinds for page in leaves]), tids)

    def _files(self, kinds: npt.NDArray[np.uint8], tids: Ids) -> None:
        self.live.add(prefixes(tids[(kinds == Kind.FILE) | (kinds == Kind.SYMLINK)]))
        chunked = tids[kinds == Kind.CHUNKED]
        if len(chunked):
            self._queue(RecordType.MANIFEST, chunked)

    def _manifests(self, manifests: list[Manifest]) -> None:
        for manifest in manifests:
            if manifest.is_top:
                self._queue(RecordType.MANIFEST, manifest.id_column)
        lists = [manifest.id_column for manifest in manifests if not manifest.is_top]
        if lists:
            self.live.add(prefixes(np.concatenate(lists)))


def _manifest(id: bytes, data: bytes) -> Manifest:
    def load(_: bytes) -> bytes:
        raise AssertionError("its parts are walked on their own")

    return Manifest(data, load=load, where=f"manifest {id.hex()[:12]}")
