"""Receiving a body into the store: chunks, digests and checks at once, in bounded memory."""

from __future__ import annotations

from dataclasses import dataclass

from pfs.files.fileref import FileRef
from pfs.files.stream_ingest import StreamIngest
from pfs.packs.session import WriteSession
from s3api.bodies.checksums import Digests
from s3api.errors import S3Error
from s3api.gateway import Context

DEPTH = 1
"""Batches of 4 MiB under way for each upload; uploads make up for it by their number."""


@dataclass(frozen=True, slots=True)
class Received:
    """A body that was stored and checked; ``session`` holds what of it is new, nothing of it is visible yet."""

    ref: FileRef
    session: WriteSession
    md5: str
    checksums: dict[str, str]


async def receive(context: Context, *, keep: str | None = None) -> Received:
    """Store the body of a request; ``keep`` is a checksum to compute though none was sent.

    Raises:
        S3Error: the body is not what its headers say; nothing is kept of it. MissingContentLength, at once: they do
            not say whether there is one.
        ClientGoneError: the connection was closed.
        StorageError: it cannot be stored.
    """
    headers, payload = context.request.headers, context.caller.payload
    if "content-length" not in headers and "transfer-encoding" not in headers:
        raise S3Error("MissingContentLength")
    digests = Digests(headers, payload=payload, md5=True, keep=keep)
    session = context.store.session()
    ingest = StreamIngest(session, context.store.params, context.gateway.hashing, depth=DEPTH)
    try:
        first = await context.body.receive_piece()
        if context.body.ended:
            ref = await context.gateway.run(_store_at_once, context, first, ingest=ingest, digests=digests)
        else:
            await context.body.transfer(digests, ingest.write, first=first, run=context.gateway.run)
            ref = await context.gateway.run(ingest.finish)
    except BaseException:
        await context.gateway.run(_abandon, ingest, session)
        raise
    return Received(ref, session, digests.md5, digests.checksums)


def _store_at_once(context: Context, data: bytes, *, ingest: StreamIngest, digests: Digests) -> FileRef:
    """Store a body that came in one piece: one turn in one thread."""
    decoded = context.body.decode(data)
    digests.update(decoded)
    context.body.check_end(digests)
    for piece in decoded:
        ingest.write(piece)
    return ingest.finish()


def _abandon(ingest: StreamIngest, session: WriteSession) -> None:
    ingest.abandon()
    session.abandon()
