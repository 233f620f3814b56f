"""Building a whole tree from its files, in one pass and bounded memory.

The root is the one that edits would give (promise 1). Files come sorted by key, which is the order of a
depth-first walk; what comes in any order is sorted outside memory first.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice, pairwise
from operator import lt
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from pfs.errors import FileCollisionError, InvalidInputError
from pfs.paths import from_key
from pfs.trees.build import FileRun, FolderBuilder
from pfs.trees.cutrule import FORMAT, TreeParams
from pfs.trees.edit import Put, check_edit
from pfs.trees.page import MAX_ELEMENT_BYTES, Changed, Kind, pack_aux
from pfs.trees.row import EMPTY_ROOT, PageSink, Root
from pfs.trees.seal import Sealer

if TYPE_CHECKING:
    import pyarrow as pa

Collisions = Literal["refuse", "allow"]
_BATCH = 8192


class RowBatch(NamedTuple):
    """Files as columns of equal length, sorted by key."""

    keys: Sequence[bytes]
    kinds: npt.NDArray[np.uint8]
    sizes: npt.NDArray[np.uint64]
    tids: npt.NDArray[np.uint8]
    """32 columns."""
    aux: Sequence[bytes | None] | None = None
    """Packed metadata (:func:`pfs.trees.page.pack_aux`)."""

    @classmethod
    def from_arrow(cls, batch: pa.RecordBatch) -> RowBatch:
        """Take columns key (binary), kind (uint8), size (uint64), tid (binary of 32) and maybe aux (binary)."""
        tids = b"".join(batch.column("tid").to_pylist())
        return cls(
            batch.column("key").to_pylist(),
            np.asarray(batch.column("kind").to_numpy(zero_copy_only=False), np.uint8),
            np.asarray(batch.column("size").to_numpy(zero_copy_only=False), np.uint64),
            np.frombuffer(tids, np.uint8).reshape(-1, 32),
            batch.column("aux").to_pylist() if "aux" in batch.schema.names else None,
        )

    @classmethod
    def from_puts(cls, puts: Sequence[Put]) -> RowBatch:
        """Take rows."""
        for one in puts:
            check_edit(one)
        count = len(puts)
        return cls(
            [one.key for one in puts],
            np.fromiter((one.kind for one in puts), np.uint8, count),
            np.fromiter((one.size for one in puts), np.uint64, count),
            np.frombuffer(b"".join(one.tid for one in puts), np.uint8).reshape(-1, 32),
            [pack_aux(one.aux) for one in puts] if any(one.aux for one in puts) else None,
        )


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
    last: bytes = b""
    for batch in batches:
        if len(batch.keys):
            _check(batch, last)
            last = batch.keys[-1]
            builder.add(batch)
    return builder.finish() if last else EMPTY_ROOT


def build_unsorted(
    pages: PageSink,
    rows: Iterable[Put],
    directory: Path,
    *,
    changed: Changed | None,
    collisions: Collisions = "refuse",
    run_rows: int = 250_000,
    params: TreeParams = FORMAT,
) -> Root:
    """Return the root of files that come in any order; of several with one key the last counts.

    Sorted runs of ``run_rows`` rows are spilled to files in ``directory`` and removed in the end; memory is that
    of one run.

    Raises:
        InvalidInputError: a row is not that of a file.
        FileCollisionError: a path would be both a file and a directory, and ``collisions`` is "refuse".
        StorageError: the directory cannot be written or read.
    """
    from pfs.trees.spill import sorted_batches

    with sorted_batches(rows, directory, run_rows=run_rows) as batches:
        return build_columns(pages, batches, changed=changed, collisions=collisions, params=params)


def _check(batch: RowBatch, last: bytes) -> None:
    keys, kinds = batch.keys, batch.kinds
    if not last < keys[0] or not all(map(lt, keys, islice(keys, 1, None))):
        pair = next((pair for pair in pairwise([last, *keys]) if not pair[0] < pair[1]), (last, keys[0]))
        raise InvalidInputError(f"keys are not in order: {from_key(pair[1])} comes behind {from_key(pair[0])}")
    if len(max(keys, key=len)) > MAX_ELEMENT_BYTES:
        raise InvalidInputError(f"a key is over {MAX_ELEMENT_BYTES} bytes")
    if not len(keys) == len(kinds) == len(batch.sizes) == len(batch.tids):
        raise InvalidInputError("the columns of a batch differ in length")
    if np.any((kinds == Kind.DIR) | (kinds == Kind.SHARD) | (kinds > max(Kind))):
        raise InvalidInputError("a row is not that of a file")


class _Builder:
    """The open directories from the root to the place of the last key."""

    def __init__(self, sealer: Sealer, changed: Changed | None, *, refuse: bool) -> None:
        self._sealer = sealer
        self._changed = changed
        self._refuse = refuse
        self._steps: list[bytes] = []
        self._folders = [FolderBuilder(sealer, changed)]

    def add(self, batch: RowBatch) -> None:
        """Take the next files: runs of direct children of one directory, one after the other."""
        start = 0
        for stop, base in _runs(batch.keys):
            self._go_to(base, batch.keys[start])
            cut = len(base)
            names = [key[cut:] for key in batch.keys[start:stop]] if cut else batch.keys[start:stop]
            rows = slice(start, stop)
            aux = None if batch.aux is None else batch.aux[rows]
            folder = self._folders[-1]
            folder.add_files(FileRun(names, batch.kinds[rows], batch.sizes[rows], batch.tids[rows], aux))
            if self._refuse:
                folder.twins = _twins(folder.twins, names)
            start = stop

    def finish(self) -> Root:
        """Close all and return the root."""
        self._close(0)
        root = self._folders[0].finish()
        return Root(root.pid, root.tid, root.size, root.files)

    def _go_to(self, base: bytes, key: bytes) -> None:
        """Close and open directories until ``base`` is the last one."""
        steps = base.split(b"/")[:-1]
        same = 0
        while same < min(len(steps), len(self._steps)) and steps[same] == self._steps[same]:
            same += 1
        self._close(same)
        for step in steps[same:]:
            if self._refuse and step and step in self._folders[-1].twins:
                raise FileCollisionError(from_key(key), from_key(b"/".join([*self._steps, step])))
            self._steps.append(step)
            self._folders.append(FolderBuilder(self._sealer, self._changed))

    def _close(self, depth: int) -> None:
        while len(self._steps) > depth:
            name, child = self._steps.pop() + b"/", self._folders.pop()
            parent = self._folders[-1]
            parent.add_folder(name, child)
            parent.twins = [twin for twin in parent.twins if name.startswith(twin)]


def _runs(keys: Sequence[bytes]) -> Iterator[tuple[int, bytes]]:
    """Yield the end of each run of keys in one directory, and that directory with its slash."""
    base: bytes | None = None
    for row, key in enumerate(keys):
        here = key[: key.rfind(b"/") + 1]
        if here != base:
            if base is not None:
                yield row, base
            base = here
    if base is not None:
        yield len(keys), base


def _twins(twins: list[bytes], names: Sequence[bytes]) -> list[bytes]:
    """Return the files among ``twins`` and ``names`` with whose name the last name starts."""
    last = names[-1]
    found = [twin for twin in twins if last.startswith(twin)]
    if len(names) < len(last):
        return found + [name for name in names if last.startswith(name)]
    for length in range(1, len(last) + 1):
        at = bisect_left(names, last[:length])
        if names[at] == last[:length]:
            found.append(names[at])
    return found
