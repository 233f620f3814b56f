"""A prefix of a bucket as a place for files: S3, and whatever speaks like it."""

from __future__ import annotations

import hashlib
import threading
from base64 import b64encode
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from typing import Final
from urllib.parse import unquote_plus, urlencode

from pfs.errors import NotFoundError, StorageError
from pfs.paths import from_key
from pfs.shorten import shorten
from pps.transfers.access import Access
from pps.transfers.checksums import check_arrived, composite, crc32c_text, md5_hex
from pps.transfers.errors import PlaceRefusedError, Stopped
from pps.transfers.listing import entries
from pps.transfers.multipart import Uploads, part_bytes, parts_of
from pps.transfers.place import Arrived, Pieces, Said, Sending, There
from pps.transfers.room import Room
from pps.transfers.wire import Answer, Request, Wire

SINGLE: Final = 8 << 20
"""Up to this size a file is one request."""
ROOM: Final = 48 << 20
"""Bytes of bodies in memory, of all that is sent at a time."""
_HEAVY: Final = 1 << 20
_HEAVY_THREADS: Final = 3
"""So many threads have files over 1 MiB in hand: what a thread once held, the allocator may keep for it."""
_DENIED: Final = ("AccessDenied", "403", "Forbidden")
_UNKNOWN: Final = ("NoSuchKey", "404", "NotFound", *_DENIED)
"""Nothing is there, or who may write may not look: of a key that is not there AWS says so to those who may not list."""
_MOST_KEY: Final = 1024


class S3Target:
    """Objects below ``s3://bucket/prefix``; see `Target`.

    Files over 8 MiB go in parts of 8 MiB, or more for those over 78 GiB, several at a time, three such files at a time.
    Memory: 48 MiB, and 16 for each of those three.
    """

    def __init__(self, bucket: str, prefix: str, access: Access, *, stop: threading.Event | None = None) -> None:
        self._bucket, self._prefix = bucket, f"{prefix}/".encode() if prefix else b""
        self._stop = stop or threading.Event()
        self._wire = Wire(access, stop=stop)
        self._room = Room(ROOM)
        self._heavy = ThreadPoolExecutor(_HEAVY_THREADS, thread_name_prefix="heavy")
        self._uploads = Uploads(self._wire, bucket, self._prefix.decode(), room=self._room)

    @cached_property
    def lists(self) -> bool:
        """Whether it may be listed; one request."""
        query = {"list-type": "2", "max-keys": "1", "prefix": self._prefix.decode()}
        shown = f"list s3://{self._bucket}/{self._prefix.decode()}"
        try:
            self._wire.send(Request("GET", self._bucket, "", shown, query, missing=_DENIED))
        except NotFoundError:
            return False
        return True

    def listed(self) -> Iterator[tuple[bytes, There]]:
        """List the prefix, a page of 1,000 at a time."""
        token: str | None = ""
        while token is not None:
            query = {"list-type": "2", "encoding-type": "url", "prefix": self._prefix.decode()}
            query |= {"continuation-token": token} if token else {}
            shown = f"list s3://{self._bucket}/{self._prefix.decode()}"
            answer = self._wire.send(Request("GET", self._bucket, "", shown, query))
            found, more = entries(answer.body, "Contents", shown)
            for one in found:
                key = unquote_plus(one.get("Key", "")).encode()
                yield key[len(self._prefix) :], There(int(one.get("Size", "0")), one.get("ETag", "").strip('"'))
            token = more.get("NextContinuationToken") if more.get("IsTruncated") == "true" else None

    def find(self, name: bytes) -> There | None:
        """Ask for its headers; None also where that is not allowed."""
        answer = self._head(name)
        return None if answer is None else _there(answer)

    def _head(self, name: bytes) -> Answer | None:
        key = self._key(name)
        try:
            return self._wire.send(
                Request("HEAD", self._bucket, key, f"look at s3://{self._bucket}/{key}", missing=_UNKNOWN)
            )
        except NotFoundError:
            return None

    def find_url(self, url: str) -> There | None:
        """Ask for the headers of an object of any bucket."""
        bucket, key = bucket_and_key(url)
        try:
            return _there(self._wire.send(Request("HEAD", bucket, key, f"look at {url}", missing=_UNKNOWN)))
        except NotFoundError:
            return None

    def url(self, name: bytes) -> str:
        """Return ``s3://bucket/key``."""
        return f"s3://{self._bucket}/{self._key(name)}"

    def holds(self, file: Sending, there: There) -> Arrived | None:
        """Compute the ETag that the file would have, and if it is the same, compare what is said of the object."""
        if (file.exact and there.size != file.size) or file.said.tags or "x-amz-acl" in file.said.headers:
            return None
        if there.etag != self._etag(file, in_parts="-" in there.etag):
            return None
        answer = self._head(file.name)
        if answer is None or _there(answer) != there or not _says(answer.headers, file.said):
            return None
        return self._arrived(file.name, there, answer)

    def _etag(self, file: Sending, *, in_parts: bool) -> str:
        if not in_parts:
            return md5_hex(self._watched(file.pieces()))
        found = [hashlib.md5(part, usedforsecurity=False).digest() for part in self._parts(file)]
        return composite(found)

    def _parts(self, file: Sending) -> Iterator[bytes]:
        return parts_of(self._watched(file.pieces()), part_bytes(file.size))

    def _watched(self, pieces: Pieces) -> Iterator[bytes | memoryview]:
        for piece in pieces:
            if self._stop.is_set():
                raise Stopped
            yield piece

    def put(self, file: Sending) -> Arrived:
        """Send one object; see `Target.put`."""
        return self._put(file) if file.size <= _HEAVY else self._heavy.submit(self._put, file).result()

    def _put(self, file: Sending) -> Arrived:
        key = self._key(file.name)
        if len(key.encode()) > _MOST_KEY:
            raise PlaceRefusedError(f"write {shorten(self.url(file.name))}", f"a key has {_MOST_KEY} bytes at most")
        headers = _headers(file.said)
        if file.size > SINGLE:
            return self._put_in_parts(file, key, headers)
        with self._room.held(2 * file.size):  # its pieces, and what they are joined to
            body = file.whole if file.whole is not None else b"".join(self._watched(file.pieces()))
            return self._put_whole(file, key, body, headers)

    def _put_in_parts(self, file: Sending, key: str, headers: dict[str, str]) -> Arrived:
        while True:
            done = self._uploads.send(key, self._parts(file), headers=headers)
            if file.exact and done.size != file.size:
                raise StorageError(f"write {self.url(file.name)}", f"{done.size} bytes came instead of {file.size}")
            if not done.resumed or _says(done.head.headers, file.said):
                return self._arrived(file.name, There(done.size, done.head.etag), done.head)
            # An upload that was gone on with had been begun with other headers: it is sent once more.

    def _put_whole(self, file: Sending, key: str, body: bytes, headers: dict[str, str]) -> Arrived:
        shown = f"write {self.url(file.name)}"
        if file.exact and len(body) != file.size:
            raise StorageError(shown, f"{len(body)} bytes came instead of {file.size}")
        checksum = crc32c_text(body)
        answer = self._wire.send(
            Request(
                "PUT", self._bucket, key, shown, headers=headers | {"x-amz-checksum-crc32c": checksum}, body=body,
            )
        )  # fmt: skip
        check_arrived(answer, body, checksum, shown)
        return self._arrived(file.name, There(len(body), answer.etag), answer)

    def _arrived(self, name: bytes, there: There, answer: Answer) -> Arrived:
        return Arrived(self.url(name), there.size, there.etag, answer.headers.get("x-amz-version-id", ""))

    def _key(self, name: bytes) -> str:
        try:
            return (self._prefix + name).decode()
        except UnicodeDecodeError as error:
            raise PlaceRefusedError(f"write {from_key(name)}", "the key of an object must be UTF-8") from error

    def abandon(self) -> None:
        """Abort the uploads that were begun or gone on with."""
        self._uploads.abandon()

    def close(self) -> None:
        """Close the connections."""
        self._heavy.shutdown()
        self._uploads.close()
        self._wire.close()


def bucket_and_key(url: str) -> tuple[str, str]:
    """Return the parts of what `S3Target.url` says, whose key stands as it is, with ``?``, ``#`` and slashes."""
    bucket, _, key = url.removeprefix("s3://").partition("/")
    return bucket, key


def _there(answer: Answer) -> There:
    return There(int(answer.headers.get("content-length", "0")), answer.etag)


def _headers(said: Said) -> dict[str, str]:
    headers = dict(said.headers)
    if said.content_type:
        headers["content-type"] = said.content_type
    headers |= {f"x-amz-meta-{name.lower()}": _value(value) for name, value in said.metadata.items()}
    if said.tags:
        headers["x-amz-tagging"] = urlencode(said.tags)
    return headers


def _value(text: str) -> str:
    """Return a text as a header may hold it: what is not ASCII as RFC 2047 has it, which S3 reads and returns."""
    return text if text.isascii() else f"=?UTF-8?B?{b64encode(text.encode()).decode()}?="


def _says(found: Mapping[str, str], said: Said) -> bool:
    """Return whether an object's headers are those that it would be sent with."""
    wanted = _headers(said)
    metadata = {name: value for name, value in wanted.items() if name.startswith("x-amz-meta-")}
    if {name: value for name, value in found.items() if name.startswith("x-amz-meta-")} != metadata:
        return False
    if said.content_type and found.get("content-type") != said.content_type:
        return False
    usual = {"x-amz-storage-class": "STANDARD"}
    names = ("cache-control", "content-encoding", "x-amz-storage-class")
    return all(found.get(name, usual.get(name)) == wanted.get(name, usual.get(name)) for name in names) and all(
        found.get(name) == value for name, value in wanted.items() if name.startswith("x-amz-server-side")
    )
