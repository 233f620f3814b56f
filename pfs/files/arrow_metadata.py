"""Columns of time, media type, executable bit and metadata as the packed maps that rows of trees have."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

import numpy as np

from pfs.arrays import I64
from pfs.errors import InvalidInputError
from pfs.files.described import described
from pfs.trees.page import pack_aux

if TYPE_CHECKING:
    import pyarrow as pa

_TIME: Final = np.frombuffer(b"\x81\xa1t\xcf", np.uint8)
"""The map with the time alone, up to the eight bytes of a number from 2**32 on."""


def packed_metadata(batch: pa.RecordBatch) -> pa.Array:
    """Return the packed metadata of each row (binary), null where there is none; 1 us a row where it is more than time.

    Raises:
        InvalidInputError: a column is of another type, or holds what files do not have.
    """
    import pyarrow as pa

    names = [name for name in ("time", "mime", "executable", "metadata") if name in batch.schema.names]
    known = [name for name in names if batch.column(name).null_count < batch.num_rows]
    if not known:
        return pa.nulls(batch.num_rows, pa.binary())
    times = _times(batch.column("time")) if "time" in known else None
    if known == ["time"] and times is not None and times.null_count == 0:
        values = times.to_numpy()
        if values.min() >= 1 << 32:
            return _time_maps(values)
    columns = {name: batch.column(name).to_pylist() for name in known if name != "time"}
    if times is not None:
        columns["time"] = times.to_pylist()
    rows = ({name: column[row] for name, column in columns.items()} for row in range(batch.num_rows))
    packed = [pack_aux(_map_of(row)) for row in rows]
    return pa.array(packed, pa.binary())


def _time_maps(values: I64) -> pa.Array:
    import pyarrow as pa

    maps = np.empty((len(values), len(_TIME) + 8), np.uint8)
    maps[:, : len(_TIME)] = _TIME
    maps[:, len(_TIME) :] = values.astype(">u8").view(np.uint8).reshape(-1, 8)
    return pa.FixedSizeBinaryArray.from_buffers(pa.binary(maps.shape[1]), len(values), [None, pa.py_buffer(maps)]).cast(
        pa.binary()
    )


def _times(column: pa.Array) -> pa.Array:
    import pyarrow as pa

    if pa.types.is_timestamp(column.type):
        column = column.cast(pa.timestamp("ns", column.type.tz))
    elif not pa.types.is_integer(column.type):
        raise InvalidInputError(f"column time: {column.type} is none of timestamps or whole numbers of ns")
    return column.cast(pa.int64())


def _map_of(values: Mapping[str, object]) -> dict[str, object]:
    """Return the metadata of a row as trees hold it."""
    mime, entries = values.get("mime"), values.get("metadata")
    metadata = None
    if isinstance(entries, dict | list):  # Arrow gives a map as a list of pairs, a struct as a dict
        metadata = {str(name): str(text) for name, text in dict(entries).items() if text is not None}
    said = described(None if mime is None else str(mime), metadata)
    time = {} if values.get("time") is None else {"t": values["time"]}
    return {**said, **time, **({"x": True} if values.get("executable") else {})}
