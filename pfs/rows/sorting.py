"""Sorting batches outside memory: runs are sorted by Arrow and merged in blocks.

A merge looks at the batches at hand, one of each run. No row that is still to come is smaller than the smallest of
their last rows, so everything up to there is final: it is joined and sorted at once.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import chain
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, TYPE_CHECKING, Final

from pfs.errors import StorageError, StorageFullError
from pfs.rows.keys import Rank, rank, sort

if TYPE_CHECKING:
    import pyarrow as pa

RUN_BYTES: Final = 32 << 20
_MERGED_AT_ONCE: Final = 16
_SPILL_BYTES: Final = 256 << 10
Batches = Iterator["pa.RecordBatch"]


class Spills:
    """Sorted runs in unnamed files on the disk of ``directory``: a process that is killed leaves none behind."""

    def __init__(self, directory: Path, *, run_bytes: int = RUN_BYTES) -> None:
        self.run_bytes = run_bytes
        self._directory = directory
        self._files: set[IO[bytes]] = set()

    def close(self) -> None:
        """Give the space of all runs back."""
        while self._files:
            with suppress(OSError):  # what a full disk did not take is not needed any more
                self._files.pop().close()

    def write(self, batches: Batches) -> IO[bytes]:
        """Write a run of a batch or more; returns its file.

        Raises:
            StorageError, StorageFullError: the disk does not take it.
        """
        import pyarrow as pa

        first = next(batches)
        with self._storing():
            self._directory.mkdir(parents=True, exist_ok=True)
            file = TemporaryFile(dir=self._directory)  # noqa: SIM115 - closed when it was read, or by close()
            self._files.add(file)
            options = pa.ipc.IpcWriteOptions(compression="lz4")
            writer = pa.ipc.new_stream(file, first.schema, options=options)
        for batch in chain((first,), batches):
            for piece in pieces(batch):
                with self._storing():
                    writer.write_batch(piece)
        with self._storing():
            writer.close()
            file.seek(0)
        return file

    def read(self, file: IO[bytes]) -> Batches:
        """Yield the batches of a run and give its space back."""
        import pyarrow as pa

        with self._storing():
            reader = pa.ipc.open_stream(file)
        while True:
            with self._storing():
                batch = next(reader, None)
            if batch is None:
                break
            yield batch
        self._files.discard(file)
        file.close()

    @contextmanager
    def _storing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            reason = error.strerror or str(error)
            full = error.errno in (errno.ENOSPC, errno.EDQUOT)
            action = f"sort rows in {self._directory}"
            raise (StorageFullError if full else StorageError)(action, reason) from error


def pieces(batch: pa.RecordBatch) -> Batches:
    """Yield a batch in parts of about 256 KiB, a row at least."""
    rows = max(_SPILL_BYTES * batch.num_rows // max(batch.nbytes, 1), 1)
    for start in range(0, batch.num_rows, rows):
        yield batch.slice(start, rows)


def joined(batches: Sequence[pa.RecordBatch]) -> pa.RecordBatch:
    """Return batches of one schema as one; there must be one at least."""
    import pyarrow as pa

    return batches[0] if len(batches) == 1 else pa.concat_batches(batches)


def sorted_rows(batches: Batches, keys: Sequence[str], spills: Spills) -> Batches:
    """Yield all rows in the order of ``keys``, which must be unique; memory is that of a run or two.

    Nothing is written when all rows fit one run.
    """
    runs: list[IO[bytes]] = []
    held: list[pa.RecordBatch] = []
    held_bytes = 0
    for batch in batches:
        held.append(batch)
        held_bytes += batch.nbytes
        if held_bytes >= spills.run_bytes:
            runs.append(spills.write(iter([sort(joined(held), keys)])))
            held, held_bytes = [], 0
    last = [sort(joined(held), keys)] if held else []
    while len(runs) >= _MERGED_AT_ONCE:
        group, runs = runs[:_MERGED_AT_ONCE], runs[_MERGED_AT_ONCE:]
        runs.append(spills.write(merged([spills.read(run) for run in group], keys)))
    return merged([*map(spills.read, runs), *(pieces(batch) for batch in last)], keys)


def merged(streams: Sequence[Batches], keys: Sequence[str]) -> Batches:
    """Yield the rows of sorted streams in the order of ``keys``."""
    for parts in aligned(streams, keys):
        yield sort(joined([part for part in parts if part is not None]), keys)


def aligned(streams: Sequence[Batches], keys: Sequence[str]) -> Iterator[list[pa.RecordBatch | None]]:
    """Yield rows of sorted streams, of each what it has up to one place (None: nothing), until all are read.

    What comes later is larger in all streams. Memory is a batch of each.
    """
    cursors = [_Cursor(stream, keys) for stream in streams]
    while ends := [cursor.end for cursor in cursors if cursor.end is not None]:
        limit = min(ends)
        yield [cursor.take(limit) for cursor in cursors]


class _Cursor:
    """A sorted stream, read a batch at a time."""

    def __init__(self, batches: Batches, keys: Sequence[str]) -> None:
        self._batches = batches
        self._keys = keys
        self._load()

    def _load(self) -> None:
        self._batch = next((batch for batch in self._batches if batch.num_rows), None)
        self._start = 0
        self.end: Rank | None = None if self._batch is None else rank(self._batch, self._batch.num_rows - 1, self._keys)

    def take(self, limit: Rank) -> pa.RecordBatch | None:
        """Return the rows of the batch at hand up to ``limit``, which no later batch has any of."""
        if self._batch is None or self.end is None:
            return None
        batch, start = self._batch, self._start
        stop = batch.num_rows if self.end <= limit else self._find(batch, limit)
        if stop == batch.num_rows:
            self._load()
        else:
            self._start = stop
        return batch.slice(start, stop - start) if stop > start else None

    def _find(self, batch: pa.RecordBatch, limit: Rank) -> int:
        """Return the first row that is larger than ``limit``."""
        low, high = self._start, batch.num_rows
        while low < high:
            middle = (low + high) // 2
            if rank(batch, middle, self._keys) <= limit:
                low = middle + 1
            else:
                high = middle
        return low
