"""Listings, globs and diffs as Arrow tables, made in batches: memory is that of the table."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import TYPE_CHECKING, TypeVar

from pfs.model import FileChange, FileInfo
from pfs.trees.row import Row
from pfs.trees.tree import Tree
from pfs.view import file_info

if TYPE_CHECKING:
    import pyarrow as pa

T = TypeVar("T")
BATCH = 65_536


def files_table(tree: Tree, start: Row) -> pa.Table:
    """Return the files at and below ``start``, one row each in byte order of paths; columns as `infos_table`."""
    rows = tree.walk(start.key) if start.is_dir else iter([start])
    return infos_table(map(file_info, rows))


def infos_table(infos: Iterable[FileInfo]) -> pa.Table:
    """Return files and directories, one row each in the order given.

    Columns: path, size_bytes, hash, commit, changed (UTC), mime, executable, type, file_count.
    """
    import pyarrow as pa

    schema = pa.schema(
        [
            ("path", pa.string()),
            ("size_bytes", pa.uint64()),
            ("hash", pa.string()),
            ("commit", pa.string()),
            ("changed", pa.timestamp("ns", tz="UTC")),
            ("mime", pa.string()),
            ("executable", pa.bool_()),
            ("type", pa.string()),
            ("file_count", pa.uint64()),
        ]
    )
    return _table(infos, schema, _info_record)


def changes_table(changes: Iterable[FileChange]) -> pa.Table:
    """Return the changes of a diff, one row each in the order given.

    Columns: path, type (added, modified, deleted), content_same, then size_bytes, hash and commit of the old file and
    of the new one, null on the side where there is none.
    """
    import pyarrow as pa

    sides = [(f"{side}_{name}", kind) for side in ("old", "new") for name, kind in _side_columns()]
    schema = pa.schema([("path", pa.string()), ("type", pa.string()), ("content_same", pa.bool_()), *sides])
    return _table(changes, schema, _change_record)


def _side_columns() -> list[tuple[str, pa.DataType]]:
    import pyarrow as pa

    return [("size_bytes", pa.uint64()), ("hash", pa.string()), ("commit", pa.string())]


def _table(items: Iterable[T], schema: pa.Schema, record: Callable[[T], dict[str, object]]) -> pa.Table:
    import pyarrow as pa

    return pa.Table.from_batches(_batches(iter(items), schema, record), schema=schema)


def _batches(
    items: Iterator[T], schema: pa.Schema, record: Callable[[T], dict[str, object]]
) -> Iterator[pa.RecordBatch]:
    import pyarrow as pa

    while batch := [record(item) for item in islice(items, BATCH)]:
        yield pa.RecordBatch.from_pylist(batch, schema=schema)


def _info_record(info: FileInfo) -> dict[str, object]:
    return {
        "path": info.path,
        "size_bytes": info.size_bytes,
        "hash": info.hash,
        "commit": info.commit,
        "changed": info.changed_ns,
        "mime": info.mime,
        "executable": info.executable,
        "type": info.type,
        "file_count": info.file_count,
    }


def _change_record(change: FileChange) -> dict[str, object]:
    record: dict[str, object] = {"path": change.path, "type": change.type, "content_same": change.content_same}
    for side, info in (("old", change.old), ("new", change.new)):
        if info is not None:
            values = {"size_bytes": info.size_bytes, "hash": info.hash, "commit": info.commit}
            record |= {f"{side}_{name}": value for name, value in values.items()}
    return record
