"""One version of an object, or a delete marker: what a listing shows of it, and how it is kept in the index."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import msgspec

from pfs.ids import CommitId
from pfs.trees.diff import Change
from pfs.trees.row import Row
from s3api.objects.metadata import checksums_of, etag_of, is_object, modified_ns, version_of


@dataclass(frozen=True, slots=True)
class Version:
    """A version, or a delete ``marker``, which has no bytes; ``algorithms`` of checksums are in upper case."""

    key: bytes
    id: str
    modified_ns: int
    marker: bool = False
    size: int = 0
    etag: str = ""
    algorithms: tuple[str, ...] = ()
    checksum_type: str = ""


class Event(NamedTuple):
    """A version where it stands: by key, then the newest first; ``age`` grows from new to old."""

    key: bytes
    age: int
    version: Version


class _Kept(msgspec.Struct, frozen=True, array_like=True):
    modified_ns: int
    size: int
    etag: str
    algorithms: tuple[str, ...] = ()
    checksum_type: str = ""


_NO_SIZE = -1
"""Of a delete marker."""
_ENCODER = msgspec.msgpack.Encoder()
_DECODER = msgspec.msgpack.Decoder(_Kept)


def version_of_row(row: Row, commit: CommitId) -> Version:
    """Return the version that a row of a commit shows."""
    checksums = checksums_of(row.aux)
    kind = checksums.pop("type", "")
    algorithms = tuple(name.upper() for name in checksums)
    return Version(
        row.key, version_of(row) or commit, modified_ns(row), False, row.size, etag_of(row), algorithms, kind
    )


def version_of_change(change: Change, commit: CommitId, finished_ns: int) -> Version | None:
    """Return what a change in a commit is to S3: a version, a delete marker, or nothing, as with links."""
    if change.new is not None and is_object(change.new):
        return version_of_row(change.new, commit)
    if change.old is not None and is_object(change.old):
        return Version(change.key, commit, finished_ns, marker=True)
    return None


def encode_version(version: Version) -> bytes:
    """Return all but key and id as msgpack."""
    size = _NO_SIZE if version.marker else version.size
    return _ENCODER.encode(_Kept(version.modified_ns, size, version.etag, version.algorithms, version.checksum_type))


def decode_version(key: bytes, id: str, data: bytes) -> Version:
    """Return the version that was encoded."""
    kept = _DECODER.decode(data)
    marker = kept.size == _NO_SIZE
    size = 0 if marker else kept.size
    return Version(key, id, kept.modified_ns, marker, size, kept.etag, kept.algorithms, kept.checksum_type)
