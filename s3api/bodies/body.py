"""The body of a request: received with a time limit, unframed, checked at its end against what was announced."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Protocol

from pfs.backends.base import Buffer
from s3api.auth.caller import UNSIGNED, Caller
from s3api.auth.sigv4 import STREAMING
from s3api.bodies.aws_chunked import ChunkDecoder
from s3api.bodies.checksums import Digests
from s3api.bodies.room import PIECE_BYTES, SMALL_BYTES, Hold, Room, need_of
from s3api.bodies.sources import Source
from s3api.errors import S3Error, not_implemented
from s3api.http.numbers import parse_number
from s3api.http.request import Request

IDLE_TIMEOUT_S = 60.0
MAX_OBJECT_BYTES = 5 << 40
_MAX_LENGTH = 10**19 - 1

_SIGNED = {"STREAMING-AWS4-HMAC-SHA256-PAYLOAD": False, "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER": True}
_UNSIGNED_TRAILER = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"


class ClientGoneError(Exception):
    """The client closed the connection in the middle of its request; nobody is left to answer."""


class Decoder(Protocol):
    """Takes the framing off a body."""

    def feed(self, data: Buffer) -> Sequence[Buffer]:
        """Take in framed bytes and return the payload among them."""
        ...

    def finish(self) -> Mapping[str, str]:
        """Check the end and return the trailers."""
        ...


class Body:
    """A request's body, to be read once, in pieces or by `read`. `release` it when the request is answered."""

    def __init__(self, source: Source, request: Request, caller: Caller, *, room: Room) -> None:
        self._source, self._room = source, room
        self._hold: Hold | None = None
        self._decoder: Decoder | None = _decoder_for(request, caller)
        self.length = _announced_length(request, framed=self._decoder is not None)
        """Announced bytes without the framing; None: they are not known."""
        self.started = False
        """Whether any of it was asked for: before that, a client that waits for 100 Continue sends nothing."""

    @property
    def framed(self) -> bool:
        """Whether `decode` has anything to do."""
        return self._decoder is not None

    @property
    def received(self) -> int:
        """Bytes that have come so far, framing included."""
        return self._source.received

    @property
    def ended(self) -> bool:
        """Whether all of it was received."""
        return not self._source.more

    def decode_with(self, decoder: Decoder) -> None:
        """Take this framing off what comes, which holds what was received already; how long the payload is, is open."""
        self._decoder, self.length = decoder, None

    def claim(self, length: int | None) -> bool:
        """Take room for a body of so many bytes, until `release`; False: there is none now."""
        self._hold = self._room.take(need_of(length))
        return self._hold is not None

    async def wait_for_turn(self, length: int | None) -> None:
        """Wait for room to store so many bytes (None: many) that are here as a whole."""
        self._hold = await self._room.turn(need_of(length))

    def release(self) -> None:
        """Give back the room; idempotent."""
        if self._hold is not None:
            self._hold.release()

    async def receive_piece(self, limit: int) -> Buffer:
        """Receive about ``limit`` bytes or what is left, still framed; empty at the end.

        Raises:
            S3Error: RequestTimeout (less than 64 KiB came in a minute), MissingContentLength (of what is in a framing).
            ClientGoneError: the connection was closed.
        """
        if isinstance(self._decoder, ChunkDecoder) and self.length is None:
            raise S3Error("MissingContentLength", "a body in aws-chunked framing needs x-amz-decoded-content-length")
        self.started = True
        while True:
            before = self._source.received
            try:
                async with asyncio.timeout(IDLE_TIMEOUT_S):
                    piece = await self._source.piece(limit)
            except TimeoutError as error:
                if self._source.received - before < SMALL_BYTES:
                    raise S3Error("RequestTimeout") from error
            else:
                if piece is None:
                    raise ClientGoneError
                return piece

    def decode(self, piece: Buffer) -> Sequence[Buffer]:
        """Take the framing off one received piece; hashes signed chunks, so best called in a thread."""
        if self._decoder is None:
            return [piece] if piece else []
        return self._decoder.feed(piece)

    def check_end(self, digests: Digests) -> None:
        """Compare what was received with what was announced.

        Raises:
            S3Error: IncompleteBody, BadDigest, XAmzContentSHA256Mismatch, InvalidRequest.
        """
        trailers = self._decoder.finish() if self._decoder is not None else {}
        if self.length is not None and digests.size != self.length:
            raise S3Error("IncompleteBody")
        digests.verify(trailers)

    async def read(self, digests: Digests, *, limit: int) -> bytes:
        """Return the whole checked body, for XML.

        Raises:
            S3Error: MaxMessageLengthExceeded; it is over ``limit`` bytes. SlowDown; there is no memory for it now.
        """
        if not self.claim(limit if self.length is None else min(limit, self.length)):
            raise S3Error("SlowDown")
        out = bytearray()
        while not self.ended:
            decoded = self.decode(await self.receive_piece(PIECE_BYTES))
            digests.update(decoded)
            for part in decoded:
                out += part
            if len(out) > limit:
                raise S3Error("MaxMessageLengthExceeded")
        self.check_end(digests)
        return bytes(out)


def _announced_length(request: Request, *, framed: bool) -> int | None:
    text = request.header("x-amz-decoded-content-length" if framed else "content-length")
    if text is None:
        return None
    length = parse_number(text, most=_MAX_LENGTH)
    if length is None:
        raise S3Error("InvalidArgument", "the length of the body is not a number")
    if length > MAX_OBJECT_BYTES:
        sizes = {"ProposedSize": text, "MaxSizeAllowed": str(MAX_OBJECT_BYTES)}
        raise S3Error("EntityTooLarge", "Your proposed upload exceeds the maximum allowed size", fields=sizes)
    return length


def _decoder_for(request: Request, caller: Caller) -> ChunkDecoder | None:
    """Return the decoder that the signed payload form asks for.

    Raises:
        S3Error: InvalidArgument, NotImplemented; no such form.
    """
    payload = caller.payload
    if payload in _SIGNED and caller.chunks is not None:
        return ChunkDecoder(caller.chunks, signed_trailer=_SIGNED[payload])
    if payload == _UNSIGNED_TRAILER or (payload == UNSIGNED and is_aws_chunked(request)):
        return ChunkDecoder()
    if payload.startswith(STREAMING):
        raise not_implemented(f"x-amz-content-sha256: {payload}")
    if payload != UNSIGNED and (len(payload) != 64 or not set(payload.lower()) <= set("0123456789abcdef")):
        raise S3Error("InvalidArgument", "x-amz-content-sha256 must be UNSIGNED-PAYLOAD, a STREAMING form or a SHA-256")
    return None


def is_aws_chunked(request: Request) -> bool:
    """Say whether Content-Encoding names the framing."""
    return "aws-chunked" in [name.strip() for name in (request.header("content-encoding") or "").lower().split(",")]
