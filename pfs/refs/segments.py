"""The list of index segments: one object, replaced by compare-and-swap (docs/format/index-segment.md).

A cache, as the segments are: who finds it lost, damaged or another by now goes on without, and reads footers.
"""

from __future__ import annotations

import uuid
from typing import Final

import msgspec
from msgspec.structs import replace

from pfs.backends.base import Backend
from pfs.errors import BranchMovedError, CorruptionError, StorageError
from pfs.ids import Etag
from pfs.packs.segment import segment_name
from pfs.refs.signed import decode_signed, encode_signed

MANIFEST: Final = "idx/manifest.json"
SEGMENTS: Final = "idx/"
VERSION: Final = 1


class SegmentRow(msgspec.Struct, frozen=True, kw_only=True):
    """One segment: id in hex, level, what it has, bytes of the object; ``newest``: the last pack id in it, in hex."""

    id: str
    level: int
    packs: int
    entries: int
    size: int
    newest: str

    @property
    def name(self) -> str:
        """The object's name."""
        return segment_name(bytes.fromhex(self.id), self.level)


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """The segments that count, by their newest pack."""

    v: int = VERSION
    segments: tuple[SegmentRow, ...] = ()
    wid: str = ""
    extra: dict[str, object] = {}


def read_manifest(backend: Backend) -> tuple[Manifest, Etag | None]:
    """Return the list and the etag that a swap of it must name; an empty one where it is lost or damaged.

    Raises:
        InvalidInputError: a newer release wrote it.
        StorageError: it cannot be read.
    """
    found = backend.read(MANIFEST)
    if found is None:
        return Manifest(), None
    try:
        what = "a list of index segments"
        manifest = decode_signed(found[0], Manifest, where=MANIFEST, what=what, version=VERSION, required=("v", "wid"))
    except CorruptionError:
        return Manifest(), found[1]
    return manifest, found[1]


def swap_manifest(backend: Backend, etag: Etag | None, segments: tuple[SegmentRow, ...], *, old: Manifest) -> bool:
    """Replace the list that has ``etag``; False, changing nothing, when another was first. Knows a lost reply.

    Raises:
        StorageError: whether it landed is not known.
    """
    wid = uuid.uuid4().hex
    ordered = tuple(sorted(segments, key=lambda row: row.newest))
    data = encode_signed(replace(old, v=VERSION, segments=ordered, wid=wid))
    try:
        backend.swap(MANIFEST, etag, data)
    except (BranchMovedError, StorageError) as error:
        if read_manifest(backend)[0].wid == wid:
            return True
        if isinstance(error, BranchMovedError):
            return False
        raise
    return True
