"""Content that is stored and waits for a row: kind, size and id, and how a chunk list becomes one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from msgspec import Struct

from pfs.backends.base import Buffer
from pfs.ids import EMPTY_CHUNK, ChunkId, ManifestId, TreeId, chunk_id
from pfs.packs.manifest import Manifest, ManifestBuilder
from pfs.trees.page import Kind


class FileRef(Struct, frozen=True):
    """What a row needs to point at bytes: FILE with the id of its one chunk, or CHUNKED with that of its manifest."""

    kind: Kind
    size: int
    tid: TreeId


EMPTY_FILE = FileRef(Kind.FILE, 0, TreeId(EMPTY_CHUNK))
"""The file without bytes; nothing is stored of it."""


class Content(Protocol):
    """What can be read: a FileRef, or a row of a tree."""

    @property
    def kind(self) -> Kind:
        """FILE or CHUNKED."""

    @property
    def size(self) -> int:
        """Bytes."""

    @property
    def tid(self) -> TreeId:
        """Id of the chunk or manifest."""


class Chunks(Protocol):
    """Where stored bytes come from: `Objects`, or a `WriteSession` with what it has not sealed yet."""

    def chunk(self, id: ChunkId, size: int) -> bytes:
        """Return a chunk of ``size`` bytes."""

    def manifest(self, tid: TreeId) -> Manifest:
        """Return the chunk list of a file of several chunks."""


class ManifestSink(Protocol):
    """Where the blobs of manifests go."""

    def put_manifest_blob(self, mid: ManifestId, blob: bytes) -> None:
        """Store one blob."""


class ChunkSink(Protocol):
    """Where chunks go."""

    def put_chunks(self, batch: Sequence[tuple[ChunkId, Buffer]]) -> int:
        """Store chunks, given as (id, bytes)."""


def put_link(sink: ChunkSink, text: bytes) -> FileRef:
    """Store a symbolic link: its content is the path that it points to."""
    id = chunk_id(text)
    sink.put_chunks([(id, text)])
    return FileRef(Kind.SYMLINK, len(text), TreeId(id))


class RefBuilder:
    """Makes the FileRef of a file whose chunks come in order; memory of one manifest leaf, whatever the size."""

    def __init__(self, sink: ManifestSink) -> None:
        self._manifest = ManifestBuilder(sink.put_manifest_blob)
        self._count = 0
        self._size = 0
        self._first = EMPTY_CHUNK

    def add(self, size: int, chunk: ChunkId) -> None:
        """Append a chunk of ``size`` bytes."""
        if self._count == 0:
            self._first = chunk
        self._manifest.add(size, chunk)
        self._count += 1
        self._size += size

    def finish(self) -> FileRef:
        """Store the manifest if there are several chunks, and return the whole; the builder is used up."""
        if self._count <= 1:
            return FileRef(Kind.FILE, self._size, TreeId(self._first))
        return FileRef(Kind.CHUNKED, self._size, TreeId(self._manifest.finish()))
