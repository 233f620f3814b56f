"""Files as Arrow rows: path, size and id of content, and what else is known of them, checked a column at a time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Final

import numpy as np

from pfs.arrays import I64, U8
from pfs.errors import InvalidInputError, InvalidPathError
from pfs.files.arrow_metadata import packed_metadata
from pfs.paths import MAX_NAME_BYTES, MAX_PATH_BYTES, clean_path, from_key
from pfs.trees import columns
from pfs.trees.kernel import gather
from pfs.trees.shape import Keys

if TYPE_CHECKING:
    import pyarrow as pa

_ALIASES: Final = {"size_bytes": "size", "hash": "id"}
"""How listings call columns."""
_SLASH: Final = ord("/")


def file_rows(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Yield columns key (binary), size (uint64), id (binary of 32), link (boolean) and aux (binary), in the same order.

    Columns of a source: path (with or without a slash in front), size, id (32 bytes, or 64 hex digits); and where they
    are known time (of modification: a timestamp, or ns since 1970), mime, executable, metadata (a map of texts), type
    (``file`` or ``symlink``). The names that `View.to_arrow` gives them do too.

    Raises:
        InvalidInputError: a column is missing or of another type, has nulls, or holds what files do not have.
        InvalidPathError: a path that the file API does not take.
    """
    for batch in batches:
        if batch.num_rows:
            yield _file_rows(_renamed(batch))


def _renamed(batch: pa.RecordBatch) -> pa.RecordBatch:
    there = set(batch.schema.names)
    names = [_ALIASES[name] if name in _ALIASES and _ALIASES[name] not in there else name for name in there]
    batch = batch.select(list(there)).rename_columns(names)
    missing = [name for name in ("path", "size", "id") if name not in names]
    if missing:
        raise InvalidInputError(f"column {missing[0]} is missing: files have path, size and id")
    return batch


def _file_rows(batch: pa.RecordBatch) -> pa.RecordBatch:
    import pyarrow as pa

    keys = _keys(batch.column("path"))
    arrays = {
        "key": keys,
        "size": _sizes(batch.column("size"), keys),
        "id": _ids(batch.column("id"), keys),
        "link": _links(batch, keys),
        "aux": packed_metadata(batch),
    }
    return pa.RecordBatch.from_arrays(list(arrays.values()), names=list(arrays))


def _keys(paths: pa.Array) -> pa.Array:
    """Return paths as keys, checked."""
    import pyarrow as pa

    _refuse_nulls(paths, "path")
    try:
        texts = paths.cast(pa.binary()).cast(pa.string())
    except pa.ArrowInvalid as error:
        raise InvalidInputError(f"column path: {error}") from None
    keys = _without_slash(texts.cast(pa.binary()))
    _check_paths(keys)
    return keys


def _without_slash(paths: pa.Array) -> pa.Array:
    """Return paths without the slash in front, where they have one."""
    import pyarrow as pa

    there = columns.keys(paths)
    starts = there.offsets[:-1]
    slashed = np.zeros(len(starts), np.int64)
    filled = np.flatnonzero(starts < there.offsets[1:])
    slashed[filled] = there.data[starts[filled]] == _SLASH
    if not slashed.any():
        return paths
    data = gather(there.data, starts + slashed, there.offsets[1:])
    offsets = np.concatenate(([0], np.cumsum(np.diff(there.offsets) - slashed))).astype(np.int32)
    return pa.Array.from_buffers(pa.binary(), len(paths), [None, pa.py_buffer(offsets), pa.py_buffer(data)])


def _check_paths(column: pa.Array) -> None:
    """Refuse what `clean_path` does not give back as it is."""
    keys = columns.keys(column)
    lengths = np.diff(keys.offsets)
    bad = _rows_of(keys, _bad_bytes(keys)) | set(np.flatnonzero((lengths == 0) | (lengths >= MAX_PATH_BYTES)).tolist())
    bad |= _rows_of(keys, _bad_steps(keys))
    if bad:
        path = from_key(keys.key(min(bad)))
        clean_path(path)
        raise InvalidPathError(
            path, "it has empty elements" if len(path) > 1 else "the root is a directory: name a file"
        )


def _bad_bytes(keys: Keys) -> I64:
    data: U8 = keys.data[keys.offsets[0] : keys.offsets[-1]]
    return np.asarray(np.flatnonzero((data < 0x20) | (data == 0x7F)) + keys.offsets[0])


def _bad_steps(keys: Keys) -> I64:
    """Return where steps begin that are empty, too long, ``.`` or ``..``."""
    first, last = int(keys.offsets[0]), int(keys.offsets[-1])
    slashes = np.flatnonzero(keys.data[first:last] == _SLASH) + first
    begins = np.sort(np.concatenate((keys.offsets[:-1], slashes + 1)), kind="stable")
    ends = np.sort(np.concatenate((keys.offsets[1:], slashes)), kind="stable")
    lengths = ends - begins
    bad = (lengths == 0) | (lengths > MAX_NAME_BYTES)
    short = np.flatnonzero((lengths == 1) | (lengths == 2))
    dots = keys.data[begins[short]] == ord(".")
    bad[short] = dots & (keys.data[begins[short] + lengths[short] - 1] == ord("."))
    return np.asarray(begins[bad])


def _rows_of(keys: Keys, places: I64) -> set[int]:
    """Return the first of the rows that have these places; an empty step at the end of a key is of that key."""
    if not len(places):
        return set()
    at = int(places[0])
    row = int(np.searchsorted(keys.offsets, at, "right")) - 1
    ended = row and at == keys.offsets[row] and at > keys.offsets[row - 1] and keys.data[at - 1] == _SLASH
    return {row - 1 if ended else min(row, keys.rows - 1)}


def _sizes(column: pa.Array, keys: pa.Array) -> pa.Array:
    import pyarrow as pa

    _refuse_nulls(column, "size")
    values = columns.numbers(column)
    wrong = np.flatnonzero((values < 0) | (values > np.iinfo(np.int64).max))
    if len(wrong):
        row = int(wrong[0])
        raise InvalidInputError(f"{_path(keys, row)}: {values[row]} is no size of a file")
    return pa.array(values.astype(np.uint64, copy=False))


def _ids(column: pa.Array, keys: pa.Array) -> pa.Array:
    import pyarrow as pa

    _refuse_nulls(column, "id")
    if column.type == pa.binary(32):
        return column
    ids = columns.keys(column)
    lengths = np.diff(ids.offsets)
    is_text = pa.types.is_string(column.type) or pa.types.is_large_string(column.type)
    wanted = 64 if is_text or lengths[0] == 64 else 32
    wrong = np.flatnonzero(lengths != wanted)
    if len(wrong):
        raise InvalidInputError(f"{_path(keys, int(wrong[0]))}: an id has 32 bytes, or 64 hex digits")
    raw = ids.data[ids.offsets[0] : ids.offsets[-1]].tobytes()
    if wanted == 64:
        try:
            raw = bytes.fromhex(raw.decode("ascii"))
        except ValueError:
            raise InvalidInputError("column id: an id has 32 bytes, or 64 hex digits") from None
    return pa.FixedSizeBinaryArray.from_buffers(pa.binary(32), len(column), [None, pa.py_buffer(raw)])


def _links(batch: pa.RecordBatch, keys: pa.Array) -> pa.Array:
    """Return whether each row is a symbolic link."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if "type" not in batch.schema.names:
        return pa.array(np.zeros(batch.num_rows, np.bool_))
    types = batch.column("type").cast(pa.string()).fill_null("file")
    links = pc.equal(types, "symlink")
    other = pc.invert(pc.or_(links, pc.equal(types, "file")))
    if pc.any(other).as_py():
        row = pc.index(other, True).as_py()
        raise InvalidInputError(f"{_path(keys, row)}: type {types[row].as_py()!r} is none of files: file or symlink")
    return links


def _refuse_nulls(column: pa.Array, name: str) -> None:
    if column.null_count:
        raise InvalidInputError(f"column {name} has nulls")


def _path(keys: pa.Array, row: int) -> str:
    return from_key(keys[row].as_py())


def in_order(batches: Iterable[pa.RecordBatch]) -> bool:
    """Say whether the paths of a source are in the order of their keys."""
    import pyarrow.compute as pc

    last = b""
    for batch in batches:
        keys = _keys(_renamed(batch).column("path"))
        if not len(keys):
            continue
        if keys[0].as_py() < last or not pc.all(pc.less_equal(keys[:-1], keys[1:]), min_count=0).as_py():
            return False
        last = keys[-1].as_py()
    return True
