"""A store's lower half for tests: backend, index and objects, without repos."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np

from pfs.backends.base import Backend
from pfs.backends.memory import MemoryBackend
from pfs.chunker import ChunkerParams, cut_points
from pfs.files.fileref import Content, FileRef
from pfs.files.reader import iter_range
from pfs.ids import ChunkId, chunk_id
from pfs.packs.index import Index
from pfs.packs.manifest import encode
from pfs.packs.objects import Objects
from pfs.packs.session import WriteSession
from pfs.parallel import Uploads
from pfs.spans import Spans
from pfs.trees.page import Kind

SMALL = ChunkerParams(65536)
"""Chunks of 32 to 256 KiB: the smallest there are, so that tests need little data."""


class World:
    """Sessions write to it, and what was committed is read back; `below` sees the raw objects past all wrappers."""

    def __init__(self, directory: Path, backend: Backend | None = None) -> None:
        self.backend: Backend = MemoryBackend() if backend is None else backend
        self.index = Index.open(directory / "index", store_uuid="test")
        self.objects = Objects(self.backend, self.index, on_missing=lambda: False)

    def session(self, backend: Backend | None = None, *, background: Uploads | None = None) -> WriteSession:
        return WriteSession(backend or self.backend, self.index, self.objects, background=background)

    def commit(self, session: WriteSession) -> None:
        self.index.add(session.seal())

    def read(self, content: Content) -> bytes:
        return b"".join(iter_range(self.objects, content, jobs=2))


def noise(size: int, seed: int = 0) -> bytes:
    return np.random.default_rng(seed).integers(0, 256, size, dtype=np.uint8).tobytes()


def text(size: int, seed: int = 0) -> bytes:
    words = np.random.default_rng(seed).integers(0, 10_000, size // 5 + 1)
    return b" ".join(b"%d" % word for word in words.tolist()).ljust(size, b".")[:size]


def with_ids(chunks: Sequence[bytes]) -> list[tuple[ChunkId, bytes]]:
    return [(chunk_id(chunk), chunk) for chunk in chunks]


def as_spans(chunks: Sequence[bytes]) -> Spans:
    """The chunks in one buffer, with gaps between them."""
    data = b"..".join(chunks)
    lengths = np.array([len(chunk) for chunk in chunks], np.int64)
    offsets = np.cumsum(lengths + 2) - lengths - 2
    ids = np.frombuffer(b"".join(map(chunk_id, chunks)), np.uint8).reshape(-1, 32)
    return Spans(memoryview(data), offsets, lengths, ids)


def finds_blocks(place: Path) -> bool:
    """Whether blocks for large files below ``place`` are found ahead: ext4 with room, and a module that can."""
    try:
        from pfs import _batch
    except ImportError:
        return False
    told = subprocess.run(["stat", "-f", "-c", "%t", place], capture_output=True, text=True, check=False).stdout
    free = os.statvfs(place)
    return told.strip() == "ef53" and hasattr(_batch, "reserve") and free.f_bavail * free.f_frsize > 2 << 30


def expected_ref(data: bytes, params: ChunkerParams = SMALL) -> FileRef:
    """The content of ``data`` by the definition: the whole is cut at once."""
    starts = [0, *cut_points(data, params)]
    chunks = [data[start:stop] for start, stop in pairwise(starts)]
    listed = [(len(chunk), chunk_id(chunk)) for chunk in chunks]
    if len(listed) > 1:
        return FileRef(Kind.CHUNKED, len(data), encode(listed)[-1][0])  # type: ignore[arg-type]  # a manifest id is a tid
    return FileRef(Kind.FILE, len(data), chunk_id(data))  # type: ignore[arg-type]  # and so is a chunk id
