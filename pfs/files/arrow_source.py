"""Where Arrow rows come from: tables, batches, streams, and files of Arrow and Parquet."""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final, TypeAlias

from pfs.errors import InvalidInputError, NotFoundError, StorageError

if TYPE_CHECKING:
    import pyarrow as pa

ArrowFiles: TypeAlias = "pa.Table | pa.RecordBatch | pa.RecordBatchReader | Iterable[pa.RecordBatch] | Path | str"
"""A path names an Arrow file or stream, or with the suffix .parquet a Parquet file."""
BATCH: Final = 65_536
"""Rows that are worked on together: with fewer, the small directories that end in a batch are fewer."""
_BATCH_BYTES: Final = 32 << 20


def is_kept(source: ArrowFiles) -> bool:
    """Say whether the rows of a source can be read again."""
    import pyarrow as pa

    return isinstance(source, str | Path | pa.Table | pa.RecordBatch)


def batches_of(source: ArrowFiles) -> Iterator[pa.RecordBatch]:
    """Yield the rows of a source in batches of up to BATCH.

    Raises:
        InvalidInputError: a file is none that Arrow reads, or what is given is no source.
        NotFoundError, StorageError: a file cannot be read.
    """
    import pyarrow as pa

    if isinstance(source, pa.RecordBatch):
        return _resized(iter([source]))
    if isinstance(source, pa.Table):
        return _resized(iter(source.to_batches(max_chunksize=BATCH)))
    if isinstance(source, str | Path):
        return _resized(_read(Path(source)))
    return _resized(iter(source))


def stream_of(stream: IO[bytes]) -> Iterator[pa.RecordBatch]:
    """Yield the rows of an Arrow stream that is read once; raises InvalidInputError when it is none."""
    import pyarrow as pa

    try:
        with pa.ipc.open_stream(stream) as reader:
            yield from reader
    except pa.ArrowInvalid as error:
        raise InvalidInputError(f"this is no Arrow stream: {error}") from None


def _read(file: Path) -> Iterator[pa.RecordBatch]:
    import pyarrow as pa

    try:
        if file.suffix == ".parquet":
            import pyarrow.parquet as pq

            with pq.ParquetFile(file) as parquet:
                yield from parquet.iter_batches(batch_size=BATCH)
            return
        yield from _mapped(file)
    except pa.ArrowInvalid as error:
        raise InvalidInputError(f"{file} is no Arrow file, Arrow stream or Parquet file: {error}") from None
    except FileNotFoundError:
        raise NotFoundError(f"{file} is not there") from None
    except OSError as error:
        raise StorageError(f"read {file}", error.strerror or str(error)) from error


def _mapped(file: Path) -> Iterator[pa.RecordBatch]:
    """Yield the rows of an Arrow file or stream, however large its batches are, of which some MiB are in memory."""
    import pyarrow as pa

    with file.open("rb") as stream:
        if not os.fstat(stream.fileno()).st_size:
            raise pa.ArrowInvalid("it is empty")
        mapping = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
    data = pa.BufferReader(pa.py_buffer(mapping))
    touched = 0
    for batch in _batches_in(data):
        for start in range(0, batch.num_rows, BATCH):
            part = batch.slice(start, BATCH)
            yield part
            touched += part.nbytes
            if touched > _BATCH_BYTES:
                mapping.madvise(mmap.MADV_DONTNEED)  # they come back from the page cache if they are looked at again
                touched = 0


def _batches_in(data: pa.BufferReader) -> Iterator[pa.RecordBatch]:
    import pyarrow as pa

    try:
        reader = pa.ipc.open_file(data)
    except pa.ArrowInvalid:
        data.seek(0)
        yield from pa.ipc.open_stream(data)
        return
    yield from (reader.get_batch(number) for number in range(reader.num_record_batches))


def _resized(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Yield the same rows in batches of BATCH or fewer where they are large, the last with what is left."""
    held: list[pa.RecordBatch] = []
    rows = size = 0
    for batch in batches:
        _require_batch(batch)
        for start in range(0, batch.num_rows, BATCH):
            part = batch.slice(start, BATCH)
            if rows + part.num_rows > BATCH or size + part.nbytes > _BATCH_BYTES:
                yield from _joined(held)
                held, rows, size = [], 0, 0
            held.append(part)
            rows, size = rows + part.num_rows, size + part.nbytes
    yield from _joined(held)


def _require_batch(batch: object) -> None:
    import pyarrow as pa

    if not isinstance(batch, pa.RecordBatch):
        raise InvalidInputError(f"files come in Arrow record batches, not in {type(batch).__name__}")


def _joined(held: list[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    import pyarrow as pa

    if held:
        try:
            yield held[0] if len(held) == 1 else pa.concat_batches(held)
        except pa.ArrowInvalid as error:
            raise InvalidInputError(f"the batches differ in their columns: {error}") from None
