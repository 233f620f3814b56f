"""The datums of a job as a table, in the making: columns of digests and paths, sorted by id at the end."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from itertools import chain
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

from pfs.paths import from_key
from pps.datums.datum import Datum
from pps.datums.plan import order_of
from pps.datums.table import schema
from pps.spec.types import PfsInput

if TYPE_CHECKING:
    import pyarrow as pa

_BATCH: Final = 16_384


class TableBuilder:
    """Collects the datums of a job in the order in which its input yields them; 100 to 200 bytes each. One thread.

    ``leaves`` are those of the input, in their order.
    """

    def __init__(self, leaves: Sequence[PfsInput]) -> None:
        self._number = {leaf: number for number, leaf in enumerate(leaves)}
        self._known: dict[int, tuple[int, PfsInput]] = {}
        self._ids, self._hashes = bytearray(), bytearray()
        self._keys: list[bytes] = []
        self._leaves, self._ends = array("h"), array("i", [0])
        self._arrays: list[pa.Array] = []

    def add(self, ids: bytes, hashes: bytes, datums: Sequence[Datum]) -> None:
        """Take the next datums; ``ids`` and ``hashes`` have 32 bytes of each."""
        self._ids += ids
        self._hashes += hashes
        items = list(chain.from_iterable(datums))
        stops = np.cumsum(np.fromiter(map(len, datums), np.int64, len(datums))) + len(self._keys)
        self._keys += [item.row.key for item in items]
        self._leaves.extend([(self._known.get(id(item.leaf)) or self._add(item.leaf))[0] for item in items])
        self._ends.extend(stops.tolist())
        if len(self._ends) > _BATCH:
            self._flush()

    def _add(self, leaf: PfsInput) -> tuple[int, PfsInput]:
        """Note a leaf by identity: its hash costs more than all else that is done for a datum."""
        known = self._known[id(leaf)] = self._number[leaf], leaf
        return known

    def _flush(self) -> None:
        import pyarrow as pa

        fields = schema().field("inputs").type.value_type
        names = pa.array([leaf.name for leaf in self._number], pa.string())
        leaves = np.frombuffer(self._leaves, np.int16)
        columns = [names.take(pa.array(leaves)), _paths(self._keys), pa.array(leaves, pa.int16())]
        items = pa.StructArray.from_arrays(columns, fields=list(fields))
        ends = pa.array(np.frombuffer(self._ends, np.int32))
        self._arrays.append(pa.ListArray.from_arrays(ends, items).cast(schema().field("inputs").type))
        self._keys, self._leaves, self._ends = [], array("h"), array("i", [0])

    def build(self) -> tuple[pa.Table, npt.NDArray[np.int64]]:
        """Return columns id, hash and inputs, sorted by id, and each row's place in the order of the input; once, last.

        A column at a time, so that the most memory is that of all and of one of them again.
        """
        import pyarrow as pa

        self._flush()
        order = order_of(np.frombuffer(self._ids, dtype="S32"))
        ids, self._ids = _digest_column(self._ids, order), bytearray()
        hashes, self._hashes = _digest_column(self._hashes, order), bytearray()
        inputs, self._arrays = pa.chunked_array(self._arrays), []
        inputs = inputs.combine_chunks().take(pa.array(order))
        return pa.table([ids, hashes, inputs], names=["id", "hash", "inputs"]), order


def _paths(keys: Sequence[bytes]) -> pa.Array:
    """Return keys as paths: what `from_key` gives, all at once where they are UTF-8."""
    import pyarrow as pa

    text = b"/" + b"/".join(keys) if keys else b""
    try:
        text.decode()  # a slash is no part of another character, so each path is UTF-8 if all are
    except UnicodeDecodeError:
        return pa.array([from_key(key) for key in keys], pa.string())
    ends = np.zeros(len(keys) + 1, np.int64)
    np.cumsum(np.fromiter((len(key) + 1 for key in keys), np.int64, len(keys)), out=ends[1:])
    buffers = [None, pa.py_buffer(ends), pa.py_buffer(text)]
    return pa.Array.from_buffers(pa.large_string(), len(keys), buffers).cast(pa.string())


def _digest_column(raw: bytearray, order: npt.NDArray[np.int64]) -> pa.Array:
    import pyarrow as pa

    column = np.frombuffer(raw, dtype="V32")[order]
    return pa.FixedSizeBinaryArray.from_buffers(pa.binary(32), len(column), [None, pa.py_buffer(column)])
