"""In which type two columns are compared, and what of a column goes into that type without loss."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import pyarrow as pa

_INT_DIGITS: Final = 20
_MOST_DIGITS: Final = 76
_UNITS: Final = ("s", "ms", "us", "ns")


def common_type(old: pa.DataType, new: pa.DataType) -> pa.DataType | None:
    """Return the type in which plain, not nested values of both are compared; None: they have none.

    Integers and floats meet as doubles, and instants or durations in the coarser unit; `exact` says which values
    survive that.
    """
    import pyarrow as pa

    kind = pa.types
    if old == new or kind.is_null(new):
        return old
    if kind.is_null(old):
        return new
    if _is_number(old) and _is_number(new):
        return _number(old, new)
    if _is_binary(old) and _is_binary(new):
        return pa.binary()
    if kind.is_timestamp(old) and kind.is_timestamp(new):
        zone = None if old.tz is None else "UTC"
        return None if (old.tz is None) != (new.tz is None) else pa.timestamp(_coarser(old, new), zone)
    if kind.is_duration(old) and kind.is_duration(new):
        return pa.duration(_coarser(old, new))
    if kind.is_time(old) and kind.is_time(new):
        return pa.time64("ns")
    return pa.date32() if _is_day(old) and _is_day(new) else None


def _is_number(one: pa.DataType) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_integer(one) or pa.types.is_floating(one) or pa.types.is_decimal(one))


def _is_binary(one: pa.DataType) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_binary(one) or pa.types.is_fixed_size_binary(one))


def _is_day(one: pa.DataType) -> bool:
    """Whether it is a date, or an instant without a zone, which is a date when it is midnight."""
    import pyarrow as pa

    return bool(pa.types.is_date(one) or (pa.types.is_timestamp(one) and one.tz is None))


def _coarser(old: pa.DataType, new: pa.DataType) -> str:
    return _UNITS[min(_UNITS.index(one.unit) for one in (old, new))]


def _number(old: pa.DataType, new: pa.DataType) -> pa.DataType | None:
    import pyarrow as pa

    kind = pa.types
    if kind.is_floating(old) or kind.is_floating(new):
        return pa.float64()
    if kind.is_decimal(old) or kind.is_decimal(new):
        return _decimal(old, new)
    unsigned = kind.is_uint64(old) or kind.is_uint64(new)
    if not unsigned:
        return pa.int64()
    signed = kind.is_signed_integer(old) or kind.is_signed_integer(new)
    return pa.decimal128(_INT_DIGITS, 0) if signed else pa.uint64()


def _decimal(old: pa.DataType, new: pa.DataType) -> pa.DataType | None:
    import pyarrow as pa

    sizes = [(one.precision, one.scale) if pa.types.is_decimal(one) else (_INT_DIGITS, 0) for one in (old, new)]
    scale = max(scale for _, scale in sizes)
    digits = max(digits - scale for digits, scale in sizes) + scale
    return pa.decimal256(digits, scale) if digits <= _MOST_DIGITS else None


def as_common(array: pa.Array, common: pa.DataType) -> pa.Array:
    """Return an array in the common type of it and another; see `exact`."""
    return array if array.type == common else array.cast(common, safe=False)


def exact(array: pa.Array, converted: pa.Array) -> pa.Array | None:
    """Return for each value whether `as_common` kept it; None: all were. What was not kept equals no value there.

    A decimal as a double is the nearest one, as people mean it who write 0.1.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    kind = pa.types
    if kind.is_integer(array.type) and kind.is_floating(converted.type):
        limit = float(2**64 if kind.is_uint64(array.type) else 2**63)
        inside = pc.less(converted, limit)
        back = pc.if_else(inside, converted, 0.0).cast(array.type, safe=False)
        return pc.and_(inside, pc.equal(back, array))
    if kind.is_temporal(array.type) and array.type != converted.type:
        return pc.equal(converted.cast(array.type, safe=False), array)
    return None


def is_text_like(one: pa.DataType) -> bool:
    """Whether values have a text that people would write: not bytes, and nothing with parts."""
    import pyarrow as pa

    kind = pa.types
    return bool(
        kind.is_string(one) or kind.is_boolean(one) or kind.is_null(one) or _is_number(one) or kind.is_temporal(one)
    ) and not kind.is_interval(one)
