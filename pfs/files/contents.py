"""The bytes of many files in order: small ones in batches, each batch read in the order of the packs."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Sequence
from functools import partial
from typing import Final

from pfs.files.reader import chunk_refs
from pfs.files.selection import Item
from pfs.ids import ChunkId
from pfs.packs.objects import Objects
from pfs.parallel import in_order

_BATCH_BYTES: Final = 8 << 20
_BATCH_FILES: Final = 1024
WHOLE_BYTES: Final = 4 << 20
"""Files up to this are read in batches, larger ones are left to the caller."""


def contents(
    objects: Objects, items: Iterable[Item], *, jobs: int
) -> Generator[tuple[Item, Sequence[bytes] | None], None, None]:
    """Yield each item with its bytes in pieces: none of a directory, None for a file that is too large for that.

    Threads read and decompress ahead; ``items`` is read in the caller's thread. Memory: ``jobs`` + 1 batches of 8 MiB,
    whatever the number of files.

    Raises:
        CorruptionError, MissingObjectError, StorageError: as `Objects.chunks`; what was yielded before is right.
    """
    from concurrent.futures import ThreadPoolExecutor  # several modules, for much to do alone

    with ThreadPoolExecutor(jobs, "read") as pool:
        for batch in in_order(pool, partial(_fetch, objects), _batches(items), depth=jobs):
            yield from batch


def _batches(items: Iterable[Item]) -> Iterator[list[Item]]:
    batch: list[Item] = []
    held = 0
    for item in items:
        batch.append(item)
        held += 0 if item.row.is_dir else item.row.size
        if held >= _BATCH_BYTES or len(batch) == _BATCH_FILES:
            yield batch
            batch, held = [], 0
    if batch:
        yield batch


def _refs(objects: Objects, item: Item) -> list[tuple[ChunkId, int]] | None:
    if item.row.is_dir:
        return []
    if item.row.size > WHOLE_BYTES:
        return None
    return [(ref.id, ref.size) for ref in chunk_refs(objects, item.row)]


def _fetch(objects: Objects, batch: Sequence[Item]) -> list[tuple[Item, Sequence[bytes] | None]]:
    refs = [_refs(objects, item) for item in batch]
    data = iter(objects.chunks([chunk for chunks in refs if chunks for chunk in chunks]))
    return [
        (item, None if chunks is None else [next(data) for _ in chunks])
        for item, chunks in zip(batch, refs, strict=True)
    ]
