"""Files out of an archive, which can be read once and in order: small ones are stored by a pool, in batches."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from typing import BinaryIO, Final, NamedTuple, TypeVar, cast

from pfs.chunker import ChunkerParams, cut_points
from pfs.files.fileref import FileRef, RefBuilder
from pfs.files.ingest_queue import BATCH_BYTES, store_chunks
from pfs.files.ingest_stream import put_stream, split
from pfs.files.progress import Progress
from pfs.packs.session import WriteSession
from pfs.parallel import in_order

T = TypeVar("T")
_BATCH_FILES: Final = 256
_WHOLE_BYTES: Final = 1 << 20


class _Whole(NamedTuple):
    """An item with its bytes, if it is a file that is still to be stored, or what it was stored as."""

    item: object
    data: bytes | None
    ref: FileRef | None = None


def put_members(
    session: WriteSession,
    params: ChunkerParams,
    items: Iterable[T],
    *,
    opened: Callable[[T], tuple[BinaryIO, int] | None],
    jobs: int | None = None,
    progress: Progress | None = None,
) -> Iterator[tuple[T, FileRef | None]]:
    """Store the files among ``items`` and yield every item in its order, with the content of a file.

    ``opened`` gives the stream of a file and its size in bytes, None for what is no file; each is read to its end
    before the next item is asked for. Memory: ``jobs`` + 2 batches of some 4 MiB.

    Raises:
        StorageError: the session cannot store. What the streams raise.
    """
    jobs = jobs or os.cpu_count() or 1

    def store(batch: list[_Whole]) -> list[_Whole]:
        return _store(session, params, batch)

    from concurrent.futures import ThreadPoolExecutor  # several modules, for much to do alone

    with ThreadPoolExecutor(jobs, "ingest") as pool:
        batches = _batches(items, opened, lambda stream: put_stream(session, params, stream, jobs=jobs))
        for batch in in_order(pool, store, batches, depth=jobs):
            for whole in batch:
                if progress is not None and whole.ref is not None:
                    progress.advance(files=1, size=whole.ref.size)
                yield cast("T", whole.item), whole.ref


def _batches(
    items: Iterable[T], opened: Callable[[T], tuple[BinaryIO, int] | None], put: Callable[[BinaryIO], FileRef]
) -> Iterator[list[_Whole]]:
    batch: list[_Whole] = []
    held = 0
    for item in items:
        found = opened(item)
        if found is None:
            batch.append(_Whole(item, None))
        elif found[1] > _WHOLE_BYTES:
            batch.append(_Whole(item, None, put(found[0])))
        else:
            batch.append(_Whole(item, found[0].read()))
            held += found[1]
        if held >= BATCH_BYTES or len(batch) == _BATCH_FILES:
            yield batch
            batch, held = [], 0
    if batch:
        yield batch


def _store(session: WriteSession, params: ChunkerParams, batch: list[_Whole]) -> list[_Whole]:
    pieces = [split(memoryview(one.data), cut_points(one.data, params)) if one.data else [] for one in batch]
    stored = iter(store_chunks(session, [chunk for chunks in pieces for chunk in chunks]))
    results = []
    for one, chunks in zip(batch, pieces, strict=True):
        if one.data is None:
            results.append(one)
            continue
        builder = RefBuilder(session)
        for _ in chunks:
            builder.add(*next(stored))
        results.append(_Whole(one.item, None, builder.finish()))
    return results
