"""From paths of commits to tables: which files are compared with which."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, cast

from pfs.errors import InvalidInputError, PathNotFoundError
from pfs.paths import clean_path
from pfs.rows.compare import TableDiff
from pfs.rows.csv_table import CsvTable
from pfs.rows.json_table import JsonTable
from pfs.rows.parquet_table import ParquetTable
from pfs.rows.table import NoTable, Source, TableFile
from pfs.trees.page import Kind

if TYPE_CHECKING:
    from pfs.view import View

_Opener = Callable[[Source], TableFile]
OnError = Callable[[str, InvalidInputError], None]
"""What is done about a table that cannot be compared: gets its path and the reason."""
_COMPRESSED = {".gz": "gzip", ".zst": "zstd"}


def _opener(path: str) -> _Opener | None:
    """Return what reads a file of that name; None: it is not a table."""
    name, compression = _uncompressed(path)
    if name.endswith((".parquet", ".pq")):
        return None if compression else ParquetTable
    if name.endswith(".csv"):
        return CsvTable
    if name.endswith(".tsv"):
        return lambda source: CsvTable(source, delimiter="\t")
    return JsonTable if name.endswith((".jsonl", ".ndjson")) else None


def _uncompressed(path: str) -> tuple[str, str | None]:
    name = path.rpartition("/")[2].lower()
    stem, dot, ending = name.rpartition(".")
    compression = _COMPRESSED.get(dot + ending)
    return (name, None) if compression is None else (stem, compression)


def table_diff(
    directory: Path, new: View, path: str, *, old: View | None, old_path: str, key: Sequence[str]
) -> TableDiff:
    """Plan the comparison of one file with another; a file that is missing on one side has no rows there.

    Raises:
        PathNotFoundError: there is neither.
        InvalidInputError: one is not a table; see also `TableDiff`.
    """
    sides = (_file(old, old_path), _file(new, path))
    if sides == (False, False):
        raise PathNotFoundError(f"{new.info.repo}@{new.info.id}:{clean_path(path)}")
    before = _table(old, old_path) if old is not None and sides[0] else NoTable(clean_path(old_path))
    after = _table(new, path) if sides[1] else NoTable(clean_path(path))
    return TableDiff(clean_path(path), before, after, key=key, directory=directory)


def _file(view: View | None, path: str) -> bool:
    """Whether there is a file.

    Raises:
        InvalidInputError: there is a directory.
    """
    try:
        row = None if view is None else view.row(path)
    except PathNotFoundError:
        return False
    if row is not None and row.is_dir:
        raise InvalidInputError(f"{clean_path(path)} is a directory: name a file to compare rows of two paths")
    return row is not None


def _is_directory(view: View | None, path: str) -> bool:
    try:
        return view is not None and view.row(path).is_dir
    except PathNotFoundError:
        return False


def _table(view: View, path: str) -> TableFile:
    where = f"{view.info.repo}@{view.info.id[:12]}:{clean_path(path)}"
    opener = JsonTable if _uncompressed(path)[0].endswith(".json") else _opener(path)
    if opener is None or view.row(path).kind == Kind.SYMLINK:
        names = "csv, tsv, jsonl, ndjson (also .gz, .zst), parquet, pq or json"
        raise InvalidInputError(f"{where} is not a table: rows are compared of files that end in {names}")
    return opener(Source(where, lambda: _stream(view, path)))


def _stream(view: View, path: str) -> BinaryIO:
    compression = _uncompressed(path)[1]
    stream = view.open(path)
    if compression is None:
        return stream
    import pyarrow as pa

    return cast("BinaryIO", pa.CompressedInputStream(stream, compression))  # it reads as a BinaryIO does


def table_diffs(
    directory: Path,
    new: View,
    path: str,
    *,
    old: View | None,
    key: Sequence[str],
    on_error: OnError | None = None,
) -> Iterator[TableDiff]:
    """Plan the comparison of a file, or of all tables below a directory that changed, in byte order of paths.

    Other files below a directory are passed over. ``on_error`` is told of tables there that cannot be read or have no
    such key, and the next one follows; without it the first of them is raised and ends it all.

    Raises:
        PathNotFoundError, InvalidInputError: see `table_diff`.
    """
    if not (_is_directory(new, path) or _is_directory(old, path)):
        yield table_diff(directory, new, path, old=old, old_path=path, key=key)
        return
    for change in new.diff(old, path):
        files = all(side is None or side.type == "file" for side in (change.old, change.new))
        if not files or change.content_same or _opener(change.path) is None:
            continue
        try:
            planned = table_diff(directory, new, change.path, old=old, old_path=change.path, key=key)
        except InvalidInputError as error:
            if on_error is None:
                raise
            on_error(change.path, error)
            continue
        yield planned
