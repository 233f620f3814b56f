"""Receiving a body into the store: chunks, digests and checks at once, in bounded memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial

from pfs.backends.base import Buffer
from pfs.files.fileref import FileRef
from pfs.files.stream_ingest import StreamIngest
from pfs.packs.session import WriteSession
from s3api.bodies.checksums import Digests
from s3api.bodies.room import BATCH_BYTES, PIECE_BYTES, SMALL_BYTES
from s3api.bodies.spool import Spool
from s3api.bodies.transfer import Take, Transfer
from s3api.errors import S3Error
from s3api.gateway import Context


@dataclass(frozen=True, slots=True)
class Received:
    """A body that was stored and checked; ``session`` holds what of it is new, nothing of it is visible yet."""

    ref: FileRef
    session: WriteSession
    md5: str
    checksums: dict[str, str]


async def receive(context: Context, *, keep: str | None = None) -> Received:
    """Store the body of a request; ``keep`` is a checksum to compute though none was sent.

    What it holds in memory is counted against the gateway's room until the body is released, after the answer.

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
    session = context.store.session(background=context.gateway.syncing)
    ingest = StreamIngest(session, context.store.params, None, batch_bytes=BATCH_BYTES)
    try:
        if context.body.claim(context.body.length):
            ref = await _receive_directly(context, ingest, digests, session)
        else:
            ref = await _receive_by_file(context, ingest, digests, session)
    except BaseException:
        await context.gateway.run(_abandon, ingest, session)
        raise
    return Received(ref, session, digests.md5, digests.checksums)


async def _receive_directly(context: Context, ingest: StreamIngest, digests: Digests, session: WriteSession) -> FileRef:
    body, run = context.body, context.gateway.run
    first = await body.receive_piece(PIECE_BYTES)
    if body.ended:
        return await run(_store_at_once, context, first, ingest=ingest, digests=digests)
    takes: list[Take] = [*digests.lanes(), partial(_write_all, ingest.write)]
    await Transfer(body, takes, pool=context.gateway.lanes).run(first)
    await run(body.check_end, digests)
    return await run(_finish, ingest, session)


async def _receive_by_file(context: Context, ingest: StreamIngest, digests: Digests, session: WriteSession) -> FileRef:
    """Keep the body in a file until it is whole, then store it when it is its turn."""
    body, run = context.body, context.gateway.run
    spool = await run(Spool, context.store.path / "tmp")
    try:
        while not body.ended:
            await run(_take_in, context, await body.receive_piece(SMALL_BYTES), spool=spool, digests=digests)
        await run(body.check_end, digests)
        await body.wait_for_turn(spool.size)
        return await run(_store_file, spool, ingest, session)
    finally:
        spool.close()


def _store_at_once(context: Context, data: Buffer, *, ingest: StreamIngest, digests: Digests) -> FileRef:
    """Store a body that came in one piece: one turn in one thread."""
    decoded = context.body.decode(data)
    digests.update(decoded)
    context.body.check_end(digests)
    _write_all(ingest.write, decoded)
    return ingest.finish()


def _take_in(context: Context, data: Buffer, *, spool: Spool, digests: Digests) -> None:
    decoded = context.body.decode(data)
    digests.update(decoded)
    spool.write(decoded)


def _store_file(spool: Spool, ingest: StreamIngest, session: WriteSession) -> FileRef:
    _write_all(ingest.write, spool.pieces(PIECE_BYTES))
    return _finish(ingest, session)


def _finish(ingest: StreamIngest, session: WriteSession) -> FileRef:
    """End the file; its packs are synced here, beside other uploads, and not in the commit that others wait for."""
    ref = ingest.finish()
    session.seal_data()
    return ref


def _write_all(write: Callable[[Buffer], None], pieces: Iterable[Buffer]) -> None:
    for piece in pieces:
        write(piece)


def _abandon(ingest: StreamIngest, session: WriteSession) -> None:
    ingest.abandon()
    session.abandon()
