"""What of purged files lies in packs: their chunks and manifests, by the first 8 bytes of the ids."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from pfs.errors import CorruptionError, MissingObjectError
from pfs.packs.manifest import Manifest
from pfs.packs.record import RecordType
from pfs.trees.page import Kind

if TYPE_CHECKING:
    from pfs.packs.objects import Objects

_BATCH = 256
_FOLD = 65_536
Words = npt.NDArray[np.uint64]


class Traces:
    """Collects files that lose their content. Memory: 8 bytes a chunk, some 100 a file of several chunks."""

    def __init__(self) -> None:
        self._chunks: list[bytes] = []
        self._files = set[bytes]()
        self._read = set[bytes]()
        self._words = np.empty(0, "<u8")

    def note(self, kind: int, tid: bytes) -> None:
        """Take in a file, given as in a row of a tree."""
        if kind == Kind.CHUNKED:
            self._files.add(tid)
        else:
            self._chunks.append(tid[:8])
            if len(self._chunks) == _FOLD:
                self._fold([])

    def words(self, objects: Objects) -> Words:
        """Return the words of all chunks and manifests of the files, sorted.

        Reads the manifests that were not read before. Of a damaged one just the part that can be read is known.
        """
        for batch in _batches(sorted(self._files - self._read)):
            self._fold([np.frombuffer(b"".join(batch), "V32"), *_named(objects, batch)])
        self._read |= self._files
        self._fold([])
        return self._words

    def _fold(self, ids: list[npt.NDArray[np.void]]) -> None:
        columns = [np.ascontiguousarray(column).view("<u8")[::4] for column in ids]
        self._words = np.unique(np.concatenate([self._words, np.frombuffer(b"".join(self._chunks), "<u8"), *columns]))
        self._chunks.clear()


def _named(objects: Objects, ids: list[bytes]) -> Iterator[npt.NDArray[np.void]]:
    """Yield the ids that manifests list, those of the leaves below a top one too."""
    for id, blob in _blobs(objects, ids):
        try:
            manifest = Manifest(blob, load=_never, where=f"manifest {id.hex()[:12]}")
        except CorruptionError:
            continue
        yield manifest.id_column
        if manifest.is_top:
            for leaves in _batches(manifest.id_column.tolist()):
                yield from _named(objects, leaves)


def _batches(ids: list[bytes]) -> Iterator[list[bytes]]:
    return (ids[at : at + _BATCH] for at in range(0, len(ids), _BATCH))


def _blobs(objects: Objects, ids: list[bytes]) -> list[tuple[bytes, bytes]]:
    """Return the blobs that can be read; one by one where not all can."""
    try:
        return list(objects.blobs(RecordType.MANIFEST, ids).items())
    except (CorruptionError, MissingObjectError):
        return [one for id in ids for one in _blobs(objects, [id])] if len(ids) > 1 else []


def _never(_: bytes) -> bytes:
    raise AssertionError("its parts are read on their own")
