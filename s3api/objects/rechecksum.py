"""A checksum of an object that is stored already: the kept one, or computed by reading it."""

from __future__ import annotations

from pfs.files.reader import iter_range
from pfs.packs.objects import Objects
from pfs.trees.tree import Row
from s3api.bodies.checksums import encode, new_digest
from s3api.objects.metadata import checksums_of


def full_checksum(objects: Objects, row: Row, name: str) -> str:
    """Return the checksum ``name`` of all bytes of an object; reads them unless it was kept.

    Raises:
        CorruptionError, MissingObjectError, StorageError: the bytes cannot be read.
    """
    kept = checksums_of(row.aux)
    if name in kept and kept.get("type") != "COMPOSITE":
        return kept[name]
    digest = new_digest(name)
    for piece in iter_range(objects, row, jobs=1):
        digest.update(piece)
    return encode(digest.digest())
