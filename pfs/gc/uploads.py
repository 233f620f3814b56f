"""Multipart uploads as roots: the content of their parts (docs/format/uploads.md)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import msgspec

from pfs.backends.base import Backend, Entry
from pfs.errors import CorruptionError, NotFoundError
from pfs.structs import ready

PREFIX = "uploads/"
LIFETIME_NS = 7 * 24 * 3600 * 1_000_000_000
"""An upload that is neither completed nor aborted is dropped after this time."""


class UploadedPart(msgspec.Struct, frozen=True):
    """What a part's record says of its content: kind and tid as in a row of a tree."""

    number: int
    kind: int
    tid: bytes


def uploaded_parts(backend: Backend) -> Iterator[UploadedPart]:
    """Yield the parts of all uploads; one read each.

    Raises:
        CorruptionError: a record cannot be read.
    """
    for entry in backend.entries(PREFIX):
        if not entry.name.rpartition("/")[2].partition("-")[0].isdecimal():
            continue  # the record of the upload itself, or of what it became
        try:
            yield msgspec.msgpack.decode(backend.get(entry.name), type=ready(UploadedPart))
        except NotFoundError:
            continue  # completed or aborted since it was listed
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise CorruptionError(entry.name, f"no record of an uploaded part ({error})") from error


def expired_uploads(backend: Backend, now_ns: int) -> list[Entry]:
    """Return the objects of uploads that have been there for 7 days, records without their upload included."""
    uploads: dict[str, list[Entry]] = {}
    for entry in backend.entries(PREFIX):
        uploads.setdefault(entry.name.rpartition("/")[0], []).append(entry)
    gone = (entries for entries in uploads.values() if min(e.modified_ns for e in entries) + LIFETIME_NS < now_ns)
    return [entry for entries in gone for entry in entries]


class OpenUploads(NamedTuple):
    """How many uploads are neither completed nor dropped, and since when the oldest is there, in ns since the epoch."""

    number: int
    oldest_ns: int


def open_uploads(backend: Backend) -> OpenUploads:
    """Return what there is of multipart uploads; one listing."""
    times: dict[str, list[int]] = {}
    completed = set[str]()
    for entry in backend.entries(PREFIX):
        folder, _, name = entry.name.rpartition("/")
        times.setdefault(folder, []).append(entry.modified_ns)
        if name == "completed":
            completed.add(folder)
    oldest = [min(found) for folder, found in times.items() if folder not in completed]
    return OpenUploads(len(oldest), min(oldest, default=0))
