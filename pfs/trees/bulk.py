"""Building a whole tree from its files, in one pass and bounded memory.

The root is the one that edits would give (promise 1). Files come sorted by key, which is the order of a
depth-first walk.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np

from pfs.errors import InvalidInputError
from pfs.paths import from_key
from pfs.trees import columns
from pfs.trees.build import FolderBuilder
from pfs.trees.columns import aux_of, keys_of, with_first
from pfs.trees.cutrule import FORMAT, TreeParams
from pfs.trees.edit import Put, check_edit
from pfs.trees.page import MAX_ELEMENT_BYTES, Changed, Kind, pack_aux
from pfs.trees.row import EMPTY_ROOT, PageSink, Root
from pfs.trees.seal import Sealer
from pfs.trees.shape import Keys, common, first_unordered, shape_of
from pfs.trees.span import Files, span_of
from pfs.trees.twins import Twins

if TYPE_CHECKING:
    import pyarrow as pa

Collisions = Literal["refuse", "allow"]
_BATCH = 8192


class RowBatch(NamedTuple):
    """Files as columns of equal length, sorted by key."""

    keys: Keys
    files: Files

    @classmethod
    def from_arrow(cls, batch: pa.RecordBatch) -> RowBatch:
        """Take columns key (binary), kind (uint8), size (uint64), tid (binary of 32) and maybe aux (binary)."""
        aux = columns.maps(batch.column("aux")) if "aux" in batch.schema.names else None
        kinds, sizes = (columns.numbers(batch.column(name)) for name in ("kind", "size"))
        tids = columns.digests(batch.column("tid"))
        files = Files(kinds.astype(np.uint8, copy=False), sizes.astype(np.uint64, copy=False), tids, aux)
        return cls(columns.keys(batch.column("key")), files)

    @classmethod
    def from_puts(cls, puts: Sequence[Put]) -> RowBatch:
        """Take rows."""
        for one in puts:
            check_edit(one)
        count = len(puts)
        maps = [pack_aux(one.aux) for one in puts] if any(one.aux for one in puts) else None
        files = Files(
            np.fromiter((one.kind for one in puts), np.uint8, count),
            np.fromiter((one.size for one in puts), np.uint64, count),
            np.frombuffer(b"".join(one.tid for one in puts), np.uint8).reshape(-1, 32),
            None if maps is None else aux_of(maps),
        )
        return cls(keys_of([one.key for one in puts]), files)


def build(
    pages: PageSink,
    rows: Iterable[Put],
    *,
    changed: Changed | None,
    collisions: Collisions = "refuse",
    params: TreeParams = FORMAT,
) -> Root:
    """Return the root of exactly these files, sorted by key without repeats; some 300,000 rows a second.

    Raises:
        InvalidInputError: keys are not in order, or a row is not that of a file.
        FileCollisionError: a path would be both a file and a directory, and ``collisions`` is "refuse".
    """
    source = iter(rows)
    batches = iter(lambda: list(islice(source, _BATCH)), [])
    columns = (RowBatch.from_puts(batch) for batch in batches)
    return build_columns(pages, columns, changed=changed, collisions=collisions, params=params)


def build_columns(
    pages: PageSink,
    batches: Iterable[RowBatch],
    *,
    changed: Changed | None,
    collisions: Collisions = "refuse",
    params: TreeParams = FORMAT,
) -> Root:
    """Return the root of exactly these files, sorted by key over all batches without repeats: the fast way.

    Raises:
        InvalidInputError: keys are not in order, or a row is not that of a file.
        FileCollisionError: a path would be both a file and a directory, and ``collisions`` is "refuse".
    """
    builder = _Builder(Sealer(pages, params), changed, refuse=collisions == "refuse")
    for batch in batches:
        if batch.keys.rows:
            builder.add(batch)
    return builder.finish()


def _check(batch: RowBatch) -> None:
    kinds, count = batch.files.kinds, batch.keys.rows
    if not count == len(kinds) == len(batch.files.sizes) == len(batch.files.tids):
        raise InvalidInputError("the columns of a batch differ in length")
    if int(np.diff(batch.keys.offsets).max()) > MAX_ELEMENT_BYTES:
        raise InvalidInputError(f"a key is over {MAX_ELEMENT_BYTES} bytes")
    if np.any((kinds == Kind.DIR) | (kinds == Kind.SHARD) | (kinds > max(Kind))):
        raise InvalidInputError("a row is not that of a file")


class _Builder:
    """The open directories from the root to the place of the last key."""

    def __init__(self, sealer: Sealer, changed: Changed | None, *, refuse: bool) -> None:
        self._sealer = sealer
        self._changed = changed
        self._twins = Twins() if refuse else None
        self._last = b""
        self._steps: list[bytes] = []
        self._folders = [FolderBuilder(sealer, changed)]

    def add(self, batch: RowBatch) -> None:
        """Take the next files: runs of direct children of one directory, one after the other."""
        _check(batch)
        keys = with_first(self._last, batch.keys)
        shared = common(keys)
        wrong = first_unordered(keys, shared)
        if wrong is not None:
            before, key = from_key(keys.key(wrong - 1)), from_key(keys.key(wrong))
            why = f"{key} comes twice" if before == key else f"keys are not in order: {key} comes behind {before}"
            raise InvalidInputError(why)
        shape = shape_of(keys, shared)
        if self._twins is not None:
            self._twins.check(keys, shared, shape)
        span = span_of(keys, shape, batch.files, inline=self._sealer.params.inline)
        for number, (place, base) in enumerate(zip(span.places.tolist(), span.bases.tolist(), strict=True)):
            self._go_to(batch.keys.key(place)[:base])
            first, last = span.runs[number : number + 2].tolist()
            self._folders[-1].add_groups(span, first, last)
        self._last = batch.keys.key(batch.keys.rows - 1)

    def finish(self) -> Root:
        """Close all and return the root."""
        if not self._last:
            return EMPTY_ROOT
        self._close(0)
        root = self._folders[0].finish()
        return Root(root.pid, root.tid, root.size, root.files)

    def _go_to(self, base: bytes) -> None:
        """Close and open directories until ``base`` is the last one."""
        steps = base.split(b"/")[:-1]
        same = 0
        while same < min(len(steps), len(self._steps)) and steps[same] == self._steps[same]:
            same += 1
        self._close(same)
        for step in steps[same:]:
            self._steps.append(step)
            self._folders.append(FolderBuilder(self._sealer, self._changed))

    def _close(self, depth: int) -> None:
        while len(self._steps) > depth:
            name, child = self._steps.pop() + b"/", self._folders.pop()
            self._folders[-1].add_folder(name, child)
