"""The framing ``aws-chunked`` of streamed bodies: decoded piece by piece, signatures checked as chunks end.

    <hex size>[;chunk-signature=<hex>] CRLF <bytes> CRLF ... 0[;chunk-signature=<hex>] CRLF [name:value CRLF ...] CRLF

Signed chunks form a chain that starts at the request's own signature; signed trailers end it. One thread at a time.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping
from enum import Enum, auto

from pfs.backends.base import Buffer
from s3api.auth.caller import ChunkSigning
from s3api.auth.sigv4 import sign_text
from s3api.errors import S3Error

MAX_LINE_BYTES = 1024
MAX_TRAILER_BYTES = 8192
_SIZE = re.compile("[0-9a-fA-F]{1,16}")
_EMPTY = hashlib.sha256(b"").hexdigest()
_TRAILER_SIGNATURE = "x-amz-trailer-signature"


class _State(Enum):
    SIZE = auto()
    DATA = auto()
    DATA_END = auto()
    TRAILER = auto()
    DONE = auto()


class ChunkDecoder:
    """Decodes one body; ``signing`` is given when its chunks are signed, ``signed_trailer`` when its trailer is too."""

    def __init__(self, signing: ChunkSigning | None = None, *, signed_trailer: bool = False) -> None:
        self.trailers: dict[str, str] = {}
        self._signing = signing
        self._signed_trailer = signed_trailer
        self._previous = signing.seed if signing else ""
        self._state = _State.SIZE
        self._line = bytearray()
        self._left = 0
        self._signature = ""
        self._hash = hashlib.sha256()
        self._trailer_bytes = 0

    def feed(self, data: Buffer) -> list[memoryview]:
        """Take in framed bytes and return the payload among them, as views of ``data``.

        Raises:
            S3Error: InvalidRequest (the framing is broken), SignatureDoesNotMatch.
        """
        view, out, at = memoryview(data), [], 0
        while at < len(view) and self._state is not _State.DONE:
            if self._state is _State.DATA:
                piece = view[at : at + self._left]
                at += len(piece)
                self._take(piece)
                out.append(piece)
            else:
                at = self._read_line(bytes(view[at : at + MAX_LINE_BYTES]), at)
        if at < len(view):
            raise S3Error("InvalidRequest", "the body goes on after the end of the aws-chunked framing")
        return out

    def finish(self) -> Mapping[str, str]:
        """Return the trailers; call it when the body has ended.

        Raises:
            S3Error: IncompleteBody.
        """
        if self._state is not _State.DONE:
            raise S3Error("IncompleteBody")
        return self.trailers

    def _take(self, piece: memoryview) -> None:
        self._left -= len(piece)
        if self._signing is not None:
            self._hash.update(piece)
        if not self._left:
            self._state = _State.DATA_END

    def _read_line(self, data: bytes, at: int) -> int:
        """Take bytes up to a line's end; return the new position."""
        end = data.find(b"\n")
        self._line += data if end < 0 else data[: end + 1]
        if len(self._line) > MAX_LINE_BYTES:
            raise S3Error("InvalidRequest", "a line of the aws-chunked framing is too long")
        if end < 0:
            return at + len(data)
        line = self._line.rstrip(b"\r\n").decode("latin-1")
        self._line.clear()
        self._on_line(line)
        return at + end + 1

    def _on_line(self, line: str) -> None:
        if self._state is _State.SIZE:
            self._on_size(line)
        elif self._state is _State.DATA_END:
            if line:
                raise S3Error("InvalidRequest", "a chunk is longer than it says")
            self._end_chunk()
            self._state = _State.SIZE
        elif line:
            self._on_trailer(line)
        elif not self._signed_trailer or _TRAILER_SIGNATURE in self.trailers:
            self._end_trailer()

    def _on_size(self, line: str) -> None:
        size, _, extension = line.partition(";")
        self._signature = extension.strip().removeprefix("chunk-signature=")
        if not _SIZE.fullmatch(size) or (self._signing is not None and not self._signature):
            raise S3Error("InvalidRequest", "a chunk does not begin with its size (and signature)")
        self._left = int(size, 16)
        if not self._left:
            self._end_chunk()
        self._state = _State.DATA if self._left else _State.TRAILER

    def _end_chunk(self) -> None:
        """Check the chain at the end of a chunk; the last, empty one included."""
        if self._signing is None:
            return
        head = f"AWS4-HMAC-SHA256-PAYLOAD\n{self._signing.date}\n{self._signing.scope}\n{self._previous}\n{_EMPTY}"
        expected = sign_text(self._signing.secret_key, f"{head}\n{self._hash.hexdigest()}")
        _compare(expected, self._signature)
        self._previous = expected
        self._hash = hashlib.sha256()

    def _on_trailer(self, line: str) -> None:
        self._trailer_bytes += len(line)
        name, colon, value = line.partition(":")
        if not colon or self._trailer_bytes > MAX_TRAILER_BYTES:
            raise S3Error("InvalidRequest", "a trailer is not name:value, or all are too long")
        self.trailers[name.strip().lower()] = value.strip()

    def _end_trailer(self) -> None:
        self._state = _State.DONE
        if self._signing is None or not self._signed_trailer:
            return
        signature = self.trailers.pop(_TRAILER_SIGNATURE)
        text = "".join(f"{name}:{value}\n" for name, value in sorted(self.trailers.items()))
        digest = hashlib.sha256(text.encode()).hexdigest()
        head = f"AWS4-HMAC-SHA256-TRAILER\n{self._signing.date}\n{self._signing.scope}\n{self._previous}"
        _compare(sign_text(self._signing.secret_key, f"{head}\n{digest}"), signature)


def _compare(expected: str, got: str) -> None:
    """Compare in constant time; what was signed is not shown, since it is the body's."""
    if not hmac.compare_digest(expected.encode(), got.encode()):
        raise S3Error("SignatureDoesNotMatch", "the signature of a chunk or trailer of the body does not match")
