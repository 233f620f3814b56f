"""Two versions of a table, compared: what became of the columns, and a stream of the rows that differ."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from pfs.errors import InvalidInputError
from pfs.rows.common import common_type, is_text_like
from pfs.rows.equal import Mask, equal
from pfs.rows.json_table import JsonTable
from pfs.rows.pair import POSITION, Block, Key, Places, Side, by_key, by_position
from pfs.rows.sorting import RUN_BYTES, Spills, joined
from pfs.rows.table import JSON_TYPE, Column, Form, TableFile
from pfs.shorten import quoted, shorten

if TYPE_CHECKING:
    import pyarrow as pa

ColumnChangeType = Literal["added", "removed", "retyped"]
_BATCH_ROWS = 4096
_BATCH_BYTES = 1 << 20
_CHANGES = ("added", "removed", "changed")


@dataclass(frozen=True, slots=True)
class ColumnChange:
    """A column that is not what it was; the type is None on the side where it is not."""

    name: str
    type: ColumnChangeType
    old_type: str | None
    new_type: str | None


@dataclass(slots=True)
class RowCounts:
    """How many rows of each kind were met so far; ``repeated``: rows whose key appeared before in their table."""

    added: int = 0
    removed: int = 0
    changed: int = 0
    unchanged: int = 0
    repeated: int = 0


class TableDiff:
    """A comparison of two tables, ready to run: iterate over it for the rows that differ, as Arrow record batches.

    Each iteration reads both tables again and counts anew in ``counts``. Batches have ``schema``: change (added,
    removed, changed), old_row and new_row (positions from 0, null where there is no row), columns (names of the
    changed ones), old and new (structs of the columns of each table). One thread at a time.
    """

    def __init__(
        self,
        path: str,
        old: TableFile,
        new: TableFile,
        *,
        key: Sequence[str],
        directory: Path,
        run_bytes: int = RUN_BYTES,
    ) -> None:
        """Plan the comparison; ``directory`` takes the files for sorting.

        Raises:
            InvalidInputError: a key column is missing or of a type that has no order.
        """
        self.path = path
        self.key = tuple(key)
        self.columns = tuple(_column_changes(old.columns, new.columns))
        self.counts = RowCounts()
        self._directory = directory
        self._run_bytes = run_bytes
        self._shared = [column.name for column in new.columns if _find(old, column.name) is not None]
        forms = {name: _forms(old, new, name) for name in self._shared}
        self._old = Side(old, {name: form for name, (form, _) in forms.items()})
        self._new = Side(new, {name: form for name, (_, form) in forms.items()})
        self._keys = _keys(self._old, self._new, self.key)

    @property
    def schema(self) -> pa.Schema:
        """Return the schema of all batches."""
        import pyarrow as pa

        return pa.schema(
            [
                ("change", pa.string()),
                ("old_row", pa.int64()),
                ("new_row", pa.int64()),
                ("columns", pa.list_(pa.string())),
                ("old", _struct(self._old)),
                ("new", _struct(self._new)),
            ]
        )

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        """Yield the rows that differ: in the order of keys, or of positions.

        Raises:
            InvalidInputError: the content of a file turns out not to be that of a table.
            CorruptionError, StorageError: reading failed, or the disk is full of the files for sorting.
        """
        self.counts = RowCounts()
        with closing(Spills(self._directory, run_bytes=self._run_bytes)) as spills:
            if self._keys is None:
                blocks = by_position(self._old, self._new)
            else:
                blocks = by_key(self._old, self._new, self._keys, spills)
            yield from _regrouped(filter(lambda batch: batch.num_rows, map(self._differing, blocks)))

    def to_reader(self) -> pa.RecordBatchReader:
        """Return the rows that differ as an Arrow stream."""
        import pyarrow as pa

        return pa.RecordBatchReader.from_batches(self.schema, iter(self))

    def _differing(self, block: Block) -> pa.RecordBatch:
        """Return the rows of a block that differ."""
        differs = self._differs(block)
        changed: Mask = np.any(differs, axis=1)
        added: Mask = block.old_places < 0
        removed: Mask = block.new_places < 0
        self._count(added, removed, changed, block.repeated)
        kept = np.flatnonzero(added | removed | changed)
        kinds = np.where(added, 0, np.where(removed, 1, 2))[kept]
        return self._batch(block, kinds, kept, differs[kept])

    def _differs(self, block: Block) -> Mask:
        """Return for each pair and shared column whether the values differ; False where a side has no row."""
        differs = np.zeros((len(block.old_places), len(self._shared)), np.bool_)
        paired = np.flatnonzero((block.old_places >= 0) & (block.new_places >= 0))
        for number, name in enumerate(self._shared):
            old = _taken(block.old, self._old.index(name), block.old_places[paired])
            new = _taken(block.new, self._new.index(name), block.new_places[paired])
            differs[paired, number] = ~equal(old, new)
        return differs

    def _count(self, added: Mask, removed: Mask, changed: Mask, repeated: int) -> None:
        found = [int(np.count_nonzero(mask)) for mask in (added, removed, changed)]
        counts = self.counts
        counts.added, counts.removed, counts.changed = (
            counts.added + found[0],
            counts.removed + found[1],
            counts.changed + found[2],
        )
        counts.unchanged += len(added) - sum(found)
        counts.repeated += repeated

    def _batch(self, block: Block, kinds: Places, kept: Places, differs: Mask) -> pa.RecordBatch:
        import pyarrow as pa

        old = block.old.take(_nullable(block.old_places[kept]))
        new = block.new.take(_nullable(block.new_places[kept]))
        arrays = [
            pa.array(_CHANGES).take(pa.array(kinds)),
            old.column(POSITION),
            new.column(POSITION),
            _names(differs, self._shared),
            _structs(old, _struct(self._old)),
            _structs(new, _struct(self._new)),
        ]
        return pa.RecordBatch.from_arrays(arrays, schema=self.schema)


def _find(table: TableFile, name: str) -> Column | None:
    return next((column for column in table.columns if column.name == name), None)


def _column_changes(old: Sequence[Column], new: Sequence[Column]) -> Iterator[ColumnChange]:
    """Yield removed columns, then added and retyped ones; a column that is null throughout has no type to change."""
    before = {column.name: column for column in old}
    after = {column.name for column in new}
    for column in old:
        if column.name not in after:
            yield ColumnChange(column.name, "removed", column.type, None)
    for column in new:
        was = before.get(column.name)
        if was is None:
            yield ColumnChange(column.name, "added", None, column.type)
        elif was.type != column.type and "null" not in (was.type, column.type):
            yield ColumnChange(column.name, "retyped", was.type, column.type)


def _forms(old: TableFile, new: TableFile, name: str) -> tuple[Form, Form]:
    """Return how a shared column is read on both sides."""
    before, after = _find(old, name), _find(new, name)
    assert before is not None, "shared"
    assert after is not None, "shared"
    if JSON_TYPE in (before.type, after.type):
        both_json = isinstance(old, JsonTable) and isinstance(new, JsonTable)
        form = Form.JSON if both_json else Form.TEXT
    elif common_type(before.arrow, after.arrow) is None:
        form = Form.TEXT
    else:
        form = Form.OWN
    readable = is_text_like(before.arrow) and is_text_like(after.arrow)
    return (form, form) if readable else (Form.OWN, Form.OWN)


def _keys(old: Side, new: Side, names: Sequence[str]) -> list[Key] | None:
    """Return the key columns, None for a comparison by position.

    Raises:
        InvalidInputError: a table that has columns lacks one, or it cannot be sorted by it.
    """
    tables = [side for side in (old, new) if side.table.columns]
    if not names or not tables:
        return None
    return [_key(tables, name) for name in dict.fromkeys(names)]


def _key(sides: Sequence[Side], name: str) -> Key:
    import pyarrow as pa

    types = []
    for side in sides:
        index = side.index(name)
        if index is None:
            there = ", ".join(column.name for column in side.table.columns)
            raise InvalidInputError(f"no column {quoted(name)} in {side.table.where}: its columns are {shorten(there)}")
        types.append(side.schema.field(index).type)
    common = common_type(types[0], types[-1])
    if common is None or pa.types.is_nested(common) or pa.types.is_interval(common):
        found = " and ".join(dict.fromkeys(map(str, types)))
        raise InvalidInputError(
            f"column {quoted(name)} of {sides[-1].table.where} cannot be a key: its type is {found}"
        )
    return Key(name, common)


def _struct(side: Side) -> pa.DataType:
    import pyarrow as pa

    names = [column.name for column in side.table.columns]
    return pa.struct([(name, field.type) for name, field in zip(names, side.schema, strict=False)])


def _structs(rows: pa.RecordBatch, kind: pa.DataType) -> pa.Array:
    """Return the users' columns as structs; a row without a position is null."""
    import pyarrow as pa

    if not kind.num_fields:
        return pa.nulls(rows.num_rows, kind)
    fields = [kind.field(number) for number in range(kind.num_fields)]
    missing = rows.column(POSITION).is_null()
    return pa.StructArray.from_arrays(rows.columns[: len(fields)], fields=fields, mask=missing)


def _taken(rows: pa.RecordBatch, index: int | None, places: Places) -> pa.Array:
    import pyarrow as pa

    assert index is not None, "shared"
    column = rows.column(index)
    everything = len(places) == len(column) and bool(np.all(places == np.arange(len(column))))
    return column if everything else column.take(pa.array(places))


def _nullable(places: Places) -> pa.Array:
    import pyarrow as pa

    return pa.array(places, mask=places < 0)


def _names(differs: Mask, names: Sequence[str]) -> pa.Array:
    """Return the names of the columns that differ, a list a row."""
    import pyarrow as pa

    stops = np.cumsum(differs.sum(axis=1), dtype=np.int32)
    values = pa.array(names, pa.string()).take(pa.array(np.nonzero(differs)[1]))
    return pa.ListArray.from_arrays(pa.array(np.concatenate([np.zeros(1, np.int32), stops])), values)


def _regrouped(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Join small batches: blocks may be small, and few of their rows differ."""
    held: list[pa.RecordBatch] = []
    rows = size = 0
    for batch in batches:
        held.append(batch)
        rows, size = rows + batch.num_rows, size + batch.nbytes
        if rows >= _BATCH_ROWS or size >= _BATCH_BYTES:
            yield joined(held)
            held, rows, size = [], 0, 0
    if held:
        yield joined(held)
