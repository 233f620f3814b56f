"""Tables in memory, and the comparison of rows as a plain model."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pyarrow as pa

from pfs.rows.compare import TableDiff
from pfs.rows.table import Column, Form

Value = int | float | str | None
Row = dict[str, object]
Found = list[tuple[str, int | None, int | None, tuple[str, ...]]]


class MemoryTable:
    """Rows at hand, handed out a few at a time."""

    def __init__(self, table: pa.Table, *, batch_rows: int = 3, where: str = "memory") -> None:
        self.where = where
        self._table, self._batch_rows = table, batch_rows
        self.columns: Sequence[Column] = [Column(field.name, str(field.type), field.type) for field in table.schema]

    def batches(self, forms: Mapping[str, Form]) -> Iterator[pa.RecordBatch]:
        for batch in self._table.combine_chunks().to_batches(max_chunksize=self._batch_rows):
            arrays = [
                column if forms.get(name, Form.OWN) is Form.OWN else column.cast(pa.string())
                for name, column in zip(batch.schema.names, batch.columns, strict=True)
            ]
            yield pa.RecordBatch.from_arrays(arrays, names=batch.schema.names)


def diff_of(
    old: pa.Table, new: pa.Table, directory: Path, *, key: Sequence[str] = (), run_bytes: int = 1 << 20
) -> TableDiff:
    tables = (MemoryTable(old), MemoryTable(new))
    return TableDiff("/t", *tables, key=key, directory=directory, run_bytes=run_bytes)


def rows_of(diff: TableDiff) -> list[Row]:
    return [row for batch in diff for row in batch.to_pylist()]


def found(diff: TableDiff) -> Found:
    names = ("change", "old_row", "new_row", "columns")
    return [
        (change, old_row, new_row, tuple(columns))
        for batch in diff
        for change, old_row, new_row, columns in zip(*(batch.column(name).to_pylist() for name in names), strict=True)
    ]


def same(old: object, new: object) -> bool:
    if isinstance(old, float) and isinstance(new, float) and math.isnan(old) and math.isnan(new):
        return True
    return old == new


def _place(value: object) -> tuple[object, ...]:
    if value is None:
        return (2,)
    return (1,) if isinstance(value, float) and math.isnan(value) else (0, value)


def model(old: Sequence[Row], new: Sequence[Row], key: Sequence[str], columns: Sequence[str]) -> Found:
    """Pair the n-th row of each key by hand."""
    sides: list[dict[tuple[object, ...], int]] = []
    for rows in (old, new):
        counts: dict[tuple[object, ...], int] = defaultdict(int)
        places = {}
        for number, row in enumerate(rows):
            one = tuple(_place(row[name]) for name in key)
            places[(*one, counts[one])] = number
            counts[one] += 1
        sides.append(places)
    result: Found = []
    for one in sorted(sides[0].keys() | sides[1].keys()):
        a, b = (side.get(one) for side in sides)
        if a is None or b is None:
            result.append(("added" if a is None else "removed", a, b, ()))
            continue
        changed = tuple(name for name in columns if not same(old[a][name], new[b][name]))
        if changed:
            result.append(("changed", a, b, changed))
    return result
