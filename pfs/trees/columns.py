"""Columns of files as bulk builds take them, from Arrow arrays without a copy where they allow it, and from values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from pfs.arrays import I64, U8
from pfs.errors import InvalidInputError
from pfs.trees.shape import Keys
from pfs.trees.span import Aux

if TYPE_CHECKING:
    import pyarrow as pa

_DIGEST = 32


def keys(column: pa.Array) -> Keys:
    """Return the keys of a column of binaries or strings.

    Raises:
        InvalidInputError: it is neither, or has nulls.
    """
    return Keys(*_pieces(column))


def keys_of(values: Sequence[bytes]) -> Keys:
    """Return keys from their values."""
    return Keys(*_joined(values))


def with_first(first: bytes, there: Keys) -> Keys:
    """Return keys with one in front of them."""
    offsets = there.offsets + (len(first) - there.offsets[0])
    data = there.data[there.offsets[0] : there.offsets[-1]]
    return Keys(np.concatenate((np.frombuffer(first, np.uint8), data)), np.concatenate(([0], offsets)))


def digests(column: pa.Array) -> U8:
    """Return the rows of a column of binaries of 32 bytes.

    Raises:
        InvalidInputError: they have another length, or there are nulls.
    """
    import pyarrow as pa

    if column.type == pa.binary(_DIGEST):
        _refuse_nulls(column)
        rows, buffer = len(column), column.buffers()[1]
        data = (
            np.frombuffer(buffer, np.uint8, _DIGEST * rows, _DIGEST * column.offset) if rows else np.empty(0, np.uint8)
        )
        return data.reshape(-1, _DIGEST)
    data, offsets = _pieces(column)
    if np.any(np.diff(offsets) != _DIGEST):
        raise InvalidInputError(f"an id does not have {_DIGEST} bytes")
    return data[offsets[0] : offsets[-1]].reshape(-1, _DIGEST)


def numbers(column: pa.Array) -> npt.NDArray[np.integer]:
    """Return a column of whole numbers.

    Raises:
        InvalidInputError: it has others, or nulls.
    """
    import pyarrow.types as types

    if not types.is_integer(column.type):
        raise InvalidInputError(f"a column has {column.type} where whole numbers are wanted")
    _refuse_nulls(column)
    return np.asarray(column.to_numpy(zero_copy_only=True))


def maps(column: pa.Array) -> Aux | None:
    """Return packed metadata of a column of binaries, null where a row has none."""
    rows = np.flatnonzero(np.asarray(column.is_valid().to_numpy(zero_copy_only=False)))
    data, offsets = _pieces(column.drop_null())
    return Aux(rows, offsets - offsets[0], data[offsets[0] : offsets[-1]].tobytes()) if len(rows) else None


def aux_of(packed: Sequence[bytes | None]) -> Aux | None:
    """Return metadata from its values."""
    rows = [row for row, one in enumerate(packed) if one is not None]
    data, offsets = _joined([one for one in packed if one is not None])
    return Aux(np.array(rows, np.int64), offsets, data.tobytes()) if rows else None


def _pieces(column: pa.Array) -> tuple[U8, I64]:
    import pyarrow as pa
    import pyarrow.types as types

    _refuse_nulls(column)
    if not len(column):
        return np.empty(0, np.uint8), np.zeros(1, np.int64)
    if types.is_fixed_size_binary(column.type) or types.is_dictionary(column.type):
        column = column.cast(pa.binary())
    narrow = types.is_binary(column.type) or types.is_string(column.type)
    if not narrow and not types.is_large_binary(column.type) and not types.is_large_string(column.type):
        raise InvalidInputError(f"a column has {column.type} where binaries or strings are wanted")
    _, places, data = column.buffers()
    offsets = np.frombuffer(
        places, np.int32 if narrow else np.int64, len(column) + 1, column.offset * (4 if narrow else 8)
    )
    raw = np.empty(0, np.uint8) if data is None else np.frombuffer(data, np.uint8)
    return raw, offsets.astype(np.int64, copy=False)


def _joined(values: Sequence[bytes]) -> tuple[U8, I64]:
    ends = np.cumsum(np.fromiter(map(len, values), np.int64, len(values)))
    return np.frombuffer(b"".join(values), np.uint8), np.concatenate((np.zeros(1, np.int64), ends))


def _refuse_nulls(column: pa.Array) -> None:
    if column.null_count:
        raise InvalidInputError("a column has nulls")
