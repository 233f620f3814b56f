"""Joining stored files: the result has the chunks that the joined bytes have as one stream.

So append, multipart upload and a plain put of the same bytes give one `tid`. A cut depends on where its chunk began and
on the bytes up to it, and one that more bytes cannot undo is final. Hence from a place where the joined stream and a
part are both cut, the part's chunks are right as they are, except its last one, which only the end of the part ended.
Only from there to the next common cut are bytes read and cut again: about two chunks a seam.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence

from pfs.chunker import ChunkerParams, next_cut
from pfs.files.fileref import FileRef, RefBuilder
from pfs.files.reader import chunk_refs
from pfs.ids import ChunkId, chunk_id
from pfs.packs.session import WriteSession


def concat(session: WriteSession, params: ChunkerParams, parts: Sequence[FileRef]) -> FileRef:
    """Return the file that consists of ``parts``, one after the other; they may lie in the session or the store.

    The chunks at seams are new and go to the session. Memory: two largest chunks, and the pieces in them.

    Raises:
        MissingObjectError, CorruptionError: a chunk at a seam cannot be read.
        InvalidInputError, MissingObjectError: a part is no file, or was purged.
    """
    filled = [part for part in parts if part.size]
    if len(filled) == 1:
        return filled[0]
    window = _Window(session, _pieces(session, filled))
    ref = RefBuilder(session)
    while (first := window.first()) is not None:
        if window.aligned and first.final:
            window.advance(first.size)
            ref.add(first.size, first.id)
        else:
            ref.add(*_cut(window, params, first=first, session=session))
    return ref.finish()


def _cut(window: _Window, params: ChunkerParams, *, first: _Piece, session: WriteSession) -> tuple[int, ChunkId]:
    """Cut one chunk at the front of the window, and store it unless it is a part's own."""
    aligned = window.aligned
    data = window.data(params.max_bytes)
    size = next_cut(data, params, final=window.all_read)
    assert size is not None, "a largest chunk's bytes, or all there are, always give a cut"
    window.advance(size)
    if aligned and size == first.size:
        return first.size, first.id
    chunk = memoryview(data)[:size]
    id = chunk_id(chunk)
    session.put_chunks([(id, chunk)])
    return size, id


class _Piece:
    """A chunk of a part; ``final``: no bytes behind it could move its end, nor can the end of the whole."""

    __slots__ = ("data", "final", "id", "size")

    def __init__(self, size: int, id: ChunkId, *, final: bool) -> None:
        self.size, self.id, self.final = size, id, final
        self.data: bytes | None = None


def _pieces(session: WriteSession, parts: Sequence[FileRef]) -> Iterator[_Piece]:
    for number, part in enumerate(parts, 1):
        for chunk in chunk_refs(session, part):
            inside = chunk.offset + chunk.size < part.size
            yield _Piece(chunk.size, chunk.id, final=inside or number == len(parts))


class _Window:
    """The pieces from the last cut on, as far as they were looked at."""

    def __init__(self, session: WriteSession, pieces: Iterator[_Piece]) -> None:
        self._session = session
        self._pieces = pieces
        self._held: deque[_Piece] = deque()
        self._held_bytes = 0
        self._skip = 0
        self.all_read = False
        """Whether the window reaches to the end of the whole."""

    @property
    def aligned(self) -> bool:
        """Whether the window begins where a piece begins."""
        return self._skip == 0

    def first(self) -> _Piece | None:
        """Return the piece at the front, None at the end."""
        if not self._held:
            self._take()
        return self._held[0] if self._held else None

    def data(self, size: int) -> bytes:
        """Return at least ``size`` bytes from the front, or all there are."""
        while self._held_bytes - self._skip < size and not self.all_read:
            self._take()
        return b"".join(self._bytes(piece) for piece in self._held)[self._skip :]

    def advance(self, size: int) -> None:
        """Move the front on by ``size`` bytes."""
        self._skip += size
        while self._held and self._skip >= self._held[0].size:
            done = self._held.popleft()
            self._held_bytes -= done.size
            self._skip -= done.size

    def _take(self) -> None:
        piece = next(self._pieces, None)
        if piece is None:
            self.all_read = True
            return
        self._held.append(piece)
        self._held_bytes += piece.size

    def _bytes(self, piece: _Piece) -> bytes:
        if piece.data is None:
            piece.data = self._session.chunk(piece.id, piece.size)
        return piece.data
