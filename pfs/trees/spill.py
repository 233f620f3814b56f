"""Sorting files by key outside memory: sorted runs in Arrow files, merged."""

from __future__ import annotations

import errno
import heapq
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from pfs.errors import StorageError, StorageFullError
from pfs.trees.bulk import RowBatch
from pfs.trees.edit import Put, check_edit
from pfs.trees.page import pack_aux

if TYPE_CHECKING:
    import pyarrow as pa

_BATCH = 8192


class _Row(NamedTuple):
    key: bytes
    run: int
    """Runs count down, so that of equal keys the last that came is first."""
    kind: int
    size: int
    tid: bytes
    aux: bytes | None


@contextmanager
def sorted_batches(rows: Iterable[Put], directory: Path, *, run_rows: int) -> Iterator[Iterator[RowBatch]]:
    """Give the rows sorted by key, the last of equal ones alone; the files in ``directory`` go at the end.

    Raises:
        StorageError: the directory cannot be written or read.
    """
    try:
        with TemporaryDirectory(prefix="sort-", dir=directory) as place:
            runs = _spill(iter(rows), Path(place), run_rows)
            yield _batches(heapq.merge(*(_read(path, -number) for number, path in enumerate(runs))))
    except OSError as error:
        reason = error.strerror or str(error)
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        raise (StorageFullError if full else StorageError)(f"sort files in {directory}", reason) from error


def _spill(rows: Iterator[Put], place: Path, run_rows: int) -> list[Path]:
    import pyarrow as pa

    paths: list[Path] = []
    while part := {one.key: one for one in islice(rows, run_rows)}:
        path = place / f"{len(paths):06}.arrow"
        schema = _schema()
        with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_stream(sink, schema) as writer:
            keys = sorted(part)
            for start in range(0, len(keys), _BATCH):
                writer.write_batch(_arrow([part[key] for key in keys[start : start + _BATCH]], schema))
        paths.append(path)
    return paths


def _schema() -> pa.Schema:
    import pyarrow as pa

    fields = {"key": pa.binary(), "kind": pa.uint8(), "size": pa.uint64(), "tid": pa.binary(32), "aux": pa.binary()}
    return pa.schema(fields.items())


def _arrow(rows: list[Put], schema: pa.Schema) -> pa.RecordBatch:
    import pyarrow as pa

    for one in rows:
        check_edit(one)
    keys, kinds, sizes = [one.key for one in rows], [int(one.kind) for one in rows], [one.size for one in rows]
    columns = [keys, kinds, sizes, [one.tid for one in rows], [pack_aux(one.aux) for one in rows]]
    arrays = [pa.array(column, field.type) for column, field in zip(columns, schema, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def _read(path: Path, run: int) -> Iterator[_Row]:
    import pyarrow as pa

    with pa.OSFile(str(path), "rb") as source, pa.ipc.open_stream(source) as reader:
        for batch in reader:
            keys, *others = (column.to_pylist() for column in batch.columns)
            for key, *fields in zip(keys, *others, strict=True):
                yield _Row(key, run, *fields)


def _batches(rows: Iterator[_Row]) -> Iterator[RowBatch]:
    single = _without_repeats(rows)
    while part := list(islice(single, _BATCH)):
        count = len(part)
        yield RowBatch(
            [row.key for row in part],
            np.fromiter((row.kind for row in part), np.uint8, count),
            np.fromiter((row.size for row in part), np.uint64, count),
            np.frombuffer(b"".join(row.tid for row in part), np.uint8).reshape(-1, 32),
            [row.aux for row in part],
        )


def _without_repeats(rows: Iterator[_Row]) -> Iterator[_Row]:
    last: bytes | None = None
    for row in rows:
        if row.key != last:
            yield row
        last = row.key
