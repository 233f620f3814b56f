"""Columns that rows are sorted and paired by: one order for both sides, in Arrow and in Python."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from pfs.errors import InvalidInputError
from pfs.rows.common import as_common, exact
from pfs.rows.equal import Mask, equal
from pfs.shorten import quoted

if TYPE_CHECKING:
    import pyarrow as pa

Rank = tuple[object, ...]
"""A row's place in the order, comparable with that of others."""


def key_array(array: pa.Array, common: pa.DataType, *, name: str) -> pa.Array:
    """Return a key column in a type that sorts, so that the same values are the same in both tables.

    Raises:
        InvalidInputError: a value is not exact in the type that both tables share, so rows might be mistaken.
    """
    import pyarrow.compute as pc

    values = as_common(array, common)
    kept = exact(array, values)
    if kept is not None and not pc.all(kept, min_count=0).as_py():
        message = f"key column {quoted(name)} is {array.type} here and not there: some values have no equal as {common}"
        raise InvalidInputError(f"{message}; give both tables one type")
    return values.cast(sort_type(common))


def sort_type(common: pa.DataType) -> pa.DataType:
    """Return the type in which keys of a type are sorted."""
    import pyarrow as pa

    kind = pa.types
    if kind.is_null(common):
        return pa.string()
    if kind.is_floating(common):
        return pa.float64()
    if kind.is_boolean(common):
        return pa.int8()
    if kind.is_date32(common) or kind.is_time32(common):
        return pa.int32()
    if kind.is_temporal(common):
        return pa.int64()
    return pa.binary() if kind.is_fixed_size_binary(common) else common


def rank(batch: pa.RecordBatch, row: int, keys: Sequence[str]) -> Rank:
    """Return the place of a row: as Arrow sorts, that is values, then NaN, then null."""
    return tuple(_place(batch.column(name)[row].as_py()) for name in keys)


def _place(value: object) -> tuple[object, ...]:
    if value is None:
        return (2,)
    return (1,) if isinstance(value, float) and math.isnan(value) else (0, value)


def sort(batch: pa.RecordBatch, keys: Sequence[str]) -> pa.RecordBatch:
    """Return the rows in the order of their keys; what is sorted already is returned as it is."""
    import pyarrow.compute as pc

    order = pc.sort_indices(batch, sort_keys=[(name, "ascending") for name in keys])
    places = order.to_numpy()
    return batch if bool(np.all(places[1:] > places[:-1])) else batch.take(order)


def same_as_previous(batch: pa.RecordBatch, keys: Sequence[str]) -> Mask:
    """Return for each row whether its keys are those of the row before; False for the first."""
    same = np.ones(batch.num_rows, np.bool_)
    same[:1] = False
    for name in keys:
        column = batch.column(name)
        same[1:] &= equal(column.slice(0, max(len(column) - 1, 0)), column.slice(1))
    return same
