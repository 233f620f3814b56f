"""Multipart uploads in the store: ``uploads/<repo>/<id>/`` holds one record of the upload and one of each part.

Parts are chunks and manifests like any other content, sealed before their record is written; records are written once,
a part that is sent again has a newer record. So uploads survive restarts, parts may come out of order and in parallel,
and every process of a gateway sees the same. Thread-safe.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator
from itertools import groupby
from typing import TypeVar

import msgspec

from pfs.backends.base import Backend
from pfs.errors import NotFoundError
from pfs.gc.uploads import expired_uploads
from pfs.ids import CommitId
from pfs.structs import ready
from s3api.bodies.checksums import ChecksumType
from s3api.errors import S3Error

MAX_PARTS = 10_000
MIN_PART_BYTES = 5 << 20
_ID = re.compile(r"[0-9a-f]{32}")
T = TypeVar("T")
_UPLOAD = "upload"
_COMPLETED = "completed"
_COMPLETING = "completing"


class Upload(msgspec.Struct, frozen=True):
    """An upload that was begun; ``aux`` is that of the object to be. Stored as msgpack.

    ``born_ns`` is when its repo was made: it is not of a later repo of the same name.
    """

    id: str
    repo: str
    branch: str
    key: bytes
    created_ns: int
    initiator: str
    aux: dict[str, object]
    algorithm: str | None
    checksum_type: ChecksumType
    born_ns: int = 0
    v: int = 1


class Completed(msgspec.Struct, frozen=True):
    """What an upload became: the object's ``aux``, and the commit (None: it changed nothing). Stored as msgpack."""

    repo: str
    id: str
    branch: str
    key: bytes
    born_ns: int
    aux: dict[str, object]
    version: str | None
    v: int = 1


class Completing(msgspec.Struct, frozen=True):
    """When an upload was first about to be committed: the branch's head then (None: it had none). Stored as msgpack."""

    head: CommitId | None
    started_ns: int
    v: int = 1


class Part(msgspec.Struct, frozen=True):
    """A part that was stored: its content as in a tree's row, the packs that hold what was new. Stored as msgpack."""

    number: int
    kind: int
    size: int
    tid: bytes
    md5: str
    checksums: dict[str, str]
    modified_ns: int
    packs: list[bytes]
    seen_gen: int = 0
    v: int = 1


class Uploads:
    """The uploads of a store."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    def create(self, upload: Upload) -> None:
        """Record a new upload, durably."""
        self._backend.put_new(_name(upload.repo, upload.id, _UPLOAD), msgspec.msgpack.encode(upload))

    def get(self, repo: str, upload_id: str) -> Upload:
        """Return an upload.

        Raises:
            S3Error: NoSuchUpload.
        """
        if _ID.fullmatch(upload_id):
            found = self._read(_name(repo, upload_id, _UPLOAD), Upload)
            if found is not None:
                return found
        raise S3Error("NoSuchUpload", fields={"UploadId": upload_id})

    def begin_completion(self, upload: Upload, mine: Completing) -> Completing:
        """Record, durably, that an upload is about to be committed; return the first such record, ``mine`` or another.

        Raises:
            S3Error: NoSuchUpload; it ended meanwhile.
        """
        name = _name(upload.repo, upload.id, _COMPLETING)
        if self._backend.put_new(name, msgspec.msgpack.encode(mine)):
            return mine
        found = self._read(name, Completing)
        if found is None:
            raise S3Error("NoSuchUpload", fields={"UploadId": upload.id})
        return found

    def complete(self, upload: Upload, done: Completed) -> None:
        """Record what an upload became, durably, then forget the upload."""
        self.record(done)
        self.remove(upload)

    def record(self, done: Completed) -> None:
        """Record what an upload became, durably."""
        self._backend.put_new(_name(done.repo, done.id, _COMPLETED), msgspec.msgpack.encode(done))

    def completed(self, repo: str, upload_id: str) -> Completed | None:
        """Return what an upload became, if it was completed within the last 7 days."""
        return self._read(_name(repo, upload_id, _COMPLETED), Completed) if _ID.fullmatch(upload_id) else None

    def put_part(self, upload: Upload, part: Part) -> None:
        """Record a part, durably; of two with one number the later one counts.

        Raises:
            S3Error: NoSuchUpload; it was completed or aborted meanwhile.
        """
        name = f"{part.number:05d}-{part.modified_ns:020d}-{uuid.uuid4().hex[:8]}"
        self._backend.put_new(_name(upload.repo, upload.id, name), msgspec.msgpack.encode(part))
        try:
            self.get(upload.repo, upload.id)
        except S3Error:
            self._backend.delete_many([_name(upload.repo, upload.id, name)])
            raise

    def parts(self, upload: Upload) -> dict[int, Part]:
        """Return the parts by number, ascending."""
        newest: dict[int, str] = {}
        for name in self._names(upload.repo, upload.id):
            number = name.rpartition("/")[2].partition("-")[0]
            if number.isdecimal():
                newest[int(number)] = name
        found = ((number, self._read(name, Part)) for number, name in sorted(newest.items()))
        return {number: part for number, part in found if part is not None}

    def list(self, repo: str) -> list[Upload]:
        """Return the uploads of a repo by key, then by age."""
        names = [
            entry.name for entry in self._backend.entries(f"uploads/{repo}/") if entry.name.endswith("/" + _UPLOAD)
        ]
        found = (self._read(name, Upload) for name in names)
        return sorted((one for one in found if one is not None), key=lambda one: (one.key, one.created_ns, one.id))

    def remove(self, upload: Upload | Completed) -> None:
        """Forget an upload but for what it became: first its record, so that nobody sees a half of it.

        Chunks are left to collection.
        """
        self.hide(upload)
        names = self._names(upload.repo, upload.id)
        self._backend.delete_many([name for name in names if not name.endswith("/" + _COMPLETED)])

    def hide(self, upload: Upload | Completed) -> None:
        """End an upload for all who ask for it; its parts stay, and what they hold."""
        self._backend.delete_many([_name(upload.repo, upload.id, _UPLOAD)])

    def drop(self, upload: Upload) -> None:
        """Forget an upload, and what it became."""
        self.hide(upload)
        self._backend.delete_many(list(self._names(upload.repo, upload.id)))

    def expire(self, now_ns: int) -> int:
        """Remove what has been there for 7 days, records without their upload included; return how many objects.

        And what a server that was killed had left of uploads that were completed.
        """
        gone = {entry.name for entry in expired_uploads(self._backend, now_ns)}
        gone.update(self._left_over())
        if gone:
            self._backend.delete_many(sorted(gone))
        return len(gone)

    def _left_over(self) -> Iterator[str]:
        """Yield what there is of uploads that were completed, but for what they became."""
        for _, group in groupby(self._backend.entries("uploads/"), key=lambda entry: entry.name.rpartition("/")[0]):
            names = [entry.name for entry in group]
            if any(name.endswith("/" + _COMPLETED) for name in names):
                yield from (name for name in names if not name.endswith("/" + _COMPLETED))

    def _names(self, repo: str, upload_id: str) -> Iterator[str]:
        return (entry.name for entry in self._backend.entries(f"uploads/{repo}/{upload_id}/"))

    def _read(self, name: str, form: type[T]) -> T | None:
        try:
            data = self._backend.get(name)
        except NotFoundError:
            return None
        return msgspec.msgpack.decode(data, type=ready(form))


def new_upload_id() -> str:
    """Return a fresh upload id."""
    return uuid.uuid4().hex


def _name(repo: str, upload_id: str, last: str) -> str:
    return f"uploads/{repo}/{upload_id}/{last}"
