"""Datum tables as they lie in the store, to be read: a large one is a mapped file, whose pages the system may drop."""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, TYPE_CHECKING, Final

from pfs.backends.durable import storage_errors
from pps.datums.table import decode_table
from pps.model.job_records import read_row

if TYPE_CHECKING:
    import pyarrow as pa

    from pfs.store import Store
    from pfs.trees.row import Row

_MAPPED_BYTES: Final = 8 << 20


def read_table(store: Store, row: Row, *, where: str) -> pa.Table:
    """Return a stored table; one of 8 MiB or more takes disk space in the store's folder while it is in use.

    Raises:
        CorruptionError: it is no datum table; ``where`` names its place.
        StorageError, StorageFullError: there is no room for a large one.
    """
    if row.size < _MAPPED_BYTES:
        return decode_table(read_row(store, row), where=where)
    return decode_table(_mapped(store, row, store.path / "tmp"), where=where)


def laid_out(table: pa.Table, place: Path) -> pa.Table:
    """Return a table as it is, one of 8 MiB or more out of a file without a name in folder ``place``.

    Raises:
        StorageError, StorageFullError: there is no room for it.
    """
    import pyarrow as pa

    if table.nbytes < _MAPPED_BYTES:
        return table
    with _file(place) as file:
        with pa.ipc.new_file(file, table.schema) as writer:
            writer.write_table(table)
        mapped = _map(file)
    with pa.ipc.open_file(pa.BufferReader(pa.py_buffer(mapped))) as reader:
        return reader.read_all()


def _mapped(store: Store, row: Row, place: Path) -> mmap.mmap:
    from pfs.files.reader import iter_range

    with _file(place) as file, closing(iter_range(store.objects, row, jobs=1)) as pieces:
        file.writelines(pieces)
        return _map(file)


@contextmanager
def _file(place: Path) -> Iterator[IO[bytes]]:
    with storage_errors(f"lay out a table of datums in {place}"):
        place.mkdir(exist_ok=True)
        with TemporaryFile(dir=place) as file:
            yield file


def _map(file: IO[bytes]) -> mmap.mmap:
    file.flush()
    return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
