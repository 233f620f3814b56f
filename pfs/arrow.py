"""Listings as Arrow tables."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING

from pfs.model import FileInfo
from pfs.tree import Tree
from pfs.tree_row import Row
from pfs.view import file_info

if TYPE_CHECKING:
    import pyarrow as pa

BATCH = 65_536


def files_table(tree: Tree, start: Row) -> pa.Table:
    """Return the files at and below ``start``, one row each in byte order of paths; memory is that of the table.

    Columns: path, size_bytes, hash, commit, changed (UTC), mime, executable.
    """
    import pyarrow as pa

    rows = tree.walk(start.key) if start.is_dir else iter([start])
    return pa.Table.from_batches(_batches(rows), schema=_schema())


def _schema() -> pa.Schema:
    import pyarrow as pa

    return pa.schema(
        [
            ("path", pa.string()),
            ("size_bytes", pa.uint64()),
            ("hash", pa.string()),
            ("commit", pa.string()),
            ("changed", pa.timestamp("ns", tz="UTC")),
            ("mime", pa.string()),
            ("executable", pa.bool_()),
        ]
    )


def _batches(rows: Iterator[Row]) -> Iterator[pa.RecordBatch]:
    import pyarrow as pa

    schema, infos = _schema(), map(file_info, rows)
    while batch := list(islice(infos, BATCH)):
        yield pa.RecordBatch.from_pylist([_record(info) for info in batch], schema=schema)


def _record(info: FileInfo) -> dict[str, object]:
    return {
        "path": info.path,
        "size_bytes": info.size_bytes,
        "hash": info.hash,
        "commit": info.commit,
        "changed": info.changed_ns,
        "mime": info.mime,
        "executable": info.executable,
    }
