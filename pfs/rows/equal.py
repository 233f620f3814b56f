"""Which values of two columns are the same: by value, null being null, NaN being NaN, nested ones by their parts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from pfs.rows.common import as_common, common_type, exact
from pfs.rows.parquet_table import plain, plain_type

if TYPE_CHECKING:
    import pyarrow as pa

Mask = npt.NDArray[np.bool_]


def equal(old: pa.Array, new: pa.Array) -> Mask:
    """Return for each place whether both arrays, of one length, hold the same value there.

    Values of types that have nothing in common differ, unless both are null.
    """
    import pyarrow as pa

    old, new = plain(old, plain_type(old.type)), plain(new, plain_type(new.type))
    if pa.types.is_map(old.type) and pa.types.is_map(new.type):
        old, new = _entries(old), _entries(new)
    no_old, no_new = _mask(old.is_null()), _mask(new.is_null())
    same: Mask = no_old & no_new
    both = np.flatnonzero(~no_old & ~no_new)
    if len(both) == 0:
        return same
    if len(both) < len(same):
        places = pa.array(both)
        old, new = old.take(places), new.take(places)
    same[both] = _equal_values(old, new)
    return same


def _mask(array: pa.Array) -> Mask:
    found: Mask = np.asarray(array.to_numpy(zero_copy_only=False), dtype=np.bool_)
    return found


def _entries(array: pa.Array) -> pa.Array:
    """Return maps as lists of pairs, in their order."""
    import pyarrow as pa

    kind = array.type
    return array.cast(pa.list_(pa.struct([("key", kind.key_type), ("value", kind.item_type)])))


def _equal_values(old: pa.Array, new: pa.Array) -> Mask:
    """Compare arrays without nulls."""
    import pyarrow as pa

    if pa.types.is_struct(old.type) and pa.types.is_struct(new.type):
        return _equal_structs(old, new)
    if _is_list(old.type) and _is_list(new.type):
        return _equal_lists(old, new)
    if pa.types.is_nested(old.type) or pa.types.is_nested(new.type):
        return np.zeros(len(old), np.bool_)
    common = common_type(old.type, new.type)
    if common is None:
        return np.zeros(len(old), np.bool_)
    return _equal_scalars(old, new, common)


def _equal_scalars(old: pa.Array, new: pa.Array, common: pa.DataType) -> Mask:
    import pyarrow as pa
    import pyarrow.compute as pc

    a, b = as_common(old, common), as_common(new, common)
    if pa.types.is_interval(common):
        return np.fromiter((x == y for x, y in zip(a.to_pylist(), b.to_pylist(), strict=True)), np.bool_, len(a))
    same = pc.equal(a, b)
    if pa.types.is_floating(common):
        same = pc.or_(same, pc.and_(pc.is_nan(a), pc.is_nan(b)))
    for array, converted in ((old, a), (new, b)):
        kept = exact(array, converted)
        same = same if kept is None else pc.and_(same, kept)
    return _mask(same)


def _is_list(one: pa.DataType) -> bool:
    import pyarrow as pa

    kind = pa.types
    return bool(
        kind.is_list(one)
        or kind.is_large_list(one)
        or kind.is_fixed_size_list(one)
        or kind.is_list_view(one)
        or kind.is_large_list_view(one)
    )


def _equal_structs(old: pa.Array, new: pa.Array) -> Mask:
    """Compare members by name; one that a side does not have is null."""
    import pyarrow as pa

    sides = [
        {field.name: part for field, part in zip(array.type, array.flatten(), strict=True)} for array in (old, new)
    ]
    same = np.ones(len(old), np.bool_)
    for name in sides[0] | sides[1]:
        a, b = (side.get(name, pa.nulls(len(old))) for side in sides)
        same &= equal(a, b)
    return same


def _equal_lists(old: pa.Array, new: pa.Array) -> Mask:
    """Compare lists of one length element by element."""
    import pyarrow as pa
    import pyarrow.compute as pc

    counts, others = (pc.list_value_length(array).to_numpy(zero_copy_only=False) for array in (old, new))
    same: Mask = counts == others
    rows = np.flatnonzero(same)
    a, b = (pc.list_flatten(array.take(pa.array(rows))) for array in (old, new))
    differing = np.concatenate([[0], np.cumsum(~equal(a, b))])
    stops = np.cumsum(counts[rows])
    same[rows] = differing[stops] == differing[stops - counts[rows]]
    return same
