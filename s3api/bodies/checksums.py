"""The five checksums of S3 and MD5: computed while a body streams, compared at its end, joined over parts.

A checksum's name here is the end of its header: ``crc32`` for ``x-amz-checksum-crc32``; its value is base64 of the
big-endian bytes. Not thread-safe: one thread at a time.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Literal, Protocol

from pfs.backends.base import Buffer
from s3api.errors import S3Error

HEADER = "x-amz-checksum-"
CRC_BYTES: Mapping[str, int] = {"crc32": 4, "crc32c": 4, "crc64nvme": 8}
ALGORITHMS = (*CRC_BYTES, "sha1", "sha256")
ChecksumType = Literal["FULL_OBJECT", "COMPOSITE"]


class Digest(Protocol):
    """A running checksum."""

    def update(self, data: Buffer, /) -> None:
        """Take in more bytes."""
        ...

    def digest(self) -> bytes:
        """Return the checksum of all bytes so far."""
        ...


class _Crc:
    def __init__(self, name: str) -> None:
        self._step = _crc_step(name)
        self._size = CRC_BYTES[name]
        self._value = 0

    def update(self, data: Buffer, /) -> None:
        self._value = self._step(data, self._value)

    def digest(self) -> bytes:
        return self._value.to_bytes(self._size, "big")


def _crc_step(name: str) -> Callable[[Buffer, int], int]:
    if name == "crc32":
        return zlib.crc32
    from awscrt import checksums

    step: Callable[[Buffer, int], int] = getattr(checksums, name)
    return step


def new_digest(name: str) -> Digest:
    """Start a checksum of one of ALGORITHMS, or ``md5``."""
    return _Crc(name) if name in CRC_BYTES else hashlib.new(name, usedforsecurity=False)


def encode(digest: bytes) -> str:
    """Return a checksum as headers have it."""
    return base64.b64encode(digest).decode()


def parse_algorithm(value: str) -> str:
    """Return the name for a value of x-amz-checksum-algorithm such as ``CRC64NVME``.

    Raises:
        S3Error: InvalidRequest; there is no such algorithm.
    """
    name = value.strip().lower()
    if name not in ALGORITHMS:
        raise S3Error("InvalidRequest", f"checksum algorithm {value!r} is none of {', '.join(ALGORITHMS).upper()}")
    return name


def sent_checksums(headers: Mapping[str, str]) -> dict[str, str]:
    """Return the checksums that are among headers or trailers, checked for their form.

    Raises:
        S3Error: InvalidRequest; a value is not base64 of the right length, or the algorithm is not known.
    """
    found = {}
    for header, value in headers.items():
        name = header.removeprefix(HEADER)
        if name == header or name in {"mode", "type", "algorithm"}:
            continue
        parse_algorithm(name)
        found[name] = value.strip()
        _check_form(name, found[name])
    return found


def _check_form(name: str, value: str) -> None:
    size = CRC_BYTES.get(name) or hashlib.new(name, usedforsecurity=False).digest_size
    try:
        valid = len(base64.b64decode(value, validate=True)) == size
    except ValueError:
        valid = False
    if not valid:
        raise S3Error("InvalidRequest", f"value for {HEADER}{name} header is invalid")


def _check_named(algorithm: str | None, sent: Sequence[str]) -> None:
    """Refuse what S3 refuses: several checksums, or an algorithm that is named without a checksum of its own."""
    if len(sent) > 1:
        raise S3Error("InvalidRequest", "expecting a single x-amz-checksum- header: one checksum at a time")
    if algorithm is not None and parse_algorithm(algorithm) not in sent:
        what = "no corresponding x-amz-checksum-* or x-amz-trailer header was found"
        raise S3Error("InvalidRequest", f"x-amz-sdk-checksum-algorithm is {algorithm.strip()}, but {what}")


def announced_trailers(headers: Mapping[str, str]) -> tuple[str, ...]:
    """Return the checksums that x-amz-trailer announces; other trailers are ignored."""
    names = (name.strip().lower() for name in headers.get("x-amz-trailer", "").split(","))
    return tuple(name.removeprefix(HEADER) for name in names if name.removeprefix(HEADER) in ALGORITHMS)


def require_algorithm(headers: Mapping[str, str], expected: str | None) -> None:
    """Refuse the checksum of a part when its upload has another algorithm; with none, any is taken, as S3 does.

    Raises:
        S3Error: InvalidRequest.
    """
    for name in (*sent_checksums(headers), *announced_trailers(headers)):
        if expected is not None and name != expected:
            kinds = f"expected checksum Type: {expected}, actual checksum Type: {name}"
            raise S3Error("InvalidRequest", f"Checksum Type mismatch occurred, {kinds}")


class Digests:
    """All that is computed over one body: what the client sent to compare with, and what is kept.

    Args:
        headers: of the request.
        payload: the signed x-amz-content-sha256; anything but 64 hex digits is not compared.
        md5: also compute the MD5, for the ETag.
        keep: a checksum to compute though none was sent.
    """

    def __init__(
        self, headers: Mapping[str, str], *, payload: str = "", md5: bool = False, keep: str | None = None
    ) -> None:
        self.size = 0
        self._expected = sent_checksums(headers)
        self._trailers = announced_trailers(headers)
        _check_named(headers.get("x-amz-sdk-checksum-algorithm"), (*self._expected, *self._trailers))
        self._content_md5 = _parse_content_md5(headers.get("content-md5"))
        self._sha256 = payload.lower() if len(payload) == 64 else None
        names = {*self._expected, *self._trailers}
        self._names = sorted(names | ({keep} if keep else set()))
        wanted = {*self._names} | ({"sha256"} if self._sha256 else set())
        if md5 or self._content_md5 is not None:
            wanted.add("md5")
        self._running = {name: new_digest(name) for name in sorted(wanted)}

    def update(self, pieces: Iterable[Buffer]) -> None:
        """Take in decoded bytes, in order."""
        for piece in pieces:
            self.size += len(piece)
            _update(self._running.values(), [piece])

    def lanes(self) -> list[Callable[[Iterable[Buffer]], None]]:
        """Return what takes in decoded bytes, in order, in two threads at once, each by itself: MD5, and the others."""
        md5 = {name: digest for name, digest in self._running.items() if name == "md5"}
        others = {name: digest for name, digest in self._running.items() if name != "md5"}

        def count(pieces: Iterable[Buffer]) -> None:
            self.size += sum(len(piece) for piece in pieces)
            _update(others.values(), pieces)

        return [partial(_update, md5.values()), count]

    def verify(self, trailers: Mapping[str, str]) -> None:
        """Compare with everything that the client sent.

        Raises:
            S3Error: BadDigest, XAmzContentSHA256Mismatch, InvalidRequest (a trailer that was announced is missing).
        """
        if self._sha256 is not None and not hmac.compare_digest(self._sha256, self._running["sha256"].digest().hex()):
            raise S3Error("XAmzContentSHA256Mismatch")
        if self._content_md5 is not None and self._content_md5 != self._running["md5"].digest():
            raise S3Error("BadDigest", "the Content-MD5 does not match the body")
        expected = {**self._expected, **sent_checksums(trailers)}
        for name in self._trailers:
            if name not in expected:
                raise S3Error("InvalidRequest", f"the trailer {HEADER}{name} was announced but not sent")
        for name, value in expected.items():
            if name not in self._running:
                raise S3Error("InvalidRequest", f"the trailer {HEADER}{name} was sent but not announced")
            if encode(self._running[name].digest()) != value:
                raise S3Error("BadDigest", f"the {name.upper()} that was sent does not match the body")

    @property
    def md5(self) -> str:
        """The MD5 of the body, in hex."""
        return self._running["md5"].digest().hex()

    @property
    def checksums(self) -> dict[str, str]:
        """The checksums to keep with the object."""
        return {name: encode(self._running[name].digest()) for name in self._names}


def _update(digests: Iterable[Digest], pieces: Iterable[Buffer]) -> None:
    for digest in digests:
        for piece in pieces:
            digest.update(piece)


def _parse_content_md5(value: str | None) -> bytes | None:
    if value is None:
        return None
    try:
        digest = base64.b64decode(value.strip(), validate=True)
    except ValueError:
        digest = b""
    if len(digest) != 16:
        raise S3Error("InvalidDigest")
    return digest


def join_parts(name: str, kind: ChecksumType, parts: Sequence[tuple[str, int]]) -> str:
    """Return the checksum of a multipart object from the (checksum, size) of its parts.

    COMPOSITE is the checksum over the parts' checksums with ``-N``; FULL_OBJECT, for CRCs only, that of all bytes.

    Raises:
        S3Error: InvalidRequest; SHA checksums cannot be joined to FULL_OBJECT.
    """
    if kind == "COMPOSITE":
        digest = new_digest(name)
        for value, _ in parts:
            digest.update(base64.b64decode(value))
        return f"{encode(digest.digest())}-{len(parts)}"
    if name not in CRC_BYTES:
        raise S3Error("InvalidRequest", f"{name.upper()} has no FULL_OBJECT checksum for multipart uploads")
    from awscrt import checksums

    combine: Callable[[int, int, int], int] = getattr(checksums, f"combine_{name}")
    joined = 0
    for value, size in parts:
        joined = combine(joined, int.from_bytes(base64.b64decode(value), "big"), size)
    return encode(joined.to_bytes(CRC_BYTES[name], "big"))
