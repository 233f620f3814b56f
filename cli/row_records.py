"""The records of `diff-file --rows`, and how they look in a table."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Final

from cli.output import Column, Json, Record, field

if TYPE_CHECKING:
    import pyarrow as pa

    from pfs.errors import InvalidInputError
    from pfs.rows.compare import ColumnChange, TableDiff

_MARKS: Final = {"added": "+", "removed": "-", "changed": "~", "retyped": "~"}
_LONGEST: Final = 40


def table_records(diff: TableDiff) -> Iterator[Record]:
    """Yield the columns of a table that changed, then its rows as they are found, then how many there are of each.

    ``kind`` tells them apart: column, row, table. Positions count from 0.
    """
    place: Mapping[str, Json] = {"name": diff.path.rpartition("/")[2], "path": diff.path}
    for column in diff.columns:
        yield {**place, "kind": "column", **_column_record(column)}
    for batch in diff:
        for row in _json_rows(batch):
            yield {**place, "kind": "row", **_row_record(row, diff.key)}
    counts = diff.counts
    yield {
        **place,
        "kind": "table",
        "added": counts.added,
        "removed": counts.removed,
        "changed": counts.changed,
        "unchanged": counts.unchanged,
        "repeated_keys": counts.repeated,
    }


def error_record(path: str, error: InvalidInputError) -> Record:
    """Return the record of a table that was not compared, or not to its end: ``kind`` error, with the reason."""
    return {"name": path.rpartition("/")[2], "path": path, "kind": "error", "reason": str(error)}


def _column_record(column: ColumnChange) -> Record:
    return {
        "change": column.type,
        "column": column.name,
        "old_type": column.old_type,
        "new_type": column.new_type,
    }


def _row_record(row: Record, names: Sequence[str]) -> Record:
    values = row["new"] or row["old"]
    assert isinstance(values, Mapping), "a row has at least one side"
    return {"change": row["change"], "key": {name: values[name] for name in names} if names else None, **row}


def _json_rows(batch: pa.RecordBatch) -> Iterator[Record]:
    """Yield rows as JSON can hold them: times, decimals, NaN and infinities as text, bytes as base64."""
    shown = [_with_texts(column) for column in batch.columns]
    for values in zip(*(column.to_pylist() for column in shown), strict=True):
        yield {name: _json(value) for name, value in zip(batch.schema.names, values, strict=True)}


def _with_texts(array: pa.Array) -> pa.Array:
    """Return an array with all times in it as text: Python's have no nanoseconds."""
    import pyarrow as pa

    in_utc = _mapped(array.type, lambda one: pa.timestamp(one.unit, "UTC") if _is_zoned(one) else one)
    as_text = _mapped(array.type, lambda one: pa.string() if pa.types.is_temporal(one) else one)
    return array.cast(in_utc).cast(as_text)


def _is_zoned(one: pa.DataType) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_timestamp(one) and one.tz is not None)


def _mapped(one: pa.DataType, change: Callable[[pa.DataType], pa.DataType]) -> pa.DataType:
    """Return a type with ``change`` applied to what it is made of."""
    import pyarrow as pa

    if pa.types.is_struct(one):
        return pa.struct([part.with_type(_mapped(part.type, change)) for part in one])
    if pa.types.is_map(one):
        return pa.map_(_mapped(one.key_type, change), _mapped(one.item_type, change))
    if pa.types.is_list(one):
        return pa.list_(one.value_field.with_type(_mapped(one.value_type, change)))
    return change(one)


def _json(value: object) -> Json:
    if isinstance(value, Mapping):
        return {str(name): _json(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_json(part) for part in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if value is None or isinstance(value, str | int | float | bool):
        return value
    assert isinstance(value, Decimal), type(value)
    return str(value)


def row_columns() -> list[Column]:
    """Return the columns of the table for people."""
    return [("", _mark), ("PATH", field("path")), ("WHERE", _where), ("CHANGE", _what)]


def _mark(record: Record) -> str:
    if record["kind"] == "error":
        return "!"
    return _MARKS.get(str(record.get("change")), "=")


def _where(record: Record) -> str:
    if record["kind"] == "error":
        return "error"
    if record["kind"] != "row":
        return f"column {record['column']}" if record["kind"] == "column" else "all rows"
    if isinstance(key := record["key"], Mapping):
        return _pairs(key)
    return f"row {record['new_row'] if record['old_row'] is None else record['old_row']}"


def _what(record: Record) -> str:
    if record["kind"] == "error":
        return str(record["reason"])
    if record["kind"] == "table":
        counts = ", ".join(f"{record[name]} {name}" for name in ("added", "removed", "changed", "unchanged"))
        return f"{counts}; {record['repeated_keys']} rows repeat a key" if record["repeated_keys"] else counts
    if record["kind"] == "column":
        types = [str(one) for one in (record["old_type"], record["new_type"]) if one is not None]
        return " -> ".join(types) if len(types) == 2 else f"{record['change']}, {types[0]}"
    old, new, names = record["old"], record["new"], record["columns"]
    if isinstance(old, Mapping) and isinstance(new, Mapping) and isinstance(names, Sequence):
        return ", ".join(f"{name}: {_short(old[str(name)])} -> {_short(new[str(name)])}" for name in names)
    values = new if isinstance(new, Mapping) else old
    return _pairs(values) if isinstance(values, Mapping) else ""


def _pairs(values: Mapping[str, Json]) -> str:
    return ", ".join(f"{name}={_short(value)}" for name, value in values.items())


def _short(value: Json) -> str:
    """Return a value in one line, cut to 40 characters; null is told from an empty text and from the word."""
    plain = isinstance(value, str) and value.isprintable() and value not in ("", "null")
    text = str(value) if plain else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
