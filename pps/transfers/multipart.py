"""Objects sent in parts: several at a time, and those that an earlier try sent are found and left out."""

from __future__ import annotations

import hashlib
import threading
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final, NamedTuple
from urllib.parse import unquote_plus
from xml.sax.saxutils import escape

from pfs.errors import NotFoundError, PfsError, StorageError
from pps.transfers.checksums import check_arrived, composite, crc32c_text
from pps.transfers.listing import entries
from pps.transfers.place import Pieces
from pps.transfers.room import Room
from pps.transfers.wire import Answer, Request, Wire, code_and_words

LEAST_PART: Final = 8 << 20
MOST_PARTS: Final = 10_000
_MIB: Final = 1 << 20
_TOGETHER: Final = 8
_AHEAD: Final = 4
"""Parts of one object that are read before those in front have arrived."""
_KEPT: Final = 10_000
"""Unfinished uploads that are remembered of a listing."""


class _Part(NamedTuple):
    number: int
    etag: str
    checksum: str = ""


class Done(NamedTuple):
    """An object that was sent: its headers, its size, and whether an upload was gone on with."""

    head: Answer
    size: int
    resumed: bool


@dataclass(slots=True)
class _Upload:
    """One upload: what is there of it already, by number, and whether the server knows checksums."""

    key: str
    id: str
    there: Mapping[int, tuple[int, str]] = field(default_factory=dict)
    resumed: bool = False


def part_bytes(size: int) -> int:
    """Return the size of the parts of an object: 8 MiB, or as many MiB as make 10,000 parts of it."""
    least = -(-size // MOST_PARTS)
    return max(LEAST_PART, -(-least // _MIB) * _MIB)


def parts_of(pieces: Pieces, size: int) -> Iterator[bytes]:
    """Yield bytes in parts of ``size``; the last may be smaller. Memory: a part."""
    waiting: list[bytes | memoryview] = []
    held = 0
    for piece in pieces:
        view = memoryview(piece)
        while held + len(view) >= size:
            cut = size - held
            yield b"".join([*waiting, view[:cut]])
            waiting, held, view = [], 0, view[cut:]
        if view:
            waiting.append(view)
            held += len(view)
    if held:
        yield b"".join(waiting)


class Uploads:
    """The uploads of one bucket below a prefix; thread-safe."""

    def __init__(self, wire: Wire, bucket: str, prefix: str, *, room: Room) -> None:
        self._wire, self._bucket, self._prefix, self._room = wire, bucket, prefix, room
        self._lock = threading.Lock()
        self._left: dict[str, str] | None = None
        self._open: dict[str, str] = {}
        self._pool: ThreadPoolExecutor | None = None

    def send(self, key: str, parts: Iterable[bytes], *, headers: Mapping[str, str]) -> Done:
        """Send an object in parts.

        When it fails, what was sent waits for the next call, of this process or another, until `abandon`.
        """
        upload = self._begin(key, headers)
        sent: list[_Part] = []
        total = 0
        flying: deque[Future[_Part]] = deque()
        try:
            for number, body in enumerate(parts, 1):
                total += len(body)
                flying.append(self._launch(upload, number, body))
                del body
                while len(flying) > _AHEAD:
                    sent.append(flying.popleft().result())
            while flying:
                sent.append(flying.popleft().result())
        finally:
            for one in flying:
                one.cancel()
            wait(flying)
        return Done(self._complete(upload, sent, total), total, upload.resumed)

    def _launch(self, upload: _Upload, number: int, body: bytes) -> Future[_Part]:
        known = upload.there.get(number)
        if known is not None and known == (len(body), hashlib.md5(body, usedforsecurity=False).hexdigest()):
            return _done(_Part(number, known[1]))
        taken = self._room.take(len(body))
        future = self._threads().submit(self._part, upload, number, body)
        # By the part itself, not by who waits for it: that one may be waiting for room.
        future.add_done_callback(lambda _: self._room.give(taken))
        return future

    def _threads(self) -> ThreadPoolExecutor:
        with self._lock:
            if self._pool is None:
                self._pool = ThreadPoolExecutor(_TOGETHER, thread_name_prefix="part")
            return self._pool

    def _part(self, upload: _Upload, number: int, body: bytes) -> _Part:
        shown = f"write part {number} of {self._shown(upload.key)}"
        query = {"partNumber": str(number), "uploadId": upload.id}
        checksum = crc32c_text(body)
        request = Request("PUT", self._bucket, upload.key, shown, query, {"x-amz-checksum-crc32c": checksum}, body)
        answer = self._wire.send(request)
        check_arrived(answer, body, checksum, shown)
        return _Part(number, answer.etag, answer.headers.get("x-amz-checksum-crc32c", ""))

    def _begin(self, key: str, headers: Mapping[str, str]) -> _Upload:
        left = self._open.get(key) or self._unfinished().pop(key, None)
        if left is not None:
            there = self._sent_parts(key, left)
            if there is not None:
                self._open[key] = left
                return _Upload(key, left, there, resumed=True)
            self._open.pop(key, None)
        shown = f"write {self._shown(key)}"
        request = Request("POST", self._bucket, key, shown, {"uploads": ""}, dict(headers))
        _, said = entries(self._wire.send(request).body, "", shown)
        if not said.get("UploadId"):
            raise StorageError(shown, "S3 gave no upload id")
        self._open[key] = said["UploadId"]
        return _Upload(key, said["UploadId"])

    def _unfinished(self) -> dict[str, str]:
        """Return the uploads that others left below the prefix, by key, the newest of each; listed once."""
        with self._lock:
            if self._left is None:
                self._left = {}
                with suppress(PfsError):  # those who may write need not be allowed to list
                    self._left = self._listed()
            return self._left

    def _listed(self) -> dict[str, str]:
        found: dict[str, tuple[str, str]] = {}
        marker: dict[str, str] = {}
        while True:
            query = {"uploads": "", "prefix": self._prefix, "encoding-type": "url", **marker}
            shown = f"list uploads to s3://{self._bucket}/{self._prefix}"
            listed, more = entries(
                self._wire.send(Request("GET", self._bucket, "", shown, query)).body, "Upload", shown
            )
            for one in listed:
                key, begun = unquote_plus(one.get("Key", "")), one.get("Initiated", "")
                found[key] = max(found.get(key, ("", "")), (begun, one.get("UploadId", "")))
            if more.get("IsTruncated") != "true" or len(found) > _KEPT or not more.get("NextKeyMarker"):
                return {key: upload for key, (_, upload) in found.items() if upload}
            marker = {
                "key-marker": unquote_plus(more["NextKeyMarker"]),
                "upload-id-marker": more.get("NextUploadIdMarker", ""),
            }

    def _sent_parts(self, key: str, upload: str) -> dict[int, tuple[int, str]] | None:
        """Return the size and ETag of each part that is there; None for an upload that is gone."""
        found: dict[int, tuple[int, str]] = {}
        marker = "0"
        while True:
            shown = f"list the parts of {self._shown(key)}"
            query = {"uploadId": upload, "part-number-marker": marker}
            try:
                answer = self._wire.send(
                    Request("GET", self._bucket, key, shown, query, missing=("NoSuchUpload", "404"))
                )
            except NotFoundError:
                return None
            listed, more = entries(answer.body, "Part", shown)
            for one in listed:
                etag = one.get("ETag", "").strip('"')
                found[int(one.get("PartNumber", "0"))] = (int(one.get("Size", "-1")), etag)
            if more.get("IsTruncated") != "true" or not listed:
                return found
            marker = more.get("NextPartNumberMarker", "") or str(max(found))

    def _complete(self, upload: _Upload, parts: list[_Part], total: int) -> Answer:
        shown = f"write {self._shown(upload.key)}"
        query = {"uploadId": upload.id}
        request = Request(
            "POST", self._bucket, upload.key, shown, query, {"content-type": "application/xml"}, _document(parts),
            missing=("NoSuchUpload",),
        )  # fmt: skip
        try:
            answer = self._wire.send(request)
        except NotFoundError as error:
            answer = self._completed_before(upload, parts, total, error)
        code, message = code_and_words(answer.body) if b"<Error" in answer.body else ("", "")
        if code:
            raise StorageError(shown, f"S3 answered {code} ({message})")
        self._open.pop(upload.key, None)
        return self._looked_at(upload, answer, total)

    def _looked_at(self, upload: _Upload, answer: Answer, total: int) -> Answer:
        """Return the headers of the object, of its size; those of the last answer where nobody may look."""
        shown = self._shown(upload.key)
        try:
            head = self._wire.send(Request("HEAD", self._bucket, upload.key, f"look at {shown}", missing=("403",)))
        except NotFoundError:
            _, said = entries(answer.body, "", f"write {shown}")
            return Answer({**answer.headers, "etag": said.get("ETag", "")}, b"")
        if int(head.headers.get("content-length", "-1")) != total:
            raise StorageError(f"write {shown}", "what arrived is not what was sent")
        return head

    def _completed_before(self, upload: _Upload, parts: list[_Part], total: int, gone: NotFoundError) -> Answer:
        """Return the headers of the object, if it is this one: the answer that said so was lost."""
        head = self._wire.send(Request("HEAD", self._bucket, upload.key, f"look at {self._shown(upload.key)}"))
        wanted = composite([bytes.fromhex(part.etag) for part in parts]) if all(map(_is_md5, parts)) else head.etag
        if (head.etag, int(head.headers.get("content-length", "-1"))) != (wanted, total):
            raise StorageError(f"write {self._shown(upload.key)}", f"its upload is gone ({gone})") from gone
        return Answer(head.headers, b"")

    def abandon(self) -> None:
        """Abort what is open; errors are passed over, as there is nobody to tell that could do more."""
        for key, upload in list(self._open.items()):
            request = Request(
                "DELETE", self._bucket, key, f"abort the upload to {self._shown(key)}", {"uploadId": upload}
            )
            with suppress(PfsError):
                self._wire.send(request, always=True)
            self._open.pop(key, None)

    def close(self) -> None:
        """End the threads."""
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)

    def _shown(self, key: str) -> str:
        return f"s3://{self._bucket}/{key}"


def _done(part: _Part) -> Future[_Part]:
    future: Future[_Part] = Future()
    future.set_result(part)
    return future


def _is_md5(part: _Part) -> bool:
    return len(part.etag) == 32 and all(char in "0123456789abcdef" for char in part.etag)


def _document(parts: list[_Part]) -> bytes:
    with_checksums = all(part.checksum for part in parts)
    rows = (
        f"<Part><PartNumber>{part.number}</PartNumber><ETag>&quot;{escape(part.etag)}&quot;</ETag>"
        + (f"<ChecksumCRC32C>{part.checksum}</ChecksumCRC32C>" if with_checksums else "")
        + "</Part>"
        for part in parts
    )
    space = "http://s3.amazonaws.com/doc/2006-03-01/"
    return f'<CompleteMultipartUpload xmlns="{space}">{"".join(rows)}</CompleteMultipartUpload>'.encode()
