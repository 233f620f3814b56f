"""Which row of the old table belongs to which row of the new one: by position, or by key."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from pfs.errors import InvalidInputError
from pfs.rows.keys import key_array, same_as_previous, sort, sort_type
from pfs.rows.sorting import Batches, Spills, aligned, sorted_rows
from pfs.rows.table import Form, TableFile

if TYPE_CHECKING:
    import pyarrow as pa

Places = npt.NDArray[np.int64]
POSITION = "position"
_NUMBER = "number"
_SIDE, _PLACE = "side", "place"


@dataclass(frozen=True, slots=True)
class Key:
    """A key column: its name and the type in which both tables have it."""

    name: str
    common: pa.DataType


@dataclass(frozen=True, slots=True)
class Side:
    """A table as it is compared: column i is named ``ci``, then `POSITION`; names of users cannot clash with others."""

    table: TableFile
    forms: dict[str, Form]

    @property
    def schema(self) -> pa.Schema:
        """Return the schema of `batches`."""
        import pyarrow as pa

        own = [
            column.arrow if self.forms.get(column.name, Form.OWN) is Form.OWN else pa.string()
            for column in self.table.columns
        ]
        fields = [(f"c{number}", one) for number, one in enumerate(own)]
        return pa.schema([*fields, (POSITION, pa.int64())])

    def index(self, name: str) -> int | None:
        """Return the number of a column, None if there is none."""
        return next((number for number, column in enumerate(self.table.columns) if column.name == name), None)

    def batches(self) -> Batches:
        """Yield the rows in their order, with their positions from 0."""
        import pyarrow as pa

        schema, start = self.schema, 0
        for batch in self.table.batches(self.forms):
            stop = start + batch.num_rows
            positions = pa.array(np.arange(start, stop, dtype=np.int64))
            yield pa.RecordBatch.from_arrays([*batch.columns, positions], schema=schema)
            start = stop


@dataclass(frozen=True, slots=True)
class Block:
    """Rows of both sides that were compared: pair i is row ``old_places[i]`` and row ``new_places[i]``, -1 for none."""

    old: pa.RecordBatch
    new: pa.RecordBatch
    old_places: Places
    new_places: Places
    repeated: int = 0
    """Rows whose key appeared before on their side."""


def by_position(old: Side, new: Side) -> Iterator[Block]:
    """Yield row n with row n; then what the longer table has more."""
    olds, news = (_Rest(side) for side in (old, new))
    while (have := olds.fill()) | (more := news.fill()):
        counts = [rest.rows for rest, filled in ((olds, have), (news, more)) if filled]
        count = min(counts)
        places = np.arange(count, dtype=np.int64)
        none = np.full(count, -1, np.int64)
        yield Block(olds.take(count), news.take(count), places if have else none, places if more else none)


class _Rest:
    """What is left of a side's rows."""

    def __init__(self, side: Side) -> None:
        self._batches = side.batches()
        self._held = _empty(side.schema)

    @property
    def rows(self) -> int:
        return int(self._held.num_rows)

    def fill(self) -> bool:
        """Have rows at hand; False when there are no more."""
        while not self.rows:
            batch = next(self._batches, None)
            if batch is None:
                return False
            self._held = batch
        return True

    def take(self, count: int) -> pa.RecordBatch:
        part, self._held = self._held.slice(0, count), self._held.slice(count)
        return part


def _empty(schema: pa.Schema) -> pa.RecordBatch:
    import pyarrow as pa

    return pa.RecordBatch.from_arrays([pa.array([], field.type) for field in schema], schema=schema)


def by_key(old: Side, new: Side, keys: Sequence[Key], spills: Spills) -> Iterator[Block]:
    """Yield the n-th row of a key with the n-th row of that key, in the order of keys, NaN and null last.

    Raises:
        InvalidInputError: see `key_array`.
        StorageError: the files for sorting cannot be written.
    """
    names = [f"k{number}" for number in range(len(keys))]
    streams = [_numbered(_sorted(side, keys, spills), names) for side in (old, new)]
    schemas = [_sorted_schema(side.schema, keys) for side in (old, new)]
    for parts in aligned(streams, [*names, _NUMBER]):
        sides = [_empty(schema) if part is None else part for schema, part in zip(schemas, parts, strict=True)]
        yield _block(sides[0], sides[1], [*names, _NUMBER])


def _sorted(side: Side, keys: Sequence[Key], spills: Spills) -> Batches:
    names = [f"k{number}" for number in range(len(keys))]
    keyed = (_with_keys(side, batch, keys) for batch in side.batches())
    return sorted_rows(keyed, [*names, POSITION], spills)


def _sorted_schema(schema: pa.Schema, keys: Sequence[Key]) -> pa.Schema:
    import pyarrow as pa

    for number, key in enumerate(keys):
        schema = schema.append(pa.field(f"k{number}", sort_type(key.common)))
    return schema.append(pa.field(_NUMBER, pa.int64()))


def _with_keys(side: Side, batch: pa.RecordBatch, keys: Sequence[Key]) -> pa.RecordBatch:
    for number, key in enumerate(keys):
        index = side.index(key.name)
        assert index is not None, "keys were checked"
        try:
            values = key_array(batch.column(index), key.common, name=key.name)
        except InvalidInputError as error:
            raise InvalidInputError(f"{side.table.where}: {error}") from error
        batch = batch.append_column(f"k{number}", values)
    return batch


def _numbered(batches: Batches, names: Sequence[str]) -> Batches:
    """Number the rows within each key, from 0, across batches; memory is one row more."""
    import pyarrow as pa

    last: pa.RecordBatch | None = None
    for batch in batches:
        rows = [part.select(names) for part in (last, batch) if part is not None]
        same = same_as_previous(pa.concat_batches(rows), names)
        same = same if last is None else same[1:]
        places = np.arange(len(same), dtype=np.int64)
        numbers = places - np.maximum.accumulate(np.where(same, 0, places))
        if last is not None and same[0]:
            first_group = len(same) if same.all() else int(np.argmin(same))
            numbers[:first_group] += last.column(_NUMBER)[0].as_py() + 1
        done = batch.append_column(_NUMBER, pa.array(numbers))
        last = done.slice(done.num_rows - 1)
        yield done


def _block(old: pa.RecordBatch, new: pa.RecordBatch, names: Sequence[str]) -> Block:
    """Pair the rows of both sides that have the same keys, which are unique on each side."""
    import pyarrow as pa

    counts = old.num_rows, new.num_rows
    rows = pa.concat_batches([old.select(names), new.select(names)])
    rows = rows.append_column(_SIDE, pa.array(np.repeat(np.array([0, 1], np.int8), counts)))
    rows = rows.append_column(_PLACE, pa.array(np.concatenate([np.arange(count) for count in counts])))
    rows = sort(rows, [*names, _SIDE])
    pair = np.cumsum(~same_as_previous(rows, names)) - 1
    side, place = (rows.column(name).to_numpy() for name in (_SIDE, _PLACE))
    found = np.full((2, pair[-1] + 1), -1, np.int64)
    found[side, pair] = place
    repeated = sum(int(np.count_nonzero(part.column(_NUMBER).to_numpy())) for part in (old, new))
    return Block(old, new, found[0], found[1], repeated)
