"""Bytes out of one file: as a stream that seeks, or as a range that is fetched ahead."""

from __future__ import annotations

import io
from collections.abc import Generator, Iterable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Final, Protocol

from pfs.errors import InvalidInputError, MissingObjectError
from pfs.files.fileref import Chunks, Content
from pfs.ids import ChunkId
from pfs.packs.manifest import ChunkRef
from pfs.parallel import in_order
from pfs.trees.page import Kind

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

BATCH_BYTES: Final = 4 << 20
"""Bytes that are fetched at once; one chunk at least."""
_AHEAD_BYTES: Final = 16 << 20


class Source(Chunks, Protocol):
    """Chunks that can be fetched many at once: `Objects`."""

    def chunks(self, wanted: Sequence[tuple[ChunkId, int]]) -> list[bytes]:
        """Return the (id, size) chunks in the order given."""


def chunk_refs(chunks: Chunks, content: Content, *, start: int = 0, stop: int | None = None) -> Iterator[ChunkRef]:
    """Yield the chunks that hold the bytes from ``start`` to ``stop`` (default: the end), in order.

    Raises:
        InvalidInputError: it is a directory, or its bytes lie outside of the store.
        MissingObjectError: it was purged.
    """
    end = content.size if stop is None else min(stop, content.size)
    match content.kind:
        case Kind.CHUNKED:
            return chunks.manifest(content.tid).chunks(start, end)
        case Kind.FILE | Kind.SYMLINK:
            return iter([ChunkRef(0, content.size, ChunkId(content.tid))] if start < end else [])
        case Kind.REMOVED:
            raise MissingObjectError(f"content {content.tid.hex()[:12]}", "it was purged from the history")
        case _:
            raise InvalidInputError("only files that are in the store can be read")


def batches(refs: Iterable[ChunkRef], size: int = BATCH_BYTES) -> Iterator[list[ChunkRef]]:
    """Group chunks until each group has ``size`` bytes or more."""
    batch: list[ChunkRef] = []
    held = 0
    for ref in refs:
        batch.append(ref)
        held += ref.size
        if held >= size:
            yield batch
            batch, held = [], 0
    if batch:
        yield batch


def iter_range(
    objects: Source, content: Content, *, start: int = 0, stop: int | None = None, jobs: int = 4
) -> Generator[memoryview, None, None]:
    """Yield the bytes from ``start`` to ``stop``, in order, a chunk or part of one at a time.

    Up to 16 MiB (``jobs`` batches of 4 MiB) are fetched ahead in threads; a range that fits one batch needs none.

    Raises:
        CorruptionError, MissingObjectError, StorageError: as `Objects.chunks`; what was yielded before is right.
    """
    end = content.size if stop is None else min(stop, content.size)
    groups = batches(chunk_refs(objects, content, start=start, stop=end))
    fetch = partial(_fetch, objects, start, end)
    if end - start <= BATCH_BYTES or jobs == 1:
        for group in groups:
            yield from fetch(group)
        return
    from concurrent.futures import ThreadPoolExecutor  # several modules, for much to do alone

    with ThreadPoolExecutor(jobs, "read") as pool:
        depth = max(_AHEAD_BYTES // BATCH_BYTES, 1)
        for pieces in in_order(pool, fetch, groups, depth=min(depth, jobs)):
            yield from pieces


def _fetch(objects: Source, start: int, stop: int, refs: Sequence[ChunkRef]) -> list[memoryview]:
    data = objects.chunks([(ref.id, ref.size) for ref in refs])
    return [
        memoryview(piece)[max(start - ref.offset, 0) : stop - ref.offset] for ref, piece in zip(refs, data, strict=True)
    ]


class FileReader(io.RawIOBase):
    """A stored file as a raw binary stream; one thread, but `read_range` may be called by any.

    It keeps the chunk read last, so that small reads in a row cost one fetch. Errors are those of `Objects`.
    """

    def __init__(self, objects: Source, content: Content) -> None:
        super().__init__()
        self._objects = objects
        self._content = content
        self._position = 0
        self._held: tuple[int, bytes] = (0, b"")

    @property
    def size(self) -> int:
        """Bytes of the file."""
        return self._content.size

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def tell(self) -> int:
        """Return the position in bytes."""
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        """Move, also behind the end, where reads return nothing; return the position."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self.size}[whence]
        if base + offset < 0:
            raise InvalidInputError(f"cannot seek to {base + offset}: files begin at 0")
        self._position = base + offset
        return self._position

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        """Read up to the end of a chunk; 0 at the end of the file."""
        target = memoryview(buffer).cast("B")
        piece = self._at(self._position)[: len(target)]
        target[: len(piece)] = piece
        self._position += len(piece)
        return len(piece)

    def readall(self) -> bytes:
        """Return everything from the position on."""
        data = self.read_range(self._position, self.size)
        self._position += len(data)
        return data

    def read_range(self, start: int, stop: int) -> bytes:
        """Return the bytes from ``start`` to ``stop``, cut short at the end of the file."""
        return b"".join(iter_range(self._objects, self._content, start=max(start, 0), stop=stop, jobs=1))

    def _at(self, position: int) -> memoryview:
        """Return what the chunk at ``position`` holds from there on."""
        offset, data = self._held
        if not offset <= position < offset + len(data):
            ref = next(chunk_refs(self._objects, self._content, start=position, stop=position + 1), None)
            if ref is None:
                return memoryview(b"")
            offset, data = self._held = ref.offset, self._objects.chunk(ref.id, ref.size)
        return memoryview(data)[position - offset :]
