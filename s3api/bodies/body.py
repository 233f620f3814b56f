"""The body of a request: received with a time limit, unframed, handed on in pieces of about 1 MiB.

Receiving is asynchronous; unframing, hashing and storing run in threads, one piece behind, so that the network, the
digests and the chunker work at the same time and at most about three pieces are in memory.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, MutableMapping, Sequence
from typing import Protocol, TypeVar

from pfs.backends.base import Buffer
from s3api.auth.caller import UNSIGNED, Caller
from s3api.auth.sigv4 import STREAMING
from s3api.bodies.aws_chunked import ChunkDecoder
from s3api.bodies.checksums import Digests
from s3api.errors import S3Error, not_implemented
from s3api.http.request import Request

PIECE_BYTES = 1 << 20
IDLE_TIMEOUT_S = 60.0
T = TypeVar("T")
Message = MutableMapping[str, object]
Receive = Callable[[], Awaitable[Message]]

_SIGNED = {"STREAMING-AWS4-HMAC-SHA256-PAYLOAD": False, "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER": True}
_UNSIGNED_TRAILER = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"


class ClientGoneError(Exception):
    """The client closed the connection in the middle of its request; nobody is left to answer."""


class RunInThread(Protocol):
    """Runs a blocking function in a thread and awaits it."""

    def __call__(self, function: Callable[..., T], /, *args: object) -> Awaitable[T]:
        """Return what the function returns."""
        ...


class Decoder(Protocol):
    """Takes the framing off a body."""

    def feed(self, data: Buffer) -> Sequence[Buffer]:
        """Take in framed bytes and return the payload among them."""
        ...

    def finish(self) -> Mapping[str, str]:
        """Check the end and return the trailers."""
        ...


class Body:
    """A request's body. It can be read once: by `read`, or by `receive_piece` and then `transfer`."""

    def __init__(self, receive: Receive, request: Request, caller: Caller) -> None:
        self._receive = receive
        self._more = True
        self._decoder: Decoder | None = _decoder_for(request, caller)
        self._length = _announced_length(request, framed=self._decoder is not None)
        self.started = False
        """Whether any of it was asked for: before that, a client that waits for 100 Continue sends nothing."""

    @property
    def ended(self) -> bool:
        """Whether all of it was received."""
        return not self._more

    def decode_with(self, decoder: Decoder) -> None:
        """Take this framing off what comes, which holds what was received already; how long the payload is, is open."""
        self._decoder, self._length = decoder, None

    async def receive_piece(self) -> bytes:
        """Receive the next 1 MiB or what is left, still framed; empty at the end.

        Raises:
            S3Error: RequestTimeout (nothing came for a minute), MissingContentLength (of what is in the framing).
            ClientGoneError: the connection was closed.
        """
        if isinstance(self._decoder, ChunkDecoder) and self._length is None:
            raise S3Error("MissingContentLength", "a body in aws-chunked framing needs x-amz-decoded-content-length")
        self.started = True
        parts: list[bytes] = []
        size = 0
        while self._more and size < PIECE_BYTES:
            try:
                async with asyncio.timeout(IDLE_TIMEOUT_S):
                    message = await self._receive()
            except TimeoutError as error:
                raise S3Error("RequestTimeout") from error
            if message["type"] != "http.request":
                raise ClientGoneError
            part = message.get("body", b"")
            assert isinstance(part, bytes)
            parts.append(part)
            size += len(part)
            self._more = bool(message.get("more_body", False))
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def decode(self, piece: bytes) -> Sequence[Buffer]:
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
        if self._length is not None and digests.size != self._length:
            raise S3Error("IncompleteBody")
        digests.verify(trailers)

    async def read(self, digests: Digests, *, limit: int) -> bytes:
        """Return the whole checked body, for XML.

        Raises:
            S3Error: MaxMessageLengthExceeded; it is over ``limit`` bytes.
        """
        out = bytearray()
        while not self.ended:
            decoded = self.decode(await self.receive_piece())
            digests.update(decoded)
            for part in decoded:
                out += part
            if len(out) > limit:
                raise S3Error("MaxMessageLengthExceeded")
        self.check_end(digests)
        return bytes(out)

    async def transfer(
        self, digests: Digests, write: Callable[[Buffer], None], *, first: bytes, run: RunInThread
    ) -> None:
        """Pass the body on to ``write`` in order, digests beside it; ``first`` is what was received already.

        Raises:
            S3Error, ClientGoneError, and what ``write`` raises; no thread is at work on it any more then.
        """
        under_way: asyncio.Future[None] | None = None
        try:
            async for piece in self._pieces(first):
                decoded = self.decode(piece) if self._decoder is None else await run(self.decode, piece)
                if under_way is not None:
                    await under_way
                under_way = asyncio.ensure_future(_both(run(digests.update, decoded), run(_write_all, write, decoded)))
        except BaseException:
            if under_way is not None:
                await asyncio.wait([under_way])
                under_way.exception()
            raise
        if under_way is not None:
            await under_way
        await run(self.check_end, digests)

    async def _pieces(self, first: bytes) -> AsyncIterator[bytes]:
        yield first
        while not self.ended:
            yield await self.receive_piece()


async def _both(first: Awaitable[None], second: Awaitable[None]) -> None:
    """Await both to the end, also when one fails: no thread may go on with a piece that is given up."""
    for result in await asyncio.gather(first, second, return_exceptions=True):
        if result is not None:
            raise result


def _write_all(write: Callable[[Buffer], None], pieces: Sequence[Buffer]) -> None:
    for piece in pieces:
        write(piece)


def _announced_length(request: Request, *, framed: bool) -> int | None:
    text = request.header("x-amz-decoded-content-length" if framed else "content-length")
    if text is None:
        return None
    if not text.isdecimal() or len(text) > 19:
        raise S3Error("InvalidArgument", "the length of the body is not a number")
    return int(text)


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
