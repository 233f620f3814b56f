"""A directory where none stood, from the columns of its files: what edits of single rows would make of them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from pfs.trees.build import FolderBuilder
from pfs.trees.columns import aux_of
from pfs.trees.page import Changed, pack_aux
from pfs.trees.put_rows import PutRows
from pfs.trees.seal import Folder, Sealer
from pfs.trees.span import Files, Span

if TYPE_CHECKING:
    from pfs.trees.edits import Put


def fresh_folder(sealer: Sealer, parts: Sequence[PutRows], *, changed: Changed | None) -> Folder:
    """Return a directory of exactly these files, of which no two have one name; it has a page however small it is.

    Costs some 2 us a file; sorting the names more, where the parts are not in their order.
    """
    builder = FolderBuilder(sealer, changed)
    for part in parts if _in_order(parts) else [_merged(parts)]:
        builder.add_groups(_span(part), 0, len(part.names))
    return builder.finish()


def rows_of(key: bytes, puts: Sequence[Put]) -> PutRows:
    """Return single files of a directory as columns, by name."""
    at = len(key) + 1 if key else 0
    puts, count = sorted(puts, key=lambda one: one.key), len(puts)
    files = Files(
        np.fromiter((one.kind for one in puts), np.uint8, count),
        np.fromiter((one.size for one in puts), np.uint64, count),
        np.frombuffer(b"".join(one.tid for one in puts), np.uint8).reshape(-1, 32),
        aux_of([pack_aux(one.aux) for one in puts]),
    )
    return PutRows(key, [one.key[at:] for one in puts], files)


def _in_order(parts: Sequence[PutRows]) -> bool:
    return all(one.names[-1] < other.names[0] for one, other in pairwise(parts))


def _merged(parts: Sequence[PutRows]) -> PutRows:
    names = [name for part in parts for name in part.names]
    order = sorted(range(len(names)), key=names.__getitem__)
    kinds, sizes, tids = (np.concatenate([part.files[at] for part in parts])[order] for at in range(3))
    maps = [packed for part in parts for packed in maps_of(part.files)]
    files = Files(kinds, sizes, tids, aux_of([maps[row] for row in order]))
    return PutRows(parts[0].key, [names[row] for row in order], files)


def maps_of(files: Files) -> list[bytes | None]:
    """Return the packed metadata of each row."""
    found: list[bytes | None] = [None] * len(files.kinds)
    if files.aux is not None:
        ends = files.aux.offsets.tolist()
        for row, start, end in zip(files.aux.rows.tolist(), ends, ends[1:], strict=False):
            found[row] = files.aux.maps[start:end]
    return found


def _span(part: PutRows) -> Span:
    count, files = len(part.names), part.files
    ends = np.cumsum(np.fromiter(map(len, part.names), np.int64, count))
    none = np.zeros(0, np.int64)
    return Span(
        names=b"".join(part.names),
        offsets=np.concatenate((np.zeros(1, np.int64), ends)),
        kinds=files.kinds,
        depths=np.zeros(count, np.uint8),
        sizes=files.sizes,
        tids=files.tids,
        folders=none,
        counts=none.astype(np.uint64),
        aux=files.aux,
        groups=np.arange(count + 1),
        runs=np.array((0, count)),
        places=np.zeros(1, np.int64),
        bases=np.zeros(1, np.int64),
    )
