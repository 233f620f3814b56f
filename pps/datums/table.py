"""Datum tables: one row a datum, sorted by id, as an Arrow IPC file.

The same columns serve a job's datums and the results that can be taken over (records.py). Sorted and columnar, so that
two jobs are compared by scanning digests, and unchanged stretches of the file keep their chunks from job to job.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import IO, TYPE_CHECKING, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from pfs.errors import CorruptionError
from pfs.ids import CommitId
from pfs.structs import ready
from pps.datums.plan import Columns, digests, order_of, places
from pps.executor import Bytes, Reads, Seconds
from pps.model.state import DatumState

if TYPE_CHECKING:
    from mmap import mmap

    import pyarrow as pa

_BATCH = 16_384
_RUN = 256
"""Rows in a row, on average, from which on parts of a table are shared rather than copied."""


class Result(NamedTuple):
    """How a datum ended; one row's worth without its identity. ``ran_in``: the job that processed it.

    ``reads``: what it read over S3 (`pps.datums.readset`), None where there was nothing to read so.
    """

    state: DatumState
    tries: int = 0
    exit_code: int | None = None
    signal: int | None = None
    seconds: Seconds = Seconds()
    bytes: Bytes = Bytes()
    log_tail: str = ""
    reason: str = ""
    ran_in: CommitId | None = None
    reads: Reads | None = None


class Source(NamedTuple):
    """What an input gave to a datum; ``leaf``: its number among the leaves, as those of a union may share a name."""

    name: str
    path: str
    leaf: int = 0


class Entry(NamedTuple):
    """One row: ``inputs`` in the order of the spec's leaves."""

    id: bytes
    hash: bytes
    inputs: tuple[Source, ...]
    result: Result


def schema() -> pa.Schema:
    """Return the columns of a datum table."""
    import pyarrow as pa

    digest, text = pa.binary(32), pa.string()
    return pa.schema(
        [
            ("id", digest),
            ("hash", digest),
            ("inputs", pa.list_(pa.struct([("name", text), ("path", text), ("leaf", pa.int16())]))),
            ("state", text),
            ("tries", pa.int32()),
            ("exit_code", pa.int32()),
            ("signal", pa.int32()),
            ("download_s", pa.float64()),
            ("process_s", pa.float64()),
            ("upload_s", pa.float64()),
            ("input_bytes", pa.int64()),
            ("output_bytes", pa.int64()),
            ("log_tail", text),
            ("reason", text),
            ("ran_in", text),
            ("reads", pa.binary()),
        ]
    )


def empty_table() -> pa.Table:
    """Return a table without rows."""
    return schema().empty_table()


def encode_table(table: pa.Table) -> bytes:
    """Return the stored form: an Arrow IPC file, uncompressed (the store compresses its chunks)."""
    import io

    sink = io.BytesIO()
    write_tables([table], sink)
    return sink.getvalue()


def write_tables(tables: Iterable[pa.Table], sink: IO[bytes]) -> None:
    """Write the stored form of all rows of ``tables``; the same whatever pieces they come in, one batch in memory."""
    import pyarrow as pa

    with pa.ipc.new_file(sink, schema()) as writer:
        for table in _in_batches(tables):
            writer.write_table(table.combine_chunks())


def _in_batches(tables: Iterable[pa.Table]) -> Iterator[pa.Table]:
    """Yield all rows in tables of one size, the last of which may have fewer."""
    import pyarrow as pa

    held = empty_table()
    for table in tables:
        held = pa.concat_tables([held, table])
        whole = len(held) - len(held) % _BATCH
        yield from (held.slice(start, _BATCH) for start in range(0, whole, _BATCH))
        held = held.slice(whole)
    if len(held):
        yield held


def decode_table(data: bytes | mmap, *, where: str) -> pa.Table:
    """Parse a stored table, which shares the memory of ``data``.

    Raises:
        CorruptionError: it is none, or has other columns; ``where`` names its place.
    """
    import pyarrow as pa

    try:
        with pa.ipc.open_file(pa.BufferReader(pa.py_buffer(data))) as reader:
            table = reader.read_all()
            if "reads" not in table.column_names:  # there was nothing to read over S3 when it was written
                table = table.append_column("reads", pa.nulls(len(table), pa.binary()))
            return table.select(schema().names).cast(schema())
    except (pa.ArrowException, KeyError) as error:
        raise CorruptionError(where, f"not a datum table ({error})") from error


def columns_of(table: pa.Table) -> Columns:
    """Return the digests of a table that is sorted by id."""
    return Columns(_digests_of(table, "id"), _digests_of(table, "hash"))


def _digests_of(table: pa.Table, name: str) -> npt.NDArray[np.bytes_]:
    column = table.column(name).combine_chunks()
    if not len(column):
        return digests(b"")
    raw = column.buffers()[1]
    return np.frombuffer(raw, dtype="S32", count=len(column), offset=column.offset * 32)


def result_columns(results: Sequence[Result]) -> pa.Table:
    """Return results as the columns that a datum table has of them."""
    import pyarrow as pa

    values = {
        "state": [result.state.value for result in results],
        "tries": [result.tries for result in results],
        "exit_code": [result.exit_code for result in results],
        "signal": [result.signal for result in results],
        "download_s": [result.seconds.download for result in results],
        "process_s": [result.seconds.process for result in results],
        "upload_s": [result.seconds.upload for result in results],
        "input_bytes": [result.bytes.download for result in results],
        "output_bytes": [result.bytes.upload for result in results],
        "log_tail": [result.log_tail for result in results],
        "reason": [result.reason for result in results],
        "ran_in": [result.ran_in for result in results],
        "reads": [result.reads for result in results],
    }
    return pa.table({name: pa.array(column, type=schema().field(name).type) for name, column in values.items()})


def with_results(planned: pa.Table, rows: Sequence[int] | npt.NDArray[np.int64], columns: pa.Table) -> pa.Table:
    """Return the rows of a planned table with their results beside them, as `result_columns` gives those."""
    part = rows_at(planned, np.asarray(rows, dtype=np.int64))
    for name in columns.column_names:
        part = part.append_column(name, columns[name])
    return part.cast(schema())


def with_state(table: pa.Table, state: DatumState) -> pa.Table:
    """Return the table with every row in ``state``."""
    import pyarrow as pa

    at = table.schema.get_field_index("state")
    return table.set_column(at, "state", pa.repeat(pa.scalar(state.value, pa.string()), len(table)))


def in_state(table: pa.Table, *states: DatumState) -> pa.Table:
    """Return the rows in one of ``states``."""
    import pyarrow as pa
    import pyarrow.compute as pc

    chosen = pc.is_in(table["state"], pa.array([state.value for state in states]))
    return table if pc.all(chosen).as_py() in {True, None} else table.filter(chosen)


def by_id(*tables: pa.Table) -> pa.Table:
    """Return all rows of the tables, which have no id in common, sorted by id."""
    import pyarrow as pa

    filled = [table for table in tables if len(table)]
    whole = pa.concat_tables(filled or tables[:1])
    return rows_at(whole, order_of(_digests_of(whole, "id")))


def rows_at(table: pa.Table, rows: npt.NDArray[np.int64]) -> pa.Table:
    """Return some rows of a table in the order of ``rows``; long runs of them share its memory."""
    import pyarrow as pa

    if not len(rows):
        return table.slice(0, 0)
    starts = np.flatnonzero(np.diff(rows, prepend=-2) != 1)
    if len(starts) > len(rows) // _RUN + 1:
        return table.take(pa.array(rows))
    ends = np.append(starts[1:], len(rows))
    parts = [table.slice(int(rows[a]), int(b - a)) for a, b in zip(starts.tolist(), ends.tolist(), strict=True)]
    return pa.concat_tables(parts)


def merged(table: pa.Table, fresh: pa.Table, at: npt.NDArray[np.int64]) -> pa.Table:
    """Return the rows of two tables of the same columns; row n of ``fresh`` comes before row ``at[n]`` of the other."""
    import pyarrow as pa

    rows = np.insert(np.arange(len(table), dtype=np.int64), at, np.arange(len(table), len(table) + len(fresh)))
    return rows_at(pa.concat_tables([table, fresh]), rows)


def mine(table: pa.Table, job: CommitId) -> npt.NDArray[np.bool_]:
    """Return for each row whether ``job`` processed it."""
    import pyarrow.compute as pc

    return np.asarray(pc.equal(table["ran_in"], job).fill_null(False).combine_chunks().to_numpy(zero_copy_only=False))


def ids_of(table: pa.Table) -> npt.NDArray[np.bytes_]:
    """Return the ids of a table, in its order."""
    return _digests_of(table, "id")


def without(table: pa.Table, gone: npt.NDArray[np.bytes_]) -> pa.Table:
    """Return the rows whose id is not in ``gone``."""
    if not len(gone) or not len(table):
        return table
    ids, ordered = _digests_of(table, "id"), gone[order_of(gone)]
    at = np.minimum(places(ids, ordered), len(ordered) - 1)
    return rows_at(table, np.flatnonzero(ordered[at] != ids).astype(np.int64))


def entries(table: pa.Table) -> Iterator[Entry]:
    """Yield the rows in order."""
    for batch in table.to_batches(max_chunksize=_BATCH):
        for row in batch.to_pylist():
            yield _entry(row)


def find(table: pa.Table, identity: bytes) -> Entry | None:
    """Return the row of one datum."""
    ids = _digests_of(table, "id")
    at = int(np.searchsorted(ids, np.frombuffer(identity, dtype="S32")[0]))
    if at == len(ids) or table["id"][at].as_py() != identity:
        return None
    return next(entries(table.slice(at, 1)))


def _entry(row: Mapping[str, object]) -> Entry:
    plain = msgspec.convert(row, ready(_Row))
    result = Result(
        DatumState(plain.state),
        plain.tries,
        plain.exit_code,
        plain.signal,
        Seconds(plain.download_s, plain.process_s, plain.upload_s),
        Bytes(plain.input_bytes, plain.output_bytes),
        plain.log_tail,
        plain.reason,
        CommitId(plain.ran_in) if plain.ran_in else None,
        plain.reads,
    )
    inputs = tuple(Source(one.name, one.path, one.leaf) for one in plain.inputs)
    return Entry(plain.id, plain.hash, inputs, result)


class _Source(msgspec.Struct):
    name: str
    path: str
    leaf: int


class _Row(msgspec.Struct):
    """One row as Arrow gives it."""

    id: bytes
    hash: bytes
    inputs: list[_Source]
    state: str
    tries: int
    exit_code: int | None
    signal: int | None
    download_s: float
    process_s: float
    upload_s: float
    input_bytes: int
    output_bytes: int
    log_tail: str
    reason: str
    ran_in: str | None
    reads: bytes | None
